"""The optimiser: Muon for the blocks' matrices, AdamW for everything else.

Muon is Keller Jordan's (2024, "Muon: An optimizer for hidden layers in neural networks"): the momentum of a matrix
is made nearly orthogonal by five Newton-Schulz steps before it is applied. Small models learn from markedly fewer
tokens with it, which is what counts where tokens are dear.
"""
import torch

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # Jordan's quintic: steep at 0, singular values end near 1
_STEPS = 5


def orthogonalise(matrices: torch.Tensor) -> torch.Tensor:
    """[n, r, c] -> [n, r, c] with singular values near 1. Runs in bfloat16."""
    a, b, c = _COEFFICIENTS
    x = matrices.to(torch.bfloat16)
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.transpose(1, 2)
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(_STEPS):
        gram = x @ x.transpose(1, 2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.transpose(1, 2) if tall else x).to(matrices.dtype)


class Optimizer:
    """One step over named parameters; `state()` and `load()` carry it across a restart."""

    def __init__(self, parameters: dict[str, torch.nn.Parameter], matrix_names: set[str], matrix_rate: float,
                 other_rate: float, momentum: float = 0.95, betas: tuple[float, float] = (0.9, 0.95),
                 weight_decay: float = 0.01) -> None:
        self._momentum, self._decay, self._matrix_rate = momentum, weight_decay, matrix_rate
        self._matrices = {name: parameter for name, parameter in parameters.items() if name in matrix_names}
        self._velocity = {name: torch.zeros_like(p) for name, p in self._matrices.items()}
        self._others = {name: parameter for name, parameter in parameters.items() if name not in matrix_names}
        self._adam = torch.optim.AdamW(list(self._others.values()), lr=other_rate, betas=betas, weight_decay=0.0)
        self._other_rate = other_rate

    @torch.no_grad()
    def step(self, share: float) -> None:
        """Applies the parameters' gradients at `share` of the peak learning rates, and clears them."""
        for group in self._adam.param_groups:
            group["lr"] = self._other_rate * share
        self._adam.step()
        by_shape: dict[torch.Size, list[str]] = {}
        gradients = {name: parameter.grad for name, parameter in self._matrices.items() if parameter.grad is not None}
        for name, parameter in self._matrices.items():
            self._velocity[name].lerp_(gradients[name], 1 - self._momentum)
            by_shape.setdefault(parameter.shape, []).append(name)
        for shape, names in by_shape.items():
            ahead = [gradients[name].lerp(self._velocity[name], self._momentum) for name in names]
            scale = max(1.0, shape[1] / shape[0]) ** 0.5
            for name, update in zip(names, orthogonalise(torch.stack(ahead)), strict=True):
                parameter = self._matrices[name]
                parameter.mul_(1 - self._matrix_rate * share * self._decay)
                parameter.add_(update, alpha=-self._matrix_rate * share * scale)
        for parameter in (*self._matrices.values(), *self._others.values()):
            parameter.grad = None

    def state(self) -> dict[str, torch.Tensor]:
        """Every tensor that a later `load` needs, by name."""
        tensors = {f"velocity.{name}": value for name, value in self._velocity.items()}
        for name, parameter in self._others.items():
            for key, value in self._adam.state.get(parameter, {}).items():
                tensors[f"adam.{key}.{name}"] = value
        return tensors

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        for name, value in self._velocity.items():
            value.copy_(tensors[f"velocity.{name}"])
        for name, parameter in self._others.items():
            self._adam.state[parameter] = {key: tensors[f"adam.{key}.{name}"].clone()
                                           for key in ("step", "exp_avg", "exp_avg_sq")
                                           if f"adam.{key}.{name}" in tensors}
