"""The documents of the language server keep up with whatever editors do, beside a slow and obvious reference."""
import random
import re

import pytest
from gpt2_lsp.documents import Cursor, Document, split
from gpt2_lsp.positions import characters, units
from hypothesis import given
from hypothesis import strategies as st

ENCODINGS = ("utf-8", "utf-16", "utf-32")
ALPHABET = ["a", "b", " ", "\n", "\r\n", "\r", "\t", "\f", "\v", "\u2028", "\x85", "é", "ß", "中", "😀", "𝒳", "e\u0301",
            "👩\u200d💻", "\x00", "\ud83d", "\ude00"]
TEXT = st.lists(st.sampled_from(ALPHABET), max_size=40).map(lambda parts: whole("".join(parts)))
STORMS, EDITS = 300, 12


def whole(text: str) -> str:
    """Two halves that stand side by side as one character, as a decoder reads them."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


class Reference:
    """A document as one string, in which every position is found by walking from the start. In UTF-16 a change may cut
    a character in two, or make one of two halves."""

    def __init__(self, text: str, encoding: str) -> None:
        self.text, self.encoding = text, encoding

    def offset(self, line: int, units: int) -> int:
        starts = [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", self.text))]
        if line >= len(starts):
            return len(self.text)
        end = next((match.start() for match in re.finditer(r"\r\n|\r|\n", self.text)
                    if match.start() >= starts[line]), len(self.text))
        for offset in range(starts[line], end + 1):
            if width(self.text[starts[line]:offset], self.encoding) > units:
                return offset - 1
        return end

    def unit(self, line: int, units: int) -> int:
        """The number of units before a position."""
        starts = [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", self.text))]
        if line >= len(starts):
            return len(units_of(self.text))
        content = re.split(r"[\r\n]", self.text[starts[line]:])[0]
        return len(units_of(self.text[:starts[line]])) + min(units, len(units_of(content)))

    def position(self, offset: int) -> tuple[int, int]:
        ends = [match.end() for match in re.finditer(r"\r\n|\r|\n", self.text) if match.end() <= offset]
        return len(ends), width(self.text[ends[-1] if ends else 0:offset], self.encoding)

    def replace(self, start: tuple[int, int], end: tuple[int, int], new: str) -> None:
        if self.encoding == "utf-16":
            first, last = sorted((self.unit(*start), self.unit(*end)))
            self.text = of_units(units_of(self.text)[:first] + units_of(new) + units_of(self.text)[last:])
            return
        first, last = sorted((self.offset(*start), self.offset(*end)))
        self.text = whole(self.text[:first] + new + self.text[last:])


def units_of(text: str) -> list[bytes]:
    data = text.encode("utf-16-le", "surrogatepass")
    return [data[at:at + 2] for at in range(0, len(data), 2)]


def of_units(units: list[bytes]) -> str:
    return b"".join(units).decode("utf-16-le", "surrogatepass")


def width(text: str, encoding: str) -> int:
    size = {"utf-8": 1, "utf-16": 2, "utf-32": 4}[encoding]
    return len(text.encode({1: "utf-8", 2: "utf-16-le", 4: "utf-32-le"}[size], "surrogatepass")) // size


def opened(text: str, encoding: str) -> Document:
    document = Document("file:///a", "plaintext", 1, encoding)
    document.replace_all(text)
    return document


def check(document: Document, reference: Reference) -> None:
    assert document.text() == reference.text
    assert document.lines == split(reference.text)
    assert document.size == len(reference.text)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_storms_of_edits_leave_the_text_that_full_sync_would(encoding):
    dice = random.Random(encoding)
    for _ in range(STORMS):
        text = whole("".join(dice.choices(ALPHABET, k=dice.randrange(60))))
        document, reference, past = opened(text, encoding), Reference(text, encoding), []
        for _ in range(EDITS):
            kind = dice.randrange(4)
            if kind == 0 and past:  # undo
                document.replace_all(past[-1])
                reference.text = past.pop()
            elif kind == 1:  # several cursors: one change each, the last first, as editors send them
                cursors = sorted({random_position(dice, reference) for _ in range(3)}, reverse=True)
                past.append(reference.text)
                for cursor in cursors:
                    document.replace(cursor, cursor, "x\n")
                    reference.replace(cursor, cursor, "x\n")
            else:
                start, end = random_position(dice, reference), random_position(dice, reference)
                new = whole("".join(dice.choices(ALPHABET, k=dice.randrange(5))))
                past.append(reference.text)
                document.replace(start, end, new)
                reference.replace(start, end, new)
            check(document, reference)
            place = random_position(dice, reference)
            cursor = document.cursor(*place)
            before = "".join(document.lines[:cursor.line]) + document.lines[cursor.line][:cursor.column]
            assert before == reference.text[:reference.offset(*place)]


def random_position(dice: random.Random, reference: Reference) -> tuple[int, int]:
    """Mostly one that exists; now and then one past a line's or the document's end, or inside a character."""
    if dice.randrange(8) == 0:
        return dice.randrange(8), dice.randrange(12)
    return reference.position(dice.randrange(len(reference.text) + 1))


@given(TEXT, TEXT, st.sampled_from(ENCODINGS), st.data())
def test_the_place_after_an_edit_is_where_its_text_ends(text, new, encoding, data):
    reference = Reference(text, encoding)
    start = reference.position(data.draw(st.integers(0, len(text))))
    offset = reference.offset(*start)
    document = opened(text, encoding)
    cursor = document.replace(start, start, new)
    before = document.before(cursor, len(text) + len(new))
    written, rest = whole(text[:offset] + new), text[offset:]
    seam = written[-1:] + rest[:1]
    if seam == "\r\n" or len(whole(seam)) < len(seam):  # no cursor is in a line end, nor in a character
        written = written[:-1]
    assert before == re.sub("[\ud800-\udfff]", "\ufffd", re.sub(r"\r\n|\r", "\n", written))


@given(TEXT, st.sampled_from(ENCODINGS), st.integers(0, 200))
def test_units_and_characters_agree(text, encoding, position):
    line = re.split(r"[\r\n]", text)[0]
    count = characters(line, position, encoding)
    assert units(line[:count], encoding) == width(line[:count], encoding) <= position or count == 0
    assert count == len(line) or width(line[:count + 1], encoding) > position


def test_form_feeds_and_separators_end_no_line():
    assert split("a\fb\u2028c\x85d\ve\nf") == ["a\fb\u2028c\x85d\ve\n", "f"]


def test_text_around_a_cursor_has_plain_line_ends_and_keeps_its_size():
    document = opened("one\r\ntwo\rthree\nfour\n" + "x" * 3000 + "\nlast", "utf-16")
    assert document.before(Cursor(2, 5), 8) == "two\nthree"
    assert document.before(Cursor(2, 5), 100) == "one\ntwo\nthree"
    assert document.after(Cursor(1, 1), 3) == "wo\nthree\nfour\n"
    assert document.after(Cursor(4, 0), 2) == "x" * 1000 + "\nlast"
