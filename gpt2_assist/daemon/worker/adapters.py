"""The adapters of a worker's model: which there are by name, which the engine has, which must go for others."""
from dataclasses import dataclass
from pathlib import Path

from gpt2_assist.daemon.worker.request import Vocabulary
from gpt2_assist.engine.engine import Engine
from gpt2_assist.ipc.messages import Adapted
from gpt2_assist.model.adapter import read_adapter
from gpt2_assist.model.card import read_card
from gpt2_assist.runs import copies_of
from gpt2_assist.text.tokenizer import TextTokenizer

MOST = 16
"""Adapters that the engine keeps; for a further one the one goes that was used longest ago."""


@dataclass(frozen=True)
class _Loaded:
    number: int
    vocabulary: Vocabulary


class Adapters:
    """Read when they are first used. `vocabulary` is that of the model itself."""

    def __init__(self, engine: Engine, vocabulary: Vocabulary) -> None:
        self._engine, self._vocabulary = engine, vocabulary
        self._told: dict[str, Adapted] = {}
        self._loaded: dict[tuple[str, float, int], _Loaded] = {}
        """By folder, strength and stamp, the last used last."""

    def tell(self, message: Adapted) -> None:
        """What a name means from now on."""
        self._told[message.model] = message

    def names(self) -> list[str]:
        """Of those that the engine has."""
        return sorted(name for name, told in self._told.items() if _key(told) in self._loaded)

    def of(self, model: str, in_use: set[int]) -> tuple[int, Vocabulary]:
        """The engine's number for a model's name, 0 for the model itself, and what is to be known of its texts. Those
        `in_use` don't go. Raises ModelError where an adapter can't be read or doesn't fit."""
        told = self._told.get(model)
        if told is None:
            return 0, self._vocabulary
        key = _key(told)
        loaded = self._loaded.pop(key, None)
        if loaded is None:
            folder = Path(told.folder)
            number = self._engine.add_adapter(read_adapter(folder, self._engine.config), told.strength)
            own = TextTokenizer.from_folder(folder) if (folder / "tokenizer.json").is_file() else None
            loaded = _Loaded(number, self._vocabulary.of(read_card(folder), copies_of(folder), own))
        self._loaded[key] = loaded
        for old in [key for key, other in self._loaded.items() if other.number not in in_use | {loaded.number}]:
            if len(self._loaded) <= MOST:
                break
            self._engine.drop_adapter(self._loaded.pop(old).number)
        return loaded.number, loaded.vocabulary


def _key(told: Adapted) -> tuple[str, float, int]:
    return told.folder, told.strength, told.stamp
