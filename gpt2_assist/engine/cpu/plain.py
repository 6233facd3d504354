"""Every kernel once more in plain numpy: slow, obvious, and the same to the last bit.

Each function does the arithmetic of the kernel of its name (rows.py, products.py, step.py) in the same order and in
float32, for any number of rows at once. Numbers must be finite; results may overflow to infinities, and NaNs follow
where the kernels have them, though their sign and payload may differ. Subnormal numbers and the signs of zeros are the
same too.

R is a number of rows, K of inputs padded to 64, N of outputs padded to 32, G of groups, D a head's padded width.
"""
from collections.abc import Sequence

import numpy as np

from gpt2_assist.architectures.description import MATRICES, Decoder
from gpt2_assist.engine.cpu.adapters import PackedAdapter
from gpt2_assist.engine.pages import BLOCK
from gpt2_assist.model.bfloat16 import from_bf16, to_bf16
from gpt2_assist.model.packing import INPUTS_MULTIPLE, INT4_GROUP, INT8_GROUP, TILE, padded, unpack
from gpt2_assist.model.prepared import Prepared, kind_of
from gpt2_assist.model.rotation import rotation

# Stated here a second time, so that this file needs no numba and a slip in either place shows.
LANES = 16
EXP_LOW, EXP_HIGH = -87.0, 88.0
LOG2E = 1.44269504
LN2_HIGH, LN2_LOW = 0.693359375, -2.12194440e-4
EXP_TERMS = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
GELU_SCALE, GELU_CUBE = (2 / np.pi) ** 0.5, 0.044715
ROOT_HALF, ERF_SCALE = 0.5 ** 0.5, 0.3275911
ERF_TERMS = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
NO_SCORE = -3.0e38
"""Below every score that counts."""

GROUPS = {"int8": INT8_GROUP, "int4": INT4_GROUP, "int4_min": INT4_GROUP}
OFFSETS = {"int8": 128, "int4": 8, "int4_min": -1}
"""What is added to a weight's number so that it has no sign."""


Numbers = np.ndarray | np.floating


@np.errstate(over="ignore", invalid="ignore")
def fma(x: Numbers, y: Numbers, z: Numbers) -> np.ndarray:
    """x * y + z of float32 numbers, rounded once.

    The product is exact in float64. The sum there is rounded to odd: of the two float64 numbers around it, the one
    whose last bit is set, so that it lies on the same side of every float32, and of every middle of two, as the true
    sum does. So the last rounding is right, for subnormal results too.
    """
    product, addend = np.multiply(x, y, dtype=np.float64), np.asarray(z, np.float64)
    near = product + addend
    back = near - product
    error = (product - (near - back)) + (addend - back)  # exactly what the sum lacks; no number where it is infinite
    even = np.ascontiguousarray(near).view(np.int64).reshape(near.shape) & 1 == 0
    inexact = np.isfinite(near) & (error != 0)
    odd = np.where(inexact & even, np.nextafter(near, np.copysign(np.inf, error)), near)
    return odd.astype(np.float32)


def larger(x: Numbers, y: Numbers) -> np.ndarray:
    """The larger one, and y where they can't be compared."""
    return np.where(x > y, x, y)


def halved(lanes: np.ndarray, join) -> np.ndarray:
    """[..., 16] -> [...]: halves joined with halves."""
    while lanes.shape[-1] > 1:
        half = lanes.shape[-1] // 2
        lanes = join(lanes[..., :half], lanes[..., half:])
    return lanes[..., 0]


def total(lanes: np.ndarray) -> np.ndarray:
    """The sum [...] of lanes [..., 16]."""
    return halved(lanes, np.add)


def exp(x: np.ndarray) -> np.ndarray:
    """e ** x, x taken to be within [EXP_LOW, EXP_HIGH]."""
    x = np.where(x < np.float32(EXP_LOW), np.float32(EXP_LOW), x)
    x = np.where(x > np.float32(EXP_HIGH), np.float32(EXP_HIGH), x)
    n = np.rint(x * np.float32(LOG2E))
    r = fma(n, np.float32(-LN2_HIGH), x)
    r = fma(n, np.float32(-LN2_LOW), r)
    series = np.float32(EXP_TERMS[0])
    for term in EXP_TERMS[1:]:
        series = fma(series, r, np.float32(term))
    value = fma(r * r, series, r) + np.float32(1)
    return value * np.ldexp(np.float32(1), np.where(np.isnan(n), 0, n).astype(np.int32))


def layer_norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, width: int, epsilon: float) -> np.ndarray:
    """[R, K], zero from `width` on, as weight and bias [K] are -> [R, K]."""
    size, count = np.float32(width), padded(width, LANES)
    inside = np.arange(count) < width
    sums = np.zeros((len(x), LANES), np.float32)
    for start in range(0, count, LANES):
        sums = sums + x[:, start:start + LANES]
    mean = (total(sums) / size)[:, None]
    off = np.where(inside, x[:, :count] - mean, np.float32(0))
    sums = np.zeros((len(x), LANES), np.float32)
    for start in range(0, count, LANES):
        sums = fma(off[:, start:start + LANES], off[:, start:start + LANES], sums)
    variance = total(sums) / size
    scale = (np.float32(1) / np.sqrt(variance + np.float32(epsilon)))[:, None]
    return fma((x - mean) * scale, weight, bias)


def rms_norm(x: np.ndarray, weight: np.ndarray, width: int, epsilon: float) -> np.ndarray:
    """[..., K], zero from `width` on, as weight [K] is -> [..., K]."""
    sums = np.zeros((*x.shape[:-1], LANES), np.float32)
    for start in range(0, padded(width, LANES), LANES):
        sums = fma(x[..., start:start + LANES], x[..., start:start + LANES], sums)
    scale = np.float32(1) / np.sqrt(total(sums) / np.float32(width) + np.float32(epsilon))
    return (x * scale[..., None]) * weight


def quantise(x: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[R, K] -> numbers int8 [R, K], for each group -offset * their sum int32 [R, G], and scales float32 [R, G].

    A group of nothing but zeros, or of numbers so small that 127 over the largest is infinite, becomes zeros.
    """
    groups = x.reshape(len(x), -1, GROUPS[kind])
    top = np.abs(groups).max(axis=2)
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.float32(127) / top
    inverse = np.where(np.isinf(inverse), np.float32(0), inverse)
    numbers = np.rint(groups * inverse[..., None]).astype(np.int32)
    first = -OFFSETS[kind] * numbers.sum(axis=2, dtype=np.int32)
    return numbers.astype(np.int8).reshape(x.shape), first, top / np.float32(127)


def gated(gates: np.ndarray, through: np.ndarray) -> np.ndarray:
    """SiLU(gates) * through."""
    return gates / (np.float32(1) + exp(-gates)) * through


def gelu(x: np.ndarray) -> np.ndarray:
    """The exact GELU."""
    ratio = x * np.float32(ROOT_HALF)
    size = np.abs(ratio)
    t = np.float32(1) / fma(size, np.float32(ERF_SCALE), np.float32(1))
    series = np.float32(ERF_TERMS[0])
    for term in ERF_TERMS[1:]:
        series = fma(series, t, np.float32(term))
    tail = (series * t) * exp(-(size * size))
    return (x * np.float32(0.5)) * np.where(ratio > 0, np.float32(2) - tail, tail)


def relu(x: np.ndarray) -> np.ndarray:
    """The larger of 0 and x."""
    return larger(x, np.float32(0))


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    """GPT-2's GELU: x / (1 + exp(-2 u)), which is x (1 + tanh(u)) / 2."""
    inner = fma((x * x) * np.float32(GELU_CUBE), x, x)
    return x / (np.float32(1) + exp(inner * np.float32(-2 * GELU_SCALE)))


def add_to(x: np.ndarray, bias: Numbers, out: np.ndarray | None = None) -> np.ndarray:
    """x + bias, or out + (x + bias)."""
    return x + bias if out is None else out + (x + bias)


def scores_of(query: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """The products of queries, float32 [..., D], with 16 keys each, bfloat16 [..., D, 16] -> [..., 16]."""
    factors = from_bf16(keys)
    sums = [np.zeros(query.shape[:-1] + (BLOCK,), np.float32) for _ in range(4)]
    for d in range(query.shape[-1]):
        sums[d % 4] = fma(query[..., d, None], factors[..., d, :], sums[d % 4])
    return (sums[0] + sums[1]) + (sums[2] + sums[3])


def softmax(scores: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """[..., S], S a multiple of 16 -> e ** (score - the largest of the first `count`), zero behind them; their sum."""
    inside = np.arange(scores.shape[-1]) < count
    lanes = np.full(scores.shape[:-1] + (LANES,), NO_SCORE, np.float32)
    for start in range(0, scores.shape[-1], LANES):
        block = slice(start, start + LANES)
        lanes = larger(np.where(inside[block], scores[..., block], np.float32(NO_SCORE)), lanes)
    top = halved(lanes, larger)[..., None]
    shares = np.where(inside, exp(scores - top), np.float32(0))
    sums = np.zeros_like(lanes)
    for start in range(0, scores.shape[-1], LANES):
        sums = sums + shares[..., start:start + LANES]
    return shares, total(sums)


def mix_values(shares: np.ndarray, values: np.ndarray, out: np.ndarray) -> np.ndarray:
    """out [..., D] + the sum over t of shares[..., t] * values[..., t, :], bfloat16, in the order of t."""
    for t in range(shares.shape[-1]):
        out = fma(shares[..., t, None], from_bf16(values[..., t, :]), out)
    return out


def scale_row(x: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """x * factor."""
    return x * factor


def integer_product(kind: str, packed: np.ndarray, numbers: np.ndarray, first: np.ndarray,
                    scales: np.ndarray) -> np.ndarray:
    """A packed int8, int4 or int4_min matrix with what `quantise` gave for R rows -> [R, N]."""
    weights, own, least = _unsigned(kind, packed)
    rows, groups = len(numbers), weights.shape[1]
    inputs = numbers.reshape(rows, groups, -1).astype(np.int32)
    whole = np.einsum("tgkn,rgk->rtgn", weights, inputs)  # exact, in any order
    if least is None:
        whole = first[:, None, :, None] + whole
    sums = np.zeros((rows, len(packed), TILE), np.float32)
    for g in range(groups):
        sums = fma(whole[:, :, g].astype(np.float32), own[:, g] * scales[:, None, g, None], sums)
        if least is not None:
            sums = fma(first[:, None, g, None].astype(np.float32), least[:, g] * scales[:, None, g, None], sums)
    return sums.reshape(rows, -1)


def _unsigned(kind: str, packed: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The numbers, offset included, int32 [tiles, G, inputs of a group, 32], and the scales and, if there are any,
    minima float32 [tiles, G, 32]."""
    tiles, groups, size = packed.shape
    aside = 2 * TILE * (2 if kind == "int4_min" else 1)
    blocks, bits = packed[..., :size - aside], np.ascontiguousarray(packed[..., size - aside:]).view(np.uint16)
    numbers = blocks.reshape(tiles, groups, -1, TILE, 4).swapaxes(3, 4).astype(np.int32)  # [tiles, G, i, j, n]
    if kind != "int8":
        numbers = np.stack([numbers & 15, numbers >> 4], axis=3)  # [tiles, G, p, half, j, n]
    scales = from_bf16(bits)
    return (numbers.reshape(tiles, groups, -1, TILE), scales[..., :TILE],
            scales[..., TILE:] if kind == "int4_min" else None)


def float_product(kind: str, packed: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A packed bf16 or fp32 matrix with x [R, K] -> [R, N]."""
    weights = from_bf16(packed) if kind == "bf16" else packed
    sums = np.zeros((len(x), len(packed), TILE), np.float32)
    for k in range(x.shape[1]):
        sums = fma(weights[:, k], x[:, k, None, None], sums)
    return sums.reshape(len(x), -1)


def multiply(kind: str, packed: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A packed matrix of any kind with x [R, K] -> [R, N]."""
    if kind in GROUPS:
        return integer_product(kind, packed, *quantise(x, kind))
    return float_product(kind, packed, x)


def adapt(x: np.ndarray, down: np.ndarray, up: np.ndarray, out: np.ndarray) -> np.ndarray:
    """out [R, N] + x [R, K] through an adapter's matrices, down [blocks, K, 16] and up [tiles, rank, 32]."""
    low = np.concatenate([low_rank(x, block) for block in down], axis=1)
    tiles = np.zeros((len(x), len(up), TILE), np.float32)
    tiles.reshape(len(x), -1)[:, :out.shape[1]] = out
    return widen_low_rank(low, up, tiles).reshape(len(x), -1)[:, :out.shape[1]]


def low_rank(x: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The products of x [R, K] with 16 columns [K, 16] -> [R, 16]."""
    sums = [np.zeros((len(x), LANES), np.float32) for _ in range(4)]
    for k in range(x.shape[1]):
        sums[k % 4] = fma(x[:, k, None], columns[k], sums[k % 4])
    return (sums[0] + sums[1]) + (sums[2] + sums[3])


def widen_low_rank(low: np.ndarray, weights: np.ndarray, out: np.ndarray) -> np.ndarray:
    """out [R, tiles, 32] + the sum over r of low [R, r] * weights [tiles, r, 32], in the order of r."""
    for r in range(weights.shape[1]):
        out = fma(low[:, r, None, None], weights[:, r], out)
    return out


def forward(prepared: Prepared, tokens: Sequence[int], adapter: PackedAdapter | None = None) -> np.ndarray:
    """The logits [T, V] after each of up to n_ctx tokens: all that a step does (step.py), for one sequence."""
    config, arrays = prepared.config, prepared.arrays
    table_kind = kind_of("embedding.weight", config, prepared.precision)
    embedding = unpack(arrays["embedding.weight"], table_kind, config.n_embd, config.vocab_size)
    rows = adapter.rows if adapter else {}
    x = np.stack([rows[token] if token in rows else embedding[:, token] for token in tokens])
    if config.positions == "learned":
        x = x + arrays["positions.weight"][:len(tokens)]
    x = _widened(x)
    for layer in range(config.n_layer):
        block = f"layers.{layer}."
        own = {name.removeprefix(block): array for name, array in arrays.items() if name.startswith(block)}
        beside = {role: (adapter.downs[block + role], adapter.ups[block + role])
                  for role in MATRICES if adapter and block + role in adapter.downs}
        x = _through(prepared, layer, own, beside, x)
    x = _normed(config, arrays, "norm", x)
    return add_to(multiply(table_kind, arrays[config.head_name], x), np.float32(0))[:, :config.vocab_size]


def _normed(config: Decoder, own: dict[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    if config.norm == "rms":
        return rms_norm(x, own[f"{name}.weight"], config.n_embd, config.epsilon)
    return layer_norm(x, own[f"{name}.weight"], own[f"{name}.bias"], config.n_embd, config.epsilon)


def _through(prepared: Prepared, layer: int, own: dict[str, np.ndarray],
             beside: dict[str, tuple[np.ndarray, np.ndarray]], x: np.ndarray) -> np.ndarray:
    """x [T, K] through the layer whose tensors are `own`, with an adapter's matrices `beside` some of them."""
    config = prepared.config
    kind = kind_of("layers.0.qkv.weight", config, prepared.precision)

    def product(name: str, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        product = multiply(kind, own[f"{name}.weight"], rows)
        product = add_to(product, own.get(f"{name}.bias", np.float32(0)),
                         None if out is None else out[:, :product.shape[1]])
        return _widened(adapt(rows, *beside[name], product) if name in beside else product)

    heads = product("qkv", _normed(config, own, "attention_norm", x))
    mixed = _attention(config, layer, own, heads[:, :config.matrix_shape("qkv")[1]])
    x = product("output", _widened(mixed), x)
    inner = product("up", _normed(config, own, "inner_norm", x))
    if config.gated:
        inner = gated(inner[:, :config.n_inner], inner[:, config.n_inner:config.up_width])
    else:
        inner = {"gelu_tanh": gelu_tanh, "gelu": gelu, "relu": relu}[config.activation](inner)[:, :config.n_inner]
    return product("down", _widened(inner), x)


def _attention(config: Decoder, layer: int, own: dict[str, np.ndarray], qkv: np.ndarray) -> np.ndarray:
    """Queries, keys and values side by side -> what each position mixes [T, heads * head width].

    Keys and values are bfloat16 in blocks of 16 positions; a head's width is padded with zeros to a multiple of 16.
    """
    positions, width, count = len(qkv), config.head_width, config.n_head
    heads = qkv.reshape(positions, -1, width).transpose(1, 0, 2).copy()
    turned = count + config.n_kv_head
    if config.head_norms:
        for name, first, last in (("query_norm", 0, count), ("key_norm", count, turned)):
            heads[first:last] = rms_norm(_widened(heads[first:last]), own[f"{name}.weight"], width,
                                         config.epsilon)[..., :width]
    if config.positions == "rotary":
        heads[:turned] = rotated(heads[:turned], rotation(width, config.rope_theta, positions))
    parts = np.zeros((len(heads), padded(positions, BLOCK), padded(width, 16)), np.float32)
    parts[:, :positions, :width] = heads
    queries = parts[:count] * (np.float32(1) / np.float32(config.divisor(layer)))
    keys, values = (np.repeat(to_bf16(part), count // config.n_kv_head, axis=0)
                    for part in (parts[count:turned], parts[turned:]))
    mixed = np.empty((positions, count, width), np.float32)
    for t in range(positions):
        ends = [min(start + BLOCK, t + 1) for start in range(0, t + 1, BLOCK)]
        scores = np.concatenate([scores_of(queries[:, t], keys[:, start:start + BLOCK].swapaxes(1, 2))
                                 for start in range(0, t + 1, BLOCK)], axis=1)
        shares, sums = softmax(scores, t + 1)
        out = np.zeros((count, parts.shape[-1]), np.float32)
        for start, end in zip(range(0, t + 1, BLOCK), ends):
            out = mix_values(shares[:, start:end], values[:, start:end], out)
        mixed[t] = scale_row(out, (np.float32(1) / sums)[:, None])[:, :width]
    return mixed.reshape(positions, -1)


def rotated(x: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """x [heads, T, d], number i turned with number i + d / 2 by `turns` [T, 2, d / 2]."""
    half = x.shape[-1] // 2
    first, second, cosine, sine = x[..., :half], x[..., half:], turns[:, 0], turns[:, 1]
    return np.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=-1)


def _widened(rows: np.ndarray) -> np.ndarray:
    """[..., any] -> [..., K], padded with zeros."""
    return np.pad(rows, [(0, 0)] * (rows.ndim - 1) + [(0, -rows.shape[-1] % INPUTS_MULTIPLE)])
