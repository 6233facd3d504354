"""How a long text lies on a screen: its paragraphs broken between words into rows, of which only those that are looked
at are made.

A row is known by the place in the text where it begins, so that any place can be found on the screen and any row in the
text. What nobody looks at is never wrapped: a text of millions of characters costs no more than its last page.
"""
import re

from wcwidth import wcwidth

LONGEST = 8192
"""Characters of a paragraph that is wrapped as one: what is longer is wrapped in pieces."""
TAB = 4
_PIECE = re.compile(r"\S+|\s")
_SPACE = re.compile(r"\s")


def columns(character: str) -> int:
    """Columns that a character takes on the screen. A tab always takes the same, and what can't be shown takes one."""
    if character == "\t":
        return TAB
    width = wcwidth(character)
    return 1 if width < 0 else width


def breadth(text: str) -> int:
    """Columns that a text takes."""
    return len(text) if text.isascii() and text.isprintable() else sum(map(columns, text))


def row_starts(paragraph: str, width: int) -> list[int]:
    """Where the rows of a paragraph begin, which has no line break but at its end.

    The words of a row take at most `width` columns. The spaces behind its last word may go beyond, where they don't
    show. A word that is wider is broken.
    """
    starts, used = [0], 0
    for found in _PIECE.finditer(paragraph.removesuffix("\n")):
        piece, at = found[0], found.start()
        needed = breadth(piece)
        if piece.isspace():
            used += needed
            continue
        if used and used + needed > width:
            starts.append(at)
            used = 0
        if needed <= width:
            used += needed
            continue
        for place, character in enumerate(piece, at):
            taken = columns(character)
            if used + taken > width and place > starts[-1]:
                starts.append(place)
                used = 0
            used += taken
    return starts


class Wrapped:
    """A text and its rows."""

    def __init__(self, text: str = "", width: int = 78) -> None:
        self.text, self.width = text, width
        self._known: dict[tuple[int, int], list[int]] = {}
        """Rows by where their paragraph begins and ends."""

    def replace(self, text: str, width: int, same: int) -> None:
        """From now on it is `text`, whose first `same` characters are as they were: their rows are not made again."""
        if width != self.width:
            self._known.clear()
        elif same < len(self.text):
            self._known = {span: starts for span, starts in self._known.items() if span[1] <= same}
        self.text, self.width = text, width

    def row(self, place: int) -> int:
        """The row in which a place is shown."""
        start, end = self._paragraph(place)
        return max(row for row in self._rows(start, end) if row <= place)

    def end(self, row: int) -> int:
        """Where a row ends: behind its line break, if it has one."""
        start, end = self._paragraph(row)
        return min((other for other in self._rows(start, end) if other > row), default=end)

    def above(self, row: int, count: int = 1) -> int:
        """The row so many rows above another one, or the first of all."""
        while count > 0 and row > 0:
            start, end = self._paragraph(row)
            rows = [other for other in self._rows(start, end) if other < row]
            if rows:
                row = rows[max(0, len(rows) - count)]
                count -= min(count, len(rows))
            else:
                row, count = self.row(row - 1), count - 1
        return row

    def below(self, row: int) -> int | None:
        """The row under another one; None under the last."""
        end = self.end(row)
        last = end == len(self.text) and not self.text.endswith("\n", row, end)
        return None if last or row == len(self.text) else end

    def _rows(self, start: int, end: int) -> list[int]:
        if (start, end) not in self._known:
            self._known[start, end] = [start + row for row in row_starts(self.text[start:end], self.width)]
        return self._known[start, end]

    def _paragraph(self, place: int) -> tuple[int, int]:
        """Where the paragraph around a place begins and ends, or the piece of it."""
        start = self.text.rfind("\n", 0, place) + 1
        end = self.text.find("\n", place) + 1 or len(self.text)
        if end - start <= LONGEST:
            return start, end
        number = (place - start) // LONGEST
        cut = self._cut(start + number * LONGEST, end) if number else start
        if cut > place:
            number, cut = number - 1, self._cut(start + (number - 1) * LONGEST, end) if number > 1 else start
        following = start + (number + 1) * LONGEST
        return cut, self._cut(following, end) if following < end else end

    def _cut(self, near: int, end: int) -> int:
        """Where a long paragraph is cut: behind the next space, unless there is none for long."""
        found = _SPACE.search(self.text, near, min(end, near + LONGEST // 2))
        return found.end() if found else near
