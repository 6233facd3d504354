"""Marks copied spans of a text while it comes."""
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from gpt2_assist.originality.index import CopyIndex
from gpt2_assist.originality.matcher import Matcher
from gpt2_assist.originality.report import SPAN_TOKENS


@dataclass
class _Piece:
    text: str
    end: int
    """Tokens up to its end."""
    copied: bool


class CopyMarks:
    """Takes a text in pieces and gives each back as (text, whether it belongs to a span of at least `least` tokens that
    stands in the training data). What may yet become part of one waits for the tokens that decide it."""

    def __init__(self, index: CopyIndex, least: int = SPAN_TOKENS) -> None:
        self._matcher, self._least, self._fed = Matcher(index), least, 0
        self._waiting: deque[_Piece] = deque()

    def feed(self, text: str, tokens: Sequence[int]) -> list[tuple[str, bool]]:
        """Takes the next piece and its tokens; the pieces that are decided now."""
        mine = _Piece(text, self._fed + len(tokens), False)
        self._waiting.append(mine)
        for token in tokens:
            length = self._matcher.feed(token)
            self._fed += 1
            if length >= self._least:
                mine.copied = True
                for piece in self._waiting:
                    piece.copied |= piece.end > self._fed - length
        return self._decided(self._fed - self._matcher.length)

    def finish(self) -> list[tuple[str, bool]]:
        """The rest."""
        return self._decided(self._fed)

    def _decided(self, begin: int) -> list[tuple[str, bool]]:
        """Of the waiting pieces, those that are copied or end before the present match's first token."""
        given = []
        while self._waiting and (self._waiting[0].copied or self._waiting[0].end <= begin):
            piece = self._waiting.popleft()
            given.append((piece.text, piece.copied))
        return given
