"""The kernels under the names and with the shapes of plain.py: each calls the compiled one on addresses of arrays."""
from functools import cache

import numpy as np
from numba import njit

from gpt2_assist.engine.cpu import products, rows
from gpt2_assist.engine.cpu.plain import GROUPS, OFFSETS
from gpt2_assist.model.packing import TILE

MOST_ROWS = max(products.ROWS)
_PRODUCTS = {"int8": products.INT8, "int4": products.INT4, "int4_min": products.INT4_MIN, "bf16": products.BF16,
             "fp32": products.FP32}


def aligned(values: np.ndarray, kind: type | None = None) -> np.ndarray:
    """A copy that begins at a cache line."""
    values = np.ascontiguousarray(values, kind)
    room = np.empty(values.nbytes + 64, np.uint8)
    copy = room[-room.ctypes.data % 64:][:values.nbytes].view(values.dtype).reshape(values.shape)
    copy[...] = values
    return copy


def layer_norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, width: int, epsilon: float) -> np.ndarray:
    x, weight, bias = aligned(x), aligned(weight), aligned(bias)
    out = aligned(np.full_like(x, np.nan))
    for row, target in zip(x, out):
        _layer_norm(_address(row), _address(weight), _address(bias), width, np.float32(epsilon), _address(target))
    return out


def quantise(x: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, size = aligned(x), GROUPS[kind]
    count, groups = len(x), x.shape[1] // size
    numbers = aligned(np.zeros((x.shape[1] // 4, count, 4), np.int8))
    first, scales = (aligned(np.zeros((groups, count), number)) for number in (np.int32, np.float32))
    for row in range(count):
        for g in range(groups):
            _quantise_group(_address(x[row, g * size:]), size // 16, OFFSETS[kind],
                            _address(numbers[g * size // 4, row]), 4 * count, _address(first[g, row:]),
                            _address(scales[g, row:]))
    return numbers.transpose(1, 0, 2).reshape(x.shape), first.T, scales.T


def rms_norm(x: np.ndarray, weight: np.ndarray, width: int, epsilon: float) -> np.ndarray:
    x, weight, out = aligned(x), aligned(weight), aligned(np.full_like(x, np.nan))
    for row in range(len(x)):
        _rms_norm(_address(x[row]), _address(weight), width, np.float32(epsilon), _address(out[row]))
    return out


def gated(gates: np.ndarray, through: np.ndarray) -> np.ndarray:
    """Rows [n], n a multiple of 64."""
    gates, through, out = aligned(gates), aligned(through), aligned(np.full_like(gates, np.nan))
    _gated(_address(gates), _address(through), gates.size, _address(out))
    return out


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    x = aligned(x)
    _gelu_tanh(_address(x), x.size // 16)
    return x


def gelu(x: np.ndarray) -> np.ndarray:
    x = aligned(x)
    _gelu(_address(x), x.size // 16)
    return x


def relu(x: np.ndarray) -> np.ndarray:
    x = aligned(x)
    _relu(_address(x), x.size // 16)
    return x


def add_to(x: np.ndarray, bias: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    x, bias, target = aligned(x), aligned(bias), aligned(np.full_like(x, np.nan) if out is None else out)
    _add_to(_address(x), _address(bias), _address(target), x.size // 16, out is not None)
    return target


def scores_of(query: np.ndarray, keys: np.ndarray) -> np.ndarray:
    query, keys, out = aligned(query), aligned(keys), aligned(np.full(16, np.nan, np.float32))
    _scores_of(_address(query), _address(keys), len(query), _address(out))
    return out


def softmax(scores: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    scores = aligned(scores)
    return scores, np.float32(_softmax(_address(scores), count))


def mix_values(shares: np.ndarray, values: np.ndarray, out: np.ndarray) -> np.ndarray:
    shares, values, out = aligned(shares), aligned(values), aligned(out)
    _mix_values(_address(shares), _address(values), len(shares), len(out) // 16, _address(out))
    return out


def low_rank(x: np.ndarray, columns: np.ndarray) -> np.ndarray:
    x, columns, out = aligned(x), aligned(columns), aligned(np.full((len(x), 16), np.nan, np.float32))
    for row, target in zip(x, out):
        _low_rank(_address(row), _address(columns), x.shape[1], _address(target))
    return out


def widen_low_rank(low: np.ndarray, weights: np.ndarray, out: np.ndarray) -> np.ndarray:
    low, weights, out = aligned(low), aligned(weights), aligned(out)
    for row, tiles in zip(low, out):
        for tile, target in zip(weights, tiles):
            _widen_low_rank(_address(row), _address(tile), weights.shape[1], _address(target))
    return out


def scale_row(x: np.ndarray, factor: float) -> np.ndarray:
    x = aligned(x)
    _scale_row(_address(x), x.size // 16, np.float32(factor))
    return x


def integer_product(kind: str, packed: np.ndarray, numbers: np.ndarray, first: np.ndarray,
                    scales: np.ndarray) -> np.ndarray:
    count, inputs = numbers.shape
    return _product(kind, packed, numbers.reshape(count, inputs // 4, 4), first, scales, inputs // GROUPS[kind])


def float_product(kind: str, packed: np.ndarray, x: np.ndarray) -> np.ndarray:
    nothing = np.empty((len(x), 0))
    return _product(kind, packed, x, nothing, nothing, x.shape[1])


def multiply(kind: str, packed: np.ndarray, x: np.ndarray) -> np.ndarray:
    if kind in GROUPS:
        return integer_product(kind, packed, *quantise(x, kind))
    return float_product(kind, packed, x)


def _product(kind: str, packed: np.ndarray, data: np.ndarray, first: np.ndarray, scales: np.ndarray,
             groups: int) -> np.ndarray:
    packed, results = aligned(packed), []
    for start in range(0, len(data), MOST_ROWS):
        some = slice(start, start + MOST_ROWS)
        count = len(data[some])
        together = next(rows for rows in products.ROWS if rows >= count)
        given = [_interleaved(array[some], together) for array in (data, first, scales)]
        out = aligned(np.full((len(packed), together, TILE), np.nan, np.float32))
        for tile, target in zip(packed, out):
            _compiled(kind, together)(_address(tile), *map(_address, given), groups, _address(target))
        results.append(out.swapaxes(0, 1)[:count].reshape(count, -1))
    return np.concatenate(results)


def _interleaved(values: np.ndarray, together: int) -> np.ndarray:
    """[R, n, ...] -> [n, together, ...], filled up with noise, as the engine fills it with what stood there before."""
    noise = np.random.default_rng(0).integers(-99, 99, (together, *values.shape[1:])).astype(values.dtype)
    noise[:len(values)] = values
    return aligned(noise.swapaxes(0, 1))


@cache
def _compiled(kind: str, together: int):
    """The product of one tile with so many rows, for Python."""
    one = _PRODUCTS[kind][products.ROWS.index(together)]

    @njit
    def product(weights, data, first, scales, groups, out):
        one(weights, data, first, scales, groups, out)
    return product


def _address(array: np.ndarray) -> int:
    return array.ctypes.data


@njit
def _layer_norm(x, weight, bias, width, epsilon, out):
    rows.layer_norm(x, weight, bias, width, epsilon, out)


@njit
def _quantise_group(x, vectors, offset, out, step, first, scale):
    rows.quantise_group(x, vectors, offset, out, step, first, scale)


@njit
def _rms_norm(x, weight, width, epsilon, out):
    rows.rms_norm(x, weight, width, epsilon, out)


@njit
def _gated(gates, through, width, out):
    rows.gated(gates, through, width, out)


@njit
def _gelu_tanh(x, vectors):
    rows.gelu_tanh(x, vectors)


@njit
def _gelu(x, vectors):
    rows.gelu(x, vectors)


@njit
def _relu(x, vectors):
    rows.relu(x, vectors)


@njit
def _add_to(x, bias, out, vectors, keep):
    rows.add_to(x, bias, out, vectors, keep)


@njit
def _scores_of(query, keys, width, out):
    rows.scores_of(query, keys, width, out)


@njit
def _softmax(scores, count):
    return rows.softmax(scores, count)


@njit
def _mix_values(shares, values, count, vectors, out):
    rows.mix_values(shares, values, count, vectors, out)


@njit
def _low_rank(x, columns, width, out):
    rows.low_rank(x, columns, width, out)


@njit
def _widen_low_rank(low, weights, rank, out):
    rows.widen_low_rank(low, weights, rank, out)


@njit
def _scale_row(x, vectors, factor):
    rows.scale_row(x, vectors, factor)
