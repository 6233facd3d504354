"""Opens our engine as a worker does."""
from pathlib import Path

from gpt2_assist.engine.cpu.cpu_engine import CpuEngine
from gpt2_assist.model.prepared import open_prepared, prepare

CACHE_BYTES = 64 << 20


def open_engine(folder: Path, precision: str, threads: int, speculate: bool) -> CpuEngine:
    """Raises AssistError where it can't be opened."""
    return CpuEngine(open_prepared(prepare(folder, precision)), cache_bytes=CACHE_BYTES, threads=threads,
                     speculate=speculate, own_cores=True)


def prepare_engine(folder: Path, precision: str) -> None:
    """Stores the model in `precision` if it isn't yet, so that opening it is quick and small."""
    prepare(folder, precision)
