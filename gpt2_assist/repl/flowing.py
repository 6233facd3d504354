"""Text that comes piece by piece onto a terminal that can only go on: no word is broken at its edge."""
import re
from collections.abc import Callable

from gpt2_assist.repl.screen.wrapping import breadth

_PIECE = re.compile(r"\n|[^\S\n]+|\S+")


class Flow:
    """Knows in which column the terminal stands. A word waits until it is known to be whole, and what comes of it by
    `rest` is shown as it is."""

    def __init__(self, columns: Callable[[], int]) -> None:
        """`columns`: of the terminal, as it is now."""
        self._columns = columns
        self.column = 0
        self._waiting = ""

    def feed(self, text: str) -> str:
        """What can be printed now."""
        text = self._waiting + text
        pieces = _PIECE.findall(text)
        self._waiting = pieces.pop() if pieces and not pieces[-1].isspace() else ""
        return "".join(map(self._placed, pieces))

    def rest(self) -> str:
        """What waits."""
        waiting, self._waiting = self._waiting, ""
        return self._placed(waiting) if waiting else ""

    def _placed(self, piece: str) -> str:
        width = max(2, self._columns()) - 1
        if piece == "\n":
            self.column = 0
            return piece
        needed = breadth(piece)
        if piece.isspace():
            if self.column + needed > width:
                self.column = 0
                return "\n"
            self.column += needed
            return piece
        broken = "\n" if self.column and self.column + needed > width else ""
        self.column = (0 if broken else self.column) + needed
        return broken + piece
