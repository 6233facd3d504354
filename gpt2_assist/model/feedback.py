"""Rounds a matrix to 4 bits so that what is lost in one input is made up for by those after it.

GPTQ (Frantar et al. 2022, "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers"): inputs
are rounded one after the other, and each one's error is spread over the inputs that are still to come, as far as these
went together with it on a sample of real text. Of the bundled model's loss in perplexity it takes away three quarters.
"""
from collections.abc import Callable

import numpy as np

from gpt2_assist.model.bfloat16 import from_bf16
from gpt2_assist.model.packing import INT4_GROUP, int4_ranges, int4_scales, rounded_from

_ON_THE_GRID = 0.12
"""Steps that a weight may be off: scales and minima are rounded to bfloat16, to 8 bits each."""
_BLOCK = 1024
"""Inputs among which errors are spread; the time of a wide matrix would grow with the cube of its width."""
_DAMPING = 0.1
"""Of the mean square of the inputs: the sample is small and must not be believed in every direction."""


def rounded_int4(weight: np.ndarray, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(numbers -8 … 7, int8 [Kp, N]; bfloat16 bits of the scales [Kp / 32, N]) of a matrix float32 [K, N].

    `inputs` [T, K] is what the matrix is multiplied with at T positions of a text. Kp is K padded to whole groups.
    """
    numbers, scales = _rounded(weight, inputs, _symmetric)
    return numbers, scales


def rounded_int4_min(weight: np.ndarray, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As rounded_int4, with numbers 0 … 15 and, last, the minima's bits. Where the weights lie on such a grid already,
    they keep their places on it."""
    groups = np.pad(weight, ((0, -len(weight) % INT4_GROUP), (0, 0))).reshape(-1, INT4_GROUP, weight.shape[1])
    bits = int4_ranges(groups)
    scale, minimum = (from_bf16(each)[:, None] for each in bits)
    numbers = rounded_from(groups, scale, minimum)
    if (np.abs(numbers * scale + minimum - groups) <= _ON_THE_GRID * scale).all():
        return numbers.reshape(-1, weight.shape[1]), *bits
    rounded, scales, minima = _rounded(weight, inputs, _between)
    return rounded, scales, minima


_Rounding = Callable[[np.ndarray], np.ndarray]
"""Values [N] of one input -> their numbers."""
_Choice = Callable[[np.ndarray, np.ndarray], tuple[list[np.ndarray], _Rounding, Callable[[np.ndarray], np.ndarray]]]
"""A group [32, N], and how much an error in each of its inputs counts -> (bits of what the group keeps, rounding, what
numbers mean)."""


def _symmetric(group: np.ndarray, weights: np.ndarray) -> tuple:
    bits = int4_scales(group[None], weights)[0]
    scale = from_bf16(bits)
    divisor = np.where(scale == 0, np.float32(1), scale)
    return [bits], lambda values: np.clip(np.rint(values / divisor), -8, 7), lambda numbers: numbers * scale


def _between(group: np.ndarray, weights: np.ndarray) -> tuple:
    bits = [each[0] for each in int4_ranges(group[None])]
    scale, minimum = map(from_bf16, bits)
    return bits, lambda values: rounded_from(values, scale, minimum), lambda numbers: numbers * scale + minimum


def _rounded(weight: np.ndarray, inputs: np.ndarray, choose: _Choice) -> tuple[np.ndarray, ...]:
    width, outputs = weight.shape
    padded = -(-width // INT4_GROUP) * INT4_GROUP
    numbers, kept = np.zeros((padded, outputs), np.int8), []
    for first in range(0, padded, _BLOCK):
        rows = min(_BLOCK, padded - first)
        there = max(0, min(width - first, rows))
        block, seen = np.zeros((rows, outputs), np.float32), np.zeros((len(inputs), rows), np.float32)
        block[:there], seen[:, :there] = weight[first:first + there], inputs[:, first:first + there]
        spread = _spread(seen)
        for row in range(0, rows, INT4_GROUP):
            end = row + INT4_GROUP
            bits, rounding, meaning = choose(block[row:end], 1 / np.diag(spread)[row:end] ** 2)
            kept.append(bits)
            errors = _round_group(block[row:end], rounding, meaning, spread[row:end, row:end],
                                  numbers[first + row:first + end])
            block[end:] -= spread[row:end, end:].T @ errors
    return numbers, *(np.stack(bits) for bits in zip(*kept))


def _spread(inputs: np.ndarray) -> np.ndarray:
    """The upper Cholesky factor [K, K] of the inverse of the inputs' second moments, damped."""
    moments = inputs.T.astype(np.float64) @ inputs / len(inputs)
    level = moments.trace() / len(moments)
    moments[np.diag_indices(len(moments))] += _DAMPING * level if level else 1.0
    return np.linalg.cholesky(np.linalg.inv(moments)).T.astype(np.float32)


def _round_group(weight: np.ndarray, rounding: _Rounding, meaning: Callable[[np.ndarray], np.ndarray],
                 spread: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Rounds the rows of a group [32, N] in order; the errors [32, N] that later groups have to make up for."""
    errors = np.empty_like(weight)
    for row in range(len(weight)):
        number = rounding(weight[row])
        out[row] = number
        errors[row] = (weight[row] - meaning(number)) / spread[row, row]
        weight[row + 1:] -= np.outer(spread[row, row + 1:], errors[row])
    return errors
