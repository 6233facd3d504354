"""Qwen2's decoders (Yang et al. 2024), Qwen2.5's among them: Llama's type with biases of queries, keys and values."""
from collections.abc import Mapping
from typing import Any

from gpt2_assist.architectures import llama
from gpt2_assist.architectures.description import Decoder
from gpt2_assist.architectures.llama import HEAD, IGNORED, PREFIX, hub_parts, to_gguf  # noqa: F401
from gpt2_assist.architectures.parts import Part

MODEL_TYPE = "qwen2"


def from_hub(config: dict) -> Decoder:
    """As llama.from_hub."""
    return llama.decoder_of(config, MODEL_TYPE, ("qkv",))


def to_hub(decoder: Decoder) -> dict:
    """As llama.to_hub."""
    return {**llama.entries_of(decoder), "model_type": MODEL_TYPE, "architectures": ["Qwen2ForCausalLM"],
            "use_sliding_window": False}


def from_gguf(keys: Mapping[str, Any], vocab_size: int, names: Mapping[str, object]) -> Decoder:
    """As llama.from_gguf."""
    return llama.gguf_decoder_of(keys, MODEL_TYPE, vocab_size, names)


def gguf_parts(decoder: Decoder) -> dict[str, tuple[Part, ...]]:
    """As llama.gguf_parts, with halves that lie as the hub has them."""
    return llama.gguf_parts(decoder, interleaved=False)
