"""Weights from a model folder: safetensors in one file or in shards, with the hub's names or save_pretrained's.

Tensors are mapped from the file, not copied, and come in the file's own precision.
"""
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from gpt2_assist.errors import ModelError
from gpt2_assist.model.gpt2 import GPT2, GPT2Config

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
_MASKS = re.compile(r"h\.\d+\.attn\.(masked_)?bias")
_HEAD = "lm_head.weight"


def read_config(folder: Path) -> GPT2Config:
    """The sizes that config.json states. Raises ModelError where it is missing, damaged or no GPT-2's."""
    path = Path(folder) / "config.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"The folder {folder} is no model: it has no config.json.") from None
    except (OSError, ValueError):
        raise ModelError(f"{path} can't be read as JSON; fetch the model again.") from None
    if not isinstance(entries, dict):
        raise ModelError(f"{path} is no JSON object; fetch the model again.")
    return GPT2Config.from_hub(entries)


def load_weights(folder: Path) -> tuple[GPT2Config, dict[str, torch.Tensor]]:
    """(sizes, tensors by GPT2's parameter names). Raises ModelError with what is wrong with the files."""
    folder = Path(folder)
    config = read_config(folder)
    return config, gpt2_weights(dict(_stored(folder)), config)


def load_model(folder: Path, dtype: torch.dtype = torch.float32) -> GPT2:
    """The model on the CPU, ready to run. Raises ModelError as load_weights does."""
    config, weights = load_weights(folder)
    with torch.device("meta"):
        model = GPT2(config)
    model.load_state_dict({name: value.to(dtype) for name, value in weights.items()}, assign=True)
    return model.eval()


def gpt2_weights(stored: Mapping[str, torch.Tensor], config: GPT2Config) -> dict[str, torch.Tensor]:
    """GPT2's parameters from tensors in either key style: masks dropped, a tied head checked and dropped.

    Raises ModelError where a tensor is missing, unknown or of another shape than `config` says.
    """
    weights: dict[str, torch.Tensor] = {}
    for stored_name, value in stored.items():
        name = stored_name.removeprefix("transformer.")
        if _MASKS.fullmatch(name):
            continue
        if name in weights:
            raise ModelError(f"The weights hold {name} twice.")
        weights[name] = value
    expected = expected_shapes(config)
    head = weights.pop(_HEAD, None)
    if missing := [name for name in expected if name not in weights]:
        raise ModelError(f"The weights lack {missing[0]}{_and_more(missing)}.")
    if unknown := [name for name in weights if name not in expected]:
        raise ModelError(f"The weights hold {unknown[0]}{_and_more(unknown)}, which GPT-2 of this size does not have.")
    for name, shape in expected.items():
        if tuple(weights[name].shape) != shape:
            raise ModelError(f"The weights' {name} has the shape {list(weights[name].shape)}, "
                             f"but config.json wants {list(shape)}.")
        if not weights[name].is_floating_point():
            raise ModelError(f"The weights' {name} holds {weights[name].dtype}; only floating-point weights are known.")
    if head is not None and not torch.equal(head, weights["wte.weight"]):
        raise ModelError("The model's head differs from its token embedding; GPT-2's are one and the same.")
    return {name: weights[name] for name in expected}


def expected_shapes(config: GPT2Config) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter, by name, in the model's order."""
    with torch.device("meta"):
        return {name: tuple(value.shape) for name, value in GPT2(config).state_dict().items()}


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder, in order. Raises ModelError where there are none or a shard is missing."""
    if (folder / WEIGHTS_FILE).is_file():
        return [folder / WEIGHTS_FILE]
    if not (folder / INDEX_FILE).is_file():
        if any(folder.glob("*.bin")) or any(folder.glob("*.pt")):
            raise ModelError(f"{folder} holds weights that can carry code; "
                             f"`gpt2-assist models import {folder}` converts them safely.")
        raise ModelError(f"{folder} holds no weights: there is no {WEIGHTS_FILE}.")
    try:
        names = sorted(set(json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))["weight_map"].values()))
        paths = [folder / name for name in names if Path(name).name == name]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ModelError(f"{folder / INDEX_FILE} is damaged; fetch the model again.") from None
    if len(paths) != len(names):
        raise ModelError(f"{folder / INDEX_FILE} names files outside the model's folder.")
    for path in paths:
        if not path.is_file():
            raise ModelError(f"The model's file {path} is missing; fetch the model again.")
    return paths


def _stored(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    for path in weight_files(folder):
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 (no mapping: it has no iterator)
                    yield name, file.get_tensor(name)
        except (OSError, SafetensorError, ValueError):
            raise ModelError(f"The weights {path} are damaged or cut short; fetch the model again.") from None


def _and_more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""
