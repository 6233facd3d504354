"""The engine's compiled kernels; see kernels.py.

They are made once: at installation (`python -m gpt2_assist.engine.cpu.compiling`), or at the first load of a model;
never at a keystroke.
"""
import ctypes
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

from gpt2_assist.engine import pages
from gpt2_assist.engine.cpu.forms import NAME
from gpt2_assist.kernels import linked, module_of, place
from gpt2_assist.model import bfloat16, packing

_SYMBOL = "gpt2_assist_enter"
_OWN = ("attention", "compiling", "forms", "memory", "plan", "products", "rows", "step")


@cache
def kernels() -> Callable[..., int]:
    """enter(status, exception, what, plan, program, epsilon, thread, number); see step.enter.

    The first two are where numba would put a result and an exception; none is raised. It runs without the interpreter's
    lock.
    """
    address = _linked().get_function_address(_SYMBOL)
    return ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64,
                            ctypes.c_int64, ctypes.c_float, ctypes.c_int64, ctypes.c_int64)(address)


def compiled() -> bool:
    """Whether the kernels of these sources and this processor are on the disk."""
    return _place().is_file()


def sources() -> list[Path]:
    """The files that are compiled in, or whose numbers are: code that was made of others must never be run."""
    here = Path(__file__).parent
    return [here / f"{name}.py" for name in _OWN] + [Path(module.__file__) for module in (bfloat16, packing, pages)]


@cache
def _place() -> Path:
    return place("", sources(), NAME)


@cache  # the code lives as long as its engine
def _linked():
    return linked(_place(), _module)


def _module():
    """Of step.enter."""
    from numba import float32, int64

    from gpt2_assist.engine.cpu.step import enter
    return module_of(enter, (int64, int64, int64, float32, int64, int64), _SYMBOL)


if __name__ == "__main__":
    if not compiled():
        print(f"Compiling the engine for this processor ({NAME}); this happens once and takes some ten seconds.",
              file=sys.stderr)
    kernels()
