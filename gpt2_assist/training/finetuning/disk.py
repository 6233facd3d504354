"""How much of the disk a run takes, beforehand, and how much is free."""
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from gpt2_assist.architectures.description import Decoder
from gpt2_assist.errors import StorageError
from gpt2_assist.runs import runs_folder
from gpt2_assist.training.finetuning.forecast import size
from gpt2_assist.training.finetuning.memory import trained_parameters
from gpt2_assist.training.finetuning.settings import FULL, FinetuneSettings

_STATES = 3
"""On the disk at the most: the two that are kept, and the one that is being written."""
_MODELS = 3
"""The best, the one before, and the one that is being written."""
_TEXT = 13
"""Bytes a token: the stream, and the index of copies with its suffix array and lines."""
_REST = 2 << 20
"""The tokenizer, the curve, samples and settings."""
_PROBE_BYTES = 8 << 20
_SLOW = 100e6
"""Bytes a second, where nothing can be tried."""


def state_bytes(config: Decoder, settings: FinetuneSettings) -> int:
    """Of one saved state: weights and AdamW's two moments."""
    return 12 * trained_parameters(config, settings)


def model_bytes(config: Decoder, settings: FinetuneSettings) -> int:
    """Of one model or adapter as it is kept."""
    return 2 * config.parameters() if settings.method == FULL else 4 * trained_parameters(config, settings)


def needed_on_disk(config: Decoder, settings: FinetuneSettings, tokens: int, base: int = 0) -> int:
    """Bytes at the most, for so many tokens of text, of which `base` are a base of the run's own."""
    return (_STATES * state_bytes(config, settings) + _MODELS * model_bytes(config, settings) + _TEXT * tokens + base
            + _REST)


def free_on_disk() -> int:
    """Bytes that runs may still take."""
    return shutil.disk_usage(_there()).free


def check_disk(needed: int, free: int) -> None:
    """Raises StorageError where there is too little room."""
    if needed > free:
        raise StorageError(f"The run needs about {size(needed)} in {runs_folder()}, and {size(free)} are free there: "
                           "make room (`gpt2-assist runs slim RUN` drops a run's states), or give --method lora or a "
                           "smaller --model.")


def bytes_per_s() -> float:
    """How fast the disk takes what is written and synced."""
    with suppress(OSError), tempfile.TemporaryFile(dir=_there()) as file:
        began = time.monotonic()
        file.write(bytes(_PROBE_BYTES))
        file.flush()
        os.fsync(file.fileno())
        return _PROBE_BYTES / max(1e-3, time.monotonic() - began)
    return _SLOW


def _there() -> Path:
    """The folder of runs, or the one above it that exists."""
    return next(folder for folder in (runs_folder(), *runs_folder().parents) if folder.is_dir())
