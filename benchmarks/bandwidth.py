"""How fast this machine's memory can be read."""
import threading
import time

import numpy as np
from numba import njit

SHARE_BYTES = 256 << 20


@njit("i8(i8[::1])", nogil=True)
def _sum(words):
    half, total = words.size // 2, 0
    for place in range(half):  # two streams, which one thread reads faster than one
        total += words[place] + words[half + place]
    return total


class Memory:
    """`threads` threads, each with 256 MiB of its own that no cache holds."""

    def __init__(self, threads: int) -> None:
        self._shares = [np.ones(SHARE_BYTES // 8, np.int64) for _ in range(threads)]

    def read_gb_per_s(self) -> float:
        """The fastest of five readings of everything: each thread adds up its share."""
        return len(self._shares) * SHARE_BYTES / min(self._seconds() for _ in range(5)) / 1e9

    def _seconds(self) -> float:
        readers = [threading.Thread(target=_sum, args=(share,)) for share in self._shares]
        began = time.perf_counter()
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        return time.perf_counter() - began
