"""How much of a text's end stands in the training data, and what would make it more: beside slow searches."""
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2_assist.originality.index import CopyIndex
from gpt2_assist.originality.matcher import Matcher, continuations, matches

DOCUMENTS = st.integers(1, 4).flatmap(
    lambda letters: st.lists(st.lists(st.integers(0, letters - 1), max_size=25), max_size=5))
TEXT = st.lists(st.integers(0, 4), max_size=60)


def index_of(documents: list[list[int]], offset: int = 0) -> CopyIndex:
    return CopyIndex.build([np.array(ids, np.int64) + offset for ids in documents],
                           [(f"{number}.txt", 1) for number in range(len(documents))])


def stands(tokens: list[int], documents: list[list[int]]) -> bool:
    return any(document[start:start + len(tokens)] == tokens
               for document in documents for start in range(len(document) - len(tokens) + 1))


def longest_end(text: list[int], documents: list[list[int]]) -> int:
    return next(length for length in range(len(text), -1, -1)
                if not length or stands(text[len(text) - length:], documents))


@given(DOCUMENTS, TEXT, st.sampled_from([0, 65530, 70000]))
@settings(max_examples=200, deadline=None)
def test_the_longest_end_that_stands_somewhere(documents, text, offset):
    index = index_of(documents, offset)
    matcher = Matcher(index)
    lengths, places = matches(index, np.array(text, np.int64) + offset)
    for end, token in enumerate(text, 1):
        length = matcher.feed(token + offset)
        assert length == matcher.length == lengths[end - 1] == longest_end(text[:end], documents)
        if length:
            path, _ = matcher.place()
            assert stands(text[end - length:end], [documents[int(path.removesuffix(".txt"))]])
            start = int(places[end - 1])
            assert index.text[start:start + length].tolist() == [t + offset for t in text[end - length:end]]
        else:
            assert matcher.place() is None and places[end - 1] == -1


@given(DOCUMENTS, st.lists(st.integers(0, 4), max_size=6), st.sampled_from([0, 65530]))
@settings(max_examples=200, deadline=None)
def test_what_follows_somewhere(documents, tokens, offset):
    found = continuations(index_of(documents, offset), [token + offset for token in tokens])
    assert found.tolist() == [token + offset for token in range(5) if stands([*tokens, token], documents)]


def test_what_follows_among_many():
    dice = np.random.default_rng(0)
    documents = [(dice.zipf(1.3, 2000) % 500).tolist() for _ in range(5)]
    index = index_of(documents)
    for token in range(60):
        after = {b for document in documents for a, b in zip(document, document[1:]) if a == token}
        assert continuations(index, [token]).tolist() == sorted(after)
    assert continuations(index, []).tolist() == sorted({token for document in documents for token in document})


def test_long_copies_and_where_they_end():
    chance = random.Random(0)
    data = [chance.randrange(30) for _ in range(20_000)]
    index = index_of([data])
    text, expected = [], []
    for start, length in ((5, 3000), (9000, 1500), (0, 1), (12_000, 5000), (7, 20)):
        text += [*data[start:start + length], 31]
        expected.append(length)
    lengths, places = matches(index, text)
    ends = np.flatnonzero(np.array(text) == 31) - 1
    assert lengths[ends].tolist()[:2] == expected[:2] and lengths[ends[3]] == 5000
    assert places[ends[0]] == 5 and places[ends[3]] == 12_000
    matcher = Matcher(index)
    assert [matcher.feed(token) for token in text] == lengths.tolist()


def test_a_copy_goes_on_in_another_place_when_it_ends():
    data = [[1, 2, 3, 4, 5, 6, 7, 8, 9], [0, 6, 7, 8, 1, 1]]
    assert matches(index_of(data), [1, 2, 3, 4, 5, 6, 7, 8, 1, 1, 1])[0].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 4, 5, 2]


def test_a_match_ends_with_its_document():
    index = index_of([[1, 2], [3, 4]])
    assert matches(index, [1, 2, 3, 4])[0].tolist() == [1, 2, 1, 2]
    assert continuations(index, [2]).tolist() == []


def test_reset_forgets():
    matcher = Matcher(index_of([[1, 2, 3]]))
    assert [matcher.feed(1), matcher.feed(2)] == [1, 2]
    matcher.reset()
    assert matcher.length == 0 and matcher.place() is None
    assert matcher.feed(3) == 1


@pytest.mark.parametrize("token", [-1, 3, 65535, 65536, 2**32 - 1, 2**62, -2**62])
def test_ids_that_the_data_lacks(token):
    index = index_of([[1, 2, 0], [2]])
    assert matches(index, [1, 2, token, 1, token])[0].tolist() == [1, 2, 0, 1, 0]
    assert continuations(index, [1, token]).tolist() == continuations(index, [token]).tolist() == []


def test_an_index_of_nothing():
    for documents in ([], [[]], [[], []]):
        index = index_of(documents)
        assert Matcher(index).feed(0) == 0 and continuations(index, []).tolist() == []
        assert [part.tolist() for part in matches(index, [])] == [[], []]
