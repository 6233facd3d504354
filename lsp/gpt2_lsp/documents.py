"""The open documents as the editor has them, line by line, kept up to date by its changes.

A line ends with \\n, \\r\\n or \\r and with nothing else: form feeds and Unicode's separators stand inside lines, as
LSP has it. (str.splitlines, which pygls' own documents use, ends lines there too.)
"""
import re
import time
from dataclasses import dataclass, field
from io import StringIO

from gpt2_lsp.halves import halves, is_first, joined, put_together, replaced
from gpt2_lsp.positions import UTF16, Ruler

_LONG = 1000
"""Characters of a line behind the cursor."""
_END = re.compile(r"\r\n|\r")


@dataclass(frozen=True)
class Cursor:
    """A place in a document: `line` from 0, `column` in characters from 0."""

    line: int
    column: int

    def behind(self, text: str) -> "Cursor":
        """The place after `text` was typed here."""
        lines = text.count("\n")
        column = len(text) - text.rfind("\n") - 1 if lines else self.column + len(text)
        return Cursor(self.line + lines, column)

    def reached(self, text: str, end: "Cursor") -> int | None:
        """How many characters of `text`, which stands behind this place, lie before `end`; None if that is not on its
        way."""
        begin = 0
        for _ in range(end.line - self.line):
            begin = text.find("\n", begin) + 1
            if not begin:
                return None
        typed = begin + end.column if begin else end.column - self.column
        return typed if end.line >= self.line and 0 <= typed <= len(text) else None


@dataclass
class Document:
    uri: str
    language: str
    version: int
    encoding: str
    """Of the positions that come: utf-8, utf-16 or utf-32."""
    lines: list[str] = field(default_factory=lambda: [""])
    """Each with its end; the last has none, and may be empty."""
    size: int = 0
    """Characters."""
    changed: float = field(default_factory=time.monotonic)
    """When it was last, in seconds of the monotonic clock."""

    def __post_init__(self) -> None:
        self._ruler = Ruler(self.encoding)

    def replace_all(self, text: str) -> None:
        self.lines = split(joined(text))
        self.size = sum(map(len, self.lines))
        self._ruler.forget()

    def replace(self, start: tuple[int, int], end: tuple[int, int], text: str) -> Cursor:
        """Puts `text` between two positions, each (line, units); where it ends then. Positions past a line's end are
        at its end, and past the last line at the document's end, as LSP has it."""
        (first, left), (last, right) = (self._cut(*position) for position in sorted((start, end)))
        head = put_together(self.lines[first.line][:first.column] + left[:1], joined(text))
        merged = put_together(head, right[1:] + self.lines[last.line][last.column + len(right[1:]):])
        half = is_first(self.lines[first.line][first.column - 1:first.column])
        begin = first.line
        if begin and merged.startswith("\n") and self.lines[begin - 1].endswith("\r"):
            begin -= 1  # the two become one line end
            head, merged = self.lines[begin] + head, self.lines[begin] + merged
        before = sum(map(len, self.lines[begin:last.line + 1]))
        fresh = split(merged)
        if last.line + 1 < len(self.lines):
            fresh.pop()  # of the rest, which follows
        self.lines[begin:last.line + 1] = fresh
        self.size += len(merged) - before
        self._ruler.changed(begin, first.column - half if begin == first.line else 0)
        return _after(head, begin, merged)

    def cursor(self, line: int, units: int) -> Cursor:
        """The place of a position."""
        if line >= len(self.lines):
            return Cursor(len(self.lines) - 1, len(self.lines[-1]))
        text = self.lines[line]
        end = len(text) if line == len(self.lines) - 1 else len(text) - (2 if text.endswith("\r\n") else 1)
        return Cursor(line, self._ruler.column(line, text, end, units))

    def _cut(self, line: int, units: int) -> tuple[Cursor, str]:
        """The place of a position, and the two halves of the character there if the position is between them."""
        cursor = self.cursor(line, units)
        between = self._ruler.inside and self.encoding == UTF16 and line < len(self.lines)
        return cursor, halves(self.lines[cursor.line][cursor.column]) if between else ""

    def before(self, cursor: Cursor, size: int) -> str:
        """The end of the text before the cursor: whole lines, as many as have at least `size` characters, or all; of a
        long line only twice as many characters. As `plain` has it."""
        line = cursor.line
        parts = [self.lines[line][max(0, cursor.column - 2 * size):cursor.column]]
        length = len(parts[0])
        while line and length < size:
            line -= 1
            parts.append(self.lines[line][-2 * size:])
            length += len(parts[-1])
        return plain("".join(reversed(parts)))

    def after(self, cursor: Cursor, lines: int) -> str:
        """The text from the cursor on, up to the end of so many lines, each cut after 1000 characters. As `plain` has
        it."""
        parts = [self.lines[cursor.line][cursor.column:cursor.column + _LONG + 1],
                 *(line[:_LONG + 1] for line in self.lines[cursor.line + 1:cursor.line + lines])]
        return plain("".join(part if len(part) <= _LONG else part[:_LONG] + "\n" for part in parts))

    def text(self) -> str:
        return "".join(self.lines)


def split(text: str) -> list[str]:
    """The lines of a text, each with its end, and a last one that has none."""
    if "\n" not in text and "\r" not in text:
        return [text]
    lines = StringIO(text, newline="").readlines()
    if not lines or lines[-1][-1] in "\r\n":
        lines.append("")
    return lines


def plain(text: str) -> str:
    """The text with \\n for every line end, and U+FFFD for half characters."""
    return replaced(_END.sub("\n", text) if "\r" in text else text)


def _after(head: str, line: int, merged: str) -> Cursor:
    """The place at the end of `head`, which begins at `line`; `merged` begins with it and may go on with half of a
    line end, or have one character of its last and the next."""
    if not merged.startswith(head[-1:], len(head) - 1):
        head = head[:-1]
    if head.endswith("\r") and merged[len(head):len(head) + 1] == "\n":
        head = head[:-1]
    lines = split(head)
    return Cursor(line + len(lines) - 1, len(lines[-1]))
