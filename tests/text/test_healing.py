"""A prompt that ends inside a word can go on to the very tokens that the whole text would have had."""
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from small_models import SHARED

import gpt2_assist
from gpt2_assist.text.healing import MAX_BYTES, MAX_TOKENS, Healing, Respelling
from gpt2_assist.text.tokenizer import TextTokenizer

FOLDERS = {"mini": Path(gpt2_assist.__file__).parent / "models" / "mini", "genuine": SHARED / "gpt2-bpe"}
PIECES = ["The", "lighthouse", " keeper", "they're", "I'll", "'ve", "don't", "''", "'", "s", "l", "v", "r", "-", "...",
          " ", "  ", "    ", "\n", "\n\n", "\t", "\u00a0", "1984", "3.14", "http://", "(", '"', "é", "ß", "語", "👍🏽"]

texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), min_size=1, max_size=8).map("".join)
tokens = st.binary(min_size=2, max_size=5) | st.text("ab", min_size=2, max_size=4).map(str.encode)


def no_text(text: str) -> list[int]:
    """A tokenizer that never gets so far: Healing then takes the longest token that fits."""
    raise UnicodeDecodeError("utf-8", b"", 0, 0, text)


bytes_alone = [bytes([byte]) for byte in range(256)]


@pytest.fixture(scope="module", params=FOLDERS)
def tokenizer(request) -> TextTokenizer:
    if not FOLDERS[request.param].is_dir():
        pytest.skip("the genuine GPT-2 tokenizer is not here")
    return TextTokenizer.from_folder(FOLDERS[request.param])


@pytest.fixture(scope="module")
def healing(tokenizer) -> Healing:
    return Healing(tokenizer.ordinary_tokens(), tokenizer.encode)


def healed(tokenizer: TextTokenizer, healing: Healing, prompt: str) -> tuple[list[int], bytes]:
    """What of the prompt's tokens is kept, and what must be spelled again."""
    ids, unsettled = tokenizer.encode_unsettled(prompt)
    kept = len(ids) - healing.taken(ids, unsettled)
    return ids[:kept], b"".join(map(tokenizer.token_bytes, ids[kept:]))


@given(texts)
@settings(max_examples=300, deadline=None)
def test_the_prompts_own_tokens_are_one_way_to_spell_it_again(tokenizer, healing, prompt):
    ids, unsettled = tokenizer.encode_unsettled(prompt)
    taken = healing.taken(ids, unsettled)
    assume(taken == unsettled)  # a longer word is healed in part
    kept, spelling = healed(tokenizer, healing, prompt)
    respelling = Respelling(healing, spelling)
    for id in tokenizer.encode(spelling.decode()):
        assert id in respelling.allowed
        assert respelling.take(id) == b""
    assert respelling.allowed is None


@pytest.mark.parametrize(("prompt", "word"), [("The ligh", " light"), ("The ", " the"), ("Once upon a ti", " time")])
def test_the_word_that_was_begun_can_come_as_one_token(tokenizer, healing, prompt, word):
    _, spelling = healed(tokenizer, healing, prompt)
    (id,) = tokenizer.encode(word)
    respelling = Respelling(healing, spelling)
    assert id in respelling.allowed and spelling + respelling.take(id) == word.encode()


@pytest.mark.parametrize(("prompt", "kept", "spelling"), [
    ("The light", "The", " light"), ("The ", "The", " "), ("The\n\n", "The", "\n\n"), ("In 19", "In", " 19"),
    ("see http:", "see http", ":"), ("they'r", "they", "'r"), ("rock ''l", "rock ''", "l"), ("café", "", "café"),
    ("Tom's", "Tom's", ""), ("I'll", "I'll", ""), ("one.<|endoftext|>", "one.<|endoftext|>", ""), ("", "", "")])
def test_what_is_taken_back_is_the_last_word_unless_nothing_could_grow_from_it(tokenizer, healing, prompt, kept,
                                                                              spelling):
    ids, taken_back = healed(tokenizer, healing, prompt)
    assert (tokenizer.decode(ids), taken_back.decode()) == (kept, spelling)


@given(st.sampled_from(["x", "語", " ", "=", "7", "👍"]), st.integers(1, 300))
@settings(deadline=None)
def test_little_is_taken_back_of_a_word_without_an_end(tokenizer, healing, sign, count):
    ids, unsettled = tokenizer.encode_unsettled(sign * count)
    taken = healing.taken(ids, unsettled)
    kept, spelling = healed(tokenizer, healing, sign * count)
    assert taken <= min(unsettled, MAX_TOKENS) and len(spelling) <= MAX_BYTES
    assert b"".join(map(tokenizer.token_bytes, kept)) + spelling == (sign * count).encode()


@given(st.sets(tokens, max_size=30), st.randoms(), st.binary(min_size=1, max_size=6) | tokens)
def test_allowed_are_the_tokens_that_begin_with_the_spelling_or_else_one_beginning_of_it(long, dice, spelling):
    vocabulary = [*long, *bytes_alone, b"", b""]
    dice.shuffle(vocabulary)
    longest = max((token for token in vocabulary if token and spelling.startswith(token)), key=len)
    expected = [id for id, token in enumerate(vocabulary) if token and (token.startswith(spelling) or token == longest)]
    assert Healing(vocabulary, no_text).allowed(spelling).tolist() == expected


@given(st.sets(tokens, max_size=30), st.binary(min_size=1, max_size=12), st.data())
def test_every_walk_along_allowed_tokens_spells_what_was_taken_back(long, spelling, data):
    vocabulary = [*bytes_alone, *sorted(long), b""]
    respelling, said, new = Respelling(Healing(vocabulary, no_text), spelling), b"", b""
    while respelling.allowed is not None:
        assert not new
        id = data.draw(st.sampled_from(respelling.allowed.tolist()))
        said += vocabulary[id]
        new = respelling.take(id)
    assert said == spelling + new


def test_a_token_that_was_not_allowed_is_an_error():
    healing = Healing([*bytes_alone, b"ab", b""], no_text)
    for wrong in (ord("b"), 257):
        with pytest.raises(ValueError, match="not allowed"):
            Respelling(healing, b"a").take(wrong)


@given(st.sets(tokens, min_size=1, max_size=30), st.sets(st.integers(0, 255)), st.data())
def test_only_what_a_vocabulary_can_spell_byte_by_byte_is_taken_back(long, lacking, data):
    """SmolLM2's has no tokens for 21 bytes that hardly any text holds."""
    vocabulary = [*sorted(long), *(byte for byte in bytes_alone if byte[0] not in lacking)]
    ids = data.draw(st.lists(st.sampled_from(range(len(vocabulary))), min_size=1, max_size=MAX_TOKENS))
    healing = Healing(vocabulary, no_text)
    taken = healing.taken(ids, len(ids))
    spelling = b"".join(vocabulary[id] for id in ids[len(ids) - taken:])
    assert not lacking.intersection(spelling)
    if taken < len(ids):
        more = vocabulary[ids[len(ids) - taken - 1]]
        assert lacking.intersection(more) or len(more + spelling) > MAX_BYTES
    respelling = Respelling(healing, spelling)
    while respelling.allowed is not None:
        respelling.take(data.draw(st.sampled_from(respelling.allowed.tolist())))


def test_special_tokens_spell_nothing(tokenizer):
    tokens = tokenizer.ordinary_tokens()
    for id in range(tokenizer.vocab_size):
        assert (tokens[id] if id < len(tokens) else b"") == (b"" if id == tokenizer.end_of_text
                                                             else tokenizer.token_bytes(id))
