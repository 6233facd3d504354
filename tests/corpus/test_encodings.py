"""Text in any usual encoding, damaged or not, and what is none."""
import codecs
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt2_assist.corpus.encodings import decoded

PROSE = "Grüße aus Köln, “café” – naïve 😀.\nSecond line: żółć.\n"
WESTERN = "Grüße aus Köln, “café” – naïve.\nSecond line: à la carte.\n"


@pytest.mark.parametrize(("content", "mended"), [
    (PROSE.encode(), False), (PROSE.encode("utf-8-sig"), False), (PROSE.replace("\n", "\r\n").encode(), False),
    (PROSE.replace("\n", "\r").encode(), False), (PROSE.encode("utf-16"), True), (PROSE.encode("utf-32"), True),
    (codecs.BOM_UTF16_BE + PROSE.encode("utf-16-be"), True), (codecs.BOM_UTF32_BE + PROSE.encode("utf-32-be"), True)])
def test_one_text_in_many_encodings(content, mended):
    assert decoded(content) == (PROSE, mended)


def test_windows_1252():
    assert decoded(WESTERN.encode("cp1252")) == (WESTERN, True)
    assert decoded((WESTERN + "\x9d").encode("latin-1", "replace") + b"caf\xe9\x81") is not None


def test_both_encodings_in_one_file():
    assert decoded(PROSE.encode() + WESTERN.encode("cp1252") + PROSE.encode()) == (PROSE + WESTERN + PROSE, True)


def test_damage_spoils_nothing_around_it():
    content = PROSE.encode()
    cut = content.replace("ü".encode(), b"\xc3", 1)
    assert decoded(cut) == (PROSE.replace("ü", "", 1), True)
    nul = (PROSE * 50).encode() + b"\0 end"
    assert decoded(nul) == (PROSE * 50 + " end", True)


@pytest.mark.parametrize("content", [
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"text\0more", bytes(range(256)) * 4, random.Random(0).randbytes(9999),
    b"\x7fELF" + bytes(99), b"\x01\x02\x03abc", "привет, мир, как дела".encode("cp1251"), "text".encode("utf-16-le"),
    codecs.BOM_UTF16_LE + random.Random(1).randbytes(9998)])
def test_what_is_no_text(content):
    assert decoded(content) is None


def test_empty_is_text():
    assert decoded(b"") == ("", False)


@given(st.binary())
def test_any_bytes_give_clean_text_or_none(content):
    read = decoded(content)
    if read is not None:
        read[0].encode()
        assert not re.search("[\0\r]", read[0])


@given(st.text(st.characters(blacklist_categories=["Cc", "Cs"], blacklist_characters="\ufffd")), st.sampled_from([
    ("utf-8", b""), ("utf-8", codecs.BOM_UTF8), ("utf-16-le", codecs.BOM_UTF16_LE),
    ("utf-16-be", codecs.BOM_UTF16_BE)]))
def test_sound_text_comes_back_whole(text, encoding):
    assert decoded(encoding[1] + text.encode(encoding[0])) in [
        (text.removeprefix("\ufeff"), mended) for mended in (False, True)]
