"""The law of the filters: ghost text never jumps.

As a text grows, what each filter and the whole chain let through grows, never changes, and stays as it is once it has
ended. Nothing is rejected of which something was let through. And the indentation is rewritten the same way.
"""
import random
from dataclasses import replace
from math import log

import pytest
from golden import ALL, cut_into_tokens, filter_named, names
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gpt2_assist.completion.filters.draft import Draft, Place
from gpt2_assist.completion.filters.whitespace import normalised

FILTERS = [name for name in names() if name != "whitespace"]
PIECES = [
    "x", "foo", " bar", "foo(", ")", "(", "[", "]", "{", "}", "\"", "'", "\"\"\"", "`", "\n", "\n\n", "\n    ",
    "\n        ", "\n\t", " ", "  ", "\t", ", ", ";", ":", ". ", ".", "…", "? ", "Mr. ", "e.g. ", "The", " the cat",
    "1.", "- ", "\n- ", "# ", "//", "#", "\\", "if x:", "else:", "end", "</div>", "<", "return x", "\n    return x",
    "\n}", "\n    }", "\n)", "import os", "\nimport os", "\nimport", "語。", "」", "👍🏽", "é", "I", "case",
    "\u200d", "\u200b", "\ufffd", "\x1b", "```",
    "a b a b ", "foo, bar)"]

texts = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
places = st.builds(
    Place, before=texts, after=texts, prose=st.booleans(), invoked=st.booleans(), single_line=st.booleans(),
    language=st.sampled_from(["python", "rust", "typescript", "c", "html", "markdown"]), max_lines=st.integers(1, 5),
    prose_unit=st.sampled_from(["sentence", "paragraph"]), confidence=st.sampled_from([0.0, 0.05, 0.3]),
    indent=st.sampled_from(["", "\t", "  ", "    "]))
tokens = st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from([0.9, 0.5, 0.2, 0.04, 0.001])), max_size=16)


def check(name: str, place: Place, pieces: list[tuple[str, float]]) -> None:
    apply = filter_named(name)
    text, said = "", []
    shown, last = "", None
    for piece, chance in [("", 1.0), *pieces]:
        text += piece
        if piece:
            said.append((len(text), log(chance)))
        growing, whole = (apply(place, Draft(text, ended, tuple(said))) for ended in (False, True))
        for draft in (growing, whole):
            assert text.startswith(draft.text) and draft.text.startswith(shown)
            if draft.reason:
                assert draft.ended and not draft.text and not shown
            if last:
                assert (draft.text, draft.reason, draft.ended) == (last.text, last.reason, True)
        assert whole.ended and whole.text.startswith(growing.text)
        shown = growing.text
        if growing.ended:
            last = growing


@pytest.mark.parametrize("name", FILTERS)
@given(places, tokens)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_what_is_shown_only_grows(name, place, pieces):
    check(name, place, pieces)


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.id)
def test_what_is_shown_of_the_golden_cases_only_grows(case):
    chance = random.Random(0)
    place = replace(case.place, confidence=0.2)
    for name in {case.filter, "chain"} - {"whitespace"}:
        check(name, case.place, [(character, 0.9) for character in case.text])
        for _ in range(5):
            check(name, place, [(piece, chance.choice([0.9, 0.9, 0.1, 0.01])) for piece in cut_into_tokens(case.text)])


@given(places, st.lists(st.sampled_from([*PIECES, "\r\n", "\n  ", "\n \t", "\n    x", "\n  x"]), max_size=12))
@example(Place("", "", indent="\t"), ["\n      ", " ", "\t"])
@settings(max_examples=500, deadline=None)
def test_what_is_rewritten_only_grows(place, pieces):
    text = "".join(pieces)
    grown = [normalised(place, text[:end]) for end in range(len(text) + 1)]
    assert all(later.startswith(earlier) for earlier, later in zip(grown, grown[1:]))
