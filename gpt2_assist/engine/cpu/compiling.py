"""Compiles the kernels for this processor, once: at installation (`python -m gpt2_assist.engine.cpu.compiling`), or at
the first load of a model, never at a keystroke."""
import sys
from pathlib import Path

import numba
import numpy as np

from gpt2_assist.engine.cpu import step
from gpt2_assist.engine.cpu.forms import NAME


def compiled() -> bool:
    """Whether the kernels of these sources and this processor are on the disk."""
    return any(Path(numba.config.CACHE_DIR).rglob("step.walk*.nbc"))


def compile_kernels() -> None:
    """Compiles what a step needs, or reads it from the disk."""
    plan = np.zeros(step.PLAN_SIZE, np.int64)
    sync = np.zeros(step.SYNC_SIZE, np.int64)
    plan[step.SYNC] = sync.ctypes.data
    layers = np.zeros((0, step.LAYER_SIZE), np.int64)
    step.open_step(plan, 1)
    step.help_out(plan, layers, np.float32(0), 1, 0)  # a step without layers and rows is over at once
    step.walk(plan, layers, np.float32(0), 0)
    step.close_step(plan)


if __name__ == "__main__":
    if not compiled():
        print(f"Compiling the engine for this processor ({NAME}); this happens once and takes half a minute.",
              file=sys.stderr)
    compile_kernels()
