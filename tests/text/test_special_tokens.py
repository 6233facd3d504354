"""What begins and ends a text is what a model's files say, in each of the ways in which they say it."""
import json
import shutil

import pytest
from tokenizers import AddedToken, Tokenizer

from gpt2_assist.errors import ModelError
from gpt2_assist.text.tokenizer import TextTokenizer

END = "<|im_end|>"
"""Ends a text by its name, whether or not a file says so; what parts texts comes before it."""
CONFIG, GENERATION, TOKENIZER, MAP = (
    "config.json", "generation_config.json", "tokenizer_config.json", "special_tokens_map.json")


@pytest.fixture
def folder(tiny_model, tmp_path):
    """A tokenizer with two special tokens more and one ordinary word that looks like none."""
    tokenizer = Tokenizer.from_file(str(tiny_model / "tokenizer.json"))
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in ("<s>", "</s>", "<|im_end|>")])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


@pytest.mark.parametrize("files, begin, ends", [
    ({}, "<|endoftext|>", ["<|endoftext|>", END]),
    ({CONFIG: {"eos_token_id": "</s>", "bos_token_id": "<s>"}}, "<s>", ["</s>", "<|endoftext|>", END]),
    ({GENERATION: {"eos_token_id": ["<|im_end|>", "</s>"]}}, "</s>", ["</s>", "<|endoftext|>", END]),
    ({TOKENIZER: {"eos_token": {"content": "</s>", "lstrip": False}, "bos_token": "<s>"}}, "<s>",
     ["</s>", "<|endoftext|>", END]),
    ({MAP: {"eos_token": "</s>"}, CONFIG: {"eos_token_id": 50256}}, "</s>", ["</s>", "<|endoftext|>", END]),
    ({CONFIG: {"eos_token_id": 50256, "bos_token_id": 50256}}, "<|endoftext|>", ["<|endoftext|>", END]),
    ({CONFIG: {"eos_token_id": 70, "bos_token_id": None}}, "<|endoftext|>", ["<|endoftext|>", END]),
    ({CONFIG: {"eos_token_id": True, "bos_token_id": -1}, TOKENIZER: {"eos_token": "no such", "bos_token": 7}},
     "<|endoftext|>", ["<|endoftext|>", END]),
    ({GENERATION: [], MAP: {"eos_token": None}}, "<|endoftext|>", ["<|endoftext|>", END])])
def test_each_file_is_heard_and_what_is_no_such_token_is_not(folder, files, begin, ends):
    ids = TextTokenizer.from_folder(folder).inner.token_to_id
    for name, entries in files.items():
        known = {key: [*map(ids, value)] if isinstance(value, list) else
                 ids(value) if key.endswith("_id") and isinstance(value, str) else value
                 for key, value in entries.items()} if isinstance(entries, dict) else entries
        (folder / name).write_text("\ufeff" + json.dumps(known), encoding="utf-8")
    tokenizer = TextTokenizer.from_folder(folder)
    assert tokenizer.decode([tokenizer.begin_of_text]) == begin
    assert [tokenizer.decode([id]) for id in tokenizer.ends] == ends and tokenizer.end_of_text == tokenizer.ends[0]
    assert tokenizer.encode(f"a{ends[0]}b")[1:-1] == [tokenizer.end_of_text]


def test_an_end_that_only_the_vocabulary_knows_becomes_one_token(tiny_model, tmp_path):
    """As in folders with vocab.json and merges.txt, whose vocabulary has "</s>" beside ordinary words."""
    whole = json.loads((tiny_model / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    vocabulary = {token: id for token, id in whole["vocab"].items() if token != "<|endoftext|>"}
    vocabulary["</s>"] = whole["vocab"].get("<|endoftext|>", len(vocabulary))
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in whole["merges"]]
    (tmp_path / "merges.txt").write_text("\n".join(merges), encoding="utf-8")
    (tmp_path / TOKENIZER).write_text('{"eos_token": "</s>"}', encoding="utf-8")
    tokenizer = TextTokenizer.from_folder(tmp_path)
    assert tokenizer.ends == (vocabulary["</s>"],) and tokenizer.encode("x</s>")[-1] == vocabulary["</s>"]
    (tmp_path / TOKENIZER).unlink()
    (tmp_path / CONFIG).write_text(json.dumps({"eos_token_id": vocabulary["</s>"]}), encoding="utf-8")
    assert TextTokenizer.from_folder(tmp_path).ends == (vocabulary["</s>"],)


def test_a_damaged_file_is_named(folder):
    (folder / GENERATION).write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match=GENERATION):
        TextTokenizer.from_folder(folder)
    shutil.rmtree(folder)
