"""The real SmolLM2, from its GGUF file, where it is there: its tokens and its greedy texts are llama.cpp's, its weights
those of the file."""
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from text_samples import SAMPLES

from gpt2_assist.model.gguf_importing import import_gguf
from gpt2_assist.model.weights import load_model, load_weights
from gpt2_assist.text.healing import Healing
from gpt2_assist.text.tokenizer import TextTokenizer
from gpt2_assist.training.export.merging import export_gguf
from gpt2_assist.training.finetuning.infill_pieces import Lesson

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
FILE, LLAMA = os.environ.get("GPT2_ASSIST_SMOLLM2", ""), os.environ.get("GPT2_ASSIST_LLAMA", "")
pytestmark = pytest.mark.skipif(
    not FILE, reason="needs SmolLM2: set GPT2_ASSIST_SMOLLM2 to SmolLM2-135M-Instruct's GGUF file")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GPT2_ASSIST_HOME", str(tmp_path_factory.mktemp("smollm2")))
        yield import_gguf(Path(FILE), "smollm2").path


@pytest.fixture(scope="module")
def parts() -> dict[str, torch.Tensor]:
    """What the format's own package makes of the file, by its names."""
    from gguf import GGUFReader
    from gguf.quants import dequantize
    return {tensor.name: torch.from_numpy(np.array(dequantize(tensor.data, tensor.tensor_type)))
            for tensor in GGUFReader(FILE).tensors}


@pytest.mark.skipif(not LLAMA, reason="needs llama.cpp: set GPT2_ASSIST_LLAMA to a folder with llama-server")
def test_llama_cpp_gives_the_same_tokens(folder):
    from llama import LlamaServer
    tokens = TextTokenizer.from_folder(folder)
    texts = {**SAMPLES, **{path.name: path.read_text(encoding="utf-8") for path in (
        ROOT / "README.md", ROOT / "docs/design.md", ROOT / "gpt2_assist/model/gguf_reader.py")}}
    with LlamaServer(Path(LLAMA), Path(FILE), 2) as server:
        theirs = {name: server.tokenize(text) for name, text in texts.items()}
    assert {name: tokens.encode_marks(text) for name, text in texts.items()} == theirs


def test_what_ends_a_text_is_known(folder):
    tokens = TextTokenizer.from_folder(folder)
    assert [tokens.inner.id_to_token(id) for id in tokens.ends] == ["<|endoftext|>", "<|im_end|>"]
    assert tokens.begin_of_text == tokens.ends[0]
    assert tokens.token_bytes(tokens.inner.token_to_id("Ġthe")) == b" the"


@pytest.mark.parametrize(("prompt", "begun", "word"), [
    ("She opened the win", " win", " window"), ("The govern", " govern", " government"),
    ("Once upon a ", " ", " time")])
def test_a_begun_word_is_taken_back_and_can_come_as_one_token(folder, prompt, begun, word):
    tokens = TextTokenizer.from_folder(folder)
    healing = Healing(tokens.ordinary_tokens(), tokens.encode)
    ids, unsettled = tokens.encode_unsettled(prompt)
    taken = healing.taken(ids, unsettled)
    spelling = b"".join(map(tokens.token_bytes, ids[len(ids) - taken:]))
    assert spelling == begun.encode()
    assert tokens.encode(word)[0] in healing.allowed(spelling) and len(tokens.encode(word)) == 1


def test_control_tokens_that_were_never_trained_can_teach_it_to_fill_in(folder):
    tokens = TextTokenizer.from_folder(folder)
    lesson = Lesson.of(tokens, {}, load_weights(folder)[1]["embedding.weight"])
    assert [tokens.inner.id_to_token(id) for id in lesson.new] == ["<gh_stars>", "<issue_start>", "<issue_comment>"]
    assert lesson.entries["begin"] == "<|endoftext|>" and tokens.vocab_size == 49152


@pytest.mark.slow
def test_every_weight_is_the_files(folder, parts):
    found, used = load_file(folder / "model.safetensors"), 0
    for name, tensor in by_hand(parts).items():
        assert torch.equal(found[name], tensor.to(found[name].dtype))
        used += 1
    assert used == len(found)


@pytest.mark.slow
def test_bits_per_byte_are_those_of_the_undone_weights(folder, parts):
    from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
    text = (ROOT / "docs/design.md").read_text(encoding="utf-8")[:3000]
    ids = torch.tensor([TextTokenizer.from_folder(folder).encode(text)])[:, :400]
    ours = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    theirs = LlamaForCausalLM(LlamaConfig(
        hidden_size=576, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3, intermediate_size=1536,
        vocab_size=49152, rms_norm_eps=1e-5, rope_theta=100_000.0, tie_word_embeddings=True,
        max_position_embeddings=8192))
    theirs.load_state_dict(by_hand(parts), strict=False)
    theirs.tie_weights()
    with torch.no_grad():
        losses = [float(model.eval()(ids, labels=ids).loss) for model in (ours, theirs)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3) and losses[0] < 5


def by_hand(parts: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The hub's tensors: queries and keys, whose halves GGUF interleaves, are put back."""
    hub = {"token_embd": "embed_tokens", "output_norm": "norm", "attn_norm": "input_layernorm",
           "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
           "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj",
           "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
    tensors = {}
    for stored, tensor in parts.items():
        *block, role, kind = stored.split(".")
        if heads := {"attn_q": 9, "attn_k": 3}.get(role):
            tensor = tensor.reshape(heads, 32, 2, -1).transpose(1, 2).reshape(tensor.shape)
        tensors["model." + (f"layers.{block[1]}." if block else "") + f"{hub[role]}.{kind}"] = tensor
    return tensors




@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not LLAMA, reason="needs llama.cpp: set GPT2_ASSIST_LLAMA to a folder with llama-server")
def test_llama_cpp_writes_the_same_greedy_text(folder, tmp_path, monkeypatch):
    from llama import LlamaServer
    monkeypatch.setenv("GPT2_ASSIST_HOME", str(folder.parents[1]))
    export_gguf("smollm2", tmp_path / "smollm2.gguf")
    tokens, model = TextTokenizer.from_folder(folder), load_model(folder)
    prompts = [tokens.encode(text) for text in ("Once upon a time", "def fibonacci(n):\n")]
    with LlamaServer(Path(LLAMA), tmp_path / "smollm2.gguf", 2) as server:
        theirs = [server.complete(ids, 16)["tokens"] for ids in prompts]
    for ids, more in zip(prompts, theirs):
        with torch.no_grad():
            likeliest = model(torch.tensor([ids + more]))[0].argmax(-1)
        assert likeliest[len(ids) - 1:-1].tolist() == more
