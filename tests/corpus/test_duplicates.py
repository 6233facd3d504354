"""Duplicates, beside a comparison of all pairs of sets of shingles."""
import random
import sysconfig
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2_assist.corpus.documents import Document
from gpt2_assist.corpus.duplicates import COMPARED, Duplicates, Shingles, resemblance, without_duplicates

WORDS = [f"word{number}" for number in range(400)]


def documents(texts: list[str]) -> list[Document]:
    return [Document(text, "x", number) for number, text in enumerate(texts, 1)]


@cache
def shingles(text: str) -> set:
    words = text.casefold().split()
    units = words if len(words) >= 10 else " ".join(words)
    return {(len(words) >= 10, tuple(units[start:start + 5])) for start in range(max(1, len(units) - 4))}


def likeness_of(one: str, other: str) -> float:
    first, second = shingles(one), shingles(other)
    return len(first & second) / len(first | second)


def slow(found: list[Document], likeness: float) -> list[Document]:
    kept = []
    for document in found:
        if not any(likeness_of(document.text, other.text) >= likeness or
                   document.text.casefold().split() == other.text.casefold().split() for other in kept):
            kept.append(document)
    return kept


def changed(text: str, chance: random.Random, share: float) -> str:
    words = text.split()
    for _ in range(int(share * len(words)) + 1):
        place = chance.randrange(len(words) + 1)
        words[place:place + chance.randrange(2)] = chance.choices(WORDS, k=chance.randrange(2))
    return " ".join(words) or "x"


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
@pytest.mark.parametrize("likeness", [0.5, 0.8, 0.95])
def test_what_stays_is_what_a_comparison_of_all_leaves(seed, likeness):
    chance = random.Random(seed)
    texts = []
    for _ in range(250):
        if texts and chance.random() < 0.6:
            texts.append(changed(chance.choice(texts), chance, chance.choice([0.0, 0.01, 0.05, 0.2])))
        else:
            texts.append(" ".join(chance.choices(WORDS, k=chance.choice([1, 3, 8, 9, 10, 40, 300]))))
    found = documents(texts)
    kept, counts = without_duplicates(found, likeness)
    assert kept == slow(found, likeness)
    assert counts.exact + counts.near == len(found) - len(kept) and counts.near


@pytest.mark.slow
def test_real_files():
    paths = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:60]
    texts = [path.read_text(encoding="utf-8") for path in paths]
    texts += ["# a comment in front\n" + text for text in texts[:20]] + [text[:len(text) // 2] for text in texts[:20]]
    found = [document for document in documents(texts) if document.text.strip()]
    kept, counts = without_duplicates(found)
    assert kept == slow(found, 0.8) and counts.near >= 15


def test_white_space_and_capitals_make_no_difference():
    found = documents(["One  two\nthree", "one two three ", "ONE TWO THREE", "one two four five six"])
    assert without_duplicates(found) == ([found[0], found[3]], Duplicates(exact=2, near=0))


def test_nothing_and_one():
    assert without_duplicates([]) == ([], Duplicates(0, 0))
    assert without_duplicates(documents(["x"])) == (documents(["x"]), Duplicates(0, 0))


@pytest.mark.parametrize("likeness", [0, -1, 1.1, float("nan")])
def test_no_likeness(likeness):
    with pytest.raises(ValueError, match="likeness"):
        without_duplicates([], likeness)


@given(st.lists(st.text(min_size=1).filter(str.strip), max_size=20), st.sampled_from([0.3, 0.8, 1.0]))
@settings(deadline=None)
def test_wild_texts_lose_only_what_stays_elsewhere(texts, likeness):
    found = documents(texts)
    kept, counts = without_duplicates(found, likeness)
    assert [document for document in found if document in kept] == kept
    assert counts.exact + counts.near == len(found) - len(kept)
    for document in found:
        assert document in kept or any(
            other.line < document.line and likeness_of(document.text, other.text) >= likeness for other in kept)


@given(st.text(min_size=1).filter(str.strip), st.text(min_size=1).filter(str.strip))
def test_hashes_are_as_many_as_shingles(one, other):
    first, second = Shingles().of(one), Shingles().of(other)
    assert len(first) == len(shingles(one))
    assert resemblance(first, second) == likeness_of(one, other)


def test_hashes_are_the_same_on_every_machine():
    assert Shingles().of("abc").tolist() == [4027495817266657904]
    assert Shingles().of(" ".join(WORDS[:10]))[0] == 1874584938825753220


@pytest.mark.parametrize(("size", "other"), [(100, 90), (9000, 9000), (30_000, 8000), (50_000, 48_000), (20_000, 20)])
def test_a_sample_of_many_shingles_is_fair(size, other):
    chance = np.random.default_rng(0)
    numbers = chance.integers(1 << 64, size=size + other // 10, dtype=np.uint64)
    first, second = np.unique(numbers[:size]), np.unique(numbers[size - other * 9 // 10:])
    truth = len(np.intersect1d(first, second)) / len(np.union1d(first, second))
    estimate = resemblance(first[:COMPARED], second[:COMPARED])
    assert abs(estimate - truth) < 0.03


def test_documents_of_megabytes():
    chance = random.Random(0)
    words = chance.choices([f"w{number}" for number in range(20_000)], k=200_000)
    alike, unlike = list(words), list(words)
    for place in range(0, len(words), 60):
        alike[place] = "changed"
    for place in range(0, len(words), 15):
        unlike[place] = "changed"
    found = documents([" ".join(words), " ".join(alike), " ".join(unlike), "".join(words)])
    assert without_duplicates(found) == ([found[0], *found[2:]], Duplicates(0, 1))


def test_thousands_of_texts_after_one_pattern_stay():
    chance = random.Random(0)
    texts = [f"Dear {chance.choice(WORDS)}, your order {number * 7919} of {chance.choice(WORDS)} was sent on "
             f"{chance.choice(WORDS)} to {chance.choice(WORDS)}; thank you very much." for number in range(3000)]
    assert without_duplicates(documents(texts))[1] == Duplicates(0, 0)
