"""Compiled kernels: made by numba once for each processor and version of their sources, then read from the disk.

What is kept is plain object code with C functions, so that who finds it imports no numba, which would cost a worker a
fifth of a second and 80 MB. Numba's own cache would not notice changes in the files that a function's file imports;
a file's name here is a hash of all sources that are named to it.
"""
import hashlib
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

from llvmlite import binding

from gpt2_assist import config
from gpt2_assist.files.whole_file import whole_file


def place(prefix: str, sources: Iterable[Path], *parts: str) -> Path:
    """Where the object code of these sources for this processor lies; `parts` are what else it depends on."""
    digest = hashlib.sha256()
    for part in (version("numba"), version("llvmlite"), *parts, binding.get_host_cpu_name(),
                 binding.get_host_cpu_features().flatten(), sys.platform):
        digest.update(part.encode() + b"\0")
    for path in (*sources, Path(__file__)):
        digest.update(path.read_bytes())
    return config.cache() / "kernels" / f"{prefix}{digest.hexdigest()[:24]}.o"


def linked(path: Path, compile: Callable[[], binding.ModuleRef]) -> binding.ExecutionEngine:
    """The functions of the object code at `path`, which is made of `compile`'s module where it isn't there.

    They live as long as the engine that is returned.
    """
    try:
        code = path.read_bytes()
    except OSError:
        module = compile()
        module.verify()
        code = _target().emit_object(module)
        with suppress(OSError):  # a disk that refuses costs the next start the same time again
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as file:
                file.write(code)
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), _target())
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine


def module_of(kernel, signature: tuple, name: str) -> binding.ModuleRef:
    """LLVM's module of a numba function for one signature, in which it is called `name`."""
    kernel.compile(signature)
    result = kernel.overloads[signature]
    return binding.parse_assembly(result.library.get_llvm_str().replace(result.fndesc.llvm_func_name, name))


@cache
def _target() -> binding.TargetMachine:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(), features=binding.get_host_cpu_features().flatten(), opt=3, jit=True)
