"""Low-rank adapters (Hu et al. 2021, "LoRA"): what a folder of one holds, with the files and names that `peft` gives
them, so that either program reads the other's. Needs no torch.
"""
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from gpt2_assist.architectures import architecture, roles_of
from gpt2_assist.architectures.description import MATRICES, Decoder
from gpt2_assist.architectures.parts import Array, Part
from gpt2_assist.errors import ModelError, UsageError
from gpt2_assist.files.text_file import read_json
from gpt2_assist.files.unreadable import not_json, unreadable
from gpt2_assist.model.packing import MOST_RANK
from gpt2_assist.model.safetensors_file import FLOATING, SafetensorsFile
from gpt2_assist.runs import ADAPTER_CONFIG

MOST_TOKENS = 1 << 31
WEIGHTS, CONFIG = "adapter_model.safetensors", ADAPTER_CONFIG
PREFIX = "base_model.model."
"""Stands before every name."""
_UNKNOWN = ("use_rslora", "use_dora", "alpha_pattern", "rank_pattern", "modules_to_save", "target_parameters",
            "lora_bias", "layer_replication")
"""Entries of peft's configurations for adapters of other kinds."""
TOKENS, TOKEN_ROWS = "trainable_token_indices", ".token_adapter.trainable_tokens_delta"
"""The entry of CONFIG that says of which tokens there are rows, by the embedding's name, and how the name of the rows
ends. They are the rows themselves, whatever the name says."""


@dataclass(frozen=True)
class LoraShape:
    """What an adapter consists of."""

    rank: int = 8
    alpha: float = 16.0
    targets: tuple[str, ...] = ("qkv",)
    """Of MATRICES, each in every layer."""

    def __post_init__(self) -> None:
        if not 1 <= self.rank <= MOST_RANK or not 0 < self.alpha <= 10_000:
            raise UsageError(f"An adapter's rank must be from 1 to {MOST_RANK} and its alpha above 0, not {self.rank} "
                             f"and {self.alpha:g}.")
        wrong = [target for target in self.targets if target not in MATRICES]
        if wrong or not self.targets:
            raise UsageError(f"An adapter can't be put at {wrong[0] if wrong else 'nothing'}; "
                             f"choose from {', '.join(MATRICES)}.")

    @property
    def scale(self) -> float:
        return self.alpha / self.rank


@dataclass(frozen=True)
class Adapter:
    """An adapter's numbers: by module ("layers.0.qkv" …) what stands beside its matrix, float32 A [r, in] and
    B [out, r], r the rank or a multiple. The module's output grows by scale * B A x."""

    shape: LoraShape
    pairs: dict[str, tuple[np.ndarray, np.ndarray]]
    rows: dict[int, np.ndarray] = field(default_factory=dict)
    """By token what it has in place of the embedding's row, float32 [width]; tokens that the base doesn't have among
    them. As something to be written they stay what they are in the base."""

    def check(self, config: Decoder) -> None:
        """Raises ModelError where it is not for a model of these sizes."""
        expected = config.shapes()
        for module, (down, up) in self.pairs.items():
            if expected.get(f"{module}.weight") != (down.shape[1], up.shape[0]):
                raise ModelError(f"The adapter's {module} doesn't fit its base model.")
        if any(row.shape != (config.n_embd,) for row in self.rows.values()):
            raise ModelError("The adapter's rows of tokens don't fit its base model.")


def read_adapter(folder: Path, base: Decoder) -> Adapter:
    """What is there, from us or from peft, for a model like `base`. Raises ModelError where it is missing, damaged, of
    another kind or for another model."""
    try:
        config = _config(folder / CONFIG)
        file = _weights(folder / WEIGHTS)
        if config.get("peft_type", "LORA") != "LORA" or any(map(config.get, _UNKNOWN)) or \
                config.get("bias", "none") != "none":
            raise ModelError(f"The adapter {folder} is of a kind that isn't known here.")
        modules = {name.removeprefix(PREFIX).partition(".lora_")[0] for name in file.entries if ".lora_" in name}
        shape = LoraShape(int(config["r"]), float(config["lora_alpha"]), roles_of(modules) or MATRICES)
        rows = _token_rows(config.get(TOKENS) or {}, file, base)
        halves: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for name in file.entries:
            module, ending, _ = name.removeprefix(PREFIX).partition(".lora_A.weight")
            if ending:
                down, up = (_matrix(file, f"{PREFIX}{module}.lora_{half}.weight") for half in "AB")
                halves[module] = down, up
        wrong = [down for down, up in halves.values() if not len(down) == up.shape[1] == shape.rank]
        if wrong or not halves or 2 * len(halves) + bool(rows) != len(file.entries):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ModelError(f"The adapter {folder} is damaged.") from None
    pairs = {}
    for module, parts in _modules(base).items():
        there = [halves.pop(part.name, None) for part in parts]
        if any(there):
            role = module.split(".")[2]
            pairs[module] = _beside(there, [part.outputs for part in parts], base.matrix_shape(role))
    if halves:
        raise ModelError(f"The adapter's {next(iter(halves))} doesn't fit its base model.")
    adapter = Adapter(shape, pairs, rows)
    adapter.check(base)
    return adapter


def stored_adapter(pairs: Mapping[str, tuple[Array, Array]], base: Decoder) -> dict[str, Array]:
    """The matrices A [rank, in] and B [out, rank] by module, as peft names them. Where files hold the module's matrix
    in parts, each part gets the same A and its own rows of B."""
    stored = {}
    for module, parts in _modules(base).items():
        if module in pairs:
            down, up = pairs[module]
            first = 0
            for part in parts:
                stored[f"{PREFIX}{part.name}.lora_A.weight"] = down
                stored[f"{PREFIX}{part.name}.lora_B.weight"] = up[first:first + part.outputs]
                first += part.outputs
    return stored


def stored_rows(base: Decoder) -> tuple[str, str]:
    """(what files call the embedding, the name under which they hold an adapter's rows of tokens)."""
    own = architecture(base.architecture)
    name = own.hub_parts(base)["embedding.weight"][0].name.removesuffix(".weight")
    return name, f"{PREFIX}{own.PREFIX}{name}{TOKEN_ROWS}"


def _token_rows(said: dict[str, list[int]], file: SafetensorsFile, base: Decoder) -> dict[int, np.ndarray]:
    """By token. Raises KeyError, TypeError or ValueError where they are others than what is `said`."""
    if not said:
        return {}
    embedding, name = stored_rows(base)
    ids = said[embedding]
    rows = _matrix(file, name)
    if len(said) != 1 or len(set(ids)) != len(rows) or not all(type(id) is int and 0 <= id < MOST_TOKENS for id in ids):
        raise ValueError
    return dict(zip(ids, rows, strict=True))


def stored_modules(shape: LoraShape, base: Decoder) -> tuple[list[str], bool]:
    """(what files call the modules that an adapter stands beside, whether their matrices are [in, out] there)."""
    parts = [part for target in shape.targets for part in architecture(base.architecture).hub_parts(base)[
        f"layers.0.{target}.weight"]]
    return [part.name.split(".", 2)[2].removesuffix(".weight") for part in parts], not parts[0].transposed


def _modules(base: Decoder) -> dict[str, tuple[Part, ...]]:
    """By module its parts, called as modules of files are."""
    own = architecture(base.architecture)
    return {name.removesuffix(".weight"): tuple(
        replace(part, name=own.PREFIX + part.name.removesuffix(".weight")) for part in parts)
        for name, parts in own.hub_parts(base).items()
        if name.startswith("layers.") and name.endswith(tuple(f".{role}.weight" for role in MATRICES))}


def _beside(parts: list[tuple[np.ndarray, np.ndarray] | None], outputs: list[int],
            shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """One pair of those of a matrix's parts, None for one without: with their common A, or with all of theirs under
    each other. Raises ModelError where one has another shape."""
    there = [part for part in parts if part is not None]
    if any(part is not None and (part[0].shape[1], len(part[1])) != (shape[0], width)
           for part, width in zip(parts, outputs)):
        raise ModelError("The adapter's matrices have other shapes than its base model's.")
    if len(parts) == 1:
        return there[0]
    downs, rank = [there[0][0]], there[0][1].shape[1]
    if any(not np.array_equal(down, downs[0]) for down, _ in there):
        downs = [down for down, _ in there]
    up, first, number = np.zeros((shape[1], rank * len(downs)), np.float32), 0, 0
    for part, width in zip(parts, outputs):
        if part is not None:
            up[first:first + width, number * rank:(number + 1) * rank] = part[1]
            number += len(downs) > 1
        first += width
    return np.concatenate(downs), up


def _config(path: Path) -> dict:
    try:
        return read_json(path)
    except (OSError, ValueError) as error:
        raise not_json(path, error) from None


def _weights(path: Path) -> SafetensorsFile:
    try:
        return SafetensorsFile(path)
    except (OSError, ValueError, MemoryError) as error:
        raise unreadable(path, error) from None


def _matrix(file: SafetensorsFile, name: str) -> np.ndarray:
    """Raises KeyError or ValueError where there is none."""
    entry = file.entries[name]
    if entry.kind not in FLOATING or len(entry.shape) != 2:
        raise ValueError
    return file.numbers(name)
