"""Every architecture exactly: models and engines beside transformers, on random weights at odd sizes and real ones."""
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers

from gpt2_assist.engine.cpu.cpu_engine import CpuEngine
from gpt2_assist.engine.engine import Sampling
from gpt2_assist.engine.torch_engine import TorchEngine
from gpt2_assist.model.numpy_forward import all_logits
from gpt2_assist.model.prepared import open_prepared, prepare
from gpt2_assist.model.tensors import ModelTensors
from gpt2_assist.model.weights import load_weights, model_of

GPT2 = {"n_layer": 3, "n_head": 5, "n_embd": 35, "n_positions": 107, "vocab_size": 331}
LLAMA = {"num_hidden_layers": 3, "num_attention_heads": 6, "num_key_value_heads": 2, "hidden_size": 36,
         "intermediate_size": 57, "max_position_embeddings": 107, "vocab_size": 331, "tie_word_embeddings": True}
SHAPES = {
    "GPT-2": ("gpt2", GPT2),
    "GPT-2 124M": ("gpt2", {}),
    "GPT-2 of 8 layers": ("gpt2", {"n_layer": 8, "n_head": 8, "n_embd": 512, "n_positions": 512, "vocab_size": 16000}),
    "GPT-2 355M": ("gpt2", {"n_layer": 24, "n_head": 16, "n_embd": 1024}),
    "CodeParrot": ("gpt2", {**GPT2, "scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": True}),
    "Cerebras-GPT": ("gpt2", {**GPT2, "activation_function": "gelu", "n_inner": 77}),
    "an odd relative": ("gpt2", {**GPT2, "activation_function": "relu", "tie_word_embeddings": False,
                                 "scale_attn_weights": False, "layer_norm_epsilon": 1e-3}),
    "Llama": ("llama", LLAMA),
    "Llama with all that it can have": ("llama", {**LLAMA, "attention_bias": True, "mlp_bias": True, "head_dim": 10,
                                                  "tie_word_embeddings": False, "rms_norm_eps": 1e-3,
                                                  "rope_parameters": {"rope_type": "default", "rope_theta": 77.0}}),
    "Llama with a head for each": ("llama", {**LLAMA, "num_key_value_heads": 6, "head_dim": 8}),
    "SmolLM2 in small": ("llama", {**LLAMA, "num_attention_heads": 9, "num_key_value_heads": 3, "hidden_size": 576,
                                   "intermediate_size": 1536,
                                   "rope_parameters": {"rope_type": "default", "rope_theta": 100_000.0}}),
    "Qwen2": ("qwen2", {**LLAMA, "hidden_size": 48, "num_key_value_heads": 1}),
    "Qwen3": ("qwen3", {**LLAMA, "head_dim": 12, "tie_word_embeddings": False}),
    "StarCoder2": ("starcoder2", {**LLAMA, "sliding_window": None, "hidden_act": "gelu_pytorch_tanh"}),
    "Qwen3 with wide heads": ("qwen3", {**LLAMA, "head_dim": 70, "attention_bias": True}),
}
SLOW = ("GPT-2 355M", "GPT-2 124M", "GPT-2 of 8 layers")


def saved(name: str, folder: Path) -> "transformers.PreTrainedModel":
    """A model of transformers with random weights, its norms and biases too, in a folder as it writes it."""
    kind, sizes = SHAPES[name]
    config = transformers.AutoConfig.for_model(kind, **sizes, attn_pdrop=0.0, resid_pdrop=0.0, embd_pdrop=0.0)
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn(parameter.shape))
            elif not sizes or parameter.shape[-1] > 500:
                continue
            else:
                parameter.mul_(4)
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name
                                  for name in SHAPES])
@torch.inference_mode()
def test_logits_and_greedy_text_equal_transformers(name, tmp_path):
    theirs = saved(name, tmp_path)
    config, weights = load_weights(tmp_path)
    prompt = torch.randint(config.vocab_size, (12,), generator=torch.Generator().manual_seed(2)).tolist()

    engine = TorchEngine(config, weights, "fp32", "cpu")
    sequence = engine.open(prompt, Sampling(temperature=0))
    while len(sequence.tokens) < len(prompt) + 64:
        while not engine.ready(sequence):
            engine.prefill(sequence)
        if len(sequence.tokens) == len(prompt) + 40:
            logits = engine.logits(sequence)
        engine.decode([sequence])

    whole = torch.tensor([sequence.tokens])
    expected = theirs(whole).logits[0]
    assert (model_of(config, weights)(whole)[0] - expected).abs().max() < 1e-4
    assert (logits - expected[len(prompt) + 39]).abs().max() < 1e-4
    assert expected[len(prompt) - 1:-1].argmax(-1).tolist() == sequence.tokens[len(prompt):]
    assert (torch.from_numpy(all_logits(ModelTensors(tmp_path), sequence.tokens)) - expected).abs().max() < 1e-4


@pytest.mark.parametrize("precision, tolerance", [("fp32", 0.02), ("bf16", 0.05), ("int8", 0.12)])
@pytest.mark.parametrize("name", [name for name in SHAPES if name not in SLOW])
@torch.inference_mode()
def test_the_cpus_engine_is_as_close_as_its_numbers_allow(name, precision, tolerance, tmp_path):
    """Keys and values are bfloat16 in every precision. What is compared are root mean squares."""
    theirs = saved(name, tmp_path)
    engine = CpuEngine(open_prepared(prepare(tmp_path, precision)), threads=2)
    tokens = torch.randint(engine.vocab_size, (90,), generator=torch.Generator().manual_seed(2)).tolist()
    expected = theirs(torch.tensor([tokens])).logits[0]
    difference = torch.from_numpy(engine.all_logits(tokens)) - expected
    assert difference.square().mean().sqrt() < tolerance * expected.square().mean().sqrt()


def test_a_window_is_no_larger_than_what_is_asked_for(tmp_path):
    saved("Llama", tmp_path)
    prepared = open_prepared(prepare(tmp_path, "fp32"))
    engine = CpuEngine(replace(prepared, config=replace(prepared.config, n_ctx=40)), threads=1)
    sequence = engine.open(list(range(100)), Sampling(temperature=0))
    while not engine.ready(sequence):
        engine.prefill(sequence)
    assert engine.n_ctx == 40 and sequence.context <= 40
    fresh = CpuEngine(prepared, threads=1)
    assert (engine.logits(sequence) == fresh.all_logits(sequence.tokens[sequence.start:])[-1]).all()
