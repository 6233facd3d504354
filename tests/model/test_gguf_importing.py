"""GGUF files that users bring: what weights, tokenizer and card come of them, and which are refused in a sentence."""
import hashlib
import json
import os
import shutil
from pathlib import Path

import gguf_models
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType
from gguf.quants import dequantize, quantize
from safetensors.torch import load_file

from gpt2_assist import config
from gpt2_assist.errors import AssistError, DataError, ModelError, StorageError, UsageError
from gpt2_assist.model.gguf_importing import import_gguf
from gpt2_assist.model.store import find_model, list_models
from gpt2_assist.text.tokenizer import TextTokenizer

ARCHITECTURES = ("gpt2", "llama", "qwen2", "qwen3")


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("GPT2_ASSIST_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(config, "BUNDLED_MODELS", tmp_path / "none")


def made(tmp_path: Path, name: str = "llama", kind: str = "F32", **options) -> Path:
    own = options.pop("own", None) or gguf_models.decoder(name)
    return gguf_models.write(tmp_path / "tiny.gguf", own, gguf_models.random_parts(own), kind, **options)


def refused(kind: type[AssistError], words: str, *arguments, **options) -> None:
    with pytest.raises(kind, match=words):
        import_gguf(*arguments, **options)
    assert list_models() == []
    assert not config.models().exists() or list(config.models().iterdir()) == []


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_transformers_computes_what_it_would_with_the_parts_put_in_by_hand(tmp_path, name, tied):
    from transformers import AutoModelForCausalLM
    own = gguf_models.decoder(name, tied=tied)
    parts = gguf_models.random_parts(own)
    path = gguf_models.write(tmp_path / "tiny.gguf", own, parts)
    model = import_gguf(path)
    ours, report = AutoModelForCausalLM.from_pretrained(model.path, dtype=torch.float32, output_loading_info=True)
    assert not any(report.values())
    theirs = AutoModelForCausalLM.from_config(ours.config)
    theirs.load_state_dict(by_hand(name, parts, own), strict=False)
    theirs.tie_weights()
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        logits = ours.eval()(ids).logits
        assert torch.allclose(logits, theirs.eval()(ids).logits, atol=1e-5)
    assert logits.std() > 0.1


def by_hand(name: str, parts: dict[str, np.ndarray], own) -> dict[str, torch.Tensor]:
    """The hub's tensors, worked out without the architectures' files."""
    hub = {"token_embd": "embed_tokens", "output_norm": "norm", "attn_norm": "input_layernorm",
           "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
           "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm",
           "attn_k_norm": "self_attn.k_norm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
           "ffn_down": "mlp.down_proj"}
    gpt2 = {"token_embd": "wte", "position_embd": "wpe", "output_norm": "ln_f", "attn_norm": "ln_1",
            "ffn_norm": "ln_2", "attn_qkv": "attn.c_attn", "attn_output": "attn.c_proj", "ffn_up": "mlp.c_fc",
            "ffn_down": "mlp.c_proj"}
    tensors = {}
    for stored, values in parts.items():
        *block, role, kind = stored.split(".")
        tensor = torch.from_numpy(values)
        if role == "output":
            tensors["lm_head.weight"] = tensor
            continue
        if name == "gpt2":
            turned = block and tensor.ndim == 2
            tensors["transformer." + (f"h.{block[1]}." if block else "") + f"{gpt2[role]}.{kind}"] = (
                tensor.T if turned else tensor)
            continue
        if name == "llama" and role in ("attn_q", "attn_k"):
            heads = own.n_head if role == "attn_q" else own.n_kv_head
            tensor = tensor.reshape(heads, own.head_width // 2, 2, -1).transpose(1, 2).reshape(tensor.shape)
        tensors["model." + (f"layers.{block[1]}." if block else "") + f"{hub[role]}.{kind}"] = tensor
    return tensors


UNDONE = ("F32", "F16", "BF16", "F64", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K",
          "TQ1_0", "TQ2_0", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1_S", "IQ1_M", "IQ4_NL", "IQ4_XS",
          "MXFP4", "NVFP4")


@pytest.mark.parametrize("kind", UNDONE)
def test_every_kind_of_numbers_is_undone(tmp_path, kind):
    own = gguf_models.decoder("llama", n_embd=256, n_inner=256, n_head=4, n_kv_head=2, head_width=64, n_layer=1)
    parts, type_ = gguf_models.random_parts(own), GGMLQuantizationType[kind]
    stored = {name: as_kind(values, type_) for name, values in parts.items() if values.ndim == 2}
    path = gguf_models.write(tmp_path / "tiny.gguf", own, {}, change=lambda writer: [
        writer.add_tensor(name, stored.get(name, values), raw_dtype=type_ if name in stored else None)
        for name, values in parts.items()])
    found = load_file(import_gguf(path).path / "model.safetensors")
    kept = {"F32": torch.float32, "F64": torch.float32, "BF16": torch.bfloat16}.get(kind, torch.float16)
    for ours, theirs in (("model.layers.0.mlp.down_proj.weight", "blk.0.ffn_down.weight"),
                         ("model.embed_tokens.weight", "token_embd.weight")):
        wanted = stored[theirs] if kind == "F64" else dequantize(stored[theirs], type_)
        assert torch.equal(found[ours], torch.from_numpy(np.array(wanted)).to(kept))
    assert found["model.norm.weight"].dtype == torch.float32


def as_kind(values: np.ndarray, kind: GGMLQuantizationType) -> np.ndarray:
    """Numbers of that kind: near `values` where the package can make them, else bytes of small scales."""
    if kind.name == "F64":
        return values.astype(np.float64)
    try:
        return quantize(values, kind)
    except NotImplementedError:
        from gguf.constants import GGML_QUANT_SIZES
        numbers, size = GGML_QUANT_SIZES[kind]
        random = np.random.default_rng(len(values))
        data = random.integers(0, 256, (values.shape[0], values.shape[1] // numbers, size), np.uint8)
        data[..., [0, 1, -2, -1]] = np.array([0, 0x11, 0, 0x11], np.uint8)  # both ends, where scales are, are small
        if kind.name in ("Q2_K", "Q4_K", "Q5_K"):
            data[..., -4:-2] = data[..., 2:4] = np.array([0, 0x11], np.uint8)
        return data.reshape(values.shape[0], -1)


def test_rows_that_differ_in_kind_are_kept_as_the_wider(tmp_path):
    own = gguf_models.decoder("llama")
    parts = gguf_models.random_parts(own)

    def change(writer):
        for name, values in parts.items():
            kind = {"blk.0.attn_q.weight": "Q8_0", "blk.0.attn_k.weight": "BF16"}.get(name, "F32")
            writer.add_tensor(name, quantize(values, GGMLQuantizationType[kind]),
                              raw_dtype=GGMLQuantizationType[kind])

    found = load_file(import_gguf(gguf_models.write(tmp_path / "t.gguf", own, {}, change=change)).path
                      / "model.safetensors")
    assert {found[f"model.layers.0.self_attn.{part}_proj.weight"].dtype for part in "qkv"} == {torch.float32}
    assert torch.equal(found["model.layers.0.self_attn.v_proj.weight"],
                       torch.from_numpy(parts["blk.0.attn_v.weight"]))


def test_a_head_that_repeats_the_embedding_is_tied(tmp_path):
    own = gguf_models.decoder("gpt2")
    parts = gguf_models.random_parts(own)
    parts["output.weight"] = parts["token_embd.weight"]
    model = import_gguf(gguf_models.write(tmp_path / "tiny.gguf", own, parts, "Q8_0"))
    assert json.loads((model.path / "config.json").read_text())["tie_word_embeddings"] is True
    assert "lm_head.weight" not in load_file(model.path / "model.safetensors")


def test_the_card_says_whence_it_comes_and_what_its_hash_is(tmp_path):
    path = made(tmp_path)
    card = import_gguf(path, "mine").card
    assert card.origin == f"Tiny by Nobody, imported from {path}" and card.licence == "mit"
    assert card.chat_template == gguf_models.TEMPLATE
    assert card.hashes["tiny.gguf"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert card.figures["parameters"] == gguf_models.decoder("llama").parameters()
    assert import_gguf(path, "other", {"licence": "apache-2.0", "origin": "a wheel"}).card.licence == "apache-2.0"


def test_the_ends_of_turns_and_of_texts_end_a_text(tmp_path):
    tokens = TextTokenizer.from_folder(import_gguf(made(tmp_path)).path)
    assert tokens.ends == (0, 2) and tokens.begin_of_text == 0
    assert tokens.encode("the 12<|endoftext|>") == [tokens.inner.token_to_id(token) for token in
                                                    ("t", "he", "Ġ", "12", "<|endoftext|>")]


def test_an_end_that_is_called_an_ordinary_token_ends_a_text_too(tmp_path):
    path = made(tmp_path, types=[1] * len(gguf_models.VOCABULARY))
    tokens = TextTokenizer.from_folder(import_gguf(path).path)
    assert tokens.ends == (0, 2) and tokens.encode_marks("<|im_end|>") == [2] != tokens.encode("<|im_end|>")


@pytest.mark.parametrize("said, prefix", [({}, ""), ({"tokenizer.ggml.add_bos_token": True}, "<|endoftext|>")])
def test_a_text_begins_with_its_token_where_the_model_was_taught_so(tmp_path, said, prefix):
    assert import_gguf(made(tmp_path, extra=said)).card.prompt_prefix == prefix


def test_what_a_padded_vocabulary_lacks_is_no_token(tmp_path):
    from gguf import TokenType
    own = gguf_models.decoder("llama", vocab_size=len(gguf_models.VOCABULARY) + 3)

    types = [TokenType.NORMAL] * len(gguf_models.VOCABULARY) + [TokenType.UNUSED] * 3
    path = gguf_models.write(tmp_path / "tiny.gguf", own, gguf_models.random_parts(own), types=types,
                             tokens=(*gguf_models.VOCABULARY, "[PAD1]", "[PAD2]", ""))
    tokens = TextTokenizer.from_folder(import_gguf(path).path)
    assert tokens.inner.token_to_id("[PAD1]") is None and tokens.token_bytes(own.vocab_size - 1) == b""


@pytest.mark.parametrize("said, words", [
    ({"tokenizer.ggml.model": "llama"}, r"SentencePiece \(llama\); only byte-level BPE"),
    ({"tokenizer.ggml.model": "bert"}, "WordPiece"),
    ({"tokenizer.ggml.model": "t5"}, "Unigram"),
    ({"tokenizer.ggml.pre": "viking"}, "pre = viking"),
    ({"general.architecture": "gemma3"}, "gemma3 model; known here are gpt2, llama"),
    ({"llama.expert_count": 8}, "experts"),
    ({"llama.rope.scaling.type": "yarn"}, "rotary positions"),
    ({"llama.rope.scaling.factor": 4}, "rotary positions"),
    ({"llama.attention.sliding_window": 4096}, "windows"),
    ({"llama.rope.dimension_count": 8}, "a part of each head"),
    ({"llama.attention.value_length": 32}, "values are of another width"),
    ({"llama.block_count": 3}, "lacks the tensor blk.2"),
    ({"llama.block_count": 4_000_000_000}, "4,000,000,000 layers"),
    ({"llama.embedding_length": 72}, "but its keys want"),
    ({"llama.attention.head_count": 0}, "no positive whole number"),
    ({"llama.attention.head_count": "four"}, "no positive whole number"),
    ({"llama.block_count": 1}, "does not have"),
    ({"split.count": 3}, "one of 3 parts"),
])
def test_a_model_that_is_none_of_ours_is_refused_by_name(tmp_path, said, words):
    def change(writer):
        for key, value in said.items():
            writer.kv_data[0].pop(key, None)
            (writer.add_string if isinstance(value, str) else writer.add_uint32)(key, value)

    refused(ModelError, words, made(tmp_path, change=change))


def test_a_tokenizer_larger_than_its_model_is_refused(tmp_path):
    own = gguf_models.decoder("llama", vocab_size=len(gguf_models.VOCABULARY) - 1)
    refused(ModelError, "entries, but its model knows only",
            gguf_models.write(tmp_path / "t.gguf", own, gguf_models.random_parts(own)))


def test_positions_scaled_by_a_tensor_are_refused_by_name(tmp_path):
    own = gguf_models.decoder("llama")
    parts = {**gguf_models.random_parts(own), "rope_freqs.weight": np.ones(8, np.float32)}
    refused(ModelError, "rotary positions", gguf_models.write(tmp_path / "t.gguf", own, parts))


def test_numbers_that_can_t_be_undone_are_refused_by_name(tmp_path):
    own = gguf_models.decoder("llama")
    parts = gguf_models.random_parts(own)

    def change(writer):
        values = parts.pop("blk.0.ffn_down.weight")
        writer.add_tensor("blk.0.ffn_down.weight", np.zeros((values.shape[0], values.shape[1] // 32 * 40), np.uint8),
                          raw_dtype=GGMLQuantizationType.Q8_1)

    refused(ModelError, "numbers of the kind Q8_1", gguf_models.write(tmp_path / "t.gguf", own, parts, change=change))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0"])
def test_numbers_that_are_none_are_refused(tmp_path, kind, value):
    own = gguf_models.decoder("llama")
    parts = gguf_models.random_parts(own)
    parts["blk.1.ffn_up.weight"][3, 5] = value
    with np.errstate(all="ignore"):
        path = gguf_models.write(tmp_path / "t.gguf", own, parts, kind)
    refused(DataError, "blk.1.ffn_up.weight holds numbers that are infinite or none", path)


def test_another_file_than_the_one_that_was_meant_is_refused(tmp_path):
    refused(DataError, "not the file that it should be", made(tmp_path), sha256="0" * 64)


def test_a_disk_without_room_is_told_so_first(tmp_path, monkeypatch):
    path = made(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(9, 9, 100_000))
    refused(StorageError, r"needs \d+ MB in .*, but only 0 MB are free", path)


def test_a_taken_name_is_refused_before_anything_is_read(tmp_path):
    path = made(tmp_path)
    import_gguf(path, "mine")
    with pytest.raises(UsageError, match="already a model mine"):
        import_gguf(path, "mine")


@pytest.mark.parametrize("data, words", [(b"GGUF", "more than there is"), (b"", "is empty"),
                                         (b"<!doctype html>", "web page"),
                                         (b"GGUF\x01\0\0\0" + bytes(40), "version 1"),
                                         (b"GGUF\0\0\0\x03" + bytes(40), "highest byte")])
def test_a_file_that_is_none_is_told_so(tmp_path, data, words):
    path = tmp_path / "none.gguf"
    path.write_bytes(data)
    refused(DataError, words, path)


def test_a_file_that_broke_off_is_told_so(tmp_path):
    path = made(tmp_path)
    path.write_bytes(path.read_bytes()[:-5000])
    refused(DataError, "where its header speaks of", path)


def test_the_command_imports_it(tmp_path):
    path = made(tmp_path, kind="Q8_0")
    bare = path.rename(tmp_path / "sha256-0123")
    done = gguf_models.assist("models", "import", bare, "--name", "mine", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["licence"] == "mit", done.stderr
    os.mkfifo(tmp_path / "pipe")
    for words, error, said in ((["missing.gguf"], DataError, "no file at"),
                               (["pipe"], DataError, "neither a file nor a folder"),
                               (["."], ModelError, "name the one to import: tiny.gguf"),
                               ([bare.name, "--tokenizer", str(tmp_path)], UsageError, "")):
        made(tmp_path)
        done = gguf_models.assist("models", "import", tmp_path / words[0], *words[1:])
        assert done.returncode == error.exit_code and said in done.stderr, done.stderr
    with pytest.raises(ModelError, match="models import` makes a model of it"):
        find_model(str(made(tmp_path)))
