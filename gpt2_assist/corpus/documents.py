"""A document: one text of a corpus, and where it was found."""
import re
from dataclasses import dataclass

from gpt2_assist.errors import DataError

START, END = "<|startoftext|>", "<|endoftext|>"
_UNWANTED = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True)
class Document:
    """One text: its lines end in \\n, it holds no NUL and no lone surrogate, and it is never blank."""

    text: str
    source: str
    """The path as it was found, or "standard input"; always valid Unicode."""
    line: int = 1
    """Where it begins in the source, from 1."""
    short: bool = False
    """Whether it is a short text, as of a table's row, which stands between START and END."""
    one_line: bool = False
    """Whether all of it stands in one line of the source, whatever line ends it has itself."""

    def line_at(self, position: int) -> int:
        """The source's line, from 1, in which the character at `position` of the text stands."""
        return self.line if self.one_line else self.line + self.text.count("\n", 0, position)


class UnreadableFile(DataError):
    """A file gives no documents."""

    def __init__(self, sentence: str, reason: str) -> None:
        """`reason` says why in the few words under which such files are counted."""
        super().__init__(sentence)
        self.reason = reason


def clean(text: str) -> str:
    """`text` with line ends \\n, without NULs, lone surrogates and a byte order mark in front."""
    return _UNWANTED.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).removeprefix("\ufeff")
