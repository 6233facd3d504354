"""How texts are cut into words: recognised in tokenizers' own files, and as llama.cpp does it, script by script."""
import json
import os
import sys
from pathlib import Path

import pytest
from text_samples import SAMPLES
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from gpt2_assist.text.pre_tokenizers import KNOWN, by_name, used_by

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "model"))
LLAMA = os.environ.get("GPT2_ASSIST_LLAMA", "")
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)"
         r"|\s+")
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
PLAIN_BYTES = {**BYTES, "use_regex": False}
HUBS = {  # as the hub's files have them
    "gpt-2": BYTES,
    "smollm": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True},
                                                     {**BYTES, "use_regex": True}]},
    "qwen2": {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": QWEN2}, "behavior": "Isolated", "invert": False}, PLAIN_BYTES]},
    "llama-bpe": {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")}, "behavior": "Isolated",
         "invert": False}, PLAIN_BYTES]},
    None: {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
    "": {**BYTES, "add_prefix_space": True},
}


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.names[0])
def test_what_we_build_is_recognised(known):
    tokenizer = Tokenizer(models.BPE(ignore_merges=known.takes_words_whole))
    tokenizer.pre_tokenizer = known.build()
    assert used_by(Tokenizer.from_str(tokenizer.to_str())) is known
    assert all(by_name(name) is known for name in known.names)


@pytest.mark.parametrize("name", HUBS)
def test_what_hubs_have_is_recognised(name):
    stated = json.loads(Tokenizer(models.BPE(ignore_merges=name == "llama-bpe")).to_str())
    found = used_by(Tokenizer.from_str(json.dumps({**stated, "pre_tokenizer": HUBS[name]})))
    assert (found.names[0] if found else None) == (name or None)


def test_no_name_stands_for_two():
    names = [name for known in KNOWN for name in known.names]
    assert len(names) == len(set(names))


@pytest.fixture(scope="module")
def joined() -> tuple[list[str], list[str]]:
    """(tokens, merges) of a vocabulary that joins across words, where it is let: a cut elsewhere gives other tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator([*SAMPLES.values()] * 2, trainers.BpeTrainer(
        vocab_size=3000, initial_alphabet=alphabet, show_progress=False))
    stated = json.loads(tokenizer.to_str())["model"]
    return sorted(stated["vocab"], key=stated["vocab"].get), [" ".join(pair) for pair in stated["merges"]]


@pytest.mark.slow
@pytest.mark.skipif(not LLAMA, reason="needs llama.cpp: set GPT2_ASSIST_LLAMA to a folder with llama-server")
@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.names[0])
def test_llama_cpp_cuts_the_same(known, joined, tmp_path):
    import gguf_models
    from llama import LlamaServer

    from gpt2_assist.model.gguf_model import read_gguf
    from gpt2_assist.text.tokenizer import TextTokenizer
    tokens, merges = ([*gguf_models.CONTROLS, *joined[0]], joined[1])
    own = gguf_models.decoder("llama", vocab_size=len(tokens))
    path = gguf_models.write(tmp_path / "t.gguf", own, gguf_models.random_parts(own), pre=known.names[0],
                             tokens=tuple(tokens), merges=tuple(merges))
    ours = TextTokenizer(read_gguf(path).tokens.tokenizer)
    with LlamaServer(Path(LLAMA), path, 2) as server:
        theirs = {name: server.tokenize(sample) for name, sample in SAMPLES.items()}
    assert {name: ours.encode_marks(sample) for name, sample in SAMPLES.items()} == theirs
