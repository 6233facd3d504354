"""Leaves out documents that are there already, word for word or nearly so.

Nearly is a matter of shingles, the runs of five words, or of five characters in a text of few words: two documents are
alike as far as their sets of shingles are the same (Jaccard's index). MinHash (Broder, On the resemblance and
containment of documents, 1997) finds the pairs that may be, by the smallest values of many hash functions, of which
alike documents share as many; each pair is then compared itself.
"""
import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gpt2_assist.corpus.documents import Document

WORDS = CHARACTERS = 5
"""In a shingle."""
FEW_WORDS = 10
"""Texts of fewer are compared by their characters."""
COMPARED = 1 << 13
"""Of two documents with more shingles than this, as many of them are compared, chosen by their hashes."""
_FUNCTIONS = 128
_MISSED = 1e-5
"""The share of pairs just as alike as asked for that may stay unseen."""
_AT_ONCE = 1 << 12
_IN_A_BUCKET, _TRIED = 512, 64
"""So many documents may wait in a bucket, and so many of them are compared with one: where thousands of texts follow
one pattern without being duplicates, all pairs would take hours."""
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Duplicates:
    """How many documents were left out."""

    exact: int
    near: int


def without_duplicates(documents: Sequence[Document],
                       likeness: float = 0.8) -> tuple[list[Document], Duplicates]:
    """(the documents that differ, how many were left out); of equal ones the first stays.

    Equal are those that differ in white space and capitals alone; nearly equal those that share at least `likeness`,
    above 0 and up to 1, of the shingles that both have together with one that stays. The result depends on nothing but
    the texts and their order. Raises ValueError for another likeness.
    """
    if not 0 < likeness <= 1:
        raise ValueError(f"a likeness of {likeness} is not between 0 and 1")
    first = {}
    for document in documents:
        first.setdefault(hashlib.blake2b(normal(document.text).encode(), digest_size=16).digest(), document)
    different = list(first.values())
    kept = _unlike([document.text for document in different], likeness)
    return ([different[index] for index in kept],
            Duplicates(len(documents) - len(different), len(different) - len(kept)))


def normal(text: str) -> str:
    """The text in small letters, with one space where there was any white space."""
    return " ".join(text.casefold().split())


def _unlike(texts: Sequence[str], likeness: float) -> list[int]:
    """The texts, by index, that are not like one before that stays."""
    shingles = Shingles()
    hashes = lru_cache(maxsize=512)(lambda index: shingles.of(texts[index])[:COMPARED])
    signatures = np.array([_signature(shingles.of(text)) for text in texts], np.uint32).reshape(len(texts), _FUNCTIONS)
    keys = _shared_keys(signatures, _rows(likeness))
    buckets: dict[int, list[int]] = defaultdict(list)
    kept = []
    for index in range(len(texts)):
        shared = keys[index][keys[index] != 0].tolist()
        seen = sorted({other for key in shared for other in buckets[key]})
        if seen and _is_like_any(index, np.array(seen), signatures, hashes, likeness):
            continue
        kept.append(index)
        for key in shared:
            if len(buckets[key]) < _IN_A_BUCKET:
                buckets[key].append(index)
    return kept


def _is_like_any(index: int, others: np.ndarray, signatures: np.ndarray, hashes: Callable[[int], np.ndarray],
                 likeness: float) -> bool:
    """Compares the most promising ones. An estimate is within a fifth of the truth in all but one case in 100,000."""
    estimates = (signatures[others] == signatures[index]).mean(axis=1)
    order = np.argsort(-estimates, kind="stable")[:_TRIED]
    return any(resemblance(hashes(index), hashes(int(others[place]))) >= likeness
               for place in order if estimates[place] >= likeness - 0.2)


def resemblance(first: np.ndarray, second: np.ndarray) -> float:
    """Jaccard's index, from 0 to 1, of two sets of hashes, each sorted and of COMPARED at most.

    Where there were more, the smallest hashes of both together are a fair sample of what both have together.
    """
    both = np.concatenate((first, second))
    both.sort()
    same = both[1:][both[1:] == both[:-1]]
    union = len(both) - len(same)
    if max(len(first), len(second)) < COMPARED:
        return len(same) / union
    last = np.unique(both)[:COMPARED][-1]
    return np.count_nonzero(same <= last) / min(union, COMPARED)


class Shingles:
    """Hashes the shingles of texts, the same ones the same on every machine."""

    def __init__(self) -> None:
        self._words = _Words()

    def of(self, text: str) -> np.ndarray:
        """The different hashes, uint64 [n] in order, of a text's shingles; at least one."""
        words = normal(text).split(" ")
        if len(words) < FEW_WORDS:
            units = np.frombuffer(" ".join(words).encode("utf-32-le"), np.uint32).astype(np.uint64)
            length, kind = CHARACTERS, np.uint64(1)
        else:
            units = np.fromiter(map(self._words.__getitem__, words), np.uint64, len(words))
            length, kind = WORDS, np.uint64(2)
        count = max(1, len(units) - length + 1)
        mixed = np.full(count, kind)
        for place in range(min(length, len(units))):
            mixed = mixed * _ODD + units[place:place + count]
        return np.unique(_stirred(mixed))


class _Words(dict):
    """Hashes of words, kept because most words come again."""

    _LIMIT = 1 << 18

    def __missing__(self, word: str) -> int:
        if len(self) >= self._LIMIT:
            self.clear()
        value = self[word] = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
        return value


def _stirred(values: np.ndarray) -> np.ndarray:
    """A one-to-one function of uint64 after which every bit depends on every bit."""
    for shift, factor in ((32, 0xD6E8FEB86659FD93), (29, 0xA0761D6478BD642F)):
        values = (values ^ (values >> np.uint64(shift))) * np.uint64(factor)
    return values ^ (values >> np.uint64(32))


def _signature(hashes: np.ndarray) -> np.ndarray:
    """The smallest values, uint32 [_FUNCTIONS], that the hash functions take over the hashes."""
    factors, offsets = _functions()
    least = np.full(_FUNCTIONS, np.iinfo(np.uint64).max)
    for start in range(0, len(hashes), _AT_ONCE):
        values = factors[:, None] * hashes[start:start + _AT_ONCE] + offsets[:, None]
        np.minimum(least, values.min(axis=1), out=least)
    return (least >> np.uint64(32)).astype(np.uint32)


@lru_cache(maxsize=1)
def _functions() -> tuple[np.ndarray, np.ndarray]:
    """(odd factors, offsets), uint64 [_FUNCTIONS] each."""
    numbers = _stirred(np.arange(1, 2 * _FUNCTIONS + 1, dtype=np.uint64) * _ODD)
    return numbers[:_FUNCTIONS] | np.uint64(1), numbers[_FUNCTIONS:]


def _rows(likeness: float) -> int:
    """How many values make a band: as many as can be without missing too many pairs that are just alike."""
    return max(rows for rows in range(1, _FUNCTIONS + 1)
               if rows == 1 or (1 - likeness**rows) ** (_FUNCTIONS // rows) < _MISSED)


def _shared_keys(signatures: np.ndarray, rows: int) -> np.ndarray:
    """A key, uint64 [documents, bands], of each band of `rows` values; 0 where no other document has the same."""
    bands = _FUNCTIONS // rows
    keys = np.zeros((len(signatures), bands), np.uint64)
    for band in range(bands):
        mixed = np.full(len(signatures), band + 1, np.uint64)
        for column in range(band * rows, (band + 1) * rows):
            mixed = _stirred(mixed * _ODD + signatures[:, column])
        _, inverse, counts = np.unique(mixed, return_inverse=True, return_counts=True)
        keys[:, band] = np.where(counts[inverse] > 1, mixed, 0)
    return keys
