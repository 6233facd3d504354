"""The yardstick itself, beside a slow Kneser-Ney written with dictionaries."""
import math
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from ngram import KneserNey  # noqa: E402


def slow(stream, order, vocabulary, history, token):
    counts = {order: Counter(tuple(stream[i:i + order]) for i in range(len(stream) - order + 1))}
    for n in range(order - 1, 0, -1):
        longer = Counter(tuple(stream[i:i + n + 1]) for i in range(len(stream) - n))
        counts[n] = Counter({gram: 0 for gram in (tuple(stream[i:i + n]) for i in range(len(stream) - n + 1))})
        for gram in longer:
            counts[n][gram[1:]] += 1
    probability = 1 / vocabulary
    for n in range(1, order + 1):
        if len(history) < n - 1:
            break
        context = tuple(history[len(history) - n + 1:])
        table = defaultdict(int, counts[n])
        followers = {gram[-1]: count for gram, count in table.items() if gram[:-1] == context}
        total = sum(followers.values())
        if not total:
            continue
        ones, twos = (sum(count == k for count in counts[n].values()) for k in (1, 2))
        discount = ones / (ones + 2 * twos) if ones else 0.5
        kinds = sum(count > 0 for count in followers.values())
        probability = (max(followers.get(token, 0) - discount, 0) + discount * kinds * probability) / total
    return math.log2(probability)


def test_probabilities_equal_the_slow_ones_and_sum_to_one():
    dice = np.random.default_rng(0)
    stream, text = dice.integers(0, 6, 120) * dice.integers(0, 2, 120), dice.integers(0, 7, 25)
    model = KneserNey(stream, 3, 7)
    expected = [slow(stream.tolist(), 3, 7, text[:i].tolist(), int(text[i])) for i in range(1, len(text))]
    assert model.log2_probabilities(text).tolist() == pytest.approx(expected)
    for history in ([0, 1], [2, 2], [6, 6]):
        ends = [2 ** model.log2_probabilities(np.array([*history, token]))[-1] for token in range(7)]
        assert sum(ends) == pytest.approx(1)
