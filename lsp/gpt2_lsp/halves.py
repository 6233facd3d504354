"""Half characters: editors whose strings are of UTF-16 may send one alone, cut a character in two, or make two one.

Documents keep them as they came, so that positions stay right; models and messages get U+FFFD, which is as wide.
"""
import re

_HALF = re.compile("[\ud800-\udfff]")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def joined(text: str) -> str:
    """The text with every two halves that belong together as one character."""
    return _PAIR.sub(lambda pair: _of_units(pair[0]), text) if _has_halves(text) else text


def replaced(text: str) -> str:
    """The text with U+FFFD for every half character; as many characters and units."""
    return _HALF.sub("\ufffd", text) if _has_halves(text) else text


def put_together(first: str, second: str) -> str:
    """Two joined texts as one, which is joined too."""
    seam = first[-1:] + second[:1]
    return first[:-1] + _of_units(seam) + second[1:] if _PAIR.match(seam) else first + second


def halves(character: str) -> str:
    """The two halves of a character beyond U+FFFF."""
    data = character.encode("utf-16-be")
    return "".join(data[at:at + 2].decode("utf-16-be", "surrogatepass") for at in (0, 2))


def is_first(character: str) -> bool:
    return "\ud800" <= character <= "\udbff"


def _of_units(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def _has_halves(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
