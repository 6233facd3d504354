"""A model folder's weights in numpy, and what every reader of weights checks. Needs no torch."""
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gpt2_assist.architectures import architecture
from gpt2_assist.architectures.description import Decoder
from gpt2_assist.architectures.parts import Part, assemble
from gpt2_assist.errors import ModelError
from gpt2_assist.files.text_file import read_json
from gpt2_assist.files.unreadable import not_json, stand_in, unfinished, unreadable
from gpt2_assist.model.config_file import read_config
from gpt2_assist.model.safetensors_file import FLOATING, SafetensorsFile

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
_ROWS = 4096
"""Rows of a matrix that are compared at once."""


@dataclass(frozen=True)
class Stored:
    """What is known of a stored tensor without reading it."""

    shape: tuple[int, ...]
    kind: str
    """What its reader calls the number type."""
    floating: bool
    """Whether its reader takes these numbers as weights."""


class ModelTensors:
    """The weights of a folder, mapped from its files. Raises ModelError with what is wrong with them."""

    def __init__(self, folder: Path) -> None:
        self.config: Decoder = read_config(folder)
        self._files: dict[str, SafetensorsFile] = {}
        for path in weight_files(Path(folder)):
            try:
                file = SafetensorsFile(path)
            except (OSError, ValueError, MemoryError) as error:
                raise unreadable(path, error) from None
            self._files |= dict.fromkeys(file.entries, file)
        entries = {name: file.entries[name] for name, file in self._files.items()}
        self._parts, head = stored_parts({name: Stored(entry.shape, entry.kind, entry.kind in FLOATING)
                                          for name, entry in entries.items()}, self.config)
        if head is not None and not self._is_embedding(head):
            raise untied_head()

    def read_matrix(self, name: str) -> np.ndarray:
        """A parameter, matrix or vector, by the decoder's name: float32, a read-only view if that is what the file
        holds."""
        return assemble(self._parts[name], self._numbers, lambda arrays: np.concatenate(arrays, axis=-1))

    def _numbers(self, stored_name: str) -> np.ndarray:
        return self._files[stored_name].numbers(stored_name)

    def _is_embedding(self, head: str) -> bool:
        entry = self._files[head].entries[head]
        if entry.kind not in FLOATING or entry.shape != (self.config.vocab_size, self.config.n_embd):
            return False
        first, second = self._numbers(head), self.read_matrix("embedding.weight")
        return all(np.array_equal(first[row:row + _ROWS], second[row:row + _ROWS])
                   for row in range(0, len(first), _ROWS))


def stored_parts(stored: Mapping[str, Stored], config: Decoder) -> tuple[dict[str, tuple[Part, ...]], str | None]:
    """(by the decoder's names, in its order, the parts that each is stored in; a head that is stored although the
    embedding is the head).

    Files name them with or without the architecture's prefix; masks and the like are left out. Raises ModelError where
    a tensor is missing, unknown, of another shape than `config` says, or holds something other than weights.
    """
    own = architecture(config.architecture)
    found: dict[str, str] = {}
    for stored_name in stored:
        name = stored_name.removeprefix(own.PREFIX)
        if own.IGNORED.fullmatch(name):
            continue
        if name in found:
            raise ModelError(f"The weights hold {name} twice.")
        found[name] = stored_name
    head = found.pop(own.HEAD, None) if config.tied else None
    parts = own.hub_parts(config)
    expected = {part.name: part.stored_shape(config.shapes()[name]) for name, parted in parts.items()
                for part in parted}
    if missing := [name for name in expected if name not in found]:
        raise ModelError(f"The weights lack {missing[0]}{_and_more(missing)}.")
    if unknown := [name for name in found if name not in expected]:
        raise ModelError(f"The weights hold {unknown[0]}{_and_more(unknown)}, which the model of config.json does not "
                         "have.")
    for name, shape in expected.items():
        tensor = stored[found[name]]
        if tensor.shape != shape:
            raise ModelError(f"The weights' {name} has the shape {list(tensor.shape)}, "
                             f"but config.json wants {list(shape)}.")
        if not tensor.floating:
            raise ModelError(f"The weights' {name} holds {tensor.kind}; only floating-point weights are known.")
    return {name: tuple(replace(part, name=found[part.name]) for part in parted)
            for name, parted in parts.items()}, head


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder, in order. Raises ModelError where there are none or a shard is missing."""
    if (folder / WEIGHTS_FILE).is_file():
        return [folder / WEIGHTS_FILE]
    if not (folder / INDEX_FILE).is_file():
        for name in (WEIGHTS_FILE, INDEX_FILE):
            if (folder / name).is_symlink():
                raise unreadable(folder / name)
        if part := unfinished(folder):
            raise ModelError(f"{folder} holds no weights yet: {part.name} is still being downloaded, or its download "
                             "broke off.")
        if pickles := [*sorted(folder.glob("*.bin")), *sorted(folder.glob("*.pt"))]:
            if words := stand_in(pickles[0]):
                raise ModelError(f"{pickles[0]} {words}.")
            raise ModelError(f"{folder} holds weights that can carry code; "
                             f"`gpt2-assist models import {folder}` converts them safely.")
        raise ModelError(f"{folder} holds no weights: there is no {WEIGHTS_FILE}.")
    try:
        names = sorted(set(read_json(folder / INDEX_FILE)["weight_map"].values()))
        paths = [folder / name for name in names if Path(name).name == name]
    except (OSError, ValueError) as error:
        raise not_json(folder / INDEX_FILE, error) from None
    except (KeyError, TypeError, AttributeError):
        raise ModelError(f"{folder / INDEX_FILE} is damaged; fetch the model again.") from None
    if len(paths) != len(names):
        raise ModelError(f"{folder / INDEX_FILE} names files outside the model's folder.")
    for path in paths:
        if path.is_symlink() and not path.exists():
            raise unreadable(path)
        if not path.is_file():
            raise ModelError(f"The model's file {path} is missing; fetch the model again.")
    return paths


def untied_head() -> ModelError:
    """What every reader says of a head of its own."""
    return ModelError("The model's head differs from its token embedding, but its config.json says that they are one "
                      "(tie_word_embeddings).")


def _and_more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""
