"""Token healing: a prompt that ends inside a word goes on as if the word had been whole.

BPE cuts a text into tokens by what follows, so the last tokens of a prompt are often such as never stand before what
the user meant to come: "The light" + "house" is one word in training, and " " + "the" is always the token " the". The
prompt's last tokens are therefore taken back, and the first new tokens must spell their bytes again, the last of them
reaching beyond wherever the model likes that better.
"""
from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np

MAX_TOKENS = 8
"""Tokens that are taken back at most: each may cost a step of the model before new text comes."""
MAX_BYTES = 32
"""Bytes that are taken back at most."""


class Healing:
    """The tokens of one vocabulary, ordered by their bytes, so that those with a common beginning stand together."""

    def __init__(self, tokens: Sequence[bytes], encode: Callable[[str], list[int]]) -> None:
        """`tokens`: by id, what each stands for; empty for those that can't spell anything, such as special tokens.
        `encode`: the tokenizer's own way to spell a text."""
        self._tokens, self._encode = tokens, encode
        self._by_bytes = {token: id for id, token in enumerate(tokens) if token}
        ids = sorted((id for id, token in enumerate(tokens) if token), key=tokens.__getitem__)
        self._ordered = [tokens[id] for id in ids]
        self._ids = np.array(ids, dtype=np.int64)
        self._single = {token[0] for token in self._ordered if len(token) == 1}
        """Bytes that are tokens: what consists of them can be spelled, however it was begun."""

    def taken(self, ids: Sequence[int], unsettled: int) -> int:
        """How many of a prompt's last tokens to take back: of its `unsettled` ones, as far as all can be spelled."""
        count = size = 0
        for id in reversed(ids[len(ids) - min(unsettled, MAX_TOKENS):]):
            size += len(self._tokens[id])
            if size > MAX_BYTES or not self._single.issuperset(self._tokens[id]):
                break
            count += 1
        return count

    def allowed(self, spelling: bytes) -> np.ndarray:
        """The ids, int64 and ascending, of the tokens that begin with `spelling` (not empty), and, where none is just
        `spelling`, of the one with which the tokenizer itself would begin it.

        Others would spell it too, but what makes them unlikely, that the model seldom goes on from " ti" to "time",
        shows only in the token after them, when they have been chosen.
        """
        first, end = bisect_left(self._ordered, spelling), self._end_of_range(spelling)
        ids = self._ids[first:end]
        if first == end or self._ordered[first] != spelling:
            ids = np.append(ids, self._beginning(spelling))
        return np.sort(ids)

    def _beginning(self, spelling: bytes) -> int:
        """The tokenizer's first token of it, or, where it is no whole text, the longest that fits."""
        with suppress(UnicodeDecodeError):
            id = self._encode(spelling.decode())[0]
            if spelling.startswith(self._tokens[id] or b"\xff\xff"):
                return id
        length = next(length for length in range(len(spelling), 0, -1) if spelling[:length] in self._by_bytes)
        return self._by_bytes[spelling[:length]]

    def _end_of_range(self, start: bytes) -> int:
        """The place behind the last token that begins with `start`."""
        stem = start.rstrip(b"\xff")
        if not stem:
            return len(self._ordered)
        return bisect_left(self._ordered, stem[:-1] + bytes([stem[-1] + 1]))

    def bytes_of(self, id: int) -> bytes:
        return self._tokens[id]


class Respelling:
    """One sample on its way through the bytes that were taken back."""

    def __init__(self, healing: Healing, spelling: bytes) -> None:
        """`spelling`: the bytes; empty where nothing was taken back."""
        self._healing, self._rest = healing, spelling

    @property
    def spelled(self) -> bool:
        """Whether all has been spelled."""
        return not self._rest

    @property
    def allowed(self) -> np.ndarray | None:
        """The only ids that the next token may have, int64 and ascending; None once all has been spelled."""
        return self._healing.allowed(self._rest) if self._rest else None

    def take(self, id: int) -> bytes:
        """The new bytes of the next token, which was one of `allowed`: those beyond what had to be spelled.

        Raises ValueError where it was none of them: then the text would not go on from the prompt.
        """
        data = self._healing.bytes_of(id)
        if not data or not (data.startswith(self._rest) or self._rest.startswith(data)):
            raise ValueError(f"Token {id} was not allowed.")
        beyond, self._rest = data[len(self._rest):], self._rest[len(data):]
        return beyond
