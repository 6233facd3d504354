"""Brings a model that the user has as files into the store, as safetensors with the hub's names.

`.bin` and `.pt` files are pickles; they are read by torch's restricted unpickler, which refuses all code.
"""
import json
import pickle
import shutil
import zipfile
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from gpt2_assist.errors import DataError, ModelError
from gpt2_assist.model.card import CARD_FILE, Card, read_card, write_card
from gpt2_assist.model.download import sha256_of
from gpt2_assist.model.sizes import GPT2Config, read_config
from gpt2_assist.model.store import ModelFolder, find_model, free_name, new_model, writing
from gpt2_assist.model.tensors import INDEX_FILE, WEIGHTS_FILE
from gpt2_assist.model.weights import gpt2_weights, load_weights
from gpt2_assist.text.tokenizer import TOKENIZER_FILES, TextTokenizer
from gpt2_assist.text.valid import model_path

_PICKLE = "pytorch_model.bin"
_PICKLE_INDEX = "pytorch_model.bin.index.json"
_PICKLES = (".bin", ".pt", ".pth")
_COPIED = (*TOKENIZER_FILES, "tokenizer_config.json", "special_tokens_map.json", "README.md", "LICENSE", "LICENSE.md",
           "LICENSE.txt")


def import_model(source: Path, name: str | None = None, tokenizer: Path | None = None) -> ModelFolder:
    """Imports a folder, or one weights file whose folder has the config.json. The source stays as it is.

    `tokenizer` is a folder with tokenizer files for models that came without. Raises DataError where the source is
    missing, unreadable or carries code, ModelError where it is no GPT-2, UsageError where the name is taken.
    """
    source = source.expanduser()
    if not source.exists():
        raise DataError(f"There is nothing at {source} to import.")
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


def _write(made: Path, config: GPT2Config, weights: dict[str, torch.Tensor], tokens: Path, folder: Path,
           source: Path) -> None:
    try:
        save_file({name: value.contiguous() for name, value in weights.items()}, made / WEIGHTS_FILE,
                  metadata={"format": "pt"})
    except SafetensorError as error:  # how it reports a full disk
        raise OSError(str(error)) from None
    (made / "config.json").write_text(json.dumps(config.to_hub(), indent=2) + "\n", encoding="utf-8")
    for parent, names in ((tokens, TOKENIZER_FILES), (folder, _COPIED)):
        for name in names:
            if (parent / name).is_file() and not (made / name).exists() and (
                    parent == tokens or name not in TOKENIZER_FILES):
                shutil.copyfile(parent / name, made / name)
    known = read_card(folder) if (folder / CARD_FILE).is_file() else Card(origin=f"imported from {source.resolve()}")
    figures = {**known.figures, "parameters": sum(value.numel() for value in weights.values())}
    write_card(made, Card(**{**vars(known), "hashes": {WEIGHTS_FILE: sha256_of(made / WEIGHTS_FILE)},
                             "figures": figures}))


def _read(source: Path, folder: Path) -> tuple[GPT2Config, dict[str, torch.Tensor]]:
    if source.is_dir():
        if (folder / WEIGHTS_FILE).is_file() or (folder / INDEX_FILE).is_file():
            return load_weights(folder)
        config = read_config(folder)
        return config, gpt2_weights(_pickled_in(folder), config)
    config = read_config(folder)
    if source.suffix == ".safetensors":
        return config, gpt2_weights(_safetensors(source), config)
    if source.suffix in _PICKLES:
        return config, gpt2_weights(_pickled(source), config)
    raise DataError(f"{source} is no weights file: it must end in .safetensors, .bin or .pt.")


def _safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError, ValueError):
        raise DataError(f"{path} is damaged or no safetensors file.") from None


def _pickled_in(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of a folder without safetensors: one pickle, or shards with their index."""
    if (folder / _PICKLE).is_file():
        return _pickled(folder / _PICKLE)
    if (folder / _PICKLE_INDEX).is_file():
        try:
            index = json.loads((folder / _PICKLE_INDEX).read_text(encoding="utf-8"))
            shards = sorted(set(index["weight_map"].values()))
            inside = all(Path(shard).name == shard for shard in shards)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise DataError(f"{folder / _PICKLE_INDEX} is damaged.") from None
        if not inside:
            raise DataError(f"{folder / _PICKLE_INDEX} names files outside its folder.")
        return {name: value for shard in shards for name, value in _pickled(folder / shard).items()}
    raise ModelError(f"{folder} holds no weights: no {WEIGHTS_FILE} and no {_PICKLE}; "
                     "if they have another name, import that file.")


def _pickled(path: Path) -> dict[str, torch.Tensor]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except FileNotFoundError:
        raise DataError(f"The weights file {path} is missing.") from None
    except pickle.UnpicklingError as error:
        if "Unsupported" in str(error) or "GLOBAL" in str(error):
            raise DataError(f"{path} carries code besides its weights; it was not run and is not imported.") from None
        raise DataError(f"{path} is damaged or no weights file.") from None
    except Exception:  # torch raises many kinds on damaged files
        raise DataError(f"{path} is damaged or no weights file.") from None
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, dict) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise DataError(f"{path} holds something other than a model's weights by name.")
    return loaded
