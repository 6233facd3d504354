"""What the model reads before it completes: slow-changing first, so that its cache holds as long as may be.

First a part of another open file that speaks of the same things, then the file's name, then the text before the cursor.
Each stays as it is while one types, and moves in large steps only: one more key is one more token to read.
"""
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gpt2_assist.completion.languages import PROSE, comment
from gpt2_lsp.addresses import name
from gpt2_lsp.documents import Cursor, Document, plain

_WORD = re.compile(r"[^\W\d]\w{2,}")
_CHUNK_LINES = 16
_CHUNK_CHARACTERS = 700
_LINE_CHARACTERS = 1000
"""Of a line, at most, that is compared."""
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
    _source: str = ""
    """The address of the document that the related part is of."""
    _placed: bool = False

    def prompt(self, document: Document, cursor: Cursor, others: Callable[[], Iterable[Document]]) -> str:
        """The text for the model. The `others`, which may be read now, are looked at when the window moves, or when the
        one of which a part is in the context isn't among them any more."""
        gone = self._source and all(other.uri != self._source for other in others())
        if self._moved(document, cursor) or gone or not self._placed:
            self._placed = True
            self._source, self._related = related(document, cursor, others())
        return self._related + self._title(document) + self._window(document, cursor)

    def forget(self) -> None:
        """The context is chosen anew at the next question."""
        self._placed = False

    def _moved(self, document: Document, cursor: Cursor) -> bool:
        """Chooses where the window starts: where it did, while the cursor is between a quarter and the whole of the
        window's size behind that."""
        if 0 <= cursor.line - self._start <= self.characters:
            size = sum(map(len, document.lines[self._start:cursor.line])) + cursor.column
            near = self._start and size < self.characters // 4
            if not near and size <= self.characters:
                return False
        start, size = cursor.line, cursor.column
        while start and size + len(document.lines[start - 1]) <= self.characters * 5 // 8:
            start -= 1
            size += len(document.lines[start])
        moved, self._start = start != self._start, start
        return moved

    def _window(self, document: Document, cursor: Cursor) -> str:
        above = "".join(document.lines[self._start:cursor.line])
        beyond, step = len(above) + cursor.column - self.characters, self.characters // 4
        cut = max(0, -(-beyond // step) * step)  # of a very long line; its window moves in steps too
        line = document.lines[cursor.line][max(0, cut - len(above)):cursor.column]
        return plain(above[cut:] + line)

    def _title(self, document: Document) -> str:
        """The file's name as a comment, which says the language too; prose goes without."""
        title = name(document.uri)
        return "" if document.language in PROSE or not title else f"{comment(document.language)} {title}\n"


def related(document: Document, cursor: Cursor, others: Iterable[Document]) -> tuple[str, str]:
    """The part of another document that shares most words with the text before the cursor, behind that one's address,
    or nothing.

    Likeness is that of sets of words (Jaccard's), as other completers measure it; words of one or two letters are left
    out.
    """
    above = (line[-_LINE_CHARACTERS:] for line in document.lines[max(0, cursor.line - _NEAR_LINES):cursor.line])
    here = document.lines[cursor.line][max(0, cursor.column - _LINE_CHARACTERS):cursor.column]
    near = words("".join(above) + here)
    best, source, text = _LEAST_LIKENESS, "", ""
    for other in others:
        sets = [words(line[:_LINE_CHARACTERS]) for line in other.lines[:MAX_OTHER_LINES]]
        for first in range(0, len(sets), _CHUNK_LINES // 2):
            chunk = set().union(*sets[first:first + _CHUNK_LINES])
            likeness = len(near & chunk) / (len(near | chunk) or 1)
            if likeness > best:
                lines = "".join(line[:_CHUNK_CHARACTERS] for line in other.lines[first:first + _CHUNK_LINES])
                best, source = likeness, other.uri
                text = f"{comment(other.language)} {name(other.uri)}\n{plain(lines)}"
    return source, text[:_CHUNK_CHARACTERS].rstrip() + "\n\n" if text else ""


def words(text: str) -> set[str]:
    return set(_WORD.findall(text))
