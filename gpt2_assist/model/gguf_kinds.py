"""The kinds of numbers that GGUF files hold, as the format's own package knows and undoes them."""
from dataclasses import dataclass
from functools import cache

import numpy as np

_PLAIN = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "F64": np.dtype("<f8")}
_BFLOAT16 = "BF16"


@dataclass(frozen=True)
class Kind:
    """One kind of numbers."""

    number: int
    """By which a file names it."""
    name: str
    numbers: int
    """In a block."""
    bytes: int
    """Of a block."""

    def size(self, count: int) -> int:
        """Bytes of `count` numbers, which fill whole blocks."""
        return count // self.numbers * self.bytes

    @property
    def is_known(self) -> bool:
        """Whether it can be undone."""
        return self.name in _PLAIN or _is_undone(self.number)

    @property
    def kept(self) -> np.dtype:
        """In what numbers to keep it: those of the file where these are floats, bfloat16 as uint16, else float16."""
        if self.name == _BFLOAT16:
            return np.dtype(np.uint16)
        return np.dtype(np.float32) if self.name in ("F32", "F64") else np.dtype(np.float16)

    def undo(self, data: bytes, made: np.ndarray) -> None:
        """Fills `made`, which is of one axis, with the numbers of so many whole blocks."""
        with np.errstate(all="ignore"):  # what isn't finite is looked for afterwards
            if self.name == _BFLOAT16 and made.dtype == np.uint16:
                made[:] = np.frombuffer(data, "<u2")
            elif self.name in _PLAIN:
                made[:] = np.frombuffer(data, _PLAIN[self.name])
            else:
                from gguf import GGMLQuantizationType
                from gguf.quants import dequantize
                blocks = np.frombuffer(data, np.uint8)[None]
                made[:] = dequantize(blocks, GGMLQuantizationType(self.number))[0]

    def are_finite(self, made: np.ndarray) -> bool:
        """Whether numbers that `undo` gave are."""
        if made.dtype == np.uint16:
            return not (made & 0x7F80 == 0x7F80).any()
        return bool(np.isfinite(made).all())


@cache
def kind_of(number: int) -> Kind:
    """Raises ValueError where the package doesn't know it."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
    try:
        kind = GGMLQuantizationType(number)
        return Kind(number, kind.name, *GGML_QUANT_SIZES[kind])
    except (ValueError, KeyError):
        raise ValueError(f"it holds numbers of the kind {number}, which isn't known here") from None


@cache
def _is_undone(number: int) -> bool:
    """Whether the package can, which it says only when it is asked to."""
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize
    kind = kind_of(number)
    if kind.name.startswith("I") and kind.name[1:].isdigit():  # whole numbers, which are no weights
        return False
    try:
        dequantize(np.zeros((1, kind.bytes), np.uint8), GGMLQuantizationType(number))
    except NotImplementedError:
        return False
    return True
