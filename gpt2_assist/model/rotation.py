"""Rotary positions (Su et al. 2021, "RoFormer") in the form of halves: a head's number i turns with number i + d/2."""
import numpy as np


def rotation(head_width: int, theta: float, positions: int) -> np.ndarray:
    """float32 [positions, 2, head_width / 2]: the cosines and the sines of each position's angles. As those who train
    such models compute them: frequencies and angles are rounded to float32."""
    powers = np.arange(0, head_width, 2, dtype=np.float32) / np.float32(head_width)
    frequencies = (1 / np.float64(theta) ** powers).astype(np.float32)
    angles = np.arange(positions, dtype=np.float32)[:, None] * frequencies
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
