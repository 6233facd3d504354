"""Brings a GGUF file into the store: its weights as safetensors with the hub's names, its tokenizer, and a card."""
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from gpt2_assist.errors import DataError, StorageError
from gpt2_assist.model.card import Card, write_card
from gpt2_assist.model.download import sha256_of
from gpt2_assist.model.gguf_model import GGUFModel, damaged, read_gguf
from gpt2_assist.model.hub_files import write_config
from gpt2_assist.model.ollama import PREFIX, find_in_ollama
from gpt2_assist.model.safetensors_writer import write_tensors
from gpt2_assist.model.store import ModelFolder, find_model, free_name, new_model, writing
from gpt2_assist.model.tensors import WEIGHTS_FILE
from gpt2_assist.text.tokenizer import TextTokenizer

Progress = Callable[[int, int], None]
"""Called with (numbers written, numbers in all)."""


def import_gguf(path: Path, name: str | None = None, stated: Mapping[str, object] | None = None,
                progress: Progress = lambda done, total: None, sha256: str | None = None) -> ModelFolder:
    """Imports the file at `path`, which stays as it is, as the model `name`, by default the file's.

    `stated` are entries of the card that are known better than from the file itself (origin, licence, …), `sha256` is
    what the file's must be. Raises DataError where the file is missing, damaged, another one or can't be read,
    ModelError where its model is none that is known here, UsageError where the name is taken, StorageError where the
    disk refuses.
    """
    path = path.expanduser()
    if not path.is_file():
        raise DataError(f"There is no file at {path} to import.")
    name = free_name(name or path.resolve().stem)
    model = read_gguf(path)
    return _keep(model, name, replace(model.card(), **(stated or {})), progress, sha256)


def import_from_ollama(named: str, name: str | None = None,
                       progress: Progress = lambda done, total: None) -> ModelFolder:
    """Imports what Ollama's own store has by the name `named`; for the rest as import_gguf, and find_in_ollama."""
    found = find_in_ollama(named)
    name = free_name(name or found.store_name)
    model = read_gguf(found.weights)
    card = replace(model.card(), origin=f"{PREFIX}{found.name}")
    if found.licences:
        card = replace(card, licence=_first_lines(found.licences))
    tokens = {token.content for token in model.tokens.tokenizer.get_added_tokens_decoder().values()}
    stops = [stop for stop in dict.fromkeys(found.stop_strings) if stop not in tokens]
    card = replace(card, stop_strings=stops, chat_template=card.chat_template or found.template)
    return _keep(model, name, card, progress, found.sha256, {"LICENSE": "\n\n".join(found.licences)})


def _first_lines(licences: list[str]) -> str:
    lines = (next((line.strip() for line in text.splitlines() if line.strip()), "") for text in licences)
    return "; ".join(line for line in lines if line) or "not stated"


def _keep(model: GGUFModel, name: str, card: Card, progress: Progress, sha256: str | None,
          texts: Mapping[str, str] | None = None) -> ModelFolder:
    """Writes a model into the store. `texts` are further files by name, left out where they are empty."""
    try:
        found = sha256_of(model.path)
    except OSError as error:
        raise damaged(model.path, error) from None
    if sha256 not in (None, found):
        raise DataError(f"{model.path} is not the file that it should be: its SHA-256 is {found}.")
    with new_model(name) as made:
        with writing(name):
            _make_sure_of_room(model, made, name)
            _write(model, made, progress)
            for file, text in (texts or {}).items():
                if text:
                    (made / file).write_text(text, encoding="utf-8")
            hashes = {WEIGHTS_FILE: sha256_of(made / WEIGHTS_FILE), model.path.name: found}
            write_card(made, replace(card, hashes=hashes))
    return find_model(name)


def _make_sure_of_room(model: GGUFModel, made: Path, name: str) -> None:
    wanted, free = model.size_bytes(), shutil.disk_usage(made).free
    if free < wanted:
        raise StorageError(f"The model {name} needs {wanted / 1e6:.0f} MB in {made.parent}, but only "
                           f"{free / 1e6:.0f} MB are free there.")


def _write(model: GGUFModel, made: Path, progress: Progress) -> None:
    total, done = model.decoder.parameters(), 0

    def counted() -> Iterator[tuple[str, np.ndarray]]:
        nonlocal done
        for name, tensor in model.tensors():
            yield name, tensor
            done += tensor.size
            progress(done, total)

    progress(0, total)
    with open(made / WEIGHTS_FILE, "xb") as file:
        write_tensors(file, model.layout(), counted())
    for name, text in model.tokens.files().items():
        (made / name).write_text(text, encoding="utf-8")
    write_config(model.decoder, TextTokenizer.from_folder(made), made)
