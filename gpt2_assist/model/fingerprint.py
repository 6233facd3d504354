"""By which weights are known again: what wrote a text can be told later, and whether it is still the same."""
import hashlib
from functools import lru_cache
from pathlib import Path

from gpt2_assist.model.download import sha256_of
from gpt2_assist.model.store import ModelFolder

LENGTH = 16
"""Hexadecimal digits: enough for all models that anybody has."""
_WEIGHTS = ("*.safetensors",)


def fingerprint(model: ModelFolder) -> str:
    """Of a model's weights and of an adapter's beside them. What a card says of its files is believed; other files are
    read whole, once as long as they stay what they are. Raises OSError where they can't be."""
    parts = [_of_folder(model.path, model.card.hashes)]
    if model.adapter:
        parts += [_of_folder(model.adapter, {}), f"{model.strength:g}"]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:LENGTH]


def _of_folder(folder: Path, known: dict) -> str:
    files = sorted(path for pattern in _WEIGHTS for path in folder.glob(pattern))
    return " ".join(known.get(path.name) or _read(path, *_state(path)) for path in files)


def _state(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_mtime_ns, state.st_size


@lru_cache(64)
def _read(path: Path, changed: int, size: int) -> str:
    return sha256_of(path)
