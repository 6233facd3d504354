"""Low-rank adapters (Hu et al. 2021, "LoRA"): what a folder of one holds, with the files and names that `peft` gives
them, so that either program reads the other's. Needs no torch.
"""
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpt2_assist.errors import ModelError, UsageError
from gpt2_assist.model.safetensors_file import FLOATING, SafetensorsFile
from gpt2_assist.model.sizes import GPT2Config, expected_shapes
from gpt2_assist.runs import ADAPTER_CONFIG
from gpt2_assist.text_file import read_json
from gpt2_assist.unreadable import not_json, unreadable

TARGETS = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
"""A block's matrices, in the order in which it uses them."""
MOST_RANK = 1024
WEIGHTS, CONFIG = "adapter_model.safetensors", ADAPTER_CONFIG
PREFIX = "base_model.model.transformer."


@dataclass(frozen=True)
class LoraShape:
    """What an adapter consists of."""

    rank: int = 8
    alpha: float = 16.0
    targets: tuple[str, ...] = ("attn.c_attn",)
    """Names of TARGETS, each in every block."""

    def __post_init__(self) -> None:
        if not 1 <= self.rank <= MOST_RANK or not 0 < self.alpha <= 10_000:
            raise UsageError(f"An adapter's rank must be from 1 to {MOST_RANK} and its alpha above 0, not {self.rank} "
                             f"and {self.alpha:g}.")
        wrong = [target for target in self.targets if target not in TARGETS]
        if wrong or not self.targets:
            raise UsageError(f"An adapter can't be put at {wrong[0] if wrong else 'nothing'}; "
                             f"choose from {', '.join(TARGETS)}.")

    @property
    def scale(self) -> float:
        return self.alpha / self.rank


@dataclass(frozen=True)
class Adapter:
    """An adapter's numbers: by module ("h.0.attn.c_attn" …) what stands beside its matrix, float32 A [rank, in] and
    B [out, rank]. The module's output grows by scale * B A x."""

    shape: LoraShape
    pairs: dict[str, tuple[np.ndarray, np.ndarray]]

    def check(self, config: GPT2Config) -> None:
        """Raises ModelError where it is not for a model of these sizes."""
        expected = expected_shapes(config)
        for module, (down, up) in self.pairs.items():
            if expected.get(f"{module}.weight") != (down.shape[1], up.shape[0]):
                raise ModelError(f"The adapter's {module} doesn't fit its base model.")


def read_adapter(folder: Path) -> Adapter:
    """What is there, from us or from peft. Raises ModelError where it is missing, damaged or of another kind."""
    try:
        config = _config(folder / CONFIG)
        file = _weights(folder / WEIGHTS)
        targets = [config["target_modules"]] if isinstance(config["target_modules"], str) else config["target_modules"]
        named = tuple(target for target in TARGETS if any(
            re.fullmatch(f"(.*[.])?{re.escape(wanted)}", target) for wanted in targets))
        if config.get("peft_type", "LORA") != "LORA" or any(config.get(other) for other in (
                "use_rslora", "use_dora", "alpha_pattern", "rank_pattern")):
            raise ModelError(f"The adapter {folder} is of a kind that isn't known here.")
        shape = LoraShape(int(config["r"]), float(config["lora_alpha"]), named)
        pairs = {}
        for name in file.entries:
            module, ending, _ = name.removeprefix(PREFIX).partition(".lora_A.weight")
            if ending:
                pairs[module] = tuple(_matrix(file, f"{PREFIX}{module}.lora_{half}.weight") for half in "AB")
        wrong = [down for down, up in pairs.values() if not len(down) == up.shape[1] == shape.rank]
        if wrong or not pairs or 2 * len(pairs) != len(file.entries):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ModelError(f"The adapter {folder} is damaged.") from None
    return Adapter(shape, pairs)


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
