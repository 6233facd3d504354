"""What a terminal sends becomes text and nothing else; what is printed breaks no word."""
import re

from hypothesis import given
from hypothesis import strategies as st

from gpt2_assist.console.terminal import visible
from gpt2_assist.repl.flowing import Flow
from gpt2_assist.repl.screen.wrapping import breadth
from gpt2_assist.repl.typed import cleaned


def test_control_sequences_of_a_paste_are_no_text():
    assert cleaned("\x1b[31mred\x1b[0m \x1b]0;title\x07and\x1bM \x9b1mmore\x00\x7f") == "red and more"
    assert cleaned("one\r\ntwo\rthree\tfour\n") == "one\ntwo\nthree\tfour\n"
    assert cleaned("half \ud83d and \udce9") == "half \ufffd and \ufffd"


@given(st.text(st.sampled_from("ab\x1b[]0;m\x07\r\n\t\x9b\udc80")))
def test_what_is_cleaned_stays_as_it_is(text):
    once = cleaned(text)
    assert visible(once) == once and cleaned(once) == once


@given(st.lists(st.text(st.sampled_from("abc \n漢"), max_size=9), max_size=30), st.integers(8, 30))
def test_text_that_comes_in_pieces_is_broken_between_words(pieces, columns):
    flow = Flow(lambda: columns)
    printed = "".join(map(flow.feed, pieces)) + flow.rest()
    text = "".join(pieces)
    assert [word for word in printed.split() if breadth(word) < columns] == [
        word for word in text.split() if breadth(word) < columns]
    assert re.sub(r"\s+", "", printed) == re.sub(r"\s+", "", text)
    for row in printed.split("\n"):
        assert breadth(row) < columns or len(row.split()) == 1
