"""Bytes of unknown origin as text: the usual encodings, damage mended, and what is no text told apart."""
import codecs
import re

from gpt2_assist.corpus.documents import clean

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
"""In this order: the mark of UTF-32 begins with that of UTF-16."""
_CONTROLS = bytes({*range(32), 127} - set(b"\0\t\n\f\r\b\x1b"))
_PLACEHOLDER = "\ufffd"


def decoded(content: bytes) -> tuple[str, bool] | None:
    """(clean text, whether it had to be mended or converted) of a file's bytes; None where they are no text.

    Without a byte order mark it is UTF-8, and lines that aren't are Windows-1252. A few odd bytes are taken out, more
    of them make it no text: from one NUL in a thousand bytes, one control character in fifty, or three undecodable
    bytes in ten.
    """
    mark, encoding = next((known for known in _MARKS if content.startswith(known[0])), (b"", "utf-8"))
    if encoding != "utf-8":
        return _with_wide_characters(content, encoding)
    content = content.removeprefix(mark)
    nulls = content.count(b"\0")
    controls = len(content) - len(content.translate(None, _CONTROLS))
    if nulls * 1000 > len(content) or controls * 50 > len(content):
        return None
    try:
        return clean(content.decode("utf-8")), nulls > 0
    except UnicodeDecodeError:
        pass
    if 10 * (len(content) - len(content.decode("utf-8", "ignore").encode())) > 3 * len(content):
        return None
    return clean("".join(map(_mended, re.findall(rb"[^\r\n]*[\r\n]*", content)))), True


def _with_wide_characters(content: bytes, encoding: str) -> tuple[str, bool] | None:
    text = content.decode(encoding, "replace")
    odd = text.count(_PLACEHOLDER) + text.count("\0")
    return None if odd * 100 > len(text) + 100 else (clean(text.replace(_PLACEHOLDER, "")), True)


def _mended(line: bytes) -> str:
    """A line with more sound characters of UTF-8 than broken bytes is damaged UTF-8, another is Windows-1252."""
    kept = line.decode("utf-8", "ignore")
    sound = sum(character > "\x7f" for character in kept)
    broken = len(line) - len(kept.encode())
    return kept if sound >= broken else line.decode("cp1252", "ignore")
