"""Pages of keys and values, as the prefix tree sees them on every device."""
from typing import Protocol

BLOCK = 16
"""Positions in a page; a page holds their keys and values of all layers."""


class Pages(Protocol):
    """Pages of one size, within a limit that a caller who insists may pass. A page is known by its number, which is
    given out again after it came back."""

    limit: int

    @property
    def used(self) -> int:
        """Pages in use."""

    @property
    def full(self) -> bool:
        """Whether one more page in use would pass the limit."""

    def take(self) -> int:
        """A page that nobody uses, beyond the limit too. Raises MemoryError when there are no more."""

    def give(self, page: int) -> None:
        """Takes a page back. Raises ValueError for one that is not in use."""

    def address(self, page: int) -> int:
        """What the engine knows a page in use by. Raises KeyError for one that is not in use."""

    def copy(self, source: int, target: int) -> None:
        """Copies a page's content into another; both are in use."""
