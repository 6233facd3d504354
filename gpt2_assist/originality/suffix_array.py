"""Sorts all suffixes of a sequence of tokens, in time linear in its length whatever it repeats."""
import numpy as np

from gpt2_assist.errors import DataError
from gpt2_assist.originality.compiling import kernels

MAX_TOKENS = 2**31 - 2
"""Places are int32, and the sorting adds a token."""


def suffix_array(tokens: np.ndarray) -> np.ndarray:
    """The starts, int32 [n], of the suffixes of `tokens`, unsigned integers [n], in the suffixes' order.

    A suffix that another one begins with comes before it. It takes up to 22 bytes of memory a token beside the result.
    Raises DataError where there are more than MAX_TOKENS.
    """
    if len(tokens) > MAX_TOKENS:
        raise DataError(f"{len(tokens):,} tokens are too many to be indexed; {MAX_TOKENS:,} is the most.")
    if not len(tokens):
        return np.zeros(0, np.int32)
    if int(tokens.max()) > len(tokens) + (1 << 16):  # there is a counter for each value
        tokens = np.unique(tokens, return_inverse=True)[1]
    text = np.empty(len(tokens) + 1, np.int32)
    text[:-1] = tokens
    text[:-1] += 1
    text[-1] = 0
    return _sorted(text, int(text.max()) + 1)[1:]


def _sorted(text: np.ndarray, letters: int) -> np.ndarray:
    """The order of the suffixes of `text`, int32 below `letters`, whose last value alone is 0."""
    size = len(text)
    kinds, counts, buckets = np.empty(size, np.uint8), np.zeros(letters, np.int32), np.empty(letters, np.int32)
    order = np.full(size, -1, np.int32)
    names, starts, spelled = np.empty((3, size // 2 + 1), np.int32)
    found = np.empty(2, np.int64)
    _call("sort_pieces", text, size, letters, kinds, counts, buckets, order, names, starts, spelled, found)
    peaks, different = map(int, found)
    spelled = spelled[:peaks]
    if different < peaks:
        ranked = _sorted(spelled, different)
    else:
        ranked = np.empty(peaks, np.int32)
        ranked[spelled] = np.arange(peaks, dtype=np.int32)
    order.fill(-1)
    _call("sort_suffixes", text, size, letters, kinds, counts, buckets, order, starts, ranked, peaks)
    return order


def _call(name: str, *arguments: np.ndarray | int) -> None:
    kernels()[name](*[value.ctypes.data if isinstance(value, np.ndarray) else value for value in arguments])
