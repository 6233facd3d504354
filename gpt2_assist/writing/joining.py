"""How a line that was typed by itself joins the text before it: with a space where English has one."""
import re
import unicodedata

_CLOSING = ",.;:!?)]}’”…»—%"
_OPENING = "([{‘“«—/"
_CONTRACTION = re.compile(r"'(s|t|d|m|ll|re|ve|em|n)\b", re.IGNORECASE)
_SINGLE_QUOTES = re.compile(r"(?<![^\W_])'|'(?![^\W_])")
"""Apostrophes within words are none."""


def joined(before: str, text: str) -> str:
    """`text` as it follows `before`: behind a space where neither side has one and none of them forbids it.

    A straight quote opens where the paragraph so far has an even number of them, else it closes. Nothing else is
    changed: what was typed at the end stays, spaces too.
    """
    if not before or not text or before[-1].isspace() or text[0].isspace():
        return text
    paragraph = before[before.rfind("\n") + 1:]
    close = text[0] in _CLOSING or _closes(paragraph, text) or _opened(paragraph) or _unspaced(before[-1], text[0])
    return text if close else " " + text


def _closes(paragraph: str, text: str) -> bool:
    """Whether the straight quote or apostrophe that the text begins with belongs to what stands before it."""
    if text[0] == '"':
        return paragraph.count('"') % 2 == 1
    if text[0] == "'":
        return bool(_CONTRACTION.match(text)) or len(_SINGLE_QUOTES.findall(paragraph)) % 2 == 1
    return False


def _opened(paragraph: str) -> bool:
    """Whether the paragraph ends with what has just been opened."""
    last = paragraph[-1:]
    if last == '"':
        return paragraph.count('"') % 2 == 1
    if last == "'":
        return (len(paragraph) == 1 or paragraph[-2].isspace()) and len(_SINGLE_QUOTES.findall(paragraph)) % 2 == 1
    return last != "" and last in _OPENING


def _unspaced(last: str, first: str) -> bool:
    """Whether these are of scripts that put no spaces between words."""
    return any(unicodedata.east_asian_width(character) in "WF" and character.isalpha() for character in (last, first))
