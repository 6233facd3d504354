"""What of a long text the model reads while one types."""
from hypothesis import given
from hypothesis import strategies as st

from gpt2_assist.completion.window import Window

SIZE = 800


@given(st.lists(st.integers(-3000, 3000), max_size=30), st.sampled_from(["word ", "a line\n", "x"]))
def test_it_is_never_longer_than_agreed_and_never_short_of_text_that_is_there(steps, piece):
    window, length = Window(SIZE), 0
    for step in steps:
        length = max(0, length + step)
        text = (piece * (length // len(piece) + 1))[:length]
        start = window.start(text)
        assert length - start <= SIZE and (start == 0 or length - start >= SIZE // 4)


@given(st.lists(st.integers(-3000, 3000), max_size=30), st.integers(SIZE, 2 * SIZE))
def test_the_end_of_the_text_is_enough(steps, given_of_it):
    whole, of_end, length = Window(SIZE), Window(SIZE), 0
    for step in steps:
        length = max(0, length + step)
        text = ("word " * (length // 5 + 1))[:length]
        above = max(0, length - given_of_it)
        assert of_end.start(text[above:], above) == whole.start(text)


def test_typing_along_moves_it_seldom_and_to_a_word():
    window, text, starts = Window(SIZE), "", []
    for _ in range(2000):
        text += "word "
        starts.append(window.start(text))
    assert len(set(starts)) < 40 and all(start % 5 == 0 for start in starts)


def test_deleting_and_coming_back_leaves_it_where_it_was():
    window, text = Window(SIZE), "word " * 1000
    start = window.start(text)
    assert [window.start(text[:-letters]) for letters in range(1, 100)] == [start] * 99
    assert window.start(text) == start
