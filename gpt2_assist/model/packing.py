"""Matrices in the order in which the kernels read them: tiles of 32 outputs, quantised in groups of inputs.

A matrix W is [K inputs, N outputs]. K is padded with zeros to Kp, a multiple of 64, N to Np, a multiple of 32. Tile t
holds the outputs 32t … 32t+31:

- fp32: float32 [Np/32, Kp, 32], a[t, k, n] = W[k, 32t+n]; bf16: the same as uint16 bits, rounded to nearest even.
- int8: uint8 [Np/32, Kp/64, 2112]. Block [t, g] is [16 (i), 32 (n), 4 (j)] of q + 128 for W[64g+4i+j, 32t+n], then 32
  bfloat16 scales, one for each output. q = w / scale rounded to even, scale = the group's largest magnitude / 127.
- int4: uint8 [Np/32, Kp/32, 576]. Block [t, g] is [4 (p), 32 (n), 4 (j)], the low half of a byte q + 8 for
  W[32g+8p+j, 32t+n], the high half for W[32g+8p+4+j, 32t+n], then 32 bfloat16 scales, which may be negative.

- int4_min: uint8 [Np/32, Kp/32, 640]. As int4, with q from 0 to 15 and, behind the scales, 32 bfloat16 minima.

A quantised number means q × scale, with a minimum q × scale + minimum. Scales and minima are rounded to bfloat16 first
and q made with the rounded ones. int4_min is for models without layer norms, whose weights lie lopsided, and loses
nothing of files that were quantised in groups of 32 with a minimum.
"""
from collections.abc import Iterator

import numpy as np

from gpt2_assist.model.bfloat16 import from_bf16, to_bf16

KINDS = ("int8", "int4", "bf16", "fp32")
INT4_MIN = "int4_min"
ALL_KINDS = (*KINDS, INT4_MIN)
TILE = 32
"""Outputs of a tile."""
INPUTS_MULTIPLE = 64
MOST_RANK = 1024
"""Of an adapter, whose matrices are padded as the ones beside them are."""
INT8_GROUP = 64
INT4_GROUP = 32
INT8_BLOCK = INT8_GROUP * TILE + 2 * TILE
"""Bytes: the numbers of a group, then its scales."""
INT4_BLOCK = INT4_GROUP * TILE // 2 + 2 * TILE
INT4_MIN_BLOCK = INT4_BLOCK + 2 * TILE
_SLAB = 1 << 18
"""Numbers that are worked on at once: few enough for the processor's cache."""
_SHRINKINGS = (1.0, 0.95, 0.9, 0.85, 0.8)
"""Of int4's scales: a smaller one cuts the largest numbers off and is finer for all others."""


def padded(count: int, multiple: int) -> int:
    """`count` rounded up to a multiple."""
    return -(-count // multiple) * multiple


def packed_shape(kind: str, inputs: int, outputs: int) -> tuple[int, int, int]:
    """The shape of the packed array of an [inputs, outputs] matrix."""
    tiles, rows = padded(outputs, TILE) // TILE, padded(inputs, INPUTS_MULTIPLE)
    if kind == "int8":
        return tiles, rows // INT8_GROUP, INT8_BLOCK
    if kind in ("int4", INT4_MIN):
        return tiles, rows // INT4_GROUP, INT4_BLOCK if kind == "int4" else INT4_MIN_BLOCK
    return tiles, rows, TILE


def packed_type(kind: str) -> np.dtype:
    """The number type of the packed array."""
    return np.dtype({"bf16": np.uint16, "fp32": np.float32}.get(kind, np.uint8))


def pack(weight: np.ndarray, kind: str) -> np.ndarray:
    """float32 [K, N] -> the packed array. Raises ValueError where a weight is infinite or no number."""
    inputs, outputs = weight.shape
    packed = np.empty(packed_shape(kind, inputs, outputs), packed_type(kind))
    for first, columns in _slabs(inputs, outputs):
        slab = np.zeros((padded(inputs, INPUTS_MULTIPLE), padded(columns, TILE)), np.float32)
        slab[:inputs, :columns] = weight[:, first:first + columns]
        if not np.isfinite(slab).all():
            raise ValueError("a weight is infinite or no number")
        _PACK[kind](slab, packed[first // TILE:(first + slab.shape[1]) // TILE])
    return packed


def unpack(blocks: np.ndarray, kind: str, inputs: int, outputs: int) -> np.ndarray:
    """The packed array -> float32 [K, N], the numbers that it means."""
    weight = np.empty((inputs, outputs), np.float32)
    for first, columns in _slabs(inputs, outputs):
        tiles = blocks[first // TILE:padded(first + columns, TILE) // TILE]
        values = _UNPACK[kind](tiles)  # [tiles, Kp, 32]
        slab = values.transpose(1, 0, 2).reshape(values.shape[1], -1)
        weight[:, first:first + columns] = slab[:inputs, :columns]
    return weight


def _slabs(inputs: int, outputs: int) -> Iterator[tuple[int, int]]:
    """(first output, number of outputs) of each part; every part but the last is whole tiles."""
    columns = max(TILE, _SLAB // padded(inputs, INPUTS_MULTIPLE) // TILE * TILE)
    for first in range(0, outputs, columns):
        yield first, min(columns, outputs - first)


def _pack_fp32(slab: np.ndarray, out: np.ndarray) -> None:
    out[:] = slab.reshape(len(slab), -1, TILE).transpose(1, 0, 2)


def _pack_bf16(slab: np.ndarray, out: np.ndarray) -> None:
    out[:] = to_bf16(slab).reshape(len(slab), -1, TILE).transpose(1, 0, 2)


def _pack_int8(slab: np.ndarray, out: np.ndarray) -> None:
    groups = slab.reshape(-1, INT8_GROUP, slab.shape[1])
    bits = to_bf16(np.abs(groups).max(axis=1) / np.float32(127))
    q = np.clip(_rounded(groups, from_bf16(bits)), -127, 127)
    q += 128
    numbers, scales = _int8_parts(out)
    numbers[:] = q.astype(np.uint8).reshape(-1, 16, 4, len(out), TILE).transpose(3, 0, 1, 4, 2)
    scales[:] = bits.reshape(-1, len(out), TILE).transpose(1, 0, 2)


def _pack_int4(slab: np.ndarray, out: np.ndarray) -> None:
    groups = slab.reshape(-1, INT4_GROUP, slab.shape[1])
    bits = int4_scales(groups)
    _lay_out_int4(np.clip(_rounded(groups, from_bf16(bits)), -8, 7), bits, out)


def pack_int4(numbers: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """The packed array of numbers -8 … 7, int8 [K, N], and their scales' bfloat16 bits [K / 32, N]."""
    inputs, outputs = numbers.shape
    wide, tall = padded(outputs, TILE), padded(inputs, INPUTS_MULTIPLE)
    all_numbers, all_bits = np.zeros((tall, wide), np.int8), np.zeros((tall // INT4_GROUP, wide), np.uint16)
    all_numbers[:inputs, :outputs], all_bits[:len(bits), :outputs] = numbers, bits
    packed = np.empty(packed_shape("int4", inputs, outputs), np.uint8)
    _lay_out_int4(all_numbers.reshape(-1, INT4_GROUP, wide), all_bits, packed)
    return packed


def _pack_int4_min(slab: np.ndarray, out: np.ndarray) -> None:
    groups = slab.reshape(-1, INT4_GROUP, slab.shape[1])
    scales, minima = int4_ranges(groups)
    numbers = rounded_from(groups, from_bf16(scales)[:, None], from_bf16(minima)[:, None])
    _lay_out_int4_min(numbers, scales, minima, out)


def pack_int4_min(numbers: np.ndarray, scales: np.ndarray, minima: np.ndarray) -> np.ndarray:
    """The packed array of numbers 0 … 15, int8 [K, N], and the bfloat16 bits [K / 32, N] of scales and minima."""
    inputs, outputs = numbers.shape
    wide, tall = padded(outputs, TILE), padded(inputs, INPUTS_MULTIPLE)
    all_numbers = np.zeros((tall, wide), np.int8)
    all_numbers[:inputs, :outputs] = numbers
    all_bits = np.zeros((2, tall // INT4_GROUP, wide), np.uint16)
    all_bits[:, :len(scales), :outputs] = scales, minima
    packed = np.empty(packed_shape(INT4_MIN, inputs, outputs), np.uint8)
    _lay_out_int4_min(all_numbers.reshape(-1, INT4_GROUP, wide), *all_bits, packed)
    return packed


def int4_ranges(groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """groups [G, 32, n] -> the bfloat16 bits [G, n] of scales and minima that reach from the least to the largest."""
    high, low = groups.max(axis=1), groups.min(axis=1)
    return to_bf16(high / np.float32(15) - low / np.float32(15)), to_bf16(low)


def rounded_from(values: np.ndarray, scale: np.ndarray, minimum: np.ndarray) -> np.ndarray:
    """The numbers 0 … 15 that mean what is nearest to `values`."""
    steps = (values - minimum) / np.where(scale == 0, np.float32(1), scale)
    return np.clip(np.rint(steps), 0, 15).astype(np.int8)


def _lay_out_int4_min(numbers: np.ndarray, scales: np.ndarray, minima: np.ndarray, out: np.ndarray) -> None:
    """Numbers [G, 32, n], scales and minima [G, n] into the blocks."""
    _lay_out_int4(numbers - 8, scales, out[..., :INT4_BLOCK])
    out[..., INT4_BLOCK:].view(np.uint16)[:] = minima.reshape(-1, len(out), TILE).transpose(1, 0, 2)


def _lay_out_int4(numbers: np.ndarray, bits: np.ndarray, out: np.ndarray) -> None:
    """Numbers [G, 32, n] and scales [G, n] into the blocks."""
    halves = (numbers + 8).astype(np.uint8).reshape(-1, 4, 2, 4, len(out), TILE)
    places, scales = _int4_parts(out)
    places[:] = (halves[:, :, 0] | halves[:, :, 1] << 4).transpose(3, 0, 1, 4, 2)
    scales[:] = bits.reshape(-1, len(out), TILE).transpose(1, 0, 2)


def int4_candidates(groups: np.ndarray) -> Iterator[np.ndarray]:
    """groups [G, 32, n] -> bfloat16 bits [G, n] of each scale that is tried.

    -8 … 7 is lopsided: either the number of the largest magnitude becomes -8, so that the scale has the opposite sign,
    or the range is used as far as 7 on both sides.
    """
    high, low = groups.max(axis=1), groups.min(axis=1)
    extreme = np.where(high >= -low, high, low)
    for full in (extreme / np.float32(-8), np.abs(extreme) / np.float32(7)):
        for shrinking in _SHRINKINGS:
            yield to_bf16(full * np.float32(shrinking))


def int4_scales(groups: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """groups [G, 32, n] -> bfloat16 bits [G, n] of the candidate with the smallest squared error.

    `weights` [32], if given, say how much an error in each of the 32 counts.
    """
    size = np.abs(groups).max(axis=1)
    size[size == 0] = 1
    best = np.zeros(size.shape, np.uint16)
    smallest = np.full(size.shape, np.inf, np.float32)
    for bits in int4_candidates(groups):
        scale = from_bf16(bits)
        exact = _divided(groups, scale)
        error = np.clip(np.rint(exact), -8, 7)
        error -= exact
        # In units of the largest number, because squares of the numbers themselves could overflow or vanish.
        heavy = error if weights is None else error * weights[:, None]
        squared = np.einsum("gkn,gkn->gn", error, heavy) * (scale / size) ** 2
        better = (squared < smallest) & (scale != 0)
        best[better], smallest[better] = bits[better], squared[better]
    return best


def _divided(groups: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Where a scale is 0, its whole group is 0, or so small that dividing by 1 rounds it to 0."""
    return groups / np.where(scale == 0, np.float32(1), scale)[:, None]


def _rounded(groups: np.ndarray, scale: np.ndarray) -> np.ndarray:
    q = _divided(groups, scale)
    return np.rint(q, out=q)


def _int8_parts(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Views of the numbers [t, g, 16 (i), 32 (n), 4 (j)] and the scales' bits [t, g, 32]."""
    numbers = blocks[..., :INT8_GROUP * TILE].reshape(*blocks.shape[:2], 16, TILE, 4)
    return numbers, blocks[..., INT8_GROUP * TILE:].view(np.uint16)


def _int4_parts(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Views of the bytes [t, g, 4 (p), 32 (n), 4 (j)] and the scales' bits [t, g, 32]."""
    numbers = blocks[..., :INT4_GROUP * TILE // 2].reshape(*blocks.shape[:2], 4, TILE, 4)
    return numbers, blocks[..., INT4_GROUP * TILE // 2:].view(np.uint16)


def _unpack_int8(blocks: np.ndarray) -> np.ndarray:
    numbers, scales = _int8_parts(blocks)
    q = numbers.transpose(0, 1, 2, 4, 3).astype(np.float32)
    q -= 128
    q = q.reshape(*scales.shape[:2], INT8_GROUP, TILE)
    q *= from_bf16(scales)[:, :, None]
    return q.reshape(len(blocks), -1, TILE)


def _unpack_int4(blocks: np.ndarray) -> np.ndarray:
    numbers, scales = _int4_parts(blocks)
    by_input = numbers.transpose(0, 1, 2, 4, 3)  # [t, g, p, j, n]
    q = np.stack([by_input & 15, by_input >> 4], axis=3).astype(np.float32)  # [t, g, p, half, j, n]
    q -= 8
    q = q.reshape(*scales.shape[:2], INT4_GROUP, TILE)
    q *= from_bf16(scales)[:, :, None]
    return q.reshape(len(blocks), -1, TILE)


def _unpack_int4_min(blocks: np.ndarray) -> np.ndarray:
    numbers, scales = _int4_parts(blocks[..., :INT4_BLOCK])
    by_input = numbers.transpose(0, 1, 2, 4, 3)
    q = np.stack([by_input & 15, by_input >> 4], axis=3).astype(np.float32).reshape(*scales.shape[:2], INT4_GROUP, TILE)
    minima = np.ascontiguousarray(blocks[..., INT4_BLOCK:]).view(np.uint16)
    return (q * from_bf16(scales)[:, :, None] + from_bf16(minima)[:, :, None]).reshape(len(blocks), -1, TILE)


_PACK = {"int8": _pack_int8, "int4": _pack_int4, INT4_MIN: _pack_int4_min, "bf16": _pack_bf16, "fp32": _pack_fp32}
_UNPACK = {"int8": _unpack_int8, "int4": _unpack_int4, INT4_MIN: _unpack_int4_min,
           "bf16": from_bf16, "fp32": np.asarray}
