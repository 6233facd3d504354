"""What is held out: about the share of the text that was asked for, and nothing of it on the other side."""
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2_assist.corpus.documents import Document
from gpt2_assist.training.finetuning.split import split


def documents(sizes: list[int], seed: int = 0, short: bool = False) -> list[Document]:
    """Documents of about so many characters, of words that occur nowhere else."""
    dice = random.Random(seed)
    texts = []
    for size in sizes:
        words = [f"{dice.getrandbits(40):x}" + dice.choice(["", "", ".\n", ".\n\n"]) for _ in range(size // 8 + 1)]
        texts.append(" ".join(words)[:size])
    return [Document(text, f"{number}.md", short=short) for number, text in enumerate(texts)]


def size(part: list[Document]) -> int:
    return sum(len(document.text) for document in part)


@pytest.mark.parametrize("seed", range(20))
def test_a_novel_beside_notes_is_learned_from_and_so_are_most_notes(seed):
    corpus = documents([700_000, *random.Random(seed).choices(range(300, 3000), k=40)], seed)
    parts = split(corpus, 0.1)
    whole = size(corpus)
    assert corpus[0] in parts.training and not parts.cut
    assert 0.01 * whole < size(parts.validation) < 0.15 * whole
    assert size(parts.training[1:]) > 0.6 * size(corpus[1:])
    assert f"{len(parts.validation)} of 41 documents" in parts.line() and parts.validation[0].source in parts.line()


@settings(deadline=None)
@given(st.lists(st.integers(1, 5000), min_size=1, max_size=60), st.sampled_from([0.05, 0.1, 0.3]),
       st.lists(st.integers(0, 59), max_size=5), st.booleans())
def test_no_text_stands_on_both_sides_and_none_is_lost(sizes, share, twice, short):
    corpus = documents(sizes, short=short)
    corpus += [Document(corpus[number].text.upper(), f"copy{number}") for number in twice if number < len(corpus)]
    parts = split(corpus, share)
    both = {document.source for document in parts.training} & {document.source for document in parts.validation}
    assert len(both) == parts.cut
    said = sorted("".join(document.text for document in parts.training + parts.validation))
    if parts.cut:
        held, = parts.validation
        giant = next(document for document in corpus if document.source == held.source)
        assert said == sorted("".join(document.text for document in corpus
                                      if document is giant or document.text.upper() != giant.text.upper()))
        assert not giant.short and giant.text.endswith(held.text) and len(giant.text) == max(
            len(document.text) for document in corpus if not document.short)
        assert held.line == giant.text[:len(giant.text) - len(held.text)].count("\n") + 1
    elif parts.validation:
        assert said == sorted("".join(document.text for document in corpus))
        known = {" ".join(document.text.lower().split()) for document in parts.training}
        assert not known & {" ".join(document.text.lower().split()) for document in parts.validation}
    small = [document for document in corpus if len(document.text) < share * size(corpus) / 3]
    if len(small) == len(corpus) > 20 and not twice:
        assert 0.5 * share < size(parts.validation) / size(corpus) < 1.5 * share


@pytest.mark.parametrize("sizes, cut", [([100_000], True), ([50_000, 50_000], True), ([90_000, 100], True),
                                        ([1000] * 10, False), ([1000] * 4, True), ([400] * 100, False)])
def test_a_text_is_cut_only_where_no_whole_ones_do(sizes, cut):
    parts = split(documents(sizes), 0.1)
    assert parts.cut == cut
    assert 0.04 < size(parts.validation) / sum(sizes) < 0.2
    assert ("the end of" in parts.line()) == cut


def test_what_is_held_out_is_the_same_whatever_the_order_and_mostly_when_texts_are_added():
    corpus = documents([1000] * 200)
    held = {document.source for document in split(corpus, 0.1).validation}
    shuffled = corpus.copy()
    random.Random(1).shuffle(shuffled)
    assert {document.source for document in split(shuffled, 0.1).validation} == held
    more = [*corpus, *(Document(document.text, "new" + document.source) for document in documents([1000] * 20, 7))]
    assert len(held & {document.source for document in split(more, 0.1).validation}) >= 0.8 * len(held)


def test_two_short_texts_are_parted_and_one_is_not():
    parts = split(documents([20, 30], short=True), 0.1)
    assert [len(part) for part in (parts.training, parts.validation)] == [1, 1]
    assert split(documents([20], short=True), 0.1).validation == []
