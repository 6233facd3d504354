"""The tokenizer against tiktoken built from the same genuine files, and the three spellings of those files."""
import json
import random
import shutil

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import SHARED
from tokenizers import Tokenizer

from gpt2_assist.errors import ModelError
from gpt2_assist.text.tokenizer import TextTokenizer

GENUINE = SHARED / "gpt2-bpe"
PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
genuine = pytest.mark.skipif(not (GENUINE / "vocab.bpe").is_file(), reason="the genuine GPT-2 tokenizer is not here")
TEXTS = {
    "Latin": "The quick brown fox, they're saying, doesn't jump: I'd say we've 1,234.56 reasons.\n\n  It'll end.",
    "Latin with accents": "Größe, naïveté, Œuvre, žluťoučký kůň, İstanbul, Tiếng Việt",
    "Greek": "Ἐν ἀρχῇ ἦν ὁ λόγος, καὶ ὁ λόγος ἦν πρὸς τὸν θεόν.",
    "Cyrillic": "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "Arabic": "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر ٣٤٥",
    "Hebrew": "דג סקרן שט בים מאוכזב ולפתע מצא לו חברה",
    "Devanagari": "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण १२३",
    "Thai": "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า",
    "Chinese": "天地玄黃,宇宙洪荒。日月盈昃,辰宿列張。",
    "Japanese": "いろはにほへと ちりぬるを ワカヨタレソ ツネナラム 漢字",
    "Korean": "다람쥐 헌 쳇바퀴에 타고파",
    "Ethiopic": "ሰማይ አይታረስ ንጉሥ አይከሰስ።",
    "emoji": "😀 👩‍👩‍👧‍👦 🇫🇷 🏳️‍🌈 👍🏽 ☃️",
    "code": "def f(x: int) -> str:\n\tif x >= 0x1F:\n        return f\"{x!r:>10}\"  # tail   \n\r\n\n",
    "spaces": " a  b   c\u00a0d\u2003e\u3000f \u200b g\x00\x01\x1f\x7f\u0085\u2028",
    "end of text": "one<|endoftext|>two <|endoftext|> three<|endoftext|><|endoftext|>",
    "nothing": "",
}


@pytest.fixture(scope="module")
def ours() -> TextTokenizer:
    return TextTokenizer.from_folder(GENUINE)


@pytest.fixture(scope="module")
def theirs() -> tiktoken.Encoding:
    alphabet = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in alphabet]
    byte_of = {chr(byte): byte for byte in alphabet} | {chr(256 + k): byte for k, byte in enumerate(others)}
    ranks = {bytes([byte]): k for k, byte in enumerate(alphabet + others)}
    lines = (GENUINE / "vocab.bpe").read_text(encoding="utf-8").splitlines()[1:]
    for line in filter(None, lines):
        ranks[bytes(byte_of[character] for part in line.split(" ") for character in part)] = len(ranks)
    return tiktoken.Encoding("genuine", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 50256})


@genuine
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_equals_tiktoken_on_many_scripts(ours, theirs, text):
    ids = ours.encode(text)
    assert ids == theirs.encode(text, allowed_special="all")
    assert ours.decode(ids) == text


@genuine
@given(st.text(max_size=200) | st.lists(st.sampled_from(list(TEXTS.values())), max_size=3).map("".join))
@settings(max_examples=300, deadline=None)
def test_equals_tiktoken_on_any_text(ours, theirs, text):
    ids = ours.encode(text)
    assert ids == theirs.encode(text, allowed_special="all")
    assert ours.decode(ids) == text


@genuine
def test_equals_tiktoken_on_random_bytes(ours, theirs):
    draw = random.Random(0)
    for _ in range(200):
        text = draw.randbytes(draw.randrange(300)).decode("utf-8", "replace")
        ids = ours.encode(text)
        assert ids == theirs.encode(text, allowed_special="all")
        assert b"".join(map(ours.token_bytes, ids)) == text.encode()


@genuine
def test_every_tokens_bytes_equal_tiktokens(ours, theirs):
    assert ours.vocab_size == theirs.n_vocab == 50257
    assert ours.end_of_text == 50256
    assert all(ours.token_bytes(id) == theirs.decode_single_token_bytes(id) for id in range(50256))
    assert ours.token_bytes(50256) == b"<|endoftext|>"


@genuine
def test_the_three_spellings_of_the_files_agree(ours, tmp_path):
    names = {"hub": ("vocab.json", "merges.txt"), "openai": ("encoder.json", "vocab.bpe")}
    for folder, (vocabulary, merges) in names.items():
        (tmp_path / folder).mkdir()
        shutil.copy(GENUINE / "encoder.json", tmp_path / folder / vocabulary)
        shutil.copy(GENUINE / "vocab.bpe", tmp_path / folder / merges)
    from tokenizers.implementations import ByteLevelBPETokenizer
    single = ByteLevelBPETokenizer(str(GENUINE / "encoder.json"), str(GENUINE / "vocab.bpe"))
    single.add_special_tokens(["<|endoftext|>"])
    (tmp_path / "single").mkdir()
    single.save(str(tmp_path / "single" / "tokenizer.json"))
    for folder in (*names, "single"):
        other = TextTokenizer.from_folder(tmp_path / folder)
        assert other.vocab_size == ours.vocab_size and other.end_of_text == ours.end_of_text
        for text in TEXTS.values():
            assert other.encode(text) == ours.encode(text)


@genuine
def test_the_known_ids(ours):
    assert ours.encode("Hello world") == [15496, 995]


def test_a_small_tokenizer_gives_every_text_back(tiny_model):
    tokenizer = TextTokenizer.from_folder(tiny_model)
    for text in TEXTS.values():
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.token_bytes(tokenizer.vocab_size + 5) == b"", "models with a padded vocabulary give such ids"


def test_a_lone_surrogate_counts_as_a_replacement_character(tiny_model):
    tokenizer = TextTokenizer.from_folder(tiny_model)
    assert tokenizer.decode(tokenizer.encode("a\ud800b")) == "a\ufffdb"


def test_settings_for_training_do_not_cut_prompts(tiny_model, tmp_path):
    other = Tokenizer.from_file(str(tiny_model / "tokenizer.json"))
    other.enable_truncation(3)
    other.enable_padding(length=50)
    other.save(str(tmp_path / "tokenizer.json"))
    text = "a prompt of more than three tokens"
    assert TextTokenizer.from_folder(tmp_path).encode(text) == TextTokenizer.from_folder(tiny_model).encode(text)


def test_added_tokens_of_older_folders_are_known(tmp_path, tiny_model):
    vocabulary = json.loads((tiny_model / "tokenizer.json").read_text())["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary["vocab"]))
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in vocabulary["merges"]]
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    first = len(vocabulary["vocab"])
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<|startoftext|>": first, "<|pad|>": first + 1}))
    tokenizer = TextTokenizer.from_folder(tmp_path)
    assert tokenizer.encode("<|startoftext|>")[0] == first
    assert tokenizer.token_bytes(first + 1) == b"<|pad|>"
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<|startoftext|>": first + 7}))
    with pytest.raises(ModelError, match="disagree"):
        TextTokenizer.from_folder(tmp_path)


@pytest.mark.parametrize("content, words", [(None, "holds no tokenizer"), ("{", "damaged")])
def test_a_folder_without_a_readable_tokenizer(tmp_path, content, words):
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(ModelError, match=words):
        TextTokenizer.from_folder(tmp_path)


def test_a_tokenizer_of_another_kind_is_refused(tmp_path):
    from tokenizers import models
    Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1})).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ModelError, match="byte-level BPE"):
        TextTokenizer.from_folder(tmp_path)
