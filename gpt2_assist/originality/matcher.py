"""Follows a text token by token, and says how much of its end was copied from the training data."""
from collections.abc import Sequence

import numpy as np

from gpt2_assist.originality.compiling import kernels
from gpt2_assist.originality.index import CopyIndex

_HISTORY = 1024


class Matcher:
    """The longest end of what was fed that stands in the training data. One thread at a time may use it."""

    def __init__(self, index: CopyIndex) -> None:
        self._index = index
        self._follow = kernels()[f"follow_{index.text.dtype.name}"]
        self._remember(np.empty(_HISTORY, np.int64))
        self._result = np.empty((2, 1), np.int64)
        self._state = np.empty(3, np.int64)
        self._addresses = self._state.ctypes.data, self._result[0].ctypes.data, self._result[1].ctypes.data
        self.reset()

    def reset(self) -> None:
        """Forgets what was fed."""
        self._state[:] = 0
        self._result[:] = 0
        self._fed = 0

    def feed(self, token: int) -> int:
        """Takes the next token; returns `length`. An id that the training data lacks ends every match."""
        if self._fed == len(self._history):
            self._make_room()
        self._history[self._fed] = token
        self._follow(*self._index.memory, self._address, self._fed, self._fed + 1, *self._addresses)
        self._fed += 1
        return int(self._result[0, 0])

    @property
    def length(self) -> int:
        """Tokens of the longest end of what was fed that stands in the training data, within one document."""
        return int(self._result[0, 0])

    def place(self) -> tuple[str, int] | None:
        """(path, line) of a place where it begins in the training data; None where its length is 0."""
        return self._index.place(int(self._result[1, 0])) if self.length else None

    def _make_room(self) -> None:
        """Only the current match's tokens are ever read again."""
        kept = self._history[self._fed - self.length:].copy()
        if len(kept) > len(self._history) // 2:
            self._remember(np.empty(2 * len(self._history), np.int64))
        self._history[:len(kept)] = kept
        self._fed = len(kept)

    def _remember(self, history: np.ndarray) -> None:
        self._history, self._address = history, history.ctypes.data


def matches(index: CopyIndex, tokens: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a Matcher says after each token: (lengths, positions in `index.text` where they begin, or -1), int64 [n]."""
    history, state = np.array(tokens, np.int64), np.zeros(3, np.int64)
    lengths, places = np.empty((2, len(history)), np.int64)
    kernels()[f"follow_{index.text.dtype.name}"](
        *index.memory, history.ctypes.data, 0, len(history), state.ctypes.data, lengths.ctypes.data, places.ctypes.data)
    return lengths, places


def continuations(index: CopyIndex, last_tokens: Sequence[int] | np.ndarray) -> np.ndarray:
    """The ids, sorted int64 [ids], that follow these k tokens somewhere in the training data.

    They are those with which the text would have k + 1 tokens copied at its end. With k = 0: all ids of the data.
    """
    tokens, found = np.array(last_tokens, np.int64), np.empty(1, np.int64)
    out = np.empty(index.letters, np.int64)
    kernels()[f"followers_{index.text.dtype.name}"](
        *index.memory, tokens.ctypes.data, len(tokens), out.ctypes.data, found.ctypes.data)
    return out[:found[0]].copy()
