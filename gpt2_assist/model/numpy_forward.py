"""GPT-2's forward pass in plain numpy, in float32, straight from the files: what quantised weights are measured by.

Shapes: T positions, D width, H heads, V vocabulary. Only one matrix at a time is in memory, if the files are mapped.
"""
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np

from gpt2_assist.errors import ModelError
from gpt2_assist.model.tensors import ModelTensors


def all_logits(weights: ModelTensors, tokens: Sequence[int]) -> np.ndarray:
    """The logits after each of the tokens, float32 [T, V]. Raises ModelError where they don't fit the context."""
    (_, last), = deque(matrix_inputs(weights, tokens), maxlen=1)
    return last @ weights.read_matrix("wte.weight").T


def matrix_inputs(weights: ModelTensors, tokens: Sequence[int]) -> Iterator[tuple[str, np.ndarray]]:
    """(name, [T, K]) of every matrix in the order of their use, the head `wte.weight` last, with what it is multiplied
    with after each of the tokens."""
    config, read = weights.config, weights.read_matrix
    if len(tokens) > config.n_ctx:
        raise ModelError(f"{len(tokens)} tokens do not fit the model's context of {config.n_ctx}.")
    x = read("wte.weight")[list(tokens)] + read("wpe.weight")[:len(tokens)]

    def norm(name: str) -> np.ndarray:
        centred = x - x.mean(axis=1, keepdims=True)
        deviation = np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + np.float32(config.layer_norm_epsilon))
        return centred / deviation * read(f"{name}.weight") + read(f"{name}.bias")

    def affine(values: np.ndarray, name: str) -> np.ndarray:
        return values @ read(f"{name}.weight") + read(f"{name}.bias")

    for layer in range(config.n_layer):
        block = f"h.{layer}"
        normed = norm(f"{block}.ln_1")
        yield f"{block}.attn.c_attn.weight", normed
        mixed = _attention(affine(normed, f"{block}.attn.c_attn"), config.n_head)
        yield f"{block}.attn.c_proj.weight", mixed
        x = x + affine(mixed, f"{block}.attn.c_proj")
        normed = norm(f"{block}.ln_2")
        yield f"{block}.mlp.c_fc.weight", normed
        inner = _gelu(affine(normed, f"{block}.mlp.c_fc"))
        yield f"{block}.mlp.c_proj.weight", inner
        x = x + affine(inner, f"{block}.mlp.c_proj")
    yield "wte.weight", norm("ln_f")


def _attention(qkv: np.ndarray, heads: int) -> np.ndarray:
    """Queries, keys and values side by side [T, 3D] -> what every position gathers from those up to itself, [T, D]."""
    positions, width = len(qkv), qkv.shape[1] // 3
    q, k, v = qkv.reshape(positions, 3, heads, width // heads).transpose(1, 2, 0, 3)  # [H, T, D/H] each
    later = np.triu(np.ones((positions, positions), bool), 1)
    gathered = np.empty_like(q)
    for head in range(heads):
        scores = q[head] @ k[head].T / np.float32((width // heads) ** 0.5)
        scores[later] = -np.inf
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        gathered[head] = scores / scores.sum(axis=1, keepdims=True) @ v[head]
    return gathered.transpose(1, 0, 2).reshape(positions, width)


def _gelu(x: np.ndarray) -> np.ndarray:
    return x / 2 * (1 + np.tanh(np.float32((2 / np.pi) ** 0.5) * (x + np.float32(0.044715) * x * x * x)))
