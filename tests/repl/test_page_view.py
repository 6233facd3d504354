"""What the screen shows of a story: the cursor is always on it, rows are never broken, and scrolling comes back."""
from hypothesis import given
from hypothesis import strategies as st

from gpt2_assist.repl.screen.draft import Origins
from gpt2_assist.repl.screen.page_view import PageView, Styled
from gpt2_assist.repl.screen.status_line import fitted_line
from gpt2_assist.repl.screen.wrapping import breadth

PARTS = st.lists(st.tuples(st.sampled_from(["a", "b"]), st.text(st.sampled_from("xy z\n漢\t"), max_size=60)),
                 max_size=8)
CHANGES = st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.integers(0, 5), st.text("ab ", max_size=6)),
                   max_size=12)


def plain(rows: list) -> list[str]:
    return ["".join(text for _, text in row) for row in rows]


@given(PARTS, st.data())
def test_fragments_are_the_text_with_its_styles(parts, data):
    styled = Styled.of(parts)
    start, end = sorted(data.draw(st.integers(0, len(styled.text))) for _ in range(2))
    by_character = [style for style, text in parts for _ in text]
    shown = styled.fragments(start, end)
    assert "".join(text for _, text in shown) == styled.text[start:end]
    assert [style for style, text in shown for _ in text] == by_character[start:end]


@given(PARTS, st.integers(2, 20), st.integers(1, 8), st.data())
def test_where_it_follows_the_cursor_is_on_the_screen(parts, width, height, data):
    styled, view = Styled.of(parts), PageView()
    for _ in range(3):
        cursor = data.draw(st.integers(0, len(styled.text)))
        rule = data.draw(st.integers(0, len(styled.text)))
        shown = view.show(styled, cursor, width, height, len(styled.text), rule)
        assert shown.cursor is not None and len(shown.rows) <= height
        assert 0 <= shown.cursor[0] < len(shown.rows) and 0 <= shown.cursor[1] < width
        assert all(breadth(row) <= width or breadth(row) <= 4 for row in plain(shown.rows))


def test_a_growing_text_moves_up_by_the_row_and_no_further():
    view, text, tops = PageView(), "", []
    for number in range(200):
        text += f"word{number % 10} "
        view.show(Styled.of([("", text)]), len(text), 40, 5, len(text) - 6)
        tops.append(view.wrapped.text[:view.top].count("w"))
    assert all(0 <= later - earlier <= 6 for earlier, later in zip(tops, tops[1:])) and tops[-1] > 100


def test_a_text_that_became_shorter_still_fills_the_screen():
    text = "\n".join(f"line {number}" for number in range(100))
    view = PageView()
    view.show(Styled.of([("", text)]), len(text), 40, 10, 0)
    for end in (text.index("line 95"), text.index("line 5")):
        rows = plain(view.show(Styled.of([("", text[:end])]), end, 40, 10, end).rows)
        assert rows == [*text[:end].split("\n")][-10:]
    assert len(view.show(Styled.of([("", text)]), len(text), 40, 30, len(text)).rows) == 30


def test_scrolling_leaves_the_cursor_and_comes_back_to_it():
    text = "\n".join(f"line {number}" for number in range(100))
    view, styled = PageView(), Styled.of([("", text)])
    assert plain(view.show(styled, len(text), 40, 10, 0).rows)[-1] == "line 99"
    view.scroll(-20)
    shown = view.show(styled, len(text), 40, 10, len(text))
    assert shown.cursor is None and plain(shown.rows)[0] == "line 70"
    view.scroll(9)
    view.scroll(30)
    assert view.follows and plain(view.show(styled, len(text), 40, 10, len(text)).rows)[-1] == "line 99"


def test_the_line_across_stands_before_what_the_model_reads():
    text = "\n".join(f"line {number}" for number in range(8))
    shown = PageView().show(Styled.of([("", text)]), len(text), 20, 10, 0, text.index("line 3"), " here ")
    rows = plain(shown.rows)
    assert rows[3].strip("─") == " here " and rows[4] == "line 3" and rows[-1] == "line 7"


def test_what_would_steer_the_terminal_is_shown_as_something_else():
    rows = plain(PageView().show(Styled.of([("", "a\x1b[31mb\x07")]), 0, 20, 3, 0).rows)
    assert rows == ["a\ufffd[31mb\ufffd"]


@given(CHANGES)
def test_the_models_words_stay_its_own_until_they_are_changed(changes):
    """Against a list with an owner for each character."""
    origins, owners, text = Origins(), [], ""
    for accepted, at, removed, words in changes:
        at = min(at, len(text))
        if accepted and words:
            text, owners = text[:at] + words + text[at:], owners[:at] + ["model"] * len(words) + owners[at:]
            origins.accept(text, at)
        elif not accepted:
            changed = text[:at] + words + text[at + removed:]
            same = next((n for n, (a, b) in enumerate(zip(text, changed)) if a != b), min(len(text), len(changed)))
            back = 0
            while back < min(len(text), len(changed)) - same and text[-1 - back] == changed[-1 - back]:
                back += 1
            owners = owners[:same] + ["user"] * (len(changed) - same - back) + owners[len(text) - back:]
            text = changed
            origins.change(text)
        assert [author for author, words in origins.parts() for _ in words] == owners
        assert "".join(words for _, words in origins.parts()) == text


def test_a_narrow_line_loses_what_stands_last():
    fields = ["writing …", "", "saved", "a tale", "/help"]
    assert fitted_line(fields, 40) == " writing …  saved  a tale  /help"
    assert fitted_line(fields, 27) == " writing …  saved  a tale"
    assert fitted_line(fields, 7) == " writin"
    assert fitted_line([], 10) == ""
