"""Products with a model's matrices in which a row's bits don't depend on the rows beside it.

Measured of torch on the CPU: a product in bfloat16 with a matrix packed for oneDNN, the way torch's own compiler does
it, gives each row the same bits whatever their number, and takes about two thirds of a plain one's time; in fp32 only
plain products of a number of rows that is a multiple of four do.
"""
import torch
import torch.nn.functional as F

_ROW_MULTIPLE = 4


class Linear:
    """x [R, in] -> x @ weight.T + bias, [R, out], in fp32; the product itself runs in `kind`."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, kind: torch.dtype, device: str) -> None:
        """weight [out, in]."""
        self._kind = kind
        self._bias = bias.to(device, kind)
        weight = weight.to(device, kind).contiguous()
        self._packed = device == "cpu" and kind == torch.bfloat16 and _can_pack()
        self._multiple = _ROW_MULTIPLE if device == "cpu" and not self._packed else 1
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, None) if self._packed else weight

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        x = x.to(self._kind)
        if self._packed:
            return torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, "none", [], "").float()
        rows = len(x)
        padding = -rows % self._multiple
        if padding:
            x = F.pad(x, (0, 0, 0, padding))
        return F.linear(x, self._weight, self._bias)[:rows].float()


def _can_pack() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
