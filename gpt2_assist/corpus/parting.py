"""Parts a text into documents where lines and marks of its own say so."""
import re
from collections.abc import Iterator

from gpt2_assist.corpus.documents import END, START, Document

_START = rf"^{re.escape(START)}|(?<={re.escape(END)}){re.escape(START)}"
_MARKS = re.compile(rf"(?P<start>{_START})|(?P<line>^{re.escape(END)}$)|(?P<end>{re.escape(END)})", re.MULTILINE)


def parted(text: str, source: str, ends_anywhere: bool = False, one_line: bool = False) -> Iterator[Document]:
    """The documents of a clean text, without the empty lines around them.

    A line `<|endoftext|>` ends a document, and so does that mark within a line where `ends_anywhere`. What stands
    between `<|startoftext|>` in front of a line (or right behind an end) and the next mark is a short document. In
    other places the marks are words like others.
    """
    begin, line, counted, short = 0, 1, 0, False
    for mark in (*_MARKS.finditer(text), None):
        if mark and mark["end"] and not (short or ends_anywhere):
            continue
        end = mark.start() if mark else len(text)
        part = text[begin:end]
        if part.strip():
            first = begin + len(part) - len(part.lstrip("\n"))
            line, counted = line + text.count("\n", counted, first), first
            yield Document(part.strip("\n"), source, 1 if one_line else line, short, one_line)
        if mark:
            begin, short = mark.end(), bool(mark["start"])
