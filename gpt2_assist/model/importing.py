"""Brings a model that the user has as files into the store, as safetensors with the hub's names.

`.bin` and `.pt` files are pickles; they are read by torch's restricted unpickler, which refuses all code.
"""
import io
import pickle
import pickletools
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from gpt2_assist.architectures.description import Decoder
from gpt2_assist.errors import DataError, ModelError
from gpt2_assist.files.text_file import read_json
from gpt2_assist.files.unreadable import PICKLES, not_json, unfinished, unreadable
from gpt2_assist.model.card import CARD_FILE, Card, read_card, write_card
from gpt2_assist.model.config_file import read_config
from gpt2_assist.model.download import sha256_of
from gpt2_assist.model.hub_files import write_config
from gpt2_assist.model.safetensors_file import SafetensorsFile
from gpt2_assist.model.store import ModelFolder, find_model, free_name, new_model, writing
from gpt2_assist.model.tensors import INDEX_FILE, WEIGHTS_FILE
from gpt2_assist.model.weights import decoder_weights, load_weights, stored_tensors
from gpt2_assist.text.special_tokens import SPECIAL_TOKEN_FILES
from gpt2_assist.text.tokenizer import TOKENIZER_FILES, TextTokenizer
from gpt2_assist.text.valid import model_path

_PICKLE = "pytorch_model.bin"
_PICKLE_INDEX = "pytorch_model.bin.index.json"
_TORCHS_OWN = ("torch", "collections", "_codecs")
"""Packages of whose names weights are made up."""
_MOST_PICKLES = 5
"""In a file of torch's old form, before its numbers."""
_COPIED = (*TOKENIZER_FILES, *SPECIAL_TOKEN_FILES, "README.md", "LICENSE", "LICENSE.md", "LICENSE.txt")


def import_model(source: Path, name: str | None = None, tokenizer: Path | None = None) -> ModelFolder:
    """Imports a folder, or one weights file whose folder has the config.json. The source stays as it is.

    `tokenizer` is a folder with tokenizer files for models that came without. Raises DataError where the source is
    missing, unreadable or carries code, ModelError where it is of an architecture that isn't known here, UsageError
    where the name is taken.
    """
    try:
        return _imported(source.expanduser(), name, tokenizer)
    except OSError as error:
        raise DataError(str(unreadable(Path(error.filename or source), error))) from None


def _imported(source: Path, name: str | None, tokenizer: Path | None) -> ModelFolder:
    if not source.exists():
        raise DataError(f"There is nothing at {source} to import.")
    if not source.is_dir() and not source.is_file():
        raise DataError(f"{source} is neither a file nor a folder.")
    for path in (source, tokenizer or source):
        model_path(str(path.absolute()))
    folder = source if source.is_dir() else source.parent
    name = free_name(name or source.resolve().name if source.is_dir() else name or source.resolve().stem)
    config, weights = _read(source, folder)
    tokens = tokenizer.expanduser() if tokenizer else folder
    size = TextTokenizer.from_folder(tokens).vocab_size
    if size > config.vocab_size:
        raise ModelError(f"The tokenizer in {tokens} has {size} entries, but the model knows only "
                         f"{config.vocab_size} tokens.")
    with new_model(name) as made:
        with writing(name):
            _write(made, config, weights, tokens, folder, source)
    return find_model(name)


def _write(made: Path, config: Decoder, weights: dict[str, torch.Tensor], tokens: Path, folder: Path,
           source: Path) -> None:
    try:
        save_file({name: value.contiguous() for name, value in stored_tensors(weights, config)}, made / WEIGHTS_FILE,
                  metadata={"format": "pt"})
    except SafetensorError as error:  # how it reports a full disk
        raise OSError(str(error)) from None
    for parent, names in ((tokens, TOKENIZER_FILES), (folder, _COPIED)):
        for name in names:
            if (parent / name).is_file() and not (made / name).exists() and (
                    parent == tokens or name not in TOKENIZER_FILES):
                shutil.copyfile(parent / name, made / name)
    tokenizer = TextTokenizer.from_folder(tokens)
    write_config(config, tokenizer, made)
    known = read_card(folder) if (folder / CARD_FILE).is_file() else Card(
        origin=f"imported from {source.resolve()}", prompt_prefix=tokenizer.prompt_prefix)
    figures = {**known.figures, "parameters": sum(value.numel() for value in weights.values())}
    write_card(made, replace(known, hashes={WEIGHTS_FILE: sha256_of(made / WEIGHTS_FILE)}, figures=figures))


def _read(source: Path, folder: Path) -> tuple[Decoder, dict[str, torch.Tensor]]:
    if source.is_dir():
        if (folder / WEIGHTS_FILE).is_file() or (folder / INDEX_FILE).is_file():
            return load_weights(folder)
        config = read_config(folder)
        return config, decoder_weights(_pickled_in(folder), config)
    config = read_config(folder)
    if source.suffix == ".safetensors":
        return config, decoder_weights(_safetensors(source), config)
    if source.suffix in PICKLES:
        return config, decoder_weights(_pickled(source), config)
    raise DataError(f"{source} is no weights file: it must end in .safetensors, .bin or .pt.")


def _safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError, ValueError, MemoryError, RuntimeError) as error:  # the last is torch's
        raise DataError(str(unreadable(path, error))) from None


def _pickled_in(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of a folder without safetensors: one pickle, or shards with their index."""
    if (folder / _PICKLE).is_file():
        return _pickled(folder / _PICKLE)
    if (folder / _PICKLE_INDEX).is_file():
        try:
            index = read_json(folder / _PICKLE_INDEX)
            shards = sorted(set(index["weight_map"].values()))
            inside = all(Path(shard).name == shard for shard in shards)
        except (OSError, ValueError) as error:
            raise DataError(str(not_json(folder / _PICKLE_INDEX, error))) from None
        except (KeyError, TypeError, AttributeError):
            raise DataError(f"{folder / _PICKLE_INDEX} is damaged.") from None
        if not inside:
            raise DataError(f"{folder / _PICKLE_INDEX} names files outside its folder.")
        return {name: value for shard in shards for name, value in _pickled(folder / shard).items()}
    if part := unfinished(folder):
        raise DataError(f"{folder} holds no weights yet: {part.name} is still being downloaded, or its download broke "
                        "off.")
    raise ModelError(f"{folder} holds no weights: no {WEIGHTS_FILE} and no {_PICKLE}; "
                     "if they have another name, import that file.")


def _pickled(path: Path) -> dict[str, torch.Tensor]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # torch raises many kinds on damaged files
        if isinstance(error, pickle.UnpicklingError) and _carries_code(path):
            raise DataError(f"{path} carries code besides its weights; it was not run and is not imported.") from None
        if _is_safetensors(path):
            raise DataError(f"{path} is a safetensors file: name it .safetensors and import that.") from None
        if "allocate memory" in str(error):
            error = MemoryError()
        raise DataError(str(unreadable(path, error))) from None
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, dict) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise DataError(f"{path} holds something other than a model's weights by name.")
    return loaded


def _carries_code(path: Path) -> bool:
    """Whether a pickle names something that isn't torch's. It is read, not run."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                inside = next(name for name in archive.namelist() if name.endswith("data.pkl"))
                return any(_names(io.BytesIO(archive.read(inside))))
        with open(path, "rb") as file:
            return any(any(_names(file)) for _ in range(_MOST_PICKLES))
    except Exception:  # no pickle, or none that goes on; pickletools raises many kinds
        return False


def _names(file: BinaryIO) -> Iterator[bool]:
    """For each name that a pickle refers to, whether it is another one's than torch's."""
    texts: list[str] = []
    for operation, argument, _ in pickletools.genops(file):
        if isinstance(argument, str):
            if operation.name not in ("GLOBAL", "INST"):
                texts.append(argument)
                continue
            module = argument.split(" ")[0]
            if all(map(str.isidentifier, module.split("."))):  # else a text happens to look like a pickle
                yield module.split(".")[0] not in _TORCHS_OWN
        elif operation.name == "STACK_GLOBAL":
            yield not texts[-2:-1] or texts[-2].split(".")[0] not in _TORCHS_OWN


def _is_safetensors(path: Path) -> bool:
    try:
        return bool(SafetensorsFile(path).entries)
    except (OSError, ValueError):
        return False
