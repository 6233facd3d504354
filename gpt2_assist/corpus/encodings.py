"""Bytes of unknown origin as text: the usual encodings, damage mended, and what is no text told apart."""
import codecs
import re
import unicodedata

from gpt2_assist.corpus.documents import clean

DAMAGED, WESTERN = "damaged UTF-8", "Windows-1252"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8", ""), (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"), (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"))
"""In this order: the mark of UTF-32 begins with that of UTF-16."""
_UNMARKED = (("utf-32-le", 4, "UTF-32"), ("utf-32-be", 4, "UTF-32"), ("utf-16-le", 2, "UTF-16"),
             ("utf-16-be", 2, "UTF-16"))
"""(encoding, bytes of a character, its name)."""
_CONTROLS = bytes({*range(32), 127} - set(b"\0\t\n\f\r\b\x1b"))
_PRINTABLE = bytes({*b"\0\t\n\f\r", *range(32, 127)})
_JAPANESE_MAIL = re.compile(rb"\x1b\$[@B](?:[!-~]{2})+")
_PLACEHOLDER = "\ufffd"
_SEEN = 1 << 12


class UnknownEncoding(Exception):
    """It is text, but nobody can say for certain what it says."""


def decoded(content: bytes) -> tuple[str, str] | None:
    """(clean text, what it was in or had to be mended of; empty for sound UTF-8) of a file's bytes; None where they are
    no text.

    Lines that aren't UTF-8 are in the encoding of some country. A few odd bytes are taken out, more of them make it no
    text: from one NUL in a thousand bytes, or one control character in fifty. Raises UnknownEncoding where the
    encoding isn't certain.
    """
    mark, encoding, name = next((known for known in _MARKS if content.startswith(known[0])), (b"", "utf-8", ""))
    if encoding != "utf-8":
        return _with_wide_characters(content, encoding, name)
    content = content.removeprefix(mark)
    nulls = content.count(b"\0")
    if nulls and (wide := _unmarked(content)):
        return wide
    controls = len(content) - len(content.translate(None, _CONTROLS))
    if nulls * 1000 > len(content) or controls * 50 > len(content):
        return None
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return _by_lines(content)
    if _JAPANESE_MAIL.search(content):
        return clean(content.decode("iso2022_jp", "ignore")), "ISO-2022-JP"
    return clean(text), DAMAGED if nulls else ""


def _with_wide_characters(content: bytes, encoding: str, name: str) -> tuple[str, str] | None:
    text = content.decode(encoding, "replace")
    odd = text.count(_PLACEHOLDER) + text.count("\0")
    return None if odd * 100 > len(text) + 100 else (clean(text.replace(_PLACEHOLDER, "")), name)


def _unmarked(content: bytes) -> tuple[str, str] | None:
    """Text in UTF-32 or UTF-16 without a mark in front: of what reads so without anything odd, that with most signs of
    ASCII, spaces and line ends above all."""
    best, plain = None, 0
    for encoding, width, name in _UNMARKED:
        try:
            text = content.decode(encoding) if len(content) % width == 0 else ""
        except UnicodeDecodeError:
            continue
        seen = text[:_SEEN]
        ascii_signs = sum(character.isascii() for character in seen)
        least = 2 if not content.translate(None, _PRINTABLE) else 100  # ASCII read as if it were wide is Chinese
        if least * ascii_signs > len(seen) and ascii_signs > plain and not any(map(_is_odd, seen)):
            best, plain = (clean(text), name), ascii_signs
    return best


def _is_odd(character: str) -> bool:
    return character not in "\t\n\f\r" and unicodedata.category(character) in ("Cc", "Cn", "Co")


def _by_lines(content: bytes) -> tuple[str, str]:
    """A line with more sound characters of UTF-8 than broken bytes is damaged UTF-8; the others have one encoding."""
    lines = re.findall(rb"[^\r\n]*[\r\n]*", content)
    foreign = {line for line in lines if not line.isascii() and _is_foreign(line)}
    if not foreign:
        return clean(content.decode("utf-8", "ignore")), DAMAGED
    from gpt2_assist.corpus.languages import is_western, told  # not above: most texts need none of it

    theirs = b"".join(line for line in lines if line in foreign)
    known = told(theirs)
    if known is None and not is_western(theirs):
        raise UnknownEncoding
    encoding, name = known or ("cp1252", WESTERN)
    return clean("".join(line.decode(encoding if line in foreign else "utf-8", "ignore") for line in lines)), name


def _is_foreign(line: bytes) -> bool:
    kept = line.decode("utf-8", "ignore")
    sound = len(kept) - len(kept.encode("ascii", "ignore"))
    return len(line) - len(kept.encode()) > sound
