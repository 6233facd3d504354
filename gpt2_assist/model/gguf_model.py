"""A model in a GGUF file: found to be one that is known here, and given tensor by tensor as a hub would hold it."""
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gpt2_assist.architectures import architecture
from gpt2_assist.architectures.description import Decoder
from gpt2_assist.architectures.parts import Part, assemble, take_apart
from gpt2_assist.errors import DataError, ModelError
from gpt2_assist.files.unreadable import unreadable
from gpt2_assist.model.card import Card
from gpt2_assist.model.gguf_reader import MAGIC, GGUFFile, GGUFTensor
from gpt2_assist.text.gguf_tokens import GGUFTokens, gguf_tokens

_DAMAGE = (OSError, ValueError, MemoryError)


@dataclass(frozen=True)
class GGUFModel:
    """A file that was found to hold a model that is known here, all of it."""

    path: Path
    keys: dict[str, object]
    decoder: Decoder
    tokens: GGUFTokens
    kinds: dict[str, np.dtype]
    """In what numbers to keep each of the decoder's tensors, in its order."""

    def tensors(self) -> Iterator[tuple[str, np.ndarray]]:
        """Each tensor by the hub's name, one after the other. Raises DataError where the file can't be read."""
        with _reading(self.path) as file:
            stored, kept = self._parts()
            for name, kind in self.kinds.items():
                try:
                    whole = assemble(stored[name], lambda part, kind=kind: file.numbers(part, kind),
                                     lambda arrays: np.concatenate(arrays, axis=-1))
                except _DAMAGE as error:
                    raise damaged(self.path, error) from None
                yield from take_apart(kept[name], whole).items()

    def layout(self) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
        """The numbers and the shape of each of `tensors`, by the hub's name, in that order."""
        shapes, (_, kept) = self.decoder.shapes(), self._parts()
        return {part.name: (self.kinds[name], part.stored_shape(shapes[name]))
                for name in self.kinds for part in kept[name]}

    def size_bytes(self) -> int:
        """Of all `tensors` together."""
        return sum(math.prod(shape) * kind.itemsize for kind, shape in self.layout().values())

    def card(self) -> Card:
        """What the file says of itself."""
        said = {name: value for name, value in self.keys.items() if isinstance(value, str) and value}
        maker = said.get("general.author") or said.get("general.organization")
        what = " by ".join(part for part in (said.get("general.name"), maker) if part)
        licence = said.get("general.license.name") or said.get("general.license", "not stated")
        link = said.get("general.license.link")
        return Card(origin=(f"{what}, " if what else "") + f"imported from {self.path.resolve()}",
                    licence=f"{licence} ({link})" if link else licence, data=_datasets(self.keys),
                    prompt_prefix=self.tokens.prompt_prefix, chat_template=self.tokens.chat_template,
                    infill=self.tokens.infill, figures={"parameters": self.decoder.parameters()})

    def _parts(self) -> tuple[dict[str, tuple[Part, ...]], dict[str, tuple[Part, ...]]]:
        """How the file holds the decoder's tensors, and how the hub does."""
        own = architecture(self.decoder.architecture)
        kept = {name: tuple(replace(part, name=part.name if part.name == own.HEAD else own.PREFIX + part.name)
                            for part in parts) for name, parts in own.hub_parts(self.decoder).items()}
        return own.gguf_parts(self.decoder), kept


def read_gguf(path: Path) -> GGUFModel:
    """Checks a file whole but for its numbers. Raises DataError where it is damaged or can't be read, ModelError where
    its model is none that is known here."""
    with _reading(path) as file:
        try:
            repeated = {"output.weight", "token_embd.weight"} <= file.tensors.keys() and file.are_equal(
                "output.weight", "token_embd.weight")
        except OSError as error:
            raise damaged(path, error) from None
        stored = {name: tensor for name, tensor in file.tensors.items() if name != "output.weight" or not repeated}
        decoder = _decoder(file.keys, {name: tensor.shape for name, tensor in stored.items()})
        kinds = _kinds(decoder, stored)
        tokens = gguf_tokens(file.keys, decoder.vocab_size)
        return GGUFModel(path, file.keys, decoder, tokens, kinds)


def damaged(path: Path, error: BaseException) -> DataError:
    """About a file that should be GGUF, and that raised `error`."""
    try:
        with open(path, "rb") as file:
            ours = file.read(len(MAGIC)) == MAGIC
    except OSError:
        ours = False
    if not ours or isinstance(error, (OSError, MemoryError)):
        return DataError(str(unreadable(path, error)))
    return DataError(f"{path} can't be read as a GGUF file: {str(error)[:200]}.")


def _reading(path: Path) -> GGUFFile:
    try:
        return GGUFFile(path)
    except _DAMAGE as error:
        raise damaged(path, error) from None


def _decoder(keys: Mapping[str, object], shapes: Mapping[str, tuple[int, ...]]) -> Decoder:
    """From the keys and what the tensors' shapes say. Raises ModelError where that is none that is known here."""
    name, embedding = keys.get("general.architecture"), shapes.get("token_embd.weight", ())
    if not isinstance(name, str):
        raise ModelError("The file doesn't say of which architecture its model is.")
    if (parts := keys.get("split.count", 1)) != 1:
        raise ModelError(f"The file is one of {parts} parts of a model; `llama-gguf-split --merge` joins them.")
    own = architecture(name[:80])
    if len(embedding) != 2:
        raise ModelError("The file lacks the tensor token_embd.weight.")
    try:
        decoder = own.from_gguf(keys, embedding[0], shapes)
    except KeyError as error:
        raise ModelError(f"The file lacks the key {error.args[0]}.") from None
    except (TypeError, ValueError, ZeroDivisionError):
        raise ModelError("The file holds a size that is no positive whole number.") from None
    if decoder.n_layer > len(shapes):
        raise ModelError(f"The file speaks of {decoder.n_layer:,} layers and holds {len(shapes)} tensors.")
    return decoder


def _kinds(decoder: Decoder, stored: Mapping[str, GGUFTensor]) -> dict[str, np.dtype]:
    """In what numbers to keep each of the decoder's tensors, in its order. Raises ModelError where one is missing,
    unknown, of another shape than the keys say, or of numbers that aren't known here."""
    parts, kinds, unknown = architecture(decoder.architecture).gguf_parts(decoder), {}, set(stored)
    for name, shape in decoder.shapes().items():
        for part in parts[name]:
            _check(part, part.stored_shape(shape), stored)
        kept = {stored[part.name].kind.kept for part in parts[name]}
        kinds[name] = kept.pop() if len(kept) == 1 else np.dtype(np.float32)
        unknown -= {part.name for part in parts[name]}
    if unknown:
        raise ModelError(f"The file holds {min(unknown)[:80]}, which a {decoder.architecture} of this size does not "
                         "have.")
    return kinds


def _check(part: Part, shape: tuple[int, ...], stored: Mapping[str, GGUFTensor]) -> None:
    if part.name not in stored:
        raise ModelError(f"The file lacks the tensor {part.name}.")
    tensor = stored[part.name]
    if tensor.shape != shape:
        raise ModelError(f"The file's {part.name} has the shape {list(tensor.shape)}, but its keys want {list(shape)}.")
    if not tensor.kind.is_known:
        raise ModelError(f"The file's {part.name} holds numbers of the kind {tensor.kind.name}, which isn't "
                         "known here.")


def _datasets(keys: Mapping[str, object]) -> str:
    names = keys.get("general.datasets")
    if not isinstance(names, list):
        names = [value for key, value in keys.items()
                 if re.fullmatch(r"general\.dataset\.\d+\.name", key) and isinstance(value, str)]
    return ", ".join(names) or "unknown"
