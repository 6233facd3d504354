"""StarCoder2 (Lozhkov et al. 2024): GPT-2's layer norms, biases and plain inner part with Llama's rotary positions and
grouped queries, as hubs and GGUF files write it."""
from collections.abc import Mapping
from typing import Any

from gpt2_assist.architectures import llama
from gpt2_assist.architectures.description import MATRICES, Decoder
from gpt2_assist.architectures.llama import HEAD, IGNORED, PREFIX  # noqa: F401
from gpt2_assist.architectures.parts import Part
from gpt2_assist.errors import ModelError

MODEL_TYPE = "starcoder2"
_ACTIVATIONS = {"gelu_pytorch_tanh": "gelu_tanh", "gelu_new": "gelu_tanh", "gelu": "gelu", "relu": "relu"}
_ROLES = {"attention_norm": "input_layernorm", "inner_norm": "post_attention_layernorm", "output": "self_attn.o_proj",
          "up": "mlp.c_fc", "down": "mlp.c_proj"}
_OUTER = {"embedding": "embed_tokens", "norm": "norm"}
_GGUF = {"attention_norm": "attn_norm", "inner_norm": "ffn_norm", "output": "attn_output", "up": "ffn_up",
         "down": "ffn_down", "embedding": "token_embd", "norm": "output_norm", "head": "output"}


def from_hub(config: dict) -> Decoder:
    """As llama.from_hub. Within a sliding window every token sees all others, so the context ends with it."""
    activation = config.get("hidden_act", "gelu_pytorch_tanh")
    if activation not in _ACTIVATIONS:
        raise ModelError(f"The model wants the activation {activation}, which isn't known here.")
    alike = llama.decoder_of({**config, "hidden_act": "silu", "layer_types": None, "use_sliding_window": False,
                              "tie_word_embeddings": config.get("tie_word_embeddings", True)}, MODEL_TYPE, ())
    return _of(alike, min(alike.n_ctx, config.get("sliding_window") or alike.n_ctx), config.get("norm_epsilon", 1e-5),
               _ACTIVATIONS[activation], MATRICES if config.get("use_bias", True) else ())


def to_hub(decoder: Decoder) -> dict:
    """As llama.to_hub."""
    entries = llama.entries_of(decoder)
    del entries["rms_norm_eps"]
    names = {ours: theirs for theirs, ours in reversed(_ACTIVATIONS.items())}
    return {**entries, "model_type": MODEL_TYPE, "architectures": ["Starcoder2ForCausalLM"], "sliding_window": None,
            "norm_epsilon": decoder.epsilon, "hidden_act": names[decoder.activation],
            "use_bias": bool(decoder.biases)}


def hub_parts(decoder: Decoder) -> dict[str, tuple[Part, ...]]:
    """By the decoder's names, without PREFIX. Linear layers are [outputs, inputs]."""
    return _parts(decoder, "layers", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), _ROLES,
                  {**_OUTER, "head": HEAD.removesuffix(".weight")})


def from_gguf(keys: Mapping[str, Any], vocab_size: int, names: Mapping[str, object]) -> Decoder:
    """As llama.from_gguf."""
    epsilon = keys[f"{MODEL_TYPE}.attention.layer_norm_epsilon"]
    alike = llama.gguf_decoder_of({**keys, f"{MODEL_TYPE}.attention.layer_norm_rms_epsilon": epsilon}, MODEL_TYPE,
                                  vocab_size, names)
    return _of(alike, alike.n_ctx, epsilon, "gelu_tanh", alike.biases)


def to_gguf(decoder: Decoder) -> dict[str, object]:
    """As llama.to_gguf. Raises ModelError where GGUF's StarCoder2 can't say what the decoder is."""
    if decoder.activation != "gelu_tanh":
        raise ModelError("GGUF files can't say that a StarCoder2 has another activation than the tanh GELU.")
    keys = llama.to_gguf(decoder)
    return {**{key: value for key, value in keys.items() if not key.endswith("rms_epsilon")},
            f"{MODEL_TYPE}.attention.layer_norm_epsilon": decoder.epsilon}


def gguf_parts(decoder: Decoder) -> dict[str, tuple[Part, ...]]:
    """By the decoder's names. Linear layers are [outputs, inputs]."""
    return _parts(decoder, "blk", ("attn_q", "attn_k", "attn_v"), _GGUF, _GGUF)


def _of(alike: Decoder, n_ctx: int, epsilon: float, activation: str, biases: tuple[str, ...]) -> Decoder:
    """The decoder with Llama's sizes and StarCoder2's choices."""
    return Decoder(MODEL_TYPE, alike.n_layer, alike.n_head, alike.n_kv_head, alike.n_embd, alike.head_width,
                   alike.n_inner, n_ctx, alike.vocab_size, epsilon, positions="rotary", rope_theta=alike.rope_theta,
                   activation=activation, biases=biases, tied=alike.tied)


def _parts(decoder: Decoder, block: str, heads: tuple[str, str, str], roles: Mapping[str, str],
           outers: Mapping[str, str]) -> dict[str, tuple[Part, ...]]:
    parts = {}
    for name, shape in decoder.shapes().items():
        outer, _, rest = name.partition(".")
        if outer != "layers":
            parts[name] = (Part(f"{outers[outer]}.{rest}", shape[-1]),)
            continue
        layer, role, kind = rest.split(".")
        linear = role in MATRICES and kind == "weight"
        if role == "qkv":
            widths = (decoder.attention_width, decoder.kv_width, decoder.kv_width)
            parts[name] = tuple(Part(f"{block}.{layer}.{head}.{kind}", width, linear)
                                for head, width in zip(heads, widths))
        else:
            parts[name] = (Part(f"{block}.{layer}.{roles[role]}.{kind}", shape[-1], linear),)
    return parts
