"""Every engine over a small model of each architecture, made alike for the tests that all of them must pass.

A kind is an engine, a precision and an architecture, as in "cpu-int8 Llama"; without an architecture it is GPT-2's.
"""
import json
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from gpt2_assist.architectures import architecture, gpt2
from gpt2_assist.architectures.description import MATRICES, Decoder
from gpt2_assist.engine.cpu.cpu_engine import CpuEngine
from gpt2_assist.engine.cuda.cuda_engine import CudaEngine
from gpt2_assist.engine.engine import Sampling
from gpt2_assist.engine.torch_engine import TorchEngine
from gpt2_assist.model.adapter import Adapter, LoraShape
from gpt2_assist.model.prepared import Prepared, open_prepared, prepare
from gpt2_assist.model.transformer import Transformer
from gpt2_assist.model.weights import stored_tensors
from gpt2_assist.training.finetuning.lora import LoraMatrix, add_adapter


def rotary(architecture: str, **sizes: object) -> Decoder:
    """A small decoder of Llama's kind."""
    fields = {"n_layer": 2, "n_embd": 24, "head_width": 8, "n_inner": 40, "n_ctx": 150, "vocab_size": 211,
              "norm": "rms", "positions": "rotary", "activation": "silu", "gated": True, "biases": (), **sizes}
    return Decoder(architecture, **fields)


CONFIG = gpt2.decoder(n_layer=2, n_head=3, n_embd=24, n_ctx=150, vocab_size=211)
KINDS = ("torch-fp32", "torch-bf16", "cpu-int8", "cpu-int4", "cpu-bf16", "cpu-fp32", "cuda-fp32", "cuda-bf16",
         "cuda-int8")
"""What "cuda" runs on a card is run in plain torch, on the CPU; where there is a card, "card" runs it there."""
if torch.cuda.is_available():
    KINDS += ("card-fp32", "card-bf16", "card-int8")
CONFIGS = {
    "": CONFIG,
    "relative": gpt2.decoder(2, 3, 24, 150, 211, activation="gelu", n_inner=77, tied=False, scaled_by_layer=True),
    "Llama": rotary("llama", n_head=6, n_kv_head=2),
    "Qwen2": rotary("qwen2", n_head=3, n_kv_head=1, biases=("qkv",), rope_theta=1e6),
    "Qwen3": rotary("qwen3", n_head=4, n_kv_head=2, head_width=16, head_norms=True, tied=False)}
"""All have the same context and vocabulary."""
ARCHITECTURES = tuple(CONFIGS)
_QUICK = {"torch-fp32", "cpu-int8", "cpu-int4", "cpu-bf16", "cpu-fp32", "cuda-bf16", "cpu-int8 Llama", "cpu-bf16 Qwen3"}
"""Each family of engines, each of the precisions on the processor, and both kinds of architecture."""
_MORE = {"torch-fp32 Llama", "torch-fp32 Qwen3", "torch-bf16 relative", "torch-bf16 Qwen2", "cpu-fp32 Qwen3",
         "cpu-fp32 relative", "cpu-int8 Qwen3", "cpu-int8 relative", "cpu-int4 Qwen2", "cpu-int4 Llama",
         "cpu-int4 relative", "cuda-fp32 Qwen3", "cuda-bf16 relative", "cuda-bf16 Llama", "cuda-int8 Qwen2"}
"""Beside the quick ones: so each architecture meets each family of engines, and each precision several of them. With
GPT2_ASSIST_ALL_KINDS set, all meet all, which takes an hour."""
_FOLDER = TemporaryDirectory(prefix="g2a-")


def over_architectures(kinds: Iterable[str], slow: tuple[str, ...] = ()) -> list:
    """`kinds` with GPT-2 and, some of them, with the other architectures; all but a few are slow, and so are families
    of engines that take long for this."""
    kinds = list(kinds)
    found = [f"{kind} {name}".strip() for name in ARCHITECTURES for kind in kinds]
    if not os.environ.get("GPT2_ASSIST_ALL_KINDS"):
        found = [kind for kind in found if " " not in kind or kind in _QUICK | _MORE or kind.startswith("card")]
    return some_slow(found, slow)


def some_slow(kinds: Iterable[str], slow: tuple[str, ...] = ()) -> list:
    """`kinds` for tests, of which only a few are quick."""
    return [kind if kind in (*_QUICK, "card-bf16") and not kind.startswith(slow or "none")
            else pytest.param(kind, marks=pytest.mark.slow) for kind in kinds]


def config_of(kind: str) -> Decoder:
    return CONFIGS[name_of(kind)]


def name_of(kind: str) -> str:
    return kind.partition(" ")[2]


@cache
def model(name: str = "") -> Transformer:
    """Weights scaled up, so that what comes next depends on what stands before."""
    model = Transformer(CONFIGS[name])
    dice = torch.Generator().manual_seed(5)
    model.initialise(dice)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                parameter.mul_(8)
            elif name.endswith("bias"):
                parameter.normal_(0, 0.2, generator=dice)
    return model.eval()


@cache
def prepared(name: str, precision: str) -> Prepared:
    config, folder = CONFIGS[name], Path(_FOLDER.name) / (name or "GPT-2")
    if not folder.exists():
        folder.mkdir()
        save_file({name: value.contiguous() for name, value in stored_tensors(model(name).state_dict(), config)},
                  folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(architecture(config.architecture).to_hub(config)),
                                            encoding="utf-8")
    return open_prepared(prepare(folder, precision))


@cache
def adapters(name: str = "") -> list[Adapter]:
    """Two that change much."""
    made = []
    for number, targets in enumerate((MATRICES, MATRICES[:1])):
        lora, dice = Transformer(CONFIGS[name]), torch.Generator().manual_seed(number)
        shape = LoraShape(3 + number, 6.0, targets)
        add_adapter(lora, shape, seed=number)
        pairs = {name: (module.down.detach().t().numpy(),
                        0.4 * torch.randn(module.up.shape[::-1], generator=dice).numpy())
                 for name, module in lora.named_modules() if isinstance(module, LoraMatrix)}
        made.append(Adapter(shape, pairs))
    return made


def fresh(kind: str, cache_bytes: int = 1 << 30, threads: int = 1, speculate: bool = False):
    """A new engine with both `adapters`, as 1 and 2. `threads` means something to the CPU's alone, `speculate` nothing
    to torch's."""
    name, (family, precision) = name_of(kind), kind.split()[0].split("-")
    config = CONFIGS[name]
    if family == "cpu":
        engine = CpuEngine(prepared(name, precision), cache_bytes, threads, speculate)
        engine.drafts_pay_from_s = 0.0  # steps of so small a model are short
    elif family in ("cuda", "card"):
        device = "cuda" if family == "card" else "cpu"
        engine = CudaEngine(config, dict(model(name).state_dict()), precision, device, cache_bytes, speculate)
        engine.drafts_pay_from_s, engine.burst_s = 0.0, 1.0
    else:
        engine = TorchEngine(config, dict(model(name).state_dict()), precision, "cpu", cache_bytes)
    assert [engine.add_adapter(adapter) for adapter in adapters(name)] == [1, 2]
    return engine


def prefilled(engine, *arguments, **more):
    sequence = engine.open(*arguments, **more)
    while not engine.prefill(sequence):
        pass
    return sequence


def generate(engine, prompt, sampling, count, index=0, new_tokens=(), adapter=0) -> list[int]:
    """`count` new tokens, those of `new_tokens` among them."""
    sequence = engine.open(prompt, sampling, index, new_tokens, adapter)
    while len(sequence.tokens) < len(prompt) + count:
        while not engine.ready(sequence):
            engine.prefill(sequence)
        engine.decode([sequence])
    engine.close(sequence)
    return sequence.tokens[len(prompt):len(prompt) + count]


def logits_of(engine, tokens, adapter=0) -> np.ndarray:
    """What would decide the token after `tokens`."""
    sequence = prefilled(engine, tokens, Sampling(), adapter=adapter)
    logits = np.asarray(engine.logits(sequence)).copy()
    engine.close(sequence)
    return logits


def random_tokens(seed: int, count: int) -> list[int]:
    return torch.randint(CONFIG.vocab_size, (count,), generator=torch.Generator().manual_seed(seed)).tolist()
