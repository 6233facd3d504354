"""All suffixes of a sequence, sorted: as a slow sort has them, whatever repeats, and compiled once."""
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2_assist.errors import DataError
from gpt2_assist.originality.suffix_array import suffix_array


def slow(tokens: list[int]) -> list[int]:
    return sorted(range(len(tokens)), key=lambda start: tokens[start:])


@given(st.integers(1, 5).flatmap(lambda letters: st.lists(st.integers(0, letters - 1), max_size=60)),
       st.sampled_from([np.uint8, np.uint16, np.uint32, np.uint64]))
@settings(deadline=None)
def test_few_letters(tokens, kind):
    order = suffix_array(np.array(tokens, kind))
    assert order.dtype == np.int32 and order.tolist() == slow(tokens)


@given(st.lists(st.integers(0, 2**64 - 1) | st.sampled_from([0, 65535, 2**32 - 1, 2**64 - 1]), max_size=40))
@settings(deadline=None)
def test_any_numbers(tokens):
    assert suffix_array(np.array(tokens, np.uint64)).tolist() == slow(tokens)


def fibonacci(count: int) -> list[int]:
    before, word = [1], [0]
    while len(word) < count:
        before, word = word, word + before
    return word[:count]


@pytest.mark.parametrize("tokens", [
    [7] * 700, [1, 0] * 350, [0, 1] * 350, [0, 0, 1] * 250, list(range(700)), list(range(700))[::-1], fibonacci(700),
    [bin(number).count("1") % 2 for number in range(700)], [3, 1, 2] * 200 + [3, 1]])
def test_what_repeats(tokens):
    assert suffix_array(np.array(tokens, np.uint16)).tolist() == slow(tokens)


@pytest.mark.parametrize("tokens", [
    np.random.default_rng(0).integers(0, 300, 200_000), np.tile(np.random.default_rng(0).integers(0, 300, 1000), 200),
    np.zeros(200_000), np.arange(200_000) % 2, np.arange(200_000), np.random.default_rng(0).integers(0, 2, 200_000)])
def test_many_tokens(tokens):
    """An order is right if each pair of neighbours differs rightly in its first token or, as ranked, in the rest."""
    order = suffix_array(tokens.astype(np.uint32))
    ranks = np.full(len(tokens) + 1, -1)
    ranks[order] = np.arange(len(tokens))
    assert (np.sort(order) == np.arange(len(tokens))).all()
    before, after = order[:-1], order[1:]
    same = tokens[before] == tokens[after]
    assert ((tokens[before] < tokens[after]) | same & (ranks[before + 1] < ranks[after + 1])).all()


def test_too_many_tokens():
    with pytest.raises(DataError, match="2,147,483,648 tokens are too many"):
        suffix_array(np.broadcast_to(np.uint8(0), 2**31))


@pytest.mark.slow
def test_compiled_once_and_then_without_the_compiler(tmp_path):
    program = """import sys, numpy
from gpt2_assist.originality.compiling import compiled
before = compiled()
from gpt2_assist.originality.index import CopyIndex
from gpt2_assist.originality.report import measure
index = CopyIndex.build([numpy.array([1, 2, 3, 1, 2])], [("a", 1)])
assert measure(index, [1, 2, 3], str).longest == 3
print(before, compiled(), "numba" in sys.modules, "torch" in sys.modules)"""

    def said(cache) -> list[str]:
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True,
                              env=os.environ | {"GPT2_ASSIST_CACHE": str(cache)})
        return done.stdout.split()

    assert said(tmp_path) == ["False", "True", "True", "False"]
    assert said(tmp_path) == ["True", "True", "False", "False"]
    (tmp_path / "file").write_text("")
    assert said(tmp_path / "file") == ["False", "False", "True", "False"]  # there is no room for what is compiled
