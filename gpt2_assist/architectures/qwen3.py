"""Qwen3's dense decoders (Yang et al. 2025): Llama's type with a norm of each head's query and key, whose width is
stated apart from the model's."""
from collections.abc import Mapping
from typing import Any

from gpt2_assist.architectures import llama
from gpt2_assist.architectures.description import Decoder
from gpt2_assist.architectures.llama import HEAD, IGNORED, PREFIX, hub_parts, to_gguf  # noqa: F401
from gpt2_assist.architectures.qwen2 import gguf_parts  # noqa: F401

MODEL_TYPE = "qwen3"


def from_hub(config: dict) -> Decoder:
    """As llama.from_hub."""
    biases = ("qkv", "output") if config.get("attention_bias") else ()
    return llama.decoder_of({"head_dim": 128, **config}, MODEL_TYPE, biases, head_norms=True)


def to_hub(decoder: Decoder) -> dict:
    """As llama.to_hub."""
    return {**llama.entries_of(decoder), "model_type": MODEL_TYPE, "architectures": ["Qwen3ForCausalLM"],
            "attention_bias": "qkv" in decoder.biases, "use_sliding_window": False}


def from_gguf(keys: Mapping[str, Any], vocab_size: int, names: Mapping[str, object]) -> Decoder:
    """As llama.from_gguf."""
    return llama.gguf_decoder_of(keys, MODEL_TYPE, vocab_size, names)
