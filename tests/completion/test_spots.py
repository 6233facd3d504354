"""Places in a text are the same however they are counted."""
from gpt2_lsp.documents import Cursor
from hypothesis import given
from hypothesis import strategies as st

from gpt2_assist.completion.spots import Offset, Spot

TEXT = st.text("ab\n", max_size=12)


@given(TEXT, TEXT, TEXT)
def test_lines_and_columns_reach_what_characters_reach_and_what_is_read_says(before, written, elsewhere):
    for typed in [before + written[:count] for count in range(len(written) + 1)] + [elsewhere]:
        expected = next((count for count in range(len(written) + 1) if before + written[:count] == typed), None)
        for begin in (Cursor(0, 0), Offset(0)):
            first, now = (Spot.of(begin.behind(text), text) for text in (before, typed))
            assert first.reached(written, now) == expected
