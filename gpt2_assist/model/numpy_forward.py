"""A decoder's forward pass in plain numpy, in float32, straight from the files: what quantised weights are measured by.

Shapes: T positions, D width, H heads, K heads of keys and values, d a head's width, V vocabulary. Only one matrix at a
time is in memory, if the files are mapped.
"""
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np

from gpt2_assist.architectures.description import Decoder
from gpt2_assist.errors import ModelError
from gpt2_assist.model.rotation import rotation
from gpt2_assist.model.tensors import ModelTensors


def all_logits(weights: ModelTensors, tokens: Sequence[int]) -> np.ndarray:
    """The logits after each of the tokens, float32 [T, V]. Raises ModelError where they don't fit the context."""
    (_, last), = deque(matrix_inputs(weights, tokens), maxlen=1)
    return last @ weights.read_matrix(weights.config.head_name).T


def matrix_inputs(weights: ModelTensors, tokens: Sequence[int]) -> Iterator[tuple[str, np.ndarray]]:
    """(name, [T, K]) of every matrix in the order of their use, the head last, with what it is multiplied with after
    each of the tokens."""
    config, read = weights.config, weights.read_matrix
    if len(tokens) > config.n_ctx:
        raise ModelError(f"{len(tokens)} tokens do not fit the model's context of {config.n_ctx}.")
    x = read("embedding.weight")[list(tokens)]
    if config.positions == "learned":
        x = x + read("positions.weight")[:len(tokens)]

    def norm(name: str) -> np.ndarray:
        if config.norm == "rms":
            return _rms_norm(x, read(f"{name}.weight"), config.epsilon)
        centred = x - x.mean(axis=1, keepdims=True)
        deviation = np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + np.float32(config.epsilon))
        return centred / deviation * read(f"{name}.weight") + read(f"{name}.bias")

    def affine(values: np.ndarray, block: str, role: str) -> np.ndarray:
        product = values @ read(f"{block}.{role}.weight")
        return product + read(f"{block}.{role}.bias") if role in config.biases else product

    for layer in range(config.n_layer):
        block = f"layers.{layer}"
        normed = norm(f"{block}.attention_norm")
        yield f"{block}.qkv.weight", normed
        norms = [read(f"{block}.{name}.weight") for name in ("query_norm", "key_norm")] if config.head_norms else []
        mixed = _attention(config, affine(normed, block, "qkv"), norms, np.float32(config.divisor(layer)))
        yield f"{block}.output.weight", mixed
        x = x + affine(mixed, block, "output")
        normed = norm(f"{block}.inner_norm")
        yield f"{block}.up.weight", normed
        inner = affine(normed, block, "up")
        if config.gated:
            inner = activated(config.activation, inner[:, :config.n_inner]) * inner[:, config.n_inner:]
        else:
            inner = activated(config.activation, inner)
        yield f"{block}.down.weight", inner
        x = x + affine(inner, block, "down")
    yield config.head_name, norm("norm")


def _rms_norm(x: np.ndarray, weight: np.ndarray, epsilon: float) -> np.ndarray:
    """Along the last axis."""
    return x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + np.float32(epsilon)) * weight


def _attention(config: Decoder, qkv: np.ndarray, norms: list[np.ndarray], divisor: np.float32) -> np.ndarray:
    """Queries, keys and values side by side [T, (H + 2K) d] -> what every position gathers from those up to itself,
    [T, H d]. `norms`: the weights of the queries' and the keys' norms, if there are any."""
    positions, width = len(qkv), config.head_width
    heads = qkv.reshape(positions, -1, width).transpose(1, 0, 2)
    q, k, v = np.split(heads, [config.n_head, config.n_head + config.n_kv_head])
    if norms:
        q, k = (_rms_norm(part, weight, config.epsilon) for part, weight in zip((q, k), norms))
    if config.positions == "rotary":
        turns = rotation(width, config.rope_theta, positions)
        q, k = _rotated(q, turns), _rotated(k, turns)
    later = np.triu(np.ones((positions, positions), bool), 1)
    gathered = np.empty_like(q)
    for head in range(config.n_head):
        shared = head * config.n_kv_head // config.n_head
        scores = q[head] @ k[shared].T / divisor
        scores[later] = -np.inf
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        gathered[head] = scores / scores.sum(axis=1, keepdims=True) @ v[shared]
    return gathered.transpose(1, 0, 2).reshape(positions, -1)


def _rotated(x: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """x [heads, T, d], turned by `turns` [T, 2, d / 2]."""
    cosine, sine = turns[:, 0], turns[:, 1]
    first, second = np.split(x, 2, axis=-1)
    return np.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=-1)


def activated(name: str, x: np.ndarray) -> np.ndarray:
    """An activation by the description's name."""
    if name == "relu":
        return np.maximum(x, 0)
    if name == "silu":
        return x / (1 + np.exp(-np.clip(x, -87, 88)))
    if name == "gelu":
        return x / 2 * (1 + _erf(x / np.float32(2 ** 0.5)))
    return x / 2 * (1 + np.tanh(np.float32((2 / np.pi) ** 0.5) * (x + np.float32(0.044715) * x * x * x)))


def _erf(x: np.ndarray) -> np.ndarray:
    """The error function, within 2e-7: Abramowitz and Stegun 1964, 7.1.26."""
    t = 1 / (1 + np.float32(0.3275911) * np.abs(x))
    series = np.float32(0)
    for term in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = (series + np.float32(term)) * t
    return np.sign(x) * (1 - series * np.exp(-np.square(x)))
