"""Opens our engine as a worker does."""
from dataclasses import replace
from pathlib import Path

from gpt2_assist.config import Settings
from gpt2_assist.engine.cpu.cpu_engine import CpuEngine
from gpt2_assist.loading.calibration import calibration_tokens
from gpt2_assist.model.config_file import read_config
from gpt2_assist.model.prepared import open_prepared, prepare

CACHE_BYTES = 64 << 20


def open_engine(folder: Path, precision: str, threads: int, speculate: bool) -> CpuEngine:
    """Raises AssistError where it can't be opened."""
    prepared = open_prepared(prepared_file(folder, precision))
    prepared = replace(prepared, config=prepared.config.windowed(Settings.context))
    return CpuEngine(prepared, cache_bytes=CACHE_BYTES, threads=threads,
                     speculate=speculate, own_cores=True)


def prepared_file(folder: Path, precision: str) -> Path:
    """The model stored in `precision`; made if it isn't there yet, so that opening it is quick and small."""
    sample = calibration_tokens(folder, read_config(folder).n_ctx) if precision == "int4" else []
    return prepare(folder, precision, sample=sample)
