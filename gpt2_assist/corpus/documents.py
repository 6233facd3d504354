"""A document: one text of a corpus, and where it was found."""
import re
from dataclasses import dataclass

from gpt2_assist.errors import DataError

START, END = "<|startoftext|>", "<|endoftext|>"
_UNWANTED = re.compile(
    "[\0\ud800-\udfff\u00ad\u2060\ufeff]|\u200b(?![\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff])")
"""What no reader sees and no search finds; in the languages of South-East Asia U+200B parts words."""
_LINE_ENDS = re.compile("\r\n?|[\u2028\u2029]")


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


@dataclass(frozen=True)
class Reading:
    """What came of one file."""

    documents: list[Document]
    found: str = ""
    """What it was found to be, in words; empty for plain text."""


class UnreadableFile(DataError):
    """A file gives no documents."""

    def __init__(self, sentence: str, reason: str) -> None:
        """`reason` says why in the few words under which such files are counted."""
        super().__init__(re.sub("^standard input ", "Standard input ", sentence))
        self.reason = reason


def clean(text: str) -> str:
    """`text` with line ends \\n, without NULs, lone surrogates, byte order marks and other signs that nobody sees."""
    return _UNWANTED.sub("", _LINE_ENDS.sub("\n", text))
