"""The open documents as the editor has them, line by line, kept up to date by its changes.

A line ends with \\n, \\r\\n or \\r and with nothing else: form feeds and Unicode's separators stand inside lines, as
LSP has it. (str.splitlines, which pygls' own documents use, ends lines there too.)
"""
import re
import time
from dataclasses import dataclass, field

from gpt2_lsp.positions import characters

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_END = re.compile(r"\r\n|\r")


@dataclass(frozen=True)
class Cursor:
    """A place in a document: `line` from 0, `column` in characters from 0."""

    line: int
    column: int


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

    def replace_all(self, text: str) -> None:
        self.lines = split(text)
        self.size = len(text)

    def replace(self, start: tuple[int, int], end: tuple[int, int], text: str) -> Cursor:
        """Puts `text` between two positions, each (line, units); where it ends then. Positions past a line's end are
        at its end, and past the last line at the document's end, as LSP has it."""
        first, last = sorted((self.cursor(*start), self.cursor(*end)), key=lambda place: (place.line, place.column))
        head = self.lines[first.line][:first.column] + text
        merged = head + self.lines[last.line][last.column:]
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
        return _after(head, begin, merged)

    def cursor(self, line: int, units: int) -> Cursor:
        """The place of a position."""
        if line >= len(self.lines):
            return Cursor(len(self.lines) - 1, len(self.lines[-1]))
        content = self.lines[line].rstrip("\r\n") if line < len(self.lines) - 1 else self.lines[line]
        return Cursor(line, characters(content, units, self.encoding))

    def line_before(self, cursor: Cursor) -> str:
        return self.lines[cursor.line][:cursor.column]

    def before(self, cursor: Cursor, size: int) -> str:
        """The end of the text before the cursor: whole lines, as many as have at least `size` characters, or all.
        Line ends are \\n."""
        parts, length, line = [self.line_before(cursor)], cursor.column, cursor.line
        while line and length < size:
            line -= 1
            parts.append(self.lines[line])
            length += len(self.lines[line])
        return unix("".join(reversed(parts)))

    def after(self, cursor: Cursor, lines: int) -> str:
        """The text from the cursor on, up to the end of so many lines, each cut after 1000 characters."""
        parts = [self.lines[cursor.line][cursor.column:], *self.lines[cursor.line + 1:cursor.line + lines]]
        return unix("".join(part if len(part) <= 1000 else part[:1000] + "\n" for part in parts))

    def text(self) -> str:
        return "".join(self.lines)


def split(text: str) -> list[str]:
    """The lines of a text, each with its end, and a last one that has none."""
    lines = _LINE.findall(text)
    if not lines or lines[-1][-1] in "\r\n":
        lines.append("")
    return lines


def unix(text: str) -> str:
    """The text with \\n for every line end."""
    return _END.sub("\n", text) if "\r" in text else text


def _after(head: str, line: int, merged: str) -> Cursor:
    """The place at the end of `head`, which begins at `line`; `merged` begins with it and may go on with half of a
    line end."""
    if head.endswith("\r") and merged[len(head):len(head) + 1] == "\n":
        head = head[:-1]
    lines = split(head)
    return Cursor(line + len(lines) - 1, len(lines[-1]))
