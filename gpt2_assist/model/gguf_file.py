"""Writes a GPT-2 folder as a GGUF file, llama.cpp's format, in fp32."""
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from gguf import GGMLQuantizationType, GGUFWriter, TokenType

from gpt2_assist.text.tokenizer import TextTokenizer
from gpt2_assist.text_file import read_json

_PARTS = {"ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "ln_2": "ffn_norm",
          "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"}
_OUTER = {"wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm"}


def write_gguf(folder: Path, weights: Mapping[str, torch.Tensor], path: Path) -> None:
    """`folder` holds a model, whose byte-level BPE may be smaller than its vocabulary: the ids that it lacks get
    placeholders, as padded vocabularies have them. `weights` have GPT2's names.

    Raises OSError where the disk refuses.
    """
    sizes = read_json(folder / "config.json")
    writer = GGUFWriter(path, "gpt2")
    writer.add_block_count(sizes["n_layer"])
    writer.add_context_length(sizes["n_positions"])
    writer.add_embedding_length(sizes["n_embd"])
    writer.add_feed_forward_length(4 * sizes["n_embd"])
    writer.add_head_count(sizes["n_head"])
    writer.add_layer_norm_eps(sizes["layer_norm_epsilon"])
    writer.add_file_type(GGMLQuantizationType.F32)
    _add_tokenizer(writer, TextTokenizer.from_folder(folder), sizes["vocab_size"])
    for name, tensor in weights.items():
        value = tensor.float().numpy()
        key, _, kind = name.rpartition(".")
        if key.startswith("h."):
            _, layer, part = key.split(".", 2)
            value = value.T.copy() if value.ndim == 2 else value  # from [in, out]
            writer.add_tensor(f"blk.{layer}.{_PARTS[part]}.{kind}", value)
        else:
            writer.add_tensor(f"{_OUTER[key]}.{kind}", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: GGUFWriter, tokens_of: TextTokenizer, size: int) -> None:
    tokenizer = json.loads(tokens_of.inner.to_str())
    tokens, kinds = [f"[PAD{id}]" for id in range(size)], [TokenType.UNUSED] * size
    for text, id in tokenizer["model"]["vocab"].items():
        tokens[id], kinds[id] = text, TokenType.NORMAL
    for added in tokenizer["added_tokens"]:
        tokens[added["id"]], kinds[added["id"]] = added["content"], TokenType.CONTROL
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    if tokens_of.ends:
        writer.add_bos_token_id(tokens_of.begin_of_text)
        writer.add_eos_token_id(tokens_of.end_of_text)
    writer.add_add_bos_token(False)
