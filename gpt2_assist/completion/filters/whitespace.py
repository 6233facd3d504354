"""Line ends and indentation as the document has them.

This rewrites, so it stands before the filters. Of a text that grows, what it gives grows too: it holds back a \\r,
which may be half a line end, and spaces that may become a tab.
"""
import re
from collections import Counter

from gpt2_assist.completion.filters.draft import Place

_INDENT = re.compile(r"\n([ \t]+)(?=([^ \t\n]?))")
_INDENTED = re.compile(r"^[ \t]+(?=\S|\Z)", re.MULTILINE)
_LEVELS = (2, 3, 4, 8)


def normalised(place: Place, text: str) -> str:
    """The text with \\n for line ends, and tabs or spaces at the beginnings of its lines, whichever the document has.

    The first line is left alone: it goes on from what stands in the document. Where the document has no indented line,
    all lines are.
    """
    text = text.removesuffix("\r").replace("\r\n", "\n").replace("\r", "\n")
    level = _level(place)
    if level == "\t":
        return _with_tabs(text)
    return _INDENT.sub(lambda match: match[0].replace("\t", level), text) if level else text


def _with_tabs(text: str) -> str:
    """Spaces at the beginning of a line become tabs; of how many each, the first such line says."""
    width = 0

    def rewritten(match: re.Match) -> str:
        nonlocal width
        white, more = match.groups()
        spaces = len(white) - len(white.lstrip(" "))
        more = more or white[spaces:]
        if more and spaces and not width:
            width = next((level for level in (4, 2, 3) if spaces % level == 0), 4)
        tabs, rest = divmod(spaces, width or 1000)
        return "\n" + "\t" * tabs + (" " * rest if more else "") + white[spaces:]

    return _INDENT.sub(rewritten, text)


def _level(place: Place) -> str:
    """One level of the document's indentation; empty where it has none."""
    if place.indent:
        return place.indent
    indents = [found for text in (place.before, place.after.partition("\n")[2]) for found in _INDENTED.findall(text)]
    kinds = Counter(indent[0] for indent in indents)
    if not kinds or kinds["\t"] > kinds[" "]:
        return "\t" if kinds else ""
    least = min(len(indent) for indent in indents if indent[0] == " ")
    return " " * (least if least in _LEVELS else 4)
