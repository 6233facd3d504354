"""DRY, "don't repeat yourself" (p-e-w, text-generation-webui 2024): what would make a repetition longer is made less
likely, the more so the longer it is already. As llama.cpp has it, but for the bounds.

What is penalised follows from the last tokens alone, so it is the same after a restart.
"""
from collections.abc import Sequence

import numpy as np

from gpt2_assist.engine.settings import Sampling

REACH = 2048
"""So many of the last tokens are looked through."""
LONGEST = 100
"""Tokens that a repetition counts for at most: by then no token has a chance."""


def repetitions(tokens: Sequence[int], breakers: frozenset[int], shortest: int) -> dict[int, int]:
    """By the tokens that would go on with a repetition: how many tokens it has already, `shortest` or more of them.

    A repetition is what stands at the text's end and also before an earlier place of that token; it doesn't reach over
    a breaker.
    """
    text = np.array(tokens[-REACH:], np.int64)
    last = len(text) - 1
    found: dict[int, int] = {}
    ends = np.flatnonzero(text[:-1] == text[-1:])
    for length in range(1, LONGEST + 1):
        if not len(ends) or int(text[last + 1 - length]) in breakers:
            break
        if length >= shortest:
            found.update(dict.fromkeys(text[ends + 1].tolist(), length))
        ends = ends[ends >= length]
        ends = ends[text[ends - length] == text[last - length]]
    return found


def penalties(tokens: Sequence[int], sampling: Sampling) -> tuple[np.ndarray, np.ndarray]:
    """(ids, what is taken from their scores): multiplier × base ^ (length - allowed length)."""
    found = repetitions(tokens, sampling.dry_breakers, sampling.dry_allowed_length)
    lengths = np.fromiter(found.values(), np.float64, len(found))
    taken = sampling.dry_multiplier * sampling.dry_base ** (lengths - sampling.dry_allowed_length)
    return np.fromiter(found, np.int64, len(found)), taken
