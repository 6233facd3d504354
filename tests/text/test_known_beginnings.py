"""Remembered beginnings change no token, whatever is written, cut and put in between."""
from hypothesis import given
from hypothesis import strategies as st

from gpt2_assist.text.known_beginnings import KnownBeginnings
from gpt2_assist.text.tokenizer import TextTokenizer
from gpt2_assist.training.pretraining.tokenizer_training import train_tokenizer

_PIECES = st.one_of(st.text(max_size=30), st.sampled_from([
    " ", "  ", "\n\n", "the cat", " don't", "'", "a b",
    "<|endoftext|>", "\u00a0x", "e\u0301", "x" * 90, "1 2", "word " * 40,
    "_ _", " \u3000 a"]))


@given(st.lists(_PIECES, min_size=1, max_size=20), st.lists(st.tuples(st.integers(0, 400), _PIECES), max_size=6))
def test_the_tokens_are_those_of_the_whole_text(pieces, edits):
    plain, remembering = (TextTokenizer(_tokenizer()) for _ in range(2))
    text = "Once there was a fox that lived in a wood. " * 20
    for piece in pieces:
        text += piece
        assert remembering.encode_unsettled(text)[0] == plain.encode(text)
    for place, piece in edits:
        text = text[:len(text) - place] + piece + text[len(text) - place:]
        assert remembering.encode_unsettled(text)[0] == plain.encode(text)


def test_a_long_text_is_encoded_once():
    beginnings, seen = KnownBeginnings(), []

    def encode(part: str) -> list[int]:
        seen.append(len(part))
        return [0] * len(part)

    text = "some words of a long text " * 400
    for end in range(5000, 9000, 7):
        ids, rest = beginnings.split(text[:end], encode)
        assert len(ids) + len(rest) == end and text[:end].endswith(rest) and len(rest) < 1000
    assert sum(seen) < 10_000


def _tokenizer():
    return train_tokenizer(["the cat and the dog and the bird don't 1 2 3 " * 3], 300)
