"""Writes a safetensors file one tensor after the other, so that a model needn't be in memory whole."""
import json
import math
from collections.abc import Iterable, Mapping
from typing import BinaryIO

import numpy as np

_KINDS = {np.dtype(np.float16): "F16", np.dtype(np.float32): "F32", np.dtype(np.uint16): "BF16"}
_LINE = 64


def write_tensors(file: BinaryIO, layout: Mapping[str, tuple[np.dtype, tuple[int, ...]]],
                  tensors: Iterable[tuple[str, np.ndarray]]) -> None:
    """`layout`: by name, in the order of the file, the numbers (float16, float32, or uint16 for bfloat16) and the shape
    of each of `tensors`, which come in that order. Raises OSError where the disk refuses."""
    place = 0
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    for name, (kind, shape) in layout.items():
        size = math.prod(shape) * kind.itemsize
        header[name] = {"dtype": _KINDS[kind], "shape": list(shape), "data_offsets": [place, place + size]}
        place += size
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % _LINE)
    file.write(len(text).to_bytes(8, "little") + text)
    for (name, (kind, shape)), (given, tensor) in zip(layout.items(), tensors, strict=True):
        if (given, tensor.dtype, tensor.shape) != (name, kind, shape):
            raise AssertionError(f"{given} is not what the header says of {name}")
        file.write(np.ascontiguousarray(tensor).data)
