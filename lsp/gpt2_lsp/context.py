"""What the model reads before it completes: slow-changing first, so that its cache holds as long as may be.

First a part of another open file that speaks of the same things, then the file's name, then the text before the cursor.
Each stays as it is while one types, and moves in large steps only: one more key is one more token to read.
"""
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from posixpath import basename
from urllib.parse import unquote, urlparse

from gpt2_lsp.documents import Cursor, Document, unix
from gpt2_lsp.languages import PROSE, comment

_WORD = re.compile(r"[^\W\d]\w{2,}")
_CHUNK_LINES = 16
_CHUNK_CHARACTERS = 700
_NEAR_LINES = 24
"""Lines before the cursor to which other files are compared."""
_LEAST_LIKENESS = 0.12
MAX_OTHERS = 8
"""Open files that are looked through, the last used first."""
MAX_OTHER_LINES = 4000


@dataclass
class Context:
    """One document's context, kept from question to question."""

    characters: int
    """The size of the window before the cursor, at most."""
    _start: int = 0
    _related: str = ""
    _placed: bool = False

    def prompt(self, document: Document, cursor: Cursor, others: Callable[[], Iterable[Document]]) -> str:
        """The text for the model. The `others` are looked at only when the window moves."""
        if self._moved(document, cursor) or not self._placed:
            self._placed = True
            self._related = related(document, cursor, others())
        return self._related + self._title(document) + self._window(document, cursor)

    def forget(self) -> None:
        """The context is chosen anew at the next question."""
        self._placed = False

    def _moved(self, document: Document, cursor: Cursor) -> bool:
        """Chooses where the window starts: where it did, while the cursor is between a quarter and the whole of the
        window's size behind that."""
        lines = document.lines[self._start:cursor.line]
        size = sum(map(len, lines)) + cursor.column
        near = self._start and size < self.characters // 4
        if self._start <= cursor.line and not near and size <= self.characters:
            return False
        start, size = cursor.line, cursor.column
        while start and size + len(document.lines[start - 1]) <= self.characters * 5 // 8:
            start -= 1
            size += len(document.lines[start])
        moved, self._start = start != self._start, start
        return moved

    def _window(self, document: Document, cursor: Cursor) -> str:
        text = unix("".join(document.lines[self._start:cursor.line]) + document.line_before(cursor))
        beyond = len(text) - self.characters
        if beyond > 0:  # a very long line; its window moves in steps too
            step = self.characters // 4
            text = text[-(-beyond // step) * step:]
        return text

    def _title(self, document: Document) -> str:
        """The file's name as a comment, which says the language too; prose goes without."""
        name = file_name(document.uri)
        return "" if document.language in PROSE or not name else f"{comment(document.language)} {name}\n"


def related(document: Document, cursor: Cursor, others: Iterable[Document]) -> str:
    """The part of another document that shares most words with the text before the cursor, or nothing.

    Likeness is that of sets of words (Jaccard's), as other completers measure it; words of one or two letters are left
    out.
    """
    near = words("".join(document.lines[max(0, cursor.line - _NEAR_LINES):cursor.line]) + document.line_before(cursor))
    best, text = _LEAST_LIKENESS, ""
    for other in others:
        sets = [words(line) for line in other.lines[:MAX_OTHER_LINES]]
        for first in range(0, len(sets), _CHUNK_LINES // 2):
            chunk = set().union(*sets[first:first + _CHUNK_LINES])
            likeness = len(near & chunk) / (len(near | chunk) or 1)
            if likeness > best:
                lines = other.lines[first:first + _CHUNK_LINES]
                best, text = likeness, f"{comment(other.language)} {file_name(other.uri)}\n{unix(''.join(lines))}"
    return text[:_CHUNK_CHARACTERS].rstrip() + "\n\n" if text else ""


def words(text: str) -> set[str]:
    return set(_WORD.findall(text))


def file_name(uri: str) -> str:
    """The last part of a document's address; empty for one that is no file yet."""
    parts = urlparse(uri)
    return basename(unquote(parts.path)) if parts.scheme != "untitled" else ""
