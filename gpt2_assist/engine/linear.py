"""Products with a model's matrices in which a row's bits don't depend on the rows beside it.

On the CPU every product has the same number of rows, whatever is wanted: which kernel torch's libraries take, and so
the order of its sums, depends on that number, on each processor in another way. Where the row stands makes no
difference. A matrix in bfloat16 is packed for oneDNN, the way torch's own compiler does it: two thirds of the time.
"""
import torch
import torch.nn.functional as F

_ROWS = 16


class Linear:
    """x [R, in] -> x @ weight.T + bias, [R, out], in fp32; the product itself runs in `kind`."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, kind: torch.dtype, device: str) -> None:
        """weight [out, in]."""
        self._kind = kind
        self._bias = bias.to(device, kind)
        weight = weight.to(device, kind).contiguous()
        self._packed = device == "cpu" and kind == torch.bfloat16 and _can_pack()
        self._alike = device == "cpu"
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, None) if self._packed else weight

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        x = x.to(self._kind)
        if not self._alike:
            return self._product(x).float()
        rows = len(x)
        parts = F.pad(x, (0, 0, 0, -rows % _ROWS)).split(_ROWS)
        return torch.cat([self._product(part) for part in parts])[:rows].float()

    def _product(self, x: torch.Tensor) -> torch.Tensor:
        if self._packed:
            return torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, "none", [], "")
        return F.linear(x, self._weight, self._bias)


def _can_pack() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
