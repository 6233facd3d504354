"""What of a story the screen shows: styled rows, where the cursor stands, how far one has scrolled."""
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from gpt2_assist.console.terminal import visible
from gpt2_assist.repl.screen.wrapping import TAB, Wrapped, breadth, columns

Fragments = list[tuple[str, str]]
WIDEST = 78
"""Columns of text at most: longer rows are hard to read."""


@dataclass(frozen=True)
class Styled:
    """A text in parts, each with a style."""

    text: str
    starts: Sequence[int]
    """Where parts begin, ascending, the first at 0 unless there is none."""
    styles: Sequence[str]
    """One for each."""

    @classmethod
    def of(cls, parts: Sequence[tuple[str, str]]) -> "Styled":
        """Of (style, text) pairs."""
        starts, styles, pieces, length = [], [], [], 0
        for style, text in parts:
            if text:
                starts.append(length)
                styles.append(style)
                pieces.append(text)
                length += len(text)
        return cls("".join(pieces), starts, styles)

    def fragments(self, start: int, end: int) -> Fragments:
        """What stands between two places."""
        found = []
        at = max(0, bisect_right(self.starts, start) - 1)
        while start < end and at < len(self.starts):
            stop = min(end, self.starts[at + 1] if at + 1 < len(self.starts) else end)
            if stop > start:
                found.append((self.styles[at], self.text[start:stop]))
            start, at = max(start, stop), at + 1
        return found


@dataclass
class Shown:
    """One picture of it."""

    rows: list[Fragments]
    cursor: tuple[int, int] | None
    """Row and column, if it is on the screen."""


@dataclass
class PageView:
    """Where one looks. It follows the cursor until somebody scrolls."""

    wrapped: Wrapped = field(default_factory=Wrapped)
    top: int = 0
    """The first row on the screen."""
    follows: bool = True
    _height: int = 1

    def show(self, styled: Styled, cursor: int, width: int, height: int, same: int, rule: int = 0,
             rule_words: str = "") -> Shown:
        """`styled`, whose first `same` characters are as at the last call, with the cursor at a place. A line across
        the page stands above the row of place `rule`, unless that is 0."""
        # One column is left, in which the cursor stands behind a full row.
        self.wrapped.replace(styled.text, max(1, min(WIDEST, width - 1)), same)
        self._height = height
        here = self.wrapped.row(cursor)
        ruled = self.wrapped.row(rule) if rule else None
        self.top = self.wrapped.row(min(self.top, len(styled.text)))
        rows = self._from(self.top, height, ruled)
        if self.follows and here not in rows:
            self.top = self._top_for(here, height, ruled) if here > self.top else here
            rows = self._from(self.top, height, ruled)
        if self.follows and len(rows) < height and self.top:  # the text became shorter, or the screen higher
            self.top = self._top_for(self.wrapped.row(len(styled.text)), height, ruled)
            rows = self._from(self.top, height, ruled)
        shown: list[Fragments] = []
        place = None
        for row in rows:
            if row is None:
                shown.append([("class:rule", rule_words.center(self.wrapped.width, "─")[:self.wrapped.width])])
                continue
            if row == here:
                place = len(shown), min(breadth(styled.text[row:cursor]), width - 1)
            shown.append(self._row(styled, row))
        return Shown(shown, place)

    def scroll(self, rows: int) -> None:
        """Up, where negative. At the end it follows the cursor again."""
        if rows < 0:
            self.top, self.follows = self.wrapped.above(self.top, -rows), False
            return
        for _ in range(rows):
            below = self.wrapped.below(self.top)
            if below is None:
                break
            self.top = below
        if len(self._from(self.top, self._height + 1, None)) <= self._height:
            self.follows = True

    def to_beginning(self) -> None:
        self.top, self.follows = 0, False

    def to_end(self) -> None:
        self.top = self.wrapped.above(self.wrapped.row(len(self.wrapped.text)), self._height - 1)

    def _from(self, row: int | None, height: int, ruled: int | None) -> list[int | None]:
        """The rows of a screen that begins with `row`; None stands for the line across."""
        found: list[int | None] = []
        while row is not None and len(found) < height:
            if row == ruled and height > 2:
                found.append(None)
            found.append(row)
            row = self.wrapped.below(row)
        return found[:height]

    def _top_for(self, here: int, height: int, ruled: int | None) -> int:
        """The first row of a screen whose last row is `here`."""
        top = self.wrapped.above(here, height - 1)
        while here not in self._from(top, height, ruled):  # the line across takes a row
            top = self.wrapped.below(top) or here
        return top

    def _row(self, styled: Styled, row: int) -> Fragments:
        """What a row shows, without the spaces that go beyond it."""
        end = self.wrapped.end(row)
        left = self.wrapped.width + 1
        fragments = []
        for style, text in styled.fragments(row, end):
            kept = []
            for character in text.rstrip("\n"):
                taken = columns(character)
                if taken > left:
                    left = 0
                    break
                left -= taken
                kept.append(" " * TAB if character == "\t" else character)
            fragments.append((style, visible("".join(kept))))
        return fragments
