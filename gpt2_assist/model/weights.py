"""Weights from a model folder as torch tensors: safetensors in one file or in shards, in either key style.

Tensors are mapped from the file, not copied, and come in the file's own precision.
"""
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from gpt2_assist.model.gpt2 import GPT2
from gpt2_assist.model.sizes import GPT2Config, read_config
from gpt2_assist.model.tensors import Stored, stored_names, untied_head, weight_files
from gpt2_assist.unreadable import unreadable


def load_weights(folder: Path) -> tuple[GPT2Config, dict[str, torch.Tensor]]:
    """(sizes, tensors by GPT2's parameter names). Raises ModelError with what is wrong with the files."""
    folder = Path(folder)
    config = read_config(folder)
    return config, gpt2_weights(dict(_stored(folder)), config)


def load_model(folder: Path, dtype: torch.dtype = torch.float32) -> GPT2:
    """The model on the CPU, ready to run. Raises ModelError as load_weights does."""
    return model_of(*load_weights(folder), dtype)


def model_of(config: GPT2Config, weights: dict[str, torch.Tensor], dtype: torch.dtype = torch.float32) -> GPT2:
    """A model with these weights, which it shares where they are of that kind."""
    with torch.device("meta"):
        model = GPT2(config)
    model.load_state_dict({name: value.to(dtype) for name, value in weights.items()}, assign=True)
    return model.eval()


def gpt2_weights(stored: Mapping[str, torch.Tensor], config: GPT2Config) -> dict[str, torch.Tensor]:
    """GPT2's parameters from tensors in either key style: masks dropped, a tied head checked and dropped.

    Raises ModelError where a tensor is missing, unknown or of another shape than `config` says.
    """
    names, head = stored_names({name: Stored(tuple(value.shape), str(value.dtype), value.is_floating_point())
                                for name, value in stored.items()}, config)
    if head is not None and not _are_equal(stored[head], stored[names["wte.weight"]]):
        raise untied_head()
    return {name: stored[stored_name] for name, stored_name in names.items()}


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
