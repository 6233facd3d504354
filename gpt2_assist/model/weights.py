"""Weights from a model folder as torch tensors: safetensors in one file or in shards, in either key style.

Tensors are mapped from the file, not copied, and come in the file's own precision.
"""
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from gpt2_assist.architectures import architecture
from gpt2_assist.architectures.description import Decoder
from gpt2_assist.architectures.parts import assemble, take_apart
from gpt2_assist.files.unreadable import unreadable
from gpt2_assist.model.config_file import read_config
from gpt2_assist.model.tensors import Stored, stored_parts, untied_head, weight_files
from gpt2_assist.model.transformer import Transformer


def load_weights(folder: Path) -> tuple[Decoder, dict[str, torch.Tensor]]:
    """(sizes, tensors by the decoder's names). Raises ModelError with what is wrong with the files."""
    folder = Path(folder)
    config = read_config(folder)
    return config, decoder_weights(dict(_stored(folder)), config)


def load_model(folder: Path, dtype: torch.dtype = torch.float32) -> Transformer:
    """The model on the CPU, ready to run. Raises ModelError as load_weights does."""
    return model_of(*load_weights(folder), dtype)


def model_of(config: Decoder, weights: dict[str, torch.Tensor], dtype: torch.dtype = torch.float32) -> Transformer:
    """A model with these weights, which it shares where they are of that kind."""
    with torch.device("meta"):
        model = Transformer(config)
    model.load_state_dict({name: value.to(dtype) for name, value in weights.items()}, assign=True)
    return model.eval()


def decoder_weights(stored: Mapping[str, torch.Tensor], config: Decoder) -> dict[str, torch.Tensor]:
    """The decoder's tensors from stored ones in either key style: masks dropped, a tied head checked and dropped.

    Raises ModelError where a tensor is missing, unknown or of another shape than `config` says.
    """
    parts, head = stored_parts({name: Stored(tuple(value.shape), str(value.dtype), value.is_floating_point())
                                for name, value in stored.items()}, config)
    if head is not None and not _are_equal(stored[head], stored[parts["embedding.weight"][0].name]):
        raise untied_head()
    return {name: assemble(parted, stored.__getitem__, lambda tensors: torch.cat(tensors, dim=-1))
            for name, parted in parts.items()}


def stored_tensors(weights: Mapping[str, torch.Tensor], config: Decoder) -> Iterator[tuple[str, torch.Tensor]]:
    """The decoder's tensors as hubs name and hold them, one after the other."""
    own = architecture(config.architecture)
    for name, parts in own.hub_parts(config).items():
        for stored_name, tensor in take_apart(parts, weights[name]).items():
            yield stored_name if stored_name == own.HEAD else own.PREFIX + stored_name, tensor


def _are_equal(first: torch.Tensor, second: torch.Tensor) -> bool:
    return first.shape == second.shape and torch.equal(first.float(), second.float())


def _stored(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    for path in weight_files(folder):
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 (no mapping: it has no iterator)
                    yield name, file.get_tensor(name)
        except (OSError, SafetensorError, ValueError, MemoryError, RuntimeError) as error:  # the last is torch's
            raise unreadable(path, error) from None
