"""One safetensors file, mapped into memory and read by numpy alone. Nothing in its header is believed unchecked."""
import json
import math
import mmap
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpt2_assist.model.bfloat16 import from_bf16

_LARGEST_HEADER = 100_000_000
"""Bytes; the format's own limit."""
_MOST_DIMENSIONS = 64
_SIZES = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2, "I32": 4,
          "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8, "C64": 8}
"""Bytes of one number, by the format's names."""
_NUMPY = {"U8": "u1", "U16": "<u2", "F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8"}
FLOATING = ("F32", "BF16", "F16", "F64")
"""The kinds that `numbers` reads."""


@dataclass(frozen=True)
class TensorEntry:
    """What a header says of one tensor, after it was checked."""

    kind: str
    """The format's name of the number type."""
    shape: tuple[int, ...]
    start: int
    """Bytes from the beginning of the file."""
    stop: int


class SafetensorsFile:
    """A mapped file: its entries by name and its metadata. The arrays it gives keep the mapping alive.

    Raises OSError where it can't be read and ValueError where it is no whole safetensors file.
    """

    def __init__(self, path: Path) -> None:
        with open(path, "rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.data_start = 8 + int.from_bytes(self._bytes[:8], "little")
        if not 10 <= self.data_start <= min(len(self._bytes), 8 + _LARGEST_HEADER):
            raise ValueError("the header doesn't fit into the file")
        try:
            header = json.loads(self._bytes[8:self.data_start], object_pairs_hook=_without_repetition)
        except RecursionError:
            raise ValueError("the header is nested too deeply") from None
        if not isinstance(header, dict):
            raise ValueError("the header is no object")
        self.metadata: dict[str, str] = header.pop("__metadata__", {})
        if not isinstance(self.metadata, dict) or not all(isinstance(value, str) for value in self.metadata.values()):
            raise ValueError("the metadata are no texts by name")
        self.entries = {name: _entry(stated, self.data_start) for name, stated in header.items()}
        end = self.data_start
        for entry in sorted(self.entries.values(), key=lambda entry: (entry.start, entry.stop)):
            if entry.start != end:
                raise ValueError("tensors overlap or leave holes")
            end = entry.stop
        if end != len(self._bytes):
            raise ValueError(f"it has {len(self._bytes):,} bytes where its header speaks of {end:,}")

    def array(self, name: str) -> np.ndarray:
        """A read-only view in the file's own numbers; bfloat16 as uint16. For the kinds that numpy can hold."""
        entry = self.entries[name]
        return np.frombuffer(self._bytes, np.dtype(_NUMPY[entry.kind]), math.prod(entry.shape),
                             entry.start).reshape(entry.shape)

    def numbers(self, name: str) -> np.ndarray:
        """A tensor of a FLOATING kind as float32: a read-only view where the file holds that, else a copy."""
        values = self.array(name)
        return from_bf16(values) if self.entries[name].kind == "BF16" else values.astype(np.float32, copy=False)

    def read_ahead(self) -> None:
        """Tells the system that the whole file is wanted soon, where it listens to such hints."""
        if hasattr(mmap, "MADV_WILLNEED"):
            self._bytes.madvise(mmap.MADV_WILLNEED)


def _without_repetition(pairs: list[tuple[str, object]]) -> dict[str, object]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise ValueError("a name is there twice")
    return entries


def _entry(stated: object, data_start: int) -> TensorEntry:
    if not isinstance(stated, dict) or stated.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError("an entry is none")
    kind, shape, offsets = stated["dtype"], stated["shape"], stated["data_offsets"]
    if not isinstance(kind, str) or kind not in _SIZES or not _are_counts(shape) or not _are_counts(offsets):
        raise ValueError("an entry's type, shape or place is none")
    if len(offsets) != 2 or len(shape) > _MOST_DIMENSIONS:
        raise ValueError("an entry's shape or place is none")
    if offsets[1] - offsets[0] != math.prod(shape) * _SIZES[kind]:
        raise ValueError("an entry's place has another size than its shape")
    return TensorEntry(kind, tuple(shape), data_start + offsets[0], data_start + offsets[1])


def _are_counts(values: object) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)
