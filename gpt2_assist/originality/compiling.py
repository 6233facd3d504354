"""The compiled kernels of this package: made by numba once for each processor and version of these sources.

Once: at installation (`python -m gpt2_assist.originality.compiling`), or at the first use. As with the engine's, what
is kept is plain object code, so that whoever finds it imports no numba.
"""
import ctypes
import hashlib
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

from llvmlite import binding

from gpt2_assist import config
from gpt2_assist.model.whole_file import whole_file

_PREFIX = "gpt2_assist_originality_"
_SORTING = {
    "sort_pieces": "int32* int64 int64 uint8* int32* int32* int32* int32* int32* int32* int64*",
    "sort_suffixes": "int32* int64 int64 uint8* int32* int32* int32* int32* int32* int64",
}
_MATCHING = {
    "follow": "{}* int64 int32* int32* int64 int64* int64 int64 int64* int64* int64*",
    "followers": "{}* int64 int32* int32* int64 int64* int64 int64* int64*",
}
_LETTERS = "uint16", "uint32"
_SIGNATURES = _SORTING | {f"{name}_{letter}": types.format(letter) for letter in _LETTERS
                          for name, types in _MATCHING.items()}
"""What each kernel takes; a star is the address of an array."""


@cache
def kernels() -> dict[str, Callable[..., None]]:
    """The kernels by name, those that read an index once for each type of its tokens: `follow_uint16`.

    They take int64 numbers and addresses of arrays, and run without the interpreter's lock.
    """
    try:
        code = _place().read_bytes()
    except OSError:
        code = _compile()
        with suppress(OSError):  # a disk that refuses costs the next start the same time again
            _place().parent.mkdir(parents=True, exist_ok=True)
            with whole_file(_place()) as file:
                file.write(code)
    engine = _linked(code)
    return {name: _callable(engine.get_function_address(_PREFIX + name), len(types.split()))
            for name, types in _SIGNATURES.items()}


def compiled() -> bool:
    """Whether the kernels of these sources and this processor are on the disk."""
    return _place().is_file()


def _callable(address: int, count: int) -> Callable[..., None]:
    function = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * count)(address)
    result = ctypes.create_string_buffer(16)  # where numba puts None, and would put an exception
    nothing, exception = ctypes.addressof(result), ctypes.addressof(result) + 8

    def call(*arguments: int) -> None:
        function(nothing, exception, *arguments)

    call.result = result  # lives as long as the function
    return call


@cache
def _place() -> Path:
    digest = hashlib.sha256()
    for part in (version("numba"), version("llvmlite"), binding.get_host_cpu_name(),
                 binding.get_host_cpu_features().flatten(), sys.platform):
        digest.update(part.encode() + b"\0")
    for name in ("compiling.py", "matching_kernels.py", "sorting_kernels.py"):
        digest.update(Path(__file__).with_name(name).read_bytes())
    return config.cache() / "kernels" / f"originality-{digest.hexdigest()[:24]}.o"


def _target() -> binding.TargetMachine:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(), features=binding.get_host_cpu_features().flatten(), opt=3, jit=True)


def _compile() -> bytes:
    """Object code of all kernels, each under its name behind the prefix."""
    import numba

    from gpt2_assist.originality import matching_kernels, sorting_kernels
    whole = binding.parse_assembly("")
    for name, words in _SIGNATURES.items():
        module = sorting_kernels if name in _SORTING else matching_kernels
        kernel = getattr(module, name if name in _SORTING else name.rpartition("_")[0])
        signature = tuple(numba.types.CPointer(getattr(numba.types, word[:-1])) if word.endswith("*")
                          else getattr(numba.types, word) for word in words.split())
        kernel.compile(signature)
        result = kernel.overloads[signature]
        text = result.library.get_llvm_str().replace(result.fndesc.llvm_func_name, _PREFIX + name)
        whole.link_in(binding.parse_assembly(text))
    whole.verify()
    return _target().emit_object(whole)


@cache  # the code lives as long as its engine
def _linked(code: bytes) -> binding.ExecutionEngine:
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), _target())
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine


if __name__ == "__main__":
    if not compiled():
        print("Compiling the search for copied text for this processor; this happens once and takes a few seconds.",
              file=sys.stderr)
    kernels()
