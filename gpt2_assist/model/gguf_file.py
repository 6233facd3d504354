"""Writes a model folder as a GGUF file, llama.cpp's format, in fp32."""
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from gguf import GGMLQuantizationType, GGUFWriter, TokenType

from gpt2_assist.architectures import architecture
from gpt2_assist.architectures.description import Decoder
from gpt2_assist.architectures.parts import take_apart
from gpt2_assist.text.tokenizer import TextTokenizer


def write_gguf(folder: Path, config: Decoder, weights: Mapping[str, torch.Tensor], path: Path) -> None:
    """`folder` holds a model, whose byte-level BPE may be smaller than its vocabulary: the ids that it lacks get
    placeholders, as padded vocabularies have them. `weights` have the decoder's names.

    Raises OSError where the disk refuses, ModelError where GGUF can't say what the model is.
    """
    own = architecture(config.architecture)
    writer = GGUFWriter(path, config.architecture)
    for key, value in own.to_gguf(config).items():
        (writer.add_float32 if isinstance(value, float) else writer.add_uint32)(key, value)
    writer.add_file_type(GGMLQuantizationType.F32)
    _add_tokenizer(writer, TextTokenizer.from_folder(folder), config.vocab_size)
    for name, parts in own.gguf_parts(config).items():
        for stored_name, tensor in take_apart(parts, weights[name]).items():
            writer.add_tensor(stored_name, tensor.float().contiguous().numpy())
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
