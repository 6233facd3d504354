"""What stands before a text is put there once."""
import pytest

from gpt2_assist.text.opening import opening

MARKS = "<|endoftext|><|startoftext|>"


@pytest.mark.parametrize("prefix, text, before", [
    ("", "Dear", ""), ("<|endoftext|>", "Dear", "<|endoftext|>"), ("<|endoftext|>", "", "<|endoftext|>"),
    ("<|endoftext|>", "<|endoftext|>Dear", ""), (MARKS, "Dear", MARKS),
    (MARKS, "<|startoftext|>Dear", "<|endoftext|>"), (MARKS, MARKS, ""), (MARKS, "|>", MARKS),
    ("Title: ", "Title: A dog", ""), ("Title: ", "tle: A dog", "Title: ")])
def test_a_prompt_that_has_it_keeps_its_own(prefix, text, before):
    assert opening(prefix, text) == before
