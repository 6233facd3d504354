"""Rows of tokens as a model is trained on them: several documents in a row, none of which sees another.

Packing short documents into one row wastes no work on padding (Krell et al. 2021, "Efficient Sequence Packing without
Cross-contamination"); positions begin anew in each document, as they will when a text is written.
"""
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

IGNORED, GIVEN = -1, -2
"""Targets that don't count: padding, and marks with which every text of its kind begins."""


@dataclass(frozen=True)
class Text:
    """Documents as tokens, each with the separator before and behind."""

    stream: np.ndarray
    """[n] of uint16 or uint32."""
    starts: np.ndarray
    """Where each document begins, and n; int64."""
    given: np.ndarray | None = None
    """How many tokens of each document, behind the separator, are marks that a prompt gives; None: none."""

    @property
    def tokens(self) -> int:
        return len(self.stream)

    def documents(self) -> list[np.ndarray]:
        """Views, without separators and marks."""
        marks = np.zeros(len(self.starts) - 1, np.int64) if self.given is None else self.given
        return [self.stream[first + 1 + given:end - 1]
                for first, end, given in zip(self.starts[:-1], self.starts[1:], marks.tolist())]


@dataclass(frozen=True)
class Rows:
    """Arrays [B, T] of int64."""

    ids: np.ndarray
    targets: np.ndarray
    """The token behind each, IGNORED at padding, GIVEN where it is a mark."""
    positions: np.ndarray
    segments: np.ndarray | None = None
    """Which document of its row each belongs to; None where every row is one document."""

    @property
    def count(self) -> int:
        """Targets that count."""
        return int((self.targets >= 0).sum())

    @property
    def tokens(self) -> int:
        """All that is read, marks too."""
        return int((self.targets != IGNORED).sum())

    def part(self, rows: np.ndarray) -> "Rows":
        """Some of the rows, by number, without columns that are padding in all of them."""
        width = max(1, int((self.targets[rows] >= 0).any(0).nonzero()[0].max(initial=0)) + 1)
        segments = None if self.segments is None else self.segments[rows, :width]
        return Rows(self.ids[rows, :width], self.targets[rows, :width], self.positions[rows, :width], segments)


def plain_rows(ids: np.ndarray, targets: np.ndarray, offsets: np.ndarray) -> Rows:
    """Rows of one document each: ids and targets [B, T], and the position of each row's first token [B]."""
    return Rows(ids, targets, offsets[:, None] + np.arange(ids.shape[1]))


class Pieces:
    """The documents of a text, cut into pieces of at most a context, and dealt in rows.

    A document's last token is no one's input, and its first no one's target.
    """

    def __init__(self, text: Text, context: int, seed: int) -> None:
        self._stream, self._context, self._seed = text.stream, context, seed
        begins, lengths, given = [], [], []
        marks = np.zeros(len(text.starts) - 1, np.int64) if text.given is None else text.given
        for first, end, count in zip(text.starts[:-1].tolist(), text.starts[1:].tolist(), marks.tolist()):
            for begin in range(first, end - 1, context):
                begins.append(begin)
                lengths.append(min(context, end - 1 - begin))
                given.append(max(0, min(lengths[-1], first + count - begin)))
        self._begins, self._lengths, self._given = (np.array(values, np.int64) for values in (begins, lengths, given))
        self._epoch, self._order = -1, []

    @property
    def tokens(self) -> int:
        """Tokens read in one pass over all documents."""
        return int(self._lengths.sum())

    def rows(self, epoch: int) -> list[list[int]]:
        """The rows of a pass, each a list of pieces by number: a function of the seed and the pass alone."""
        if epoch != self._epoch:
            order = np.random.default_rng((self._seed, epoch)).permutation(len(self._lengths))
            self._epoch, self._order = epoch, packed(order, self._lengths, self._context)
        return self._order

    def sample(self, tokens: int) -> list[list[int]]:
        """Rows of pieces from all over the text, evenly, about so many tokens of them, or all that there are.

        A function of the seed alone.
        """
        chosen = np.arange(len(self._lengths))
        if self.tokens > tokens:
            count = max(1, round(len(chosen) * tokens / self.tokens))
            parts = np.arange(count + 1) * len(chosen) // count
            chosen = np.random.default_rng(self._seed).integers(parts[:-1], parts[1:])
        return packed(chosen, self._lengths, self._context)

    def filled(self, rows: Sequence[Sequence[int]]) -> Rows:
        """The arrays of some rows."""
        read = [[self._read(piece) for piece in row] for row in rows]
        width = max(sum(len(ids) for ids, _ in row) for row in read)
        ids = np.zeros((len(rows), width), np.int64)
        targets = np.full((len(rows), width), IGNORED, np.int64)
        positions, segments = np.zeros_like(ids), np.full_like(ids, -1)
        for number, row in enumerate(read):
            at = 0
            for segment, (tokens, behind) in enumerate(row):
                place = slice(at, at + len(tokens))
                ids[number, place], targets[number, place] = tokens, behind
                positions[number, place] = np.arange(len(tokens))
                segments[number, place] = segment
                at += len(tokens)
        alone = all(len(row) == 1 for row in rows)
        return Rows(ids, targets, positions, None if alone else segments)

    def _read(self, piece: int) -> tuple[np.ndarray, np.ndarray]:
        """A piece's tokens, and the target behind each."""
        begin, length = int(self._begins[piece]), int(self._lengths[piece])
        targets = self._stream[begin + 1:begin + length + 1].astype(np.int64)
        targets[:int(self._given[piece])] = GIVEN
        return self._stream[begin:begin + length], targets


_OPEN = 16
"""Rows that are filled at a time: with more of them less is wasted, and the order is less random."""


@dataclass(eq=False)
class _Open:
    """A row that is being filled."""

    room: int
    pieces: list[int]


def packed(order: np.ndarray, lengths: np.ndarray, context: int) -> list[list[int]]:
    """Pieces, by number, put into rows of at most `context` tokens, each into the fullest open row that has room."""
    done: list[list[int]] = []
    open_rows: list[_Open] = []
    for piece in order.tolist():
        length = int(lengths[piece])
        fitting = [row for row in open_rows if row.room >= length]
        if fitting:
            row = min(fitting, key=lambda row: row.room)
            row.room -= length
            row.pieces.append(piece)
        else:
            row = _Open(context - length, [piece])
            open_rows.append(row)
        if row.room < 2:
            open_rows.remove(row)
            done.append(row.pieces)
        elif len(open_rows) > _OPEN:
            fullest = min(open_rows, key=lambda row: row.room)
            open_rows.remove(fullest)
            done.append(fullest.pieces)
    return done + [row.pieces for row in open_rows]
