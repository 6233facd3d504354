"""A training's state in one safetensors file: weights, optimiser and progress, written whole or not at all."""
import json
import os
import re
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from gpt2_assist.architectures import gpt2
from gpt2_assist.architectures.description import Decoder
from gpt2_assist.errors import DataError


def save_checkpoint(path: Path, tensors: dict[str, torch.Tensor], progress: dict) -> None:
    """Writes tensors and progress (plain JSON values), synced, in place of any older file.

    Raises OSError where the disk refuses.
    """
    temporary = path.with_suffix(".part")
    try:
        save_file({name: value.contiguous() for name, value in tensors.items()}, temporary,
                  metadata={"progress": json.dumps(progress)})
    except SafetensorError as error:  # how it reports a full disk
        temporary.unlink(missing_ok=True)
        raise OSError(str(error)) from None
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def load_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], dict]:
    """(tensors, progress) as they were saved. Raises DataError on a damaged file."""
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, json.loads(file.metadata()["progress"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        raise DataError(f"The checkpoint {path} is damaged.") from None


def renamed(tensors: dict[str, torch.Tensor], config: Decoder) -> dict[str, torch.Tensor]:
    """A state's tensors by the names that they have now: those of older states end as a hub's names of GPT-2 do. Others
    stay as they are."""
    if config.architecture != gpt2.MODEL_TYPE:
        return tensors
    modules = {parts[0].name.rpartition(".")[0]: name.rpartition(".")[0]
               for name, parts in gpt2.hub_parts(config).items()}
    return {_renamed(name, modules): tensor for name, tensor in tensors.items()}


def _renamed(name: str, modules: dict[str, str]) -> str:
    start = re.match(r"model\.|optimizer\.velocity\.|(optimizer\.)?adam\.\w+\.", name)
    module, _, kind = name[start.end() if start else 0:].rpartition(".")
    return f"{start.group()}{modules[module]}.{kind}" if start and module in modules else name
