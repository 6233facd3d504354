"""Writes a model as a GGUF file, llama.cpp's format, in fp32."""
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFWriter

from gpt2_assist.architectures import architecture
from gpt2_assist.architectures.description import Decoder
from gpt2_assist.architectures.parts import take_apart
from gpt2_assist.model.store import ModelFolder
from gpt2_assist.text.gguf_keys import gguf_keys
from gpt2_assist.text.tokenizer import TextTokenizer

_ADD: dict[type, Callable[[GGUFWriter, str, Any], None]] = {
    bool: GGUFWriter.add_bool, int: GGUFWriter.add_uint32, float: GGUFWriter.add_float32, str: GGUFWriter.add_string,
    list: GGUFWriter.add_array}


def write_gguf(model: ModelFolder, config: Decoder, weights: Mapping[str, torch.Tensor], path: Path) -> None:
    """`weights` have the decoder's names; the tokenizer and what the keys say of texts are those of `model`.

    Raises OSError where the disk refuses, ModelError where GGUF can't say what the model or its tokenizer is.
    """
    keys = {**_general(model), **architecture(config.architecture).to_gguf(config),
            **gguf_keys(TextTokenizer.from_folder(model.tokenizer), config.vocab_size, model.card.prompt_prefix,
                        model.card.chat_template, model.card.infill)}
    writer = GGUFWriter(path, config.architecture)
    for key, value in keys.items():
        _ADD[type(value)](writer, key, value)
    writer.add_file_type(GGMLQuantizationType.F32)
    for name, tensor in _tensors(config, weights):
        writer.add_tensor_info(name, tuple(tensor.shape), np.dtype(np.float32), 4 * tensor.numel())
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for _, tensor in _tensors(config, weights):
            writer.write_tensor_data(tensor.float().contiguous().numpy())
    finally:
        writer.close()


def _tensors(config: Decoder, weights: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
    """Each as GGUF names and holds it, one after the other."""
    for name, parts in architecture(config.architecture).gguf_parts(config).items():
        yield from take_apart(parts, weights[name]).items()


def _general(model: ModelFolder) -> dict[str, str]:
    card = model.card
    said = {"name": Path(model.name).name, "license": card.licence, "description": card.origin}
    return {f"general.{key}": value for key, value in said.items() if value and value != "unknown"}
