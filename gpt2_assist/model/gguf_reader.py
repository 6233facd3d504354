"""GGUF files (llama.cpp's, Ollama's), versions 2 and 3: what their headers say, checked, and their tensors as numbers.

Nothing in a header is believed: each count, length, type, offset and size is held against the file's own size before
anything is read or made by it. Tensors are read in pieces, so memory is what the result takes.
"""
import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from gpt2_assist.model.gguf_kinds import Kind, kind_of

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_LARGEST_HEADER = 100_000_000
"""Bytes; the vocabulary of a large model takes some 20 million."""
_MOST_ENTRIES = 65_536
"""Keys, and tensors: more than any model has."""
_MOST_TEXTS = 2_000_000
"""In arrays, all together, and arrays in them: the vocabulary of a large model has some 800,000 with its merges."""
_LONGEST_NAME = 65_535
"""Bytes of a key, as the format says."""
_MOST_DIMENSIONS = 4
_DEEPEST = 4
"""Arrays within arrays."""
_PIECE = 1 << 20
"""Numbers that are undone at once."""
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9


@dataclass(frozen=True)
class GGUFTensor:
    """What a header says of one tensor, after it was checked."""

    kind: Kind
    shape: tuple[int, ...]
    """The last axis lies together, as numpy counts."""
    start: int
    """Bytes from the beginning of the file."""
    stop: int


class GGUFFile:
    """An open file: its keys and tensors by name. To be used in a `with`.

    Keys are int, float, bool and str; lists of str; numpy's arrays of numbers; and None for arrays of arrays, which no
    model known here has. Raises OSError where it can't be read and ValueError where it is no whole GGUF file.
    """

    def __init__(self, path: Path) -> None:
        self._file = open(path, "rb")
        try:
            self.keys, self.tensors = _header(self._file)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "GGUFFile":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def numbers(self, name: str, kind: np.dtype) -> np.ndarray:
        """A tensor as numbers of `kind`, which is float16, float32, or uint16 for bfloat16 as it stands.

        Raises ValueError where one is infinite or none, or the file has become shorter, OSError as reading does.
        """
        tensor = self.tensors[name]
        made = np.empty(math.prod(tensor.shape), kind)
        step = max(_PIECE // tensor.kind.numbers, 1) * tensor.kind.numbers
        self._file.seek(tensor.start)
        for first in range(0, len(made), step):
            piece = made[first:first + step]
            data = self._file.read(tensor.kind.size(len(piece)))
            if len(data) < tensor.kind.size(len(piece)):
                raise ValueError("it has become shorter while it was read")
            tensor.kind.undo(data, piece)
            if not tensor.kind.are_finite(piece):
                raise ValueError(f"{name} holds numbers that are infinite or none")
        return made.reshape(tensor.shape)

    def are_equal(self, first: str, second: str) -> bool:
        """Whether two tensors are the same, byte for byte."""
        one, other = self.tensors[first], self.tensors[second]
        if (one.kind, one.shape) != (other.kind, other.shape):
            return False
        return all(self._bytes(one.start + place, _PIECE, one.stop) == self._bytes(other.start + place, _PIECE,
                                                                                   other.stop)
                   for place in range(0, one.stop - one.start, _PIECE))

    def _bytes(self, start: int, count: int, stop: int) -> bytes:
        self._file.seek(start)
        return self._file.read(min(count, stop - start))


class _Walk:
    """The way through a header, each step of which is held against what is left of the file."""

    def __init__(self, file: BinaryIO, end: int) -> None:
        self._file, self._end = file, end
        self.place = self._texts = 0

    def left(self) -> int:
        return self._end - self.place

    def take(self, count: int) -> bytes:
        if count > self._end - self.place:
            raise ValueError("its header speaks of more than there is")
        data = self._file.read(count)
        if len(data) != count:
            raise ValueError("it has become shorter while it was read")
        self.place += count
        return data

    def whole(self, form: str) -> int:
        return struct.unpack("<" + form, self.take(struct.calcsize(form)))[0]

    def number(self, form: str) -> int | float | bool:
        data = self.take(struct.calcsize(form))
        if form == "?" and data not in (b"\0", b"\1"):
            raise ValueError("a truth value is none")
        value = struct.unpack("<" + form, data)[0]
        return float(str(np.float32(value))) if form == "f" else value  # 1e-05, not 9.999999747378752e-06

    def text(self) -> str:
        try:
            return self.take(int.from_bytes(self.take(8), "little")).decode()
        except UnicodeDecodeError:
            raise ValueError("a text in its header is no UTF-8") from None

    def count(self, least: int, what: str) -> int:
        """A number of things that take `least` bytes each."""
        count = self.whole("Q")
        if count * least > self.left():
            raise ValueError(f"its header speaks of {count:,} {what}, for which it is too short")
        return count

    def value(self, kind: int, depth: int = 0) -> object:
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind == _TEXT:
            return self.text()
        if kind != _ARRAY:
            raise ValueError(f"a key's type is {kind}, which is none")
        if depth > _DEEPEST:
            raise ValueError("its arrays are nested too deeply")
        inner = self.whole("I")
        if inner in _SCALARS:
            return self._scalars(_SCALARS[inner])
        if inner == _TEXT:
            return [self.text() for _ in range(self._many(8, "texts"))]
        for _ in range(self._many(12, "arrays")):
            self.value(inner, depth + 1)
        return None

    def _many(self, least: int, what: str) -> int:
        """As count, of things that each take more memory than they take of the file."""
        count = self.count(least, what)
        self._texts += count
        if self._texts > _MOST_TEXTS:
            raise ValueError(f"its header speaks of {self._texts:,} {what}, more than any model has")
        return count

    def _scalars(self, form: str) -> np.ndarray:
        kind = np.dtype("<" + form)
        values = np.frombuffer(self.take(self.count(kind.itemsize, "numbers") * kind.itemsize), np.uint8)
        if form == "?" and (values > 1).any():
            raise ValueError("a truth value is none")
        return values.view(kind)


def _header(file: BinaryIO) -> tuple[dict[str, object], dict[str, GGUFTensor]]:
    size = os.fstat(file.fileno()).st_size
    walk = _Walk(file, min(size, _LARGEST_HEADER))
    if walk.take(len(MAGIC)) != MAGIC:
        raise ValueError("it doesn't begin as a GGUF file does")
    version = walk.whole("I")
    if version not in _VERSIONS:
        if int.from_bytes(version.to_bytes(4, "little"), "big") in _VERSIONS:
            raise ValueError("it was written for processors that begin numbers with their highest byte")
        raise ValueError(f"it is of version {version} of the format; known here are 2 and 3")
    tensor_count, key_count = walk.count(32, "tensors"), walk.count(13, "keys")
    if max(tensor_count, key_count) > _MOST_ENTRIES:
        raise ValueError(f"its header speaks of {tensor_count:,} tensors and {key_count:,} keys")
    keys: dict[str, object] = {}
    for _ in range(key_count):
        name = _name(walk, keys)
        keys[name] = walk.value(walk.whole("I"))
    stated = {}
    for _ in range(tensor_count):
        name = _name(walk, stated)
        stated[name] = _stated(walk, name)
    return keys, _placed(stated, walk.place, _alignment(keys), size)


def _name(walk: _Walk, known: dict) -> str:
    name = walk.text()
    if not 0 < len(name) <= _LONGEST_NAME:
        raise ValueError("a name is empty or too long")
    if name in known:
        raise ValueError(f"it holds {name[:80]!r} twice")
    return name


def _stated(walk: _Walk, name: str) -> tuple[Kind, tuple[int, ...], int]:
    """(kind, shape, offset) of a tensor."""
    dimensions = walk.whole("I")
    if not 1 <= dimensions <= _MOST_DIMENSIONS:
        raise ValueError(f"{name[:80]!r} has {dimensions} dimensions")
    shape = tuple(walk.whole("Q") for _ in range(dimensions))[::-1]
    if not all(0 < length < 1 << 63 for length in shape):
        raise ValueError(f"{name[:80]!r} has an axis of no length, or of too great a one")
    return kind_of(walk.whole("I")), shape, walk.whole("Q")


def _alignment(keys: dict[str, object]) -> int:
    alignment = keys.get("general.alignment", 32)
    if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
        raise ValueError("its alignment is no power of two")
    return alignment


def _placed(stated: dict[str, tuple[Kind, tuple[int, ...], int]], header: int, alignment: int,
            size: int) -> dict[str, GGUFTensor]:
    """The tensors at their places in a file of `size` bytes, none of them beyond it or in another."""
    begin = -(-header // alignment) * alignment
    tensors = {}
    for name, (kind, shape, offset) in stated.items():
        if shape[-1] % kind.numbers:
            raise ValueError(f"{name[:80]!r} has rows of {shape[-1]:,} numbers, which {kind.name} can't hold")
        if offset % alignment:
            raise ValueError(f"{name[:80]!r} doesn't lie where the alignment wants it")
        stop = begin + offset + kind.size(math.prod(shape))
        if stop > size:
            raise ValueError(f"it has {size:,} bytes where its header speaks of {stop:,}")
        tensors[name] = GGUFTensor(kind, shape, begin + offset, stop)
    end = begin
    for tensor in sorted(tensors.values(), key=lambda tensor: tensor.start):
        if tensor.start < end:
            raise ValueError("tensors overlap")
        end = tensor.stop
    return tensors
