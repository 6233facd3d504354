"""Rows of a long text: none is too wide, nothing is missing, and looking at a part makes only that part."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt2_assist.repl.screen import wrapping
from gpt2_assist.repl.screen.wrapping import Wrapped, breadth, row_starts

ODD = st.text(st.sampled_from("ab c\t\n漢é́\u200b\x1b"), max_size=200)


def rows_of(wrapped: Wrapped) -> list[str]:
    found, row = [], 0
    while row is not None:
        found.append(wrapped.text[row:wrapped.end(row)])
        row = wrapped.below(row)
    return found


@given(ODD, st.integers(1, 12))
def test_rows_are_the_text_and_no_wider_than_the_page(text, width):
    rows = rows_of(Wrapped(text, width))
    assert "".join(rows) == text
    for row in rows:
        words = row.rstrip("\n").rstrip()
        assert breadth(words) <= width or len(words) == 1  # a wide character on a page of one column


@given(st.lists(st.text("abcdefgh", min_size=1, max_size=9), max_size=40), st.integers(9, 30))
def test_no_word_is_broken_that_fits(words, width):
    text = " ".join(words)
    assert [word for row in rows_of(Wrapped(text, width)) for word in row.split()] == words


@given(ODD, st.integers(1, 12))
def test_every_place_is_in_the_row_that_shows_it(text, width):
    wrapped = Wrapped(text, width)
    starts = [0]
    while (below := wrapped.below(starts[-1])) is not None:
        starts.append(below)
    for place in range(len(text) + 1):
        assert wrapped.row(place) == max(start for start in starts if start <= place)
    for number, start in enumerate(starts):
        for count in range(len(starts)):
            assert wrapped.above(start, count) == starts[max(0, number - count)]


@given(ODD, ODD, ODD, st.integers(1, 12))
def test_what_is_kept_of_an_earlier_text_changes_nothing(same, before, after, width):
    wrapped = Wrapped(same + before, width)
    rows_of(wrapped)
    wrapped.replace(same + after, width, len(same))
    assert rows_of(wrapped) == rows_of(Wrapped(same + after, width))


@pytest.mark.parametrize("text", ["word " * 20_000, "x" * 90_000, "a line\n" * 20_000])
def test_a_long_text_is_made_where_one_looks(text, monkeypatch):
    wrapped, made = Wrapped(text, 60), []
    monkeypatch.setattr(wrapping, "row_starts", lambda paragraph, width: made.append(len(paragraph)) or row_starts(
        paragraph, width))
    top = wrapped.above(wrapped.row(len(text)), 40)
    while (top := wrapped.below(top)) is not None:
        pass
    assert sum(made) < 4 * wrapping.LONGEST


def test_long_paragraphs_are_whole_rows_but_where_pieces_meet():
    text = "word " * 5_000
    assert "".join(rows_of(Wrapped(text, 50))) == text
    assert sum(len(row) < 50 for row in rows_of(Wrapped(text, 50))) <= len(text) // wrapping.LONGEST + 1
