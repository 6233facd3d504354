"""The compiled kernels of this package; see kernels.py.

They are made once: at installation (`python -m gpt2_assist.originality.compiling`), or at the first use.
"""
import ctypes
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

from gpt2_assist.kernels import linked, module_of, place

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
    engine = _linked()
    return {name: _callable(engine.get_function_address(_PREFIX + name), len(types.split()))
            for name, types in _SIGNATURES.items()}


def compiled() -> bool:
    """Whether the kernels of these sources and this processor are on the disk."""
    return _place().is_file()


def _callable(address: int, count: int) -> Callable[..., None]:
    function = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * count)(address)
    result = ctypes.create_string_buffer(16)  # where numba puts None, and would put an exception
    nothing, exception = ctypes.addressof(result), ctypes.addressof(result) + 8

    def call(*arguments: int, _room: ctypes.Array = result) -> None:  # which lives as long as the function
        function(nothing, exception, *arguments)

    return call


@cache
def _place() -> Path:
    return place("originality-", sources())


def sources() -> list[Path]:
    """The files that are compiled in."""
    names = ("compiling.py", "matching_kernels.py", "sorting_kernels.py")
    return [Path(__file__).with_name(name) for name in names]


@cache  # the code lives as long as its engine
def _linked():
    return linked(_place(), _module)


def _module():
    """Of all kernels, each under its name behind the prefix."""
    import numba
    from llvmlite import binding

    from gpt2_assist.originality import matching_kernels, sorting_kernels
    whole = binding.parse_assembly("")
    for name, words in _SIGNATURES.items():
        module = sorting_kernels if name in _SORTING else matching_kernels
        kernel = getattr(module, name if name in _SORTING else name.rpartition("_")[0])
        signature = tuple(numba.types.CPointer(getattr(numba.types, word[:-1])) if word.endswith("*")
                          else getattr(numba.types, word) for word in words.split())
        whole.link_in(module_of(kernel, signature, _PREFIX + name))
    return whole


if __name__ == "__main__":
    if not compiled():
        print("Compiling the search for copied text for this processor; this happens once and takes a few seconds.",
              file=sys.stderr)
    kernels()
