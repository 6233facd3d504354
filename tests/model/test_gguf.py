"""What is exported for llama.cpp: read back by the format's own package and by import, and continued by llama.cpp."""
import os
import sys
from dataclasses import replace
from pathlib import Path

import gguf_models
import numpy as np
import pytest
import torch
from text_samples import SAMPLES

from gpt2_assist import config
from gpt2_assist.errors import ModelError, StorageError
from gpt2_assist.ipc.client import Client
from gpt2_assist.ipc.messages import Chunk, Generation
from gpt2_assist.model.card import read_card, write_card
from gpt2_assist.model.gguf_importing import import_gguf
from gpt2_assist.model.weights import load_model, load_weights
from gpt2_assist.text.tokenizer import TextTokenizer
from gpt2_assist.training.export.merging import export_gguf

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
LLAMA = os.environ.get("GPT2_ASSIST_LLAMA", "")
PROMPT = "The old man went down to the sea and"
llama_cpp = pytest.mark.skipif(not LLAMA, reason="needs llama.cpp: set GPT2_ASSIST_LLAMA to a folder with llama-server")
ARCHITECTURES = [(name, tied) for name in ("gpt2", "llama", "qwen2", "qwen3") for tied in ("tied", "untied")]


@pytest.fixture(scope="module")
def mini(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "mini.gguf"
    export_gguf("mini", path)
    return path


@pytest.fixture(scope="module", params=ARCHITECTURES, ids=lambda param: f"{param[0]}-{param[1]}")
def exported(request, tmp_path_factory):
    """(a model's folder, the GGUF file made of it)."""
    name, tied = request.param
    folder = tmp_path_factory.mktemp(name)
    pre = {"gpt2": "gpt-2", "llama": "smollm"}.get(name, "qwen2")
    own = gguf_models.decoder(name, tied=tied == "tied")
    first = gguf_models.write(folder / "first.gguf", own, gguf_models.random_parts(own), pre=pre)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GPT2_ASSIST_HOME", str(folder / "home"))
        model = import_gguf(first, "tiny")
        export_gguf("tiny", folder / "second.gguf")
    return model.path, folder / "second.gguf"


def test_the_weights_and_the_vocabulary_are_the_models(mini):
    import gguf
    found = {tensor.name: tensor for tensor in gguf.GGUFReader(mini).tensors}
    sizes, weights = load_weights(config.BUNDLED_MODELS / "mini")
    assert len(found) == len(weights)
    head = found["token_embd.weight"].data.reshape(sizes.vocab_size, sizes.n_embd)
    assert np.array_equal(head, weights["embedding.weight"].float().numpy())
    inner = found["blk.2.attn_qkv.weight"].data.reshape(3 * sizes.n_embd, sizes.n_embd)
    assert np.array_equal(inner, weights["layers.2.qkv.weight"].float().numpy().T)


def test_what_was_written_comes_back(exported, tmp_path, monkeypatch):
    folder, path = exported
    monkeypatch.setenv("GPT2_ASSIST_HOME", str(tmp_path))
    back = import_gguf(path, "back").path
    (first, weights), (second, again) = load_weights(folder), load_weights(back)
    assert first == second and weights.keys() == again.keys()
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    for name in ("tokenizer.json", "generation_config.json", "tokenizer_config.json", "config.json"):
        assert (folder / name).read_text() == (back / name).read_text()
    cards = [replace(read_card(place), origin="", hashes={}) for place in (folder, back)]
    assert cards[0] == cards[1]


@pytest.mark.slow
@llama_cpp
def test_llama_cpp_computes_what_we_do(exported):
    from llama import LlamaServer
    folder, path = exported
    tokens = TextTokenizer.from_folder(folder)
    prompts = [tokens.encode(text)[:40] for text in ("in the 12 then a", *list(SAMPLES.values())[:9])]
    with LlamaServer(Path(LLAMA), path, 2, 128) as server:
        theirs = [server.complete(ids, 12)["tokens"] for ids in prompts]
    model = load_model(folder)
    for ids, more in zip(prompts, theirs):
        with torch.no_grad():
            logits = model(torch.tensor([ids + more]))[0]
        logits[:, list(tokens.ends)] = -torch.inf  # as llama.cpp was told to
        assert logits.argmax(-1)[len(ids) - 1:-1].tolist() == more
    assert len({id for ids in theirs for id in ids}) > 8


def test_nothing_is_overwritten(mini):
    with pytest.raises(StorageError, match="there already"):
        export_gguf("mini", mini)


@pytest.mark.parametrize("change, words", [({"scaled_by_layer": True}, "other scores"),
                                           ({"activation": "gelu"}, "another activation")])
def test_what_gguf_can_t_say_is_refused_and_nothing_is_left(change, words, tmp_path, monkeypatch):
    import json

    from gpt2_assist.architectures import architecture
    own = gguf_models.decoder("gpt2")
    monkeypatch.setenv("GPT2_ASSIST_HOME", str(tmp_path / "home"))
    folder = import_gguf(gguf_models.write(tmp_path / "t.gguf", own, gguf_models.random_parts(own)), "tiny").path
    (folder / "config.json").write_text(json.dumps(architecture("gpt2").to_hub(replace(own, **change))))
    with pytest.raises(ModelError, match=words):
        export_gguf("tiny", tmp_path / "out.gguf")
    assert not list(tmp_path.glob("*out*"))


def test_what_the_card_says_goes_along(tmp_path, monkeypatch):
    own = gguf_models.decoder("llama")
    monkeypatch.setenv("GPT2_ASSIST_HOME", str(tmp_path / "home"))
    folder = import_gguf(gguf_models.write(tmp_path / "t.gguf", own, gguf_models.random_parts(own)), "tiny").path
    card = replace(read_card(folder), licence="CC0", chat_template="{{ bos_token }}", prompt_prefix="<|endoftext|>",
                   infill={"prefix": "<|im_start|>", "suffix": "<|im_end|>", "order": "SPM"})
    write_card(folder, card)
    export_gguf("tiny", tmp_path / "out.gguf")
    back = import_gguf(tmp_path / "out.gguf", "back").card
    assert (back.licence, back.chat_template, back.prompt_prefix) == ("CC0", "{{ bos_token }}", "<|endoftext|>")


@llama_cpp
def test_llama_cpp_writes_the_same_greedy_text(mini):
    from llama import LlamaServer
    ids = TextTokenizer.from_folder(config.BUNDLED_MODELS / "mini").encode(PROMPT)
    settings = Generation(max_new_tokens=32, temperature=0.0, heal=False, begins=False)
    ours = []
    with Client.connect("tests") as client:
        for message in client.generate("mini", PROMPT, settings, precision="fp32"):
            if isinstance(message, Chunk):
                ours += message.tokens
    with LlamaServer(Path(LLAMA), mini, 2) as server:
        theirs = server.complete(ids, 32)["tokens"]
    assert len(ours) == 32 and ours == theirs
