"""A model's weights and adapters on the card, as the kernels read them."""
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from gpt2_assist.architectures.description import MATRICES, Decoder
from gpt2_assist.errors import ModelError
from gpt2_assist.model.adapter import Adapter
from gpt2_assist.model.rotation import rotation

MOST_ADAPTERS = 64
"""Adapters that a model can have on the card at a time."""
A_LAYER = len(MATRICES)
"""Modules of a layer, which can have adapters. Modules are numbered through the layers."""
_RANKS, _AT_ONCE = 16, 4096
KINDS = {"bf16": torch.bfloat16, "fp32": torch.float32, "int8": torch.bfloat16}
"""By precision: what products multiply. int8 is that of the weights alone."""


@dataclass(frozen=True)
class CardMatrix:
    """`weight` [out, in], in int8 times `scales` [out]; `bias` [out] in fp32, where there is one."""

    weight: torch.Tensor
    scales: torch.Tensor | None
    bias: torch.Tensor | None


Norm = tuple[torch.Tensor, torch.Tensor | None]
"""Weight and bias, in fp32; an RMS norm has no bias."""


@dataclass(frozen=True)
class Layer:
    attention_norm: Norm
    qkv: CardMatrix
    output: CardMatrix
    inner_norm: Norm
    up: CardMatrix
    """A gated decoder's gates and what they let through by turns."""
    down: CardMatrix
    head_norms: tuple[torch.Tensor, torch.Tensor] | None
    """Weights of the norms of each head's query and key."""


class Weights:
    def __init__(self, config: Decoder, weights: dict[str, torch.Tensor], precision: str, device: str) -> None:
        self.config, self.kind, self._device = config, KINDS[precision], device
        self._int8 = precision == "int8"
        self.tokens = self._matrix(weights["embedding.weight"], None)
        self.head = self.tokens if config.tied else self._matrix(weights["head.weight"], None)
        self.places = self.turns = None
        if config.positions == "learned":
            self.places = self._vector(weights["positions.weight"])
        else:
            self.turns = torch.from_numpy(rotation(config.head_width, config.rope_theta, config.n_ctx)).to(device)
        self.layers = []
        for layer in range(config.n_layer):
            name = f"layers.{layer}"
            qkv, output, up, down = (self._of_layer(weights, name, role) for role in MATRICES)
            head_norms = None
            if config.head_norms:
                head_norms = (self._vector(weights[f"{name}.query_norm.weight"]),
                              self._vector(weights[f"{name}.key_norm.weight"]))
            self.layers.append(Layer(self._norm(weights, f"{name}.attention_norm"), qkv, output,
                                     self._norm(weights, f"{name}.inner_norm"), up, down, head_norms))
        self.norm = self._norm(weights, "norm")

    def _of_layer(self, weights: dict[str, torch.Tensor], layer: str, role: str) -> CardMatrix:
        bias = weights.get(f"{layer}.{role}.bias")
        return self._matrix(_by_turns(self.config, role, weights[f"{layer}.{role}.weight"].t()),
                            None if bias is None else _by_turns(self.config, role, bias))

    def _norm(self, weights: dict[str, torch.Tensor], name: str) -> Norm:
        bias = weights.get(f"{name}.bias")
        return self._vector(weights[f"{name}.weight"]), None if bias is None else self._vector(bias)

    def _vector(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self._device, torch.float32).contiguous()

    def _matrix(self, weight: torch.Tensor, bias: torch.Tensor | None) -> CardMatrix:
        """weight [out, in]."""
        bias = None if bias is None else self._vector(bias)
        weight = weight.to(self._device)
        if not self._int8:
            return CardMatrix(weight.to(self.kind).contiguous(), None, bias)
        scales = (weight.abs().amax(1).float() / 127).clamp_min(1e-30)
        small = [(part.float() / scale[:, None]).round().to(torch.int8)  # a few rows at a time take little room
                 for part, scale in zip(weight.split(_AT_ONCE), scales.split(_AT_ONCE))]
        return CardMatrix(torch.cat(small), scales, bias)


class AdapterTable:
    """Where the adapters' matrices lie: `addresses` int64 [MOST_ADAPTERS + 1, modules, 2] of A [rank, in] and of
    B [out, rank], with scale and strength in it, and `ranks` int32 [MOST_ADAPTERS + 1, modules], 0 where a module has
    none. Ranks are filled up with zeros to a multiple of 16. Adapter 0 is none."""

    def __init__(self, config: Decoder, kind: torch.dtype, device: str) -> None:
        self._config, self._kind, self._device = config, kind, device
        self.modules = A_LAYER * config.n_layer
        self.addresses = torch.zeros(MOST_ADAPTERS + 1, self.modules, 2, dtype=torch.int64, device=device)
        self.ranks = torch.zeros(MOST_ADAPTERS + 1, self.modules, dtype=torch.int32, device=device)
        self.pairs: dict[int, dict[int, tuple[torch.Tensor, torch.Tensor]]] = {}
        """By adapter and module."""

    def add(self, adapter: Adapter, strength: float) -> int:
        """Its place. Raises ModelError where it doesn't fit the model, or there are too many."""
        adapter.check(self._config)
        place = next((place for place in range(1, MOST_ADAPTERS + 1) if place not in self.pairs), None)
        if place is None:
            raise ModelError(f"There are {MOST_ADAPTERS} adapters on the card already.")
        pairs = {}
        addresses, ranks = torch.zeros(self.modules, 2, dtype=torch.int64), torch.zeros(self.modules, dtype=torch.int32)
        for layer in range(self._config.n_layer):
            for number, target in enumerate(MATRICES):
                if (found := adapter.pairs.get(f"layers.{layer}.{target}")) is None:
                    continue
                more = -len(found[0]) % _RANKS
                down = F.pad(torch.tensor(found[0]), (0, 0, 0, more)).to(self._device, self._kind).contiguous()
                up = _by_turns(self._config, target, torch.tensor(found[1])) * (adapter.shape.scale * strength)
                up = F.pad(up, (0, more))
                up = up.to(self._device, self._kind).contiguous()
                module = layer * A_LAYER + number
                pairs[module] = down, up
                addresses[module] = torch.tensor([down.data_ptr(), up.data_ptr()])
                ranks[module] = len(down)
        self.pairs[place] = pairs
        self.addresses[place], self.ranks[place] = addresses.to(self._device), ranks.to(self._device)
        return place

    def drop(self, place: int) -> None:
        del self.pairs[place]
        self.ranks[place] = 0


def _by_turns(config: Decoder, role: str, rows: torch.Tensor) -> torch.Tensor:
    """Rows by output of a matrix: where it is gated, each gate before what it lets through, so that one program of a
    product has both."""
    if role != "up" or not config.gated:
        return rows
    return rows.unflatten(0, (2, config.n_inner)).transpose(0, 1).flatten(0, 1)
