"""Keys and values: of one sequence, and of earlier ones for prompts that share their beginning.

Shapes: L layers, H heads, C capacity (a multiple of BLOCK), d width of a head.
"""
from collections.abc import Sequence

import torch

BLOCK = 64
"""Attention reads keys in whole blocks, so that its sums depend on a query's position and on nothing else."""


class KeysValues:
    """Keys and values of `tokens`, one window of a text, in one tensor that grows by doubling; made with the adapter
    of that number."""

    def __init__(self, n_layer: int, n_head: int, width: int, n_ctx: int, device: str, adapter: int = 0) -> None:
        self.adapter = adapter
        self._shape = (n_layer, 2, n_head)
        self._width, self._limit, self._device = width, -(-n_ctx // BLOCK) * BLOCK, device
        self.tokens: list[int] = []
        self.data = torch.zeros(*self._shape, 0, width, device=device)  # [L, 2, H, C, d]

    @property
    def bytes(self) -> int:
        return self.data.numel() * self.data.element_size()

    def reserve(self, count: int) -> None:
        """Makes room for `count` tokens. New rows are zero: what is masked must still be a number."""
        capacity = self.data.shape[3]
        if count <= capacity:
            return
        capacity = min(self._limit, max(-(-count // BLOCK) * BLOCK, 2 * capacity))
        data = torch.zeros(*self._shape, capacity, self._width, device=self._device)
        data[:, :, :, :len(self.tokens)] = self.data[:, :, :, :len(self.tokens)]
        self.data = data

    def copy_prefix(self, other: "KeysValues", count: int) -> None:
        """Takes over the first `count` tokens of another sequence; this one must be empty."""
        self.reserve(count)
        self.data[:, :, :, :count] = other.data[:, :, :, :count]
        self.tokens = other.tokens[:count]


class PrefixCache:
    """Keys and values of live and of earlier sequences, at most `limit` bytes; the earlier ones go first, oldest first.

    Reuse is exact to the token: any two sequences may share any beginning.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._live: list[KeysValues] = []
        self._kept: list[KeysValues] = []  # least recently used first

    def tokens(self) -> int:
        return sum(len(entry.tokens) for entry in (*self._live, *self._kept))

    def shared(self, tokens: Sequence[int], adapter: int = 0) -> int:
        """How many tokens at the beginning of `tokens` some entry of the adapter holds."""
        return max((_common(entry.tokens, tokens) for entry in (*self._live, *self._kept) if entry.adapter == adapter),
                   default=0)

    def acquire(self, tokens: Sequence[int], empty: KeysValues) -> KeysValues:
        """Keys and values for a sequence that begins with `tokens`: `empty`, filled with the longest shared beginning,
        or an earlier sequence that this one merely continues."""
        best, count = None, 0
        for entry in (*self._kept, *self._live):
            common = _common(entry.tokens, tokens) if entry.adapter == empty.adapter else 0
            if common >= count:
                best, count = entry, common
        if best is not None and count:
            if count == len(best.tokens) and not any(best is live for live in self._live):
                self._kept = [other for other in self._kept if other is not best]
                empty = best
            else:
                empty.copy_prefix(best, count)
                self._touch(best)
        self._live.append(empty)
        return empty

    def release(self, entry: KeysValues) -> None:
        """The sequence has ended; its keys and values are kept while there is room."""
        self._live = [other for other in self._live if other is not entry]
        if entry.tokens:
            self._kept = [other for other in self._kept if not _covers(entry, other)]
            self._kept.append(entry)
        self.trim()

    def trim(self) -> None:
        """Drops kept entries until all fit."""
        size = sum(entry.bytes for entry in (*self._live, *self._kept))
        while self._kept and size > self._limit:
            size -= self._kept.pop(0).bytes

    def shrink(self) -> None:
        """Drops all kept entries but the last."""
        del self._kept[:-1]

    def _touch(self, entry: KeysValues) -> None:
        for place, other in enumerate(self._kept):
            if other is entry:
                self._kept.append(self._kept.pop(place))
                return


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    limit = min(len(a), len(b))
    if a[:limit] == b[:limit]:
        return limit
    return next(place for place in range(limit) if a[place] != b[place])


def _covers(entry: KeysValues, other: KeysValues) -> bool:
    return entry.adapter == other.adapter and _common(entry.tokens, other.tokens) == len(other.tokens)
