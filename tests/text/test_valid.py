"""Text from outside that no encoding has."""
import os

from hypothesis import given
from hypothesis import strategies as st

from gpt2_assist.text.valid import valid


def test_bytes_that_were_not_read_are_read_or_replaced():
    assert valid("grün ✓") == "grün ✓"
    assert valid(b"caf\xc3\xa9".decode("ascii", "surrogateescape")) == "café"
    assert valid(os.fsdecode(b"caf\xe9")) == "caf\ufffd"
    assert valid("\ud83d\ude00 \ud83d") == "😀 \ufffd"


@given(st.text(st.characters(min_codepoint=0, max_codepoint=0x10FFFF)))
def test_any_text_can_be_sent(text):
    made = valid(text)
    assert made.encode().decode() == made == valid(made)
    assert made == text or any("\ud800" <= character <= "\udfff" for character in text)
