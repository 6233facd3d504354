"""GGUF files of random weights, written by the format's own package, for tests of what reads them."""
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, TokenType
from gguf.quants import quantize

from gpt2_assist.architectures import architecture
from gpt2_assist.architectures.description import Decoder
from gpt2_assist.text.tokenizer import BYTE_ALPHABET

CONTROLS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MERGES = ("Ġ t", "h e", "Ġt he", "i n", "Ġ a", "1 2")
VOCABULARY = (*CONTROLS, *sorted(BYTE_ALPHABET), *(merge.replace(" ", "") for merge in MERGES))
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
SIZES = {"n_layer": 2, "n_embd": 64, "n_ctx": 128, "n_inner": 96, "vocab_size": len(VOCABULARY)}


def decoder(name: str, **sizes: object) -> Decoder:
    """A small one of the architecture, with odd sizes."""
    sizes = SIZES | sizes
    if name == "gpt2":
        return Decoder("gpt2", n_head=4, n_kv_head=4, head_width=16, **{**sizes, "n_inner": 4 * sizes["n_embd"]})
    rotary = {"norm": "rms", "positions": "rotary", "activation": "silu", "gated": True, "rope_theta": 50_000.0}
    biases, width = {"llama": (), "qwen2": ("qkv",), "qwen3": ()}[name], 24 if name == "qwen3" else 16
    return Decoder(name, **{"n_head": 4, "n_kv_head": 2, "head_width": width, "biases": biases,
                            "head_norms": name == "qwen3", **rotary, **sizes})


def random_parts(own: Decoder, seed: int = 0) -> dict[str, np.ndarray]:
    """float32 tensors by GGUF's names, norms about one."""
    random, parts = np.random.default_rng(seed), {}
    shapes = own.shapes()
    for name, pieces in architecture(own.architecture).gguf_parts(own).items():
        for part in pieces:
            values = random.standard_normal(part.stored_shape(shapes[name]), np.float32) / 8
            parts[part.name] = values + ("norm.weight" in name)
    return parts


def write(path: Path, own: Decoder, parts: Mapping[str, np.ndarray], kind: str = "F32", pre: str = "gpt-2",
          change=lambda writer: None, tokens: tuple[str, ...] = VOCABULARY, merges: tuple[str, ...] = MERGES,
          types: list[int] | None = None, extra: Mapping[str, object] | None = None) -> Path:
    """`kind`: of the matrices; vectors are F32. `change` is called with the writer before the file is written."""
    writer = GGUFWriter(path, own.architecture)
    for key, value in architecture(own.architecture).to_gguf(own).items():
        (writer.add_float32 if isinstance(value, float) else writer.add_uint32)(key, value)
    writer.add_name("Tiny")
    writer.add_author("Nobody")
    writer.add_license("mit")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(list(tokens))
    writer.add_token_types(types or [TokenType.CONTROL if token in CONTROLS else TokenType.NORMAL for token in tokens])
    writer.add_token_merges(list(merges))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)
    for key, value in (extra or {}).items():
        {bool: writer.add_bool, str: writer.add_string, int: writer.add_uint32, float: writer.add_float32,
         list: writer.add_array}[type(value)](key, value)
    change(writer)
    for name, values in parts.items():
        type_ = GGMLQuantizationType[kind if values.ndim > 1 else "F32"]
        writer.add_tensor(name, quantize(values, type_), raw_dtype=type_)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def assist(*words: object) -> subprocess.CompletedProcess:
    """gpt2-assist with these words, as a process of its own."""
    return subprocess.run([sys.executable, "-m", "gpt2_assist", *map(str, words)], capture_output=True, text=True,
                          timeout=100)
