"""The forward pass of new tokens over cached keys and values.

Every row's result depends on that row's tokens alone, to the last bit, on the CPU: so do the products of
engine/linear.py, and attention sums over whole blocks of keys, as many as the query's own position asks for.

Shapes: R rows (new tokens of all sequences), D width, H heads, K heads of keys and values, d width of a head, V
vocabulary.
"""
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from gpt2_assist.architectures.description import MATRICES, Decoder
from gpt2_assist.engine.kv_cache import BLOCK, KeysValues
from gpt2_assist.engine.linear import Linear
from gpt2_assist.model.adapter import Adapter
from gpt2_assist.model.rotation import rotation
from gpt2_assist.model.transformer import ACTIVATIONS, rotated

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

    def __init__(self, config: Decoder, adapter: Adapter, strength: float, device: str) -> None:
        """Raises ModelError where it doesn't fit the model."""
        adapter.check(config)
        factor = adapter.shape.scale * strength

        def linear(matrix: torch.Tensor) -> Linear:
            return Linear(matrix, torch.zeros(len(matrix)), torch.float32, device)
        self._pairs = {module: (linear(torch.tensor(down)), linear(torch.tensor(up) * factor))
                       for module, (down, up) in adapter.pairs.items()}
        self.rows = {id: torch.tensor(row, device=device) for id, row in adapter.rows.items()}
        """By token, what it has in place of the embedding's row."""

    def add(self, module: str, x: torch.Tensor, out: torch.Tensor) -> None:
        """Adds to out [R, out] what the adapter makes of x [R, in] beside a module's matrix, if anything."""
        if module in self._pairs:
            down, up = self._pairs[module]
            out += up(down(x))


class _Norm:
    """Layer norm, or RMS norm where there is no bias."""

    def __init__(self, weights: dict[str, torch.Tensor], name: str, epsilon: float, device: str) -> None:
        self._weight = weights[f"{name}.weight"].to(device, torch.float32)
        bias = weights.get(f"{name}.bias")
        self._bias, self._epsilon = None if bias is None else bias.to(device, torch.float32), epsilon

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if self._bias is None:
            return F.rms_norm(x, self._weight.shape, self._weight, self._epsilon)
        return F.layer_norm(x, self._weight.shape, self._weight, self._bias, eps=self._epsilon)


class _Layer:
    def __init__(self, weights: dict[str, torch.Tensor], layer: int, config: Decoder, kind: torch.dtype,
                 device: str) -> None:
        self.name = f"layers.{layer}"

        def norm(role: str) -> _Norm:
            return _Norm(weights, f"{self.name}.{role}", config.epsilon, device)
        self.attention_norm, self.inner_norm = norm("attention_norm"), norm("inner_norm")
        self.head_norms = [norm("query_norm"), norm("key_norm")] if config.head_norms else []
        self.matrices = {}
        for role in MATRICES:
            weight = weights[f"{self.name}.{role}.weight"].t()
            bias = weights[f"{self.name}.{role}.bias"] if role in config.biases else torch.zeros(len(weight))
            self.matrices[role] = Linear(weight, bias, kind, device)
        self.scale = 1 / config.divisor(layer)


class Forward:
    """A model's weights, laid out for decoding: the blocks' matrices in `kind`, everything else in fp32."""

    def __init__(self, config: Decoder, weights: dict[str, torch.Tensor], kind: torch.dtype, device: str) -> None:
        self.config, self._device = config, device
        self._embedding = weights["embedding.weight"].to(device, torch.float32)
        # A product with one row reads this layout twice as fast.
        self._head = weights[config.head_name].to(device, torch.float32).t().contiguous()
        self._positions = self._turns = None
        if config.positions == "learned":
            self._positions = weights["positions.weight"].to(device, torch.float32)
        else:
            self._turns = torch.from_numpy(rotation(config.head_width, config.rope_theta, config.n_ctx)).to(device)
        self._norm = _Norm(weights, "norm", config.epsilon, device)
        self._activation = ACTIVATIONS[config.activation]
        self._layers = [_Layer(weights, layer, config, kind, device) for layer in range(config.n_layer)]
        self._future = torch.ones(BLOCK, BLOCK, dtype=torch.bool, device=device).triu(1)

    def hidden(self, segments: list[Segment]) -> torch.Tensor:
        """Appends the segments' keys and values to their caches; what the head sees of the new tokens, [R, D]."""
        config = self.config
        places = [segment.start + k for segment in segments for k in range(len(segment.tokens))]
        for segment in segments:
            segment.cache.reserve(segment.start + len(segment.tokens))
        where = torch.tensor(places, device=self._device)
        x = self._embedded(segments)
        if self._positions is not None:
            x = x + self._positions[where]
        turns = None if self._turns is None else self._turns[where]
        mixed = torch.zeros(len(places), config.attention_width, device=self._device)

        def product(layer: _Layer, role: str, x: torch.Tensor) -> torch.Tensor:
            out, row = layer.matrices[role](x), 0
            for segment in segments:
                end = row + len(segment.tokens)
                if segment.adapter:
                    segment.adapter.add(f"{layer.name}.{role}", x[row:end], out[row:end])
                row = end
            return out

        for number, layer in enumerate(self._layers):
            queries, new_keys, new_values = self._heads(layer, product(layer, "qkv", layer.attention_norm(x)), turns)
            row = 0
            for segment in segments:
                count = len(segment.tokens)
                keys, values = segment.cache.data[number]
                end = segment.start + count
                keys[:, segment.start:end] = new_keys[row:row + count].transpose(0, 1)
                values[:, segment.start:end] = new_values[row:row + count].transpose(0, 1)
                self._attend(queries[row:row + count], keys, values, segment.start, layer.scale,
                             mixed[row:row + count])
                row += count
            x = x + product(layer, "output", mixed)
            inner = product(layer, "up", layer.inner_norm(x))
            if config.gated:
                inner = self._activation(inner[:, :config.n_inner]) * inner[:, config.n_inner:]
            else:
                inner = self._activation(inner)
            x = x + product(layer, "down", inner)
        for segment in segments:
            segment.cache.tokens.extend(segment.tokens)
        return self._norm(x)

    def _embedded(self, segments: list[Segment]) -> torch.Tensor:
        """The rows of the embedding, or those that an adapter has in their place."""
        ids, given = [], {}
        for segment in segments:
            rows = segment.adapter.rows if segment.adapter else {}
            given |= {len(ids) + place: rows[token] for place, token in enumerate(segment.tokens) if token in rows}
            ids += [0 if token in rows else token for token in segment.tokens]
        x = self._embedding[torch.tensor(ids, device=self._device)]
        for row, values in given.items():
            x[row] = values
        return x

    def _heads(self, layer: _Layer, qkv: torch.Tensor, turns: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
        """Queries [R, H, d], keys and values [R, K, d], normed and turned, of [R, (H + 2K) d]."""
        config = self.config
        heads = qkv.view(len(qkv), -1, config.head_width)
        queries, keys, values = heads.split((config.n_head, config.n_kv_head, config.n_kv_head), dim=1)
        if layer.head_norms:
            queries, keys = (norm(part) for norm, part in zip(layer.head_norms, (queries, keys)))
        if turns is not None:
            queries, keys = (rotated(part.transpose(0, 1), turns).transpose(0, 1) for part in (queries, keys))
        return queries, keys, values

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """hidden [D] -> logits [V] in fp32; one row at a time, which has its own kernel and so its own bits."""
        return torch.mm(hidden[None], self._head)[0]

    def _attend(self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, start: int,
                scale: float, out: torch.Tensor) -> None:
        """queries [n, H, d] at positions from `start` on, keys and values [K, C, d]; writes [n, H d] to `out`.

        The queries of each block of positions form one product, with keys up to the block's end.
        """
        count = len(queries)
        first = 0
        while first < count:
            block = (start + first) // BLOCK
            last = min(count, (block + 1) * BLOCK - start)
            n, length = last - first, (block + 1) * BLOCK
            padded = -(-n // _QUERY_MULTIPLE) * _QUERY_MULTIPLE
            part = queries[first:last].transpose(0, 1) * scale
            if padded != n:
                part = F.pad(part, (0, 0, 0, padded - n))
            seen, mixed_in = keys[:, :length], values[:, :length]
            if self.config.n_kv_head != self.config.n_head:
                shared = self.config.n_head // self.config.n_kv_head
                seen, mixed_in = (each.repeat_interleave(shared, dim=0) for each in (seen, mixed_in))
            scores = torch.bmm(part, seen.transpose(1, 2))
            row = start + first - block * BLOCK
            scores[:, :n, length - BLOCK:].masked_fill_(self._future[row:row + n], float("-inf"))
            mixed = torch.bmm(scores.softmax(dim=-1), mixed_in)[:, :n]
            out[first:last] = mixed.transpose(0, 1).reshape(n, -1)
            first = last
