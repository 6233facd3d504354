"""Positions in a line: from an editor's units to characters and back. Units are those of LSP's position encodings."""
from bisect import bisect_right
from itertools import accumulate

UTF8, UTF16, UTF32 = "utf-8", "utf-16", "utf-32"


def characters(line: str, units: int, encoding: str) -> int:
    """How many characters of `line` lie before a position `units` units in. Past the end is the end, inside a
    character is before it."""
    if encoding == UTF32 or line.isascii():
        return min(units, len(line))
    return bisect_right(list(accumulate(map(_width(encoding), line))), units)


def units(text: str, encoding: str) -> int:
    """How many units `text` has."""
    if encoding == UTF32 or text.isascii():
        return len(text)
    return sum(map(_width(encoding), text))


def _width(encoding: str):
    return _utf8_width if encoding == UTF8 else _utf16_width


def _utf16_width(character: str) -> int:
    return 1 if character < "\U00010000" else 2


def _utf8_width(character: str) -> int:
    return 1 if character < "\x80" else 2 if character < "\u0800" else _utf16_width(character) + 2
