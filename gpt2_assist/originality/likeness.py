"""Which short text of the training data is most like a given one: by the runs of four characters that they share."""
from collections.abc import Callable, Sequence

import numpy as np

from gpt2_assist.originality.index import CopyIndex

SHORT_TOKENS = 64
"""A text of at most so many tokens, such as a title, is short: small changes make it another, and copied spans say
little about it."""
_GRAM = 4
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


class ShortTexts:
    """Texts, ready to be compared with. It takes about 20 bytes of memory a character."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = [text.strip() for text in texts]
        grams = [_grams(text) for text in self.texts]
        self._sizes = np.array([len(part) for part in grams], np.int64)
        self._grams = np.concatenate([np.zeros(0, np.uint64), *grams])
        self._numbers = np.repeat(np.arange(len(grams), dtype=np.int32), self._sizes)
        ranks = np.argsort(self._grams, kind="stable")
        self._grams, self._numbers = self._grams[ranks], self._numbers[ranks]

    def nearest(self, text: str) -> tuple[int, float] | None:
        """(number, likeness) of the text most like `text`, the first of several; None where there is none at all.

        The likeness is the share of the two texts' different runs of four characters that both have, 1.0 for equal
        texts and 0.0 for texts that share none; space around them does not count. Of texts with a likeness of 1.0, an
        equal one goes first.
        """
        if not self.texts:
            return None
        wanted = _grams(text.strip())
        first, last = (np.searchsorted(self._grams, wanted, side) for side in ("left", "right"))
        shared = np.zeros(len(self.texts), np.int64)
        for begin, end in zip(first, last):
            shared[self._numbers[begin:end]] += 1  # a text has each run once
        likeness = shared / (self._sizes + len(wanted) - shared)
        number = int(likeness.argmax())
        if likeness[number] == 1.0 and text.strip() in self.texts:
            number = self.texts.index(text.strip())
        return number, float(likeness[number])


def short_documents(index: CopyIndex, decode: Callable[[list[int]], str]) -> tuple[ShortTexts, np.ndarray]:
    """The short documents of the training data that are not empty, and their numbers in the index, int64 [texts]."""
    ends = np.append(index.documents[1:, 0], len(index.text))
    sizes = ends - index.documents[:, 0] - 1
    numbers = np.flatnonzero((sizes > 0) & (sizes <= SHORT_TOKENS))
    return ShortTexts([decode(index.document(number).tolist()) for number in numbers]), numbers


def _grams(text: str) -> np.ndarray:
    """A number, uint64, for each different run of four characters; for the whole of a shorter text."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    if len(codes) < _GRAM:
        codes = np.append(codes, np.full(_GRAM - len(codes), 1 << 21, np.uint64))  # beyond all characters
    count = len(codes) - _GRAM + 1
    value = np.zeros(count, np.uint64)
    for step in range(_GRAM):
        value = (value ^ codes[step:step + count]) * _FACTOR
        value ^= value >> np.uint64(29)
    return np.unique(value)
