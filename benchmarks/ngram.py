"""An interpolated Kneser-Ney n-gram model over token ids (Ney, Essen and Kneser 1994), in numpy: the yardstick.

Every n-gram has a number: that of its first n-1 tokens' gram and its last token make a key, whose place among the
sorted unique keys it is.
"""
import numpy as np


class KneserNey:
    """Counts grams of up to `order` tokens in a stream of ids below `vocabulary`."""

    def __init__(self, stream: np.ndarray, order: int, vocabulary: int) -> None:
        self._order, self._vocabulary = order, vocabulary
        stream = stream.astype(np.int64)
        self._keys, counts, grams = [], [], [np.zeros(len(stream), np.int64)]
        first_places = []
        for n in range(1, order + 1):
            before = np.concatenate([[-1], grams[-1][:-1]]) if n > 1 else grams[0]
            key = before * vocabulary + stream
            valid = np.arange(len(stream)) >= n - 1
            unique, place, number, count = np.unique(key[valid], return_index=True, return_inverse=True,
                                                     return_counts=True)
            gram = np.full(len(stream), -1, np.int64)
            gram[valid] = number
            grams.append(gram)
            self._keys.append(unique)
            counts.append(count)
            first_places.append(place + n - 1)
        for n in range(1, order):  # below the highest order, what counts is how many tokens a gram was seen after
            suffix = grams[n][first_places[n]]
            counts[n - 1] = np.bincount(suffix, minlength=len(self._keys[n - 1]))
        self._counts, self._totals, self._kinds, self._discounts = [], [], [], []
        for n, (keys, count) in enumerate(zip(self._keys, counts)):
            context = keys // vocabulary
            size = len(self._keys[n - 1]) if n else 1
            ones, twos = (count == 1).sum(), (count == 2).sum()
            self._counts.append(count)
            self._totals.append(np.bincount(context, weights=count, minlength=size))
            self._kinds.append(np.bincount(context, weights=count > 0, minlength=size))
            self._discounts.append(ones / (ones + 2 * twos) if ones else 0.5)

    def log2_probabilities(self, text: np.ndarray) -> np.ndarray:
        """log2 p(text[i] | text before i) for i = 1 …; text[0] is given."""
        text = text.astype(np.int64)
        before = np.zeros(len(text), np.int64)  # the number of the gram before each token, of the present order
        probability = np.full(len(text), 1 / self._vocabulary)
        ends = [before]
        for n in range(self._order):
            if n:
                before = np.concatenate([[-1], ends[n][:-1]])
            key = before * self._vocabulary + text
            place = np.minimum(np.searchsorted(self._keys[n], key), len(self._keys[n]) - 1)
            known = (self._keys[n][place] == key) & (before >= 0)
            ends.append(np.where(known, place, -1))
            seen = np.where(before >= 0, before, 0)
            total = self._totals[n][seen]
            use = (before >= 0) & (total > 0)
            count = np.where(known, self._counts[n][place], 0)
            discount = self._discounts[n]
            higher = (np.maximum(count - discount, 0) + discount * self._kinds[n][seen] * probability) \
                / np.maximum(total, 1)
            probability = np.where(use, higher, probability)
        return np.log2(probability[1:])
