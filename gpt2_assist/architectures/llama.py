"""Llama's type of decoder (Touvron et al. 2023): SmolLM2, TinyLlama and others, as hubs and GGUF files write them.

RMS norms, rotary positions, grouped queries, gated SiLU. Qwen's are made of the same parts; see qwen2.py, qwen3.py.
"""
import re
from collections.abc import Mapping
from typing import Any

from gpt2_assist.architectures.description import Decoder
from gpt2_assist.architectures.parts import Part
from gpt2_assist.errors import ModelError

MODEL_TYPE = "llama"
PREFIX = "model."
IGNORED = re.compile(r"layers\.\d+\.self_attn\.rotary_emb\.inv_freq")
HEAD = "lm_head.weight"
_NORMS = {"attention_norm": "input_layernorm", "inner_norm": "post_attention_layernorm",
          "query_norm": "self_attn.q_norm", "key_norm": "self_attn.k_norm"}
_GGUF = {"attention_norm": "attn_norm", "inner_norm": "ffn_norm", "query_norm": "attn_q_norm",
         "key_norm": "attn_k_norm", "output": "attn_output", "down": "ffn_down"}
_OUTER = {"embedding": "embed_tokens", "norm": "norm"}
_GGUF_MORE = {"rope.scaling.type": "rotary positions", "rope.scaling.factor": "rotary positions",
              "rope.scale_linear": "rotary positions", "attention.sliding_window": "windows", "expert_count": "experts",
              "attention.scale": "scores", "logit_scale": "logits", "residual_scale": "sums",
              "embedding_scale": "embeddings", "attention.clamp_kqv": "queries", "final_logit_softcapping": "logits"}
"""What a file may say besides, and what it is about."""
_GGUF_NOTHING = ((1, "rope.scaling.factor"), (1, "rope.scale_linear"))
_GGUF_OUTER = {"embedding": "token_embd", "norm": "output_norm", "head": "output"}


def from_hub(config: dict) -> Decoder:
    """From a hub's config.json. Raises ModelError where something in it isn't known here, KeyError where a size is
    missing."""
    attention, inner = config.get("attention_bias", False), config.get("mlp_bias", False)
    return decoder_of(config, MODEL_TYPE, (("qkv", "output") if attention else ()) + (("up", "down") if inner else ()))


def to_hub(decoder: Decoder) -> dict:
    """The entries of a config.json with which other programs read the model."""
    return {**entries_of(decoder), "model_type": MODEL_TYPE, "architectures": ["LlamaForCausalLM"],
            "attention_bias": "qkv" in decoder.biases, "mlp_bias": "up" in decoder.biases}


def decoder_of(config: dict, architecture: str, biases: tuple[str, ...], head_norms: bool = False,
               epsilon: float = 1e-6) -> Decoder:
    """What the configurations of Llama's and Qwen's models have in common."""
    activation = config.get("hidden_act", "silu")
    if activation != "silu":
        raise ModelError(f"The model wants the activation {activation}, which isn't known here.")
    if config.get("use_sliding_window") or "sliding_attention" in (config.get("layer_types") or ()):
        raise ModelError("The model looks through sliding windows, which isn't known here.")
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        raise ModelError(f"The model scales its rotary positions ({kind}), which isn't known here.")
    if config.get("partial_rotary_factor", rope.get("partial_rotary_factor", 1.0)) != 1.0:
        raise ModelError("The model rotates a part of each head, which isn't known here.")
    width, heads = config["hidden_size"], config["num_attention_heads"]
    head_width = config.get("head_dim")
    if head_width is None:
        if type(width) is int and type(heads) is int and heads > 0 and width % heads:
            raise ModelError(f"The model's width {width} can't be divided among {heads} heads.")
        head_width = width // heads if type(heads) is int and heads > 0 else 0
    return Decoder(
        architecture, config["num_hidden_layers"], heads, config.get("num_key_value_heads") or heads, width, head_width,
        config["intermediate_size"], config["max_position_embeddings"], config["vocab_size"],
        config.get("rms_norm_eps", epsilon), norm="rms", positions="rotary",
        rope_theta=config.get("rope_theta", rope.get("rope_theta", 10_000.0)), activation="silu", gated=True,
        biases=biases, head_norms=head_norms, tied=config.get("tie_word_embeddings", False))


def entries_of(decoder: Decoder) -> dict:
    """What the configurations of Llama's and Qwen's models have in common. `rope_theta` is where older programs look,
    `rope_parameters` where newer ones do."""
    return {"hidden_act": "silu", "hidden_size": decoder.n_embd, "num_hidden_layers": decoder.n_layer,
            "num_attention_heads": decoder.n_head, "num_key_value_heads": decoder.n_kv_head,
            "head_dim": decoder.head_width, "intermediate_size": decoder.n_inner,
            "max_position_embeddings": decoder.n_ctx, "vocab_size": decoder.vocab_size,
            "rms_norm_eps": decoder.epsilon, "rope_theta": decoder.rope_theta,
            "rope_parameters": {"rope_type": "default", "rope_theta": decoder.rope_theta},
            "tie_word_embeddings": decoder.tied}


def hub_parts(decoder: Decoder) -> dict[str, tuple[Part, ...]]:
    """By the decoder's names, without PREFIX. Linear layers are [outputs, inputs]."""
    attention, kv = decoder.attention_width, decoder.kv_width
    matrices = {"qkv": (("self_attn.q_proj", attention), ("self_attn.k_proj", kv), ("self_attn.v_proj", kv)),
                "output": (("self_attn.o_proj", decoder.n_embd),),
                "up": (("mlp.gate_proj", decoder.n_inner), ("mlp.up_proj", decoder.n_inner)),
                "down": (("mlp.down_proj", decoder.n_embd),)}
    parts = {}
    for name, shape in decoder.shapes().items():
        outer, _, rest = name.partition(".")
        if outer != "layers":
            parts[name] = (Part(HEAD if outer == "head" else f"{_OUTER[outer]}.{rest}", shape[-1]),)
            continue
        layer, role, kind = rest.split(".")
        if role in matrices:
            parts[name] = tuple(Part(f"layers.{layer}.{module}.{kind}", outputs, transposed=kind == "weight")
                                for module, outputs in matrices[role])
        else:
            parts[name] = (Part(f"layers.{layer}.{_NORMS[role]}.{kind}", shape[-1]),)
    return parts


def from_gguf(keys: Mapping[str, Any], vocab_size: int, names: Mapping[str, object]) -> Decoder:
    """From a GGUF file's keys and the names of its tensors. Raises ModelError where something in them isn't known here,
    KeyError where a size is missing."""
    return gguf_decoder_of(keys, MODEL_TYPE, vocab_size, names)


def gguf_decoder_of(keys: Mapping[str, Any], name: str, vocab_size: int, names: Mapping[str, object]) -> Decoder:
    """What the keys of Llama's and Qwen's models have in common; `name` stands before each."""
    for key, what in _GGUF_MORE.items():
        if (value := keys.get(f"{name}.{key}")) not in (None, 0, "none") and (value, key) not in _GGUF_NOTHING:
            raise ModelError(f"The model has {what} of a kind that isn't known here ({key} = {value}).")
    if "rope_freqs.weight" in names:
        raise ModelError("The model scales its rotary positions (rope_freqs), which isn't known here.")
    width, heads = keys[f"{name}.embedding_length"], keys[f"{name}.attention.head_count"]
    head_width = keys.get(f"{name}.attention.key_length", width // heads if heads > 0 else 0)
    if keys.get(f"{name}.attention.value_length", head_width) != head_width:
        raise ModelError("The model's values are of another width than its keys, which isn't known here.")
    if keys.get(f"{name}.rope.dimension_count", head_width) != head_width:
        raise ModelError("The model rotates a part of each head, which isn't known here.")
    biases = tuple(role for role, stored in (("qkv", "attn_q"), ("output", "attn_output"), ("up", "ffn_up"),
                                             ("down", "ffn_down")) if f"blk.0.{stored}.bias" in names)
    return Decoder(
        name, keys[f"{name}.block_count"], heads, keys.get(f"{name}.attention.head_count_kv", heads), width, head_width,
        keys[f"{name}.feed_forward_length"], keys[f"{name}.context_length"], vocab_size,
        keys[f"{name}.attention.layer_norm_rms_epsilon"], norm="rms", positions="rotary",
        rope_theta=keys.get(f"{name}.rope.freq_base", 10_000.0), activation="silu", gated=True, biases=biases,
        head_norms="blk.0.attn_q_norm.weight" in names, tied="output.weight" not in names)


def to_gguf(decoder: Decoder) -> dict[str, object]:
    """The keys of a GGUF file."""
    name = decoder.architecture
    return {f"{name}.block_count": decoder.n_layer, f"{name}.context_length": decoder.n_ctx,
            f"{name}.embedding_length": decoder.n_embd, f"{name}.feed_forward_length": decoder.n_inner,
            f"{name}.attention.head_count": decoder.n_head, f"{name}.attention.head_count_kv": decoder.n_kv_head,
            f"{name}.attention.key_length": decoder.head_width, f"{name}.attention.value_length": decoder.head_width,
            f"{name}.attention.layer_norm_rms_epsilon": decoder.epsilon, f"{name}.rope.freq_base": decoder.rope_theta,
            f"{name}.rope.dimension_count": decoder.head_width, f"{name}.vocab_size": decoder.vocab_size}


def gguf_parts(decoder: Decoder, interleaved: bool = True) -> dict[str, tuple[Part, ...]]:
    """By the decoder's names. Linear layers are [outputs, inputs]; Llama's queries and keys are interleaved."""
    attention, kv = decoder.attention_width, decoder.kv_width
    heads, kv_heads = (decoder.n_head, decoder.n_kv_head) if interleaved else (0, 0)
    parts = {}
    for name, shape in decoder.shapes().items():
        outer, _, rest = name.partition(".")
        if outer != "layers":
            parts[name] = (Part(f"{_GGUF_OUTER[outer]}.{rest}", shape[-1]),)
            continue
        layer, role, kind = rest.split(".")
        linear, block = kind == "weight", f"blk.{layer}"
        if role == "qkv":
            parts[name] = (Part(f"{block}.attn_q.{kind}", attention, linear, heads),
                           Part(f"{block}.attn_k.{kind}", kv, linear, kv_heads),
                           Part(f"{block}.attn_v.{kind}", kv, linear))
        elif role == "up":
            parts[name] = tuple(Part(f"{block}.{stored}.{kind}", decoder.n_inner, linear)
                                for stored in ("ffn_gate", "ffn_up"))
        else:
            parts[name] = (Part(f"{block}.{_GGUF[role]}.{kind}", shape[-1], linear and role in ("output", "down")),)
    return parts
