"""The forward pass of new tokens over cached keys and values.

Every row's result depends on that row's tokens alone, to the last bit, on the CPU: so do the products of
engine/linear.py, and attention sums over whole blocks of keys, as many as the query's own position asks for.

Shapes: R rows (new tokens of all sequences), D width, H heads, d width of a head, V vocabulary.
"""
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from gpt2_assist.engine.kv_cache import BLOCK, KeysValues
from gpt2_assist.engine.linear import Linear
from gpt2_assist.model.adapter import Adapter
from gpt2_assist.model.sizes import GPT2Config

_QUERY_MULTIPLE = 4
"""Batched products give a row the same bits for every number of rows that this divides, and no others."""


@dataclass(frozen=True)
class Segment:
    """New tokens of one sequence, to stand at positions `start`, `start + 1`, … of its window."""

    cache: KeysValues
    tokens: list[int]
    start: int
    adapter: "LowRank | None" = None


class LowRank:
    """An adapter's matrices, on the device in fp32, with scale and strength in them."""

    def __init__(self, config: GPT2Config, adapter: Adapter, strength: float, device: str) -> None:
        """Raises ModelError where it doesn't fit the model."""
        adapter.check(config)
        factor = adapter.shape.scale * strength

        def linear(matrix: torch.Tensor) -> Linear:
            return Linear(matrix, torch.zeros(len(matrix)), torch.float32, device)
        self._pairs = {module: (linear(torch.tensor(down)), linear(torch.tensor(up) * factor))
                       for module, (down, up) in adapter.pairs.items()}

    def add(self, module: str, x: torch.Tensor, out: torch.Tensor) -> None:
        """Adds to out [R, out] what the adapter makes of x [R, in] beside a module's matrix, if anything."""
        if module in self._pairs:
            down, up = self._pairs[module]
            out += up(down(x))


@dataclass(frozen=True)
class _Layer:
    ln_1: tuple[torch.Tensor, torch.Tensor]
    attn: Linear
    attn_proj: Linear
    ln_2: tuple[torch.Tensor, torch.Tensor]
    fc: Linear
    fc_proj: Linear


class Forward:
    """A model's weights, laid out for decoding: the blocks' matrices in `kind`, everything else in fp32."""

    def __init__(self, config: GPT2Config, weights: dict[str, torch.Tensor], kind: torch.dtype, device: str) -> None:
        self.config, self._kind, self._device = config, kind, device
        self._wte = weights["wte.weight"].to(device, torch.float32)
        self._head = self._wte.t().contiguous()  # a product with one row reads this layout twice as fast
        self._wpe = weights["wpe.weight"].to(device, torch.float32)
        self._ln_f = self._pair(weights, "ln_f")
        self._layers = [_Layer(self._pair(weights, f"h.{i}.ln_1"), self._matrix(weights, f"h.{i}.attn.c_attn"),
                               self._matrix(weights, f"h.{i}.attn.c_proj"), self._pair(weights, f"h.{i}.ln_2"),
                               self._matrix(weights, f"h.{i}.mlp.c_fc"), self._matrix(weights, f"h.{i}.mlp.c_proj"))
                        for i in range(config.n_layer)]
        self._future = torch.ones(BLOCK, BLOCK, dtype=torch.bool, device=device).triu(1)

    def _pair(self, weights: dict[str, torch.Tensor], name: str) -> tuple[torch.Tensor, torch.Tensor]:
        return (weights[f"{name}.weight"].to(self._device, torch.float32),
                weights[f"{name}.bias"].to(self._device, torch.float32))

    def _matrix(self, weights: dict[str, torch.Tensor], name: str) -> Linear:
        return Linear(weights[f"{name}.weight"].t(), weights[f"{name}.bias"], self._kind, self._device)

    def hidden(self, segments: list[Segment]) -> torch.Tensor:
        """Appends the segments' keys and values to their caches; what the head sees of the new tokens, [R, D]."""
        config = self.config
        ids = [token for segment in segments for token in segment.tokens]
        places = [segment.start + k for segment in segments for k in range(len(segment.tokens))]
        for segment in segments:
            segment.cache.reserve(segment.start + len(segment.tokens))
        x = self._wte[torch.tensor(ids, device=self._device)] + self._wpe[torch.tensor(places, device=self._device)]
        mixed = torch.zeros_like(x)
        heads, width = config.n_head, config.n_embd // config.n_head

        def product(linear: Linear, module: str, x: torch.Tensor) -> torch.Tensor:
            out, row = linear(x), 0
            for segment in segments:
                end = row + len(segment.tokens)
                if segment.adapter:
                    segment.adapter.add(module, x[row:end], out[row:end])
                row = end
            return out

        for number, layer in enumerate(self._layers):
            block = f"h.{number}"
            qkv = product(layer.attn, f"{block}.attn.c_attn", self._norm(x, layer.ln_1)).view(
                len(ids), 3, heads, width)
            row = 0
            for segment in segments:
                count = len(segment.tokens)
                keys, values = segment.cache.data[number]
                end = segment.start + count
                keys[:, segment.start:end] = qkv[row:row + count, 1].transpose(0, 1)
                values[:, segment.start:end] = qkv[row:row + count, 2].transpose(0, 1)
                self._attend(qkv[row:row + count, 0], keys, values, segment.start, mixed[row:row + count])
                row += count
            x = x + product(layer.attn_proj, f"{block}.attn.c_proj", mixed)
            inner = product(layer.fc, f"{block}.mlp.c_fc", self._norm(x, layer.ln_2))
            x = x + product(layer.fc_proj, f"{block}.mlp.c_proj", F.gelu(inner, approximate="tanh"))
        for segment in segments:
            segment.cache.tokens.extend(segment.tokens)
        return self._norm(x, self._ln_f)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """hidden [D] -> logits [V] in fp32; one row at a time, which has its own kernel and so its own bits."""
        return torch.mm(hidden[None], self._head)[0]

    def _norm(self, x: torch.Tensor, pair: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        return F.layer_norm(x, (self.config.n_embd,), *pair, eps=self.config.layer_norm_epsilon)

    def _attend(self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, start: int,
                out: torch.Tensor) -> None:
        """queries [n, H, d] at positions from `start` on, keys and values [H, C, d]; writes [n, D] to `out`.

        The queries of each block of positions form one product, with keys up to the block's end.
        """
        count = len(queries)
        first = 0
        while first < count:
            block = (start + first) // BLOCK
            last = min(count, (block + 1) * BLOCK - start)
            n, length = last - first, (block + 1) * BLOCK
            padded = -(-n // _QUERY_MULTIPLE) * _QUERY_MULTIPLE
            part = queries[first:last].transpose(0, 1) * (queries.shape[2] ** -0.5)
            if padded != n:
                part = F.pad(part, (0, 0, 0, padded - n))
            scores = torch.bmm(part, keys[:, :length].transpose(1, 2))
            row = start + first - block * BLOCK
            scores[:, :n, length - BLOCK:].masked_fill_(self._future[row:row + n], float("-inf"))
            mixed = torch.bmm(scores.softmax(dim=-1), values[:, :length])[:, :n]
            out[first:last] = mixed.transpose(0, 1).reshape(n, -1)
            first = last
