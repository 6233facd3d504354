"""Where in a text something stands, whatever counts its characters there."""
from dataclasses import dataclass
from typing import Protocol, Self

TAIL = 1000
"""Characters before a spot that make it the same."""


class Point(Protocol):
    """A place in a text, as the text's keeper counts. Equal ones are the same place."""

    def behind(self, text: str) -> Self:
        """The place after `text` was typed here."""
        ...

    def reached(self, text: str, end: Self) -> int | None:
        """How many characters of `text`, which stands behind this place, lie before `end`; None if that is not on its
        way."""
        ...


@dataclass(frozen=True)
class Offset:
    """A place by the number of characters before it."""

    characters: int

    def behind(self, text: str) -> "Offset":
        return Offset(self.characters + len(text))

    def reached(self, text: str, end: "Offset") -> int | None:
        typed = end.characters - self.characters
        return typed if 0 <= typed <= len(text) else None


@dataclass(frozen=True)
class Spot:
    """Where a stream begins or a question is: the place and the text that ends there."""

    point: Point
    tail: str

    @classmethod
    def of(cls, point: Point, before: str) -> "Spot":
        """`before`: the end of the text there, TAIL characters of it or more where there are so many."""
        return cls(point, before[-TAIL:])

    def behind(self, text: str) -> "Spot":
        """The place after `text` was typed here."""
        return Spot(self.point.behind(text), (self.tail + text)[-TAIL:])

    def reached(self, text: str, spot: "Spot") -> int | None:
        """How many characters of `text`, which stands behind this spot, are typed at another one; None if that isn't
        on its way."""
        typed = self.point.reached(text, spot.point)
        return typed if typed is not None and self.behind(text[:typed]) == spot else None
