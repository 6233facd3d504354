"""From a model's folder to an engine that is ready for a keystroke. For workers: its import is most of their start."""
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from gpt2_assist import config
from gpt2_assist.architectures.description import Decoder
from gpt2_assist.config import Settings
from gpt2_assist.engine.cache_size import chosen_bytes
from gpt2_assist.engine.cpu.compiling import compiled
from gpt2_assist.engine.cpu.cpu_engine import CpuEngine
from gpt2_assist.engine.engine import Engine, Sampling
from gpt2_assist.errors import ModelError, StorageError
from gpt2_assist.free_memory import available_bytes
from gpt2_assist.loading.calibration import calibrate, calibration_tokens, choose, read_figures
from gpt2_assist.loading.devices import settled
from gpt2_assist.model.card import Card
from gpt2_assist.model.config_file import read_config
from gpt2_assist.model.prepared import Prepared, open_prepared, prepare
from gpt2_assist.model.store import ModelFolder, find_model
from gpt2_assist.runs import copies_of
from gpt2_assist.text.tokenizer import TextTokenizer

Progress = Callable[[str], None]
"""Hears in a few words what takes long."""


@dataclass(frozen=True)
class Model:
    """What a worker owns."""

    engine: Engine
    tokenizer: TextTokenizer
    card: Card
    copies: Path | None
    """Where the index of the texts lies that it was fine-tuned on, if it was."""
    parameters: int


def load(name: str, precision: str, device: str, settings: Settings,
         progress: Progress = lambda words: None) -> Model:
    """Reads and warms a model. Raises ModelError, UsageError or StorageError with a sentence."""
    folder = find_model(name)
    with enough_memory(folder):
        return _load(folder, precision, settled(device), settings, progress)


@contextmanager
def enough_memory(folder: ModelFolder) -> Generator[None]:
    """Turns a lack of memory within the block into a ModelError about the model."""
    try:
        yield
    except MemoryError:
        raise ModelError(f"There is too little memory for {folder.name}: end some programs, choose a smaller model or "
                         "--precision int8, or set a smaller cache_mb.") from None


def _load(folder: ModelFolder, precision: str, device: str, settings: Settings, progress: Progress) -> Model:
    tokenizer = TextTokenizer.from_folder(folder.path)
    if device == "cpu":
        engine = cpu_engine(folder, precision, settings, progress, own_cores=True)
    else:
        engine = _card_engine(folder, precision, device, settings, progress)
    warm(engine)
    return Model(engine, tokenizer, folder.card, copies_of(folder.path), read_config(folder.path).parameters())


def cpu_engine(folder: ModelFolder, precision: str, settings: Settings, progress: Progress,
               own_cores: bool = False) -> CpuEngine:
    """The CPU's engine; `auto` is int8 where that is close enough to the model itself, else bf16.

    What is made on the way, compiled kernels, prepared weights and the measure of closeness, stays on the disk.
    """
    prepared, engine = _prepared_engine(folder, "int8" if precision == "auto" else precision, settings, progress,
                                        own_cores)
    if precision == "auto":
        if read_figures(prepared) is None:
            progress("measuring how close its small weights are to the full ones, once")
        with suppress(StorageError):  # a disk that takes no figures is no reason to refuse the model
            if choose(calibrate(folder.path, prepared, engine)) != "int8":
                return _prepared_engine(folder, "bf16", settings, progress, own_cores)[1]
    return engine


def _card_engine(folder: ModelFolder, precision: str, device: str, settings: Settings, progress: Progress) -> Engine:
    """An NVIDIA card's engine where its kernels run; else torch's own."""
    import torch

    from gpt2_assist.engine.torch_engine import TorchEngine
    from gpt2_assist.model.device import choose_device
    from gpt2_assist.model.weights import load_weights
    choose_device(device)
    model, weights = load_weights(folder.path)
    model = model.windowed(settings.context)
    cache = _cache_bytes(model, settings)
    try:
        if device == "cuda":
            os.environ.setdefault("TRITON_CACHE_DIR", str(config.cache() / "triton"))
            from gpt2_assist.engine.cuda.cuda_engine import CudaEngine, missing
            if (reason := missing(model)) is None:
                return CudaEngine(model, weights, precision, device, cache, progress=progress)
            print(f"The card runs in plain torch: {reason}.", file=sys.stderr)  # the daemon's log
        return TorchEngine(model, weights, precision, device, cache)
    except torch.OutOfMemoryError:
        raise ModelError(f"The graphics card's memory doesn't hold {folder.name}; choose --precision int8, a smaller "
                         "model or --device cpu.") from None


def _prepared_engine(folder: ModelFolder, precision: str, settings: Settings, progress: Progress,
                     own_cores: bool) -> tuple[Prepared, CpuEngine]:
    sample = calibration_tokens(folder.path, read_config(folder.path).n_ctx) if precision == "int4" else []
    prepared = open_prepared(prepare(folder.path, precision,
                                     lambda done: progress(f"preparing it for this processor, {done:.0%}"), sample))
    prepared = replace(prepared, config=prepared.config.windowed(settings.context))
    if not compiled():  # after what a disk may refuse
        progress("compiling the engine for this processor, once")
    return prepared, CpuEngine(prepared, _cache_bytes(prepared.config, settings), settings.threads, own_cores=own_cores)


def _cache_bytes(config: Decoder, settings: Settings) -> int:
    return settings.cache_mb << 20 if settings.cache_mb else chosen_bytes(config, available_bytes())


def warm(engine: Engine) -> None:
    """Runs everything once, so that nothing is set up at the first keystroke."""
    sequence = engine.open([0] * min(8, engine.n_ctx), Sampling(top_k=40))
    while not engine.prefill(sequence):
        pass
    engine.decode([sequence])
    engine.close(sequence)
