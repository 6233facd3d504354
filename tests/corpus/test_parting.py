"""Documents in one text: where they begin and end, beside a slow reading letter by letter."""
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2_assist.corpus.documents import END, START, Document
from gpt2_assist.corpus.parting import parted


def of(text: str, **options) -> list[tuple[str, int, bool]]:
    return [(document.text, document.line, document.short) for document in parted(text, "x", **options)]


def test_a_line_of_its_own_parts_documents_and_nothing_else_does():
    assert of(f"one\ntwo\n{END}\n\n\nthree {END} four\n{END}\n{END}\n \n{END}") == [
        ("one\ntwo", 1, False), (f"three {END} four", 6, False)]
    assert of(f"{END}\none\n{END} \n") == [(f"one\n{END} ", 2, False)]
    assert of("\n\n  indented\n\n") == [("  indented", 3, False)]


def test_wrapped_texts_are_short_ones():
    assert of(f"{START}one{END}\n{START}two\nlines{END}\n{START}{END}{START}three{END}") == [
        ("one", 1, True), ("two\nlines", 2, True), ("three", 4, True)]
    assert of(f"before\n{START}\none\n{END}\nafter\n{START}open\n{START}open too") == [
        ("before", 1, False), ("one", 3, True), ("after", 5, False), ("open", 6, True), ("open too", 7, True)]


def test_code_about_the_marks_is_code():
    code = f'tokens = encode("{START}text{END}")\nassert tokens'
    assert of(code) == [(code, 1, False)]


def test_marks_within_lines_where_asked():
    assert of(f"one{END}two{END}\n{START}three{END}", ends_anywhere=True, one_line=True) == [
        ("one", 1, False), ("two", 1, False), ("three", 1, True)]


def test_the_line_of_a_place():
    document = Document("a\nb\nc", "x", 7)
    assert [document.line_at(position) for position in range(5)] == [7, 7, 8, 8, 9]
    assert Document("a\nb", "x", 7, one_line=True).line_at(2) == 7


@given(st.lists(st.sampled_from([START, END, f"\n{END}\n", f"\n{START}", "\n", " ", "a", "b c"])).map("".join),
       st.booleans())
@settings(max_examples=500)
def test_parts_are_those_of_a_slow_reading(text, ends_anywhere):
    assert of(text, ends_anywhere=ends_anywhere) == slow(text, ends_anywhere)


def slow(text: str, ends_anywhere: bool) -> list[tuple[str, int, bool]]:
    parts, part, begin, short, place = [], "", 0, False, 0

    def flush():
        if part.strip():
            first = begin + len(part) - len(part.lstrip("\n"))
            parts.append((part.strip("\n"), 1 + text[:first].count("\n"), short))

    while place < len(text):
        before, rest = text[:place], text[place:]
        front = before == "" or before.endswith("\n")
        if rest.startswith(START) and (front or before.endswith(END)):
            flush()
            part, place, short = "", place + len(START), True
            begin = place
        elif rest.startswith(END) and (short or ends_anywhere or front and rest[len(END):][:1] in ("", "\n")):
            flush()
            part, place, short = "", place + len(END), False
            begin = place
        else:
            part, place = part + text[place], place + 1
    flush()
    return parts
