"""The compiled kernels: made by numba once for each processor and version of these sources, then read from the disk.

Once: at installation (`python -m gpt2_assist.engine.cpu.compiling`), or at the first load of a model; never at a
keystroke. What is kept is plain object code with one C function, so that a worker that finds it imports no numba, which
would cost it a fifth of a second and 80 MB. Numba's own cache would not notice changes in the files that a function's
file imports; this one's name is a hash of all of them.
"""
import ctypes
import hashlib
import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

from llvmlite import binding

from gpt2_assist import config
from gpt2_assist.engine.cpu.forms import NAME
from gpt2_assist.model.whole_file import whole_file

_SYMBOL = "gpt2_assist_enter"


@cache
def kernels() -> "ctypes._CFuncPtr":
    """enter(status, exception, what, plan, layers, epsilon, thread, number); see step.enter.

    The first two are where numba would put a result and an exception; none is raised. It runs without the interpreter's
    lock.
    """
    try:
        code = _place().read_bytes()
    except OSError:
        code = _compile()
        with suppress(OSError):  # a disk that refuses costs the next start the same time again
            _place().parent.mkdir(parents=True, exist_ok=True)
            with whole_file(_place()) as file:
                file.write(code)
    address = _linked(code).get_function_address(_SYMBOL)
    return ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64,
                            ctypes.c_int64, ctypes.c_float, ctypes.c_int64, ctypes.c_int64)(address)


def compiled() -> bool:
    """Whether the kernels of these sources and this processor are on the disk."""
    return _place().is_file()


@cache
def _place() -> Path:
    digest = hashlib.sha256()
    for part in (version("numba"), version("llvmlite"), NAME, binding.get_host_cpu_name(),
                 binding.get_host_cpu_features().flatten(), sys.platform):
        digest.update(part.encode() + b"\0")
    for path in (*sorted(Path(__file__).parent.glob("*.py")), Path(sys.modules[whole_file.__module__].__file__)):
        digest.update(path.read_bytes())
    return config.cache() / "kernels" / f"{digest.hexdigest()[:24]}.o"


def _target() -> binding.TargetMachine:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(), features=binding.get_host_cpu_features().flatten(), opt=3, jit=True)


def _compile() -> bytes:
    """Object code of step.enter."""
    from numba import float32, int64

    from gpt2_assist.engine.cpu.step import enter
    signature = int64, int64, int64, float32, int64, int64
    enter.compile(signature)
    result = enter.overloads[signature]
    text = result.library.get_llvm_str().replace(result.fndesc.llvm_func_name, _SYMBOL)
    module = binding.parse_assembly(text)
    module.verify()
    return _target().emit_object(module)


@cache
def _linked(code: bytes) -> binding.ExecutionEngine:
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), _target())
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine


if __name__ == "__main__":
    if not compiled():
        print(f"Compiling the engine for this processor ({NAME}); this happens once and takes some ten seconds.",
              file=sys.stderr)
    kernels()
