"""bfloat16 in numpy, which lacks it: the upper half of a float32, held as uint16."""
import numpy as np


def to_bf16(values: np.ndarray) -> np.ndarray:
    """float32 numbers -> their bfloat16 bits as uint16, rounded to the nearest, ties to even. No NaNs, please."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    odd = (bits >> 16) & 1
    odd += 0x7FFF
    odd += bits
    return (odd >> 16).astype(np.uint16)


def from_bf16(bits: np.ndarray) -> np.ndarray:
    """uint16 bits -> the float32 numbers that they mean, exactly."""
    return (bits.astype(np.uint32) << 16).view(np.float32)
