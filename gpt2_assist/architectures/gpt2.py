"""GPT-2 and its relatives (Radford et al. 2019), as hubs and GGUF files write them.

Relatives differ in the activation (Cerebras-GPT's exact GELU), the inner width, the context, and in how scores are
scaled (CodeParrot divides them by the layer's number). `reorder_and_upcast_attn` says in which order half precision
computes the same thing.
"""
import re
from collections.abc import Mapping
from typing import Any

from gpt2_assist.architectures.description import MATRICES, Decoder
from gpt2_assist.architectures.parts import Part
from gpt2_assist.errors import ModelError

MODEL_TYPE = "gpt2"
PREFIX = "transformer."
"""Stands before all names but the head's in some files."""
IGNORED = re.compile(r"h\.\d+\.attn\.(masked_)?bias")
"""Masks, which older files hold."""
HEAD = "lm_head.weight"
_ACTIVATIONS = {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu_fast": "gelu_tanh", "gelu": "gelu",
                "relu": "relu"}
_NAMES = {"gelu_tanh": "gelu_new", "gelu": "gelu", "relu": "relu"}
_ROLES = {"attention_norm": "ln_1", "qkv": "attn.c_attn", "output": "attn.c_proj", "inner_norm": "ln_2",
          "up": "mlp.c_fc", "down": "mlp.c_proj"}
_OUTER = {"embedding": "wte", "positions": "wpe", "norm": "ln_f"}
_GGUF = {"attention_norm": "attn_norm", "qkv": "attn_qkv", "output": "attn_output", "inner_norm": "ffn_norm",
         "up": "ffn_up", "down": "ffn_down", "embedding": "token_embd", "positions": "position_embd",
         "norm": "output_norm", "head": "output"}


def decoder(n_layer: int, n_head: int, n_embd: int, n_ctx: int, vocab_size: int, **relative: Any) -> Decoder:
    """A GPT-2 of these sizes; a relative's fields may be other than GPT-2's. Raises ModelError where they fit no
    model."""
    if type(n_embd) is int and type(n_head) is int and (n_head < 1 or n_embd % n_head):
        raise ModelError(f"The model's width {n_embd} can't be divided among {n_head} heads.")
    fields: dict[str, Any] = {"n_inner": 4 * n_embd, **relative}
    return Decoder(MODEL_TYPE, n_layer, n_head, n_head, n_embd, n_embd // n_head, n_ctx=n_ctx, vocab_size=vocab_size,
                   **fields)


def from_hub(config: dict) -> Decoder:
    """From a hub's config.json. Raises ModelError where something in it isn't known here, KeyError where a size is
    missing."""
    activation = config.get("activation_function", "gelu_new")
    if activation not in _ACTIVATIONS:
        raise ModelError(f"The model wants the activation {activation}, which isn't known here.")
    if config.get("add_cross_attention"):
        raise ModelError("The model has cross-attention; only decoders are known here.")
    width = config["n_embd"]
    return decoder(
        config["n_layer"], config["n_head"], width, config.get("n_positions", config.get("n_ctx")),
        config["vocab_size"], n_inner=config.get("n_inner") or 4 * width,
        epsilon=config.get("layer_norm_epsilon", 1e-5), activation=_ACTIVATIONS[activation],
        tied=config.get("tie_word_embeddings", True),
        scaled=config.get("scale_attn_weights", True),
        scaled_by_layer=config.get("scale_attn_by_inverse_layer_idx", False))


def to_hub(decoder: Decoder) -> dict:
    """The entries of a config.json with which other programs read the model."""
    relative = {"n_inner": decoder.n_inner} if decoder.n_inner != 4 * decoder.n_embd else {}
    if not decoder.scaled:
        relative["scale_attn_weights"] = False
    if decoder.scaled_by_layer:
        relative["scale_attn_by_inverse_layer_idx"] = True
    return {"model_type": MODEL_TYPE, "architectures": ["GPT2LMHeadModel"],
            "activation_function": _NAMES[decoder.activation], "n_positions": decoder.n_ctx,
            "tie_word_embeddings": decoder.tied, "n_layer": decoder.n_layer, "n_head": decoder.n_head,
            "n_embd": decoder.n_embd, "n_ctx": decoder.n_ctx, "vocab_size": decoder.vocab_size,
            "layer_norm_epsilon": decoder.epsilon, **relative}


def hub_parts(decoder: Decoder) -> dict[str, tuple[Part, ...]]:
    """By the decoder's names, without PREFIX. Linear layers are Conv1D's, [inputs, outputs]."""
    parts = {}
    for name, shape in decoder.shapes().items():
        outer, _, rest = name.partition(".")
        if outer == "layers":
            layer, role, kind = rest.split(".")
            stored = f"h.{layer}.{_ROLES[role]}.{kind}"
        else:
            stored = HEAD if outer == "head" else f"{_OUTER[outer]}.{rest}"
        parts[name] = (Part(stored, shape[-1]),)
    return parts


def from_gguf(keys: Mapping[str, Any], vocab_size: int, names: Mapping[str, object]) -> Decoder:
    """From a GGUF file's keys and the names of its tensors. Raises KeyError where a size is missing."""
    return decoder(keys["gpt2.block_count"], keys["gpt2.attention.head_count"], keys["gpt2.embedding_length"],
                   keys["gpt2.context_length"], vocab_size, n_inner=keys["gpt2.feed_forward_length"],
                   epsilon=keys["gpt2.attention.layer_norm_epsilon"], tied="output.weight" not in names)


def to_gguf(decoder: Decoder) -> dict[str, object]:
    """The keys of a GGUF file. Raises ModelError where GGUF's GPT-2 can't say what the decoder is."""
    if decoder.activation != "gelu_tanh" or decoder.scaled_by_layer or not decoder.scaled:
        raise ModelError("GGUF files can't say that a GPT-2 has another activation or other scores than OpenAI's.")
    return {"gpt2.block_count": decoder.n_layer, "gpt2.context_length": decoder.n_ctx,
            "gpt2.embedding_length": decoder.n_embd, "gpt2.feed_forward_length": decoder.n_inner,
            "gpt2.attention.head_count": decoder.n_head, "gpt2.attention.layer_norm_epsilon": decoder.epsilon}


def gguf_parts(decoder: Decoder) -> dict[str, tuple[Part, ...]]:
    """By the decoder's names. Linear layers are [outputs, inputs]."""
    parts = {}
    for name, shape in decoder.shapes().items():
        outer, _, rest = name.partition(".")
        if outer == "layers":
            layer, role, kind = rest.split(".")
            linear = role in MATRICES and kind == "weight"
            parts[name] = (Part(f"blk.{layer}.{_GGUF[role]}.{kind}", shape[-1], transposed=linear),)
        else:
            parts[name] = (Part(f"{_GGUF[outer]}.{rest}", shape[-1]),)
    return parts
