"""Runs: generations, under way or done, and what they say about the places that typing reaches.

A run that began at one place answers every later place whose text goes on as the run did: typing along, accepting a
part, accepting all and going on, deleting and coming back cost the model nothing.
"""
import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

from gpt2_assist.errors import AssistError
from gpt2_lsp.documents import Cursor, Document
from gpt2_lsp.filters.draft import Draft, Place
from gpt2_lsp.filters.whitespace import normalised

TAIL = 1000
"""Characters before a cursor that make a place the same."""
KEPT = 24
"""Runs per document that are remembered."""
_numbers = count(1)


@dataclass(frozen=True)
class Spot:
    """Where a run begins or a question is: the cursor and the text that ends there."""

    cursor: Cursor
    tail: str

    @classmethod
    def of(cls, document: Document, cursor: Cursor) -> "Spot":
        return cls(cursor, document.before(cursor, TAIL)[-TAIL:])

    def behind(self, text: str) -> "Spot":
        """The place after `text` was typed here."""
        lines = text.count("\n")
        column = len(text) - text.rfind("\n") - 1 if lines else self.cursor.column + len(text)
        return Spot(Cursor(self.cursor.line + lines, column), (self.tail + text)[-TAIL:])


@dataclass(eq=False)
class Run:
    """A text that may follow a spot, growing while the model writes."""

    spot: Spot
    place: Place
    """Of the last question that it answers."""
    typed: int = 0
    """How many characters before that are its own."""
    document: str = ""
    """Its address."""
    number: int = field(default_factory=lambda: next(_numbers))
    """The editor's `session`."""
    text: str = ""
    tokens: list[tuple[int, float]] = field(default_factory=list)
    """As Draft's."""
    going: bool = False
    """Whether the model writes."""
    ended: bool = False
    """Whether the model came to an end; otherwise it can go on."""
    loading: str = ""
    """What is being done while the model loads."""
    failure: AssistError | None = None
    wanted: bool = False
    """Whether somebody asked for it; else it is only a guess that somebody will."""
    task: asyncio.Task | None = None
    _raw: str = ""
    _begun: tuple[int, int] = (0, 0)
    _shown: tuple[int, str, str] | None = None
    _waiting: list[asyncio.Future] = field(default_factory=list)

    def add(self, text: str, logprobs: list) -> None:
        """More text from the model and, per token, its text and log-probability."""
        # A generation's first token also spells what healing took back of the prompt, which is not in the text.
        length = len(self._raw) + len(text) - sum(len(piece) for piece, _, _ in logprobs)
        for piece, logprob, _ in logprobs:
            length += len(piece)
            self.tokens.append((max(0, length), logprob))
        self._raw += text
        self.text = normalised(self.place, self._raw)

    def begin(self) -> None:
        """The model goes on from `text`: what rewriting held back of the end comes anew."""
        self._raw = self.text
        self._begun = len(self._raw), len(self.tokens)

    def again(self) -> None:
        """The daemon was lost: what came since `begin` comes anew."""
        characters, tokens = self._begun
        self._raw, self.loading = self._raw[:characters], ""
        self.text = normalised(self.place, self._raw)
        del self.tokens[tokens:]

    def tell(self) -> None:
        """Wakes all who wait for a change."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def change(self, seconds: float | None) -> None:
        """Waits until something changed, so many seconds at most."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        with suppress(TimeoutError):
            await asyncio.wait_for(future, seconds)

    def stop(self) -> None:
        """Ends the model's work for it. What came is kept."""
        self.going = False
        if self.task:
            self.task.cancel()
        self.tell()

    def reaches(self, spot: Spot) -> int | None:
        """How many characters of the run stand before `spot`; None if that isn't on its way."""
        lines = spot.cursor.line - self.spot.cursor.line
        if lines < 0:
            return None
        if lines:
            at = -1
            for _ in range(lines):
                at = self.text.find("\n", at + 1)
                if at < 0:
                    return None
            typed = at + 1 + spot.cursor.column
        else:
            typed = spot.cursor.column - self.spot.cursor.column
        if not 0 <= typed <= len(self.text):
            return None
        return typed if self.spot.behind(self.text[:typed]) == spot else None

    def draft(self, most: int) -> Draft:
        """What it says at its last question's place, in at most `most` tokens, before any filter."""
        tokens = tuple((length - self.typed, logprob) for length, logprob in self.tokens if length > self.typed)
        if len(tokens) >= most:
            return Draft(self.text[self.typed:self.typed + tokens[most - 1][0]], True, tokens[:most])
        return Draft(self.text[self.typed:], self.ended, tokens)

    def show(self, text: str) -> None:
        """Remembers what was shown as whole, so that typing along shows the rest of just that."""
        self._shown = (self.typed, text, self.place.after)

    def shown(self) -> str:
        """What is left to show of that, if the text after the cursor is still the same; or nothing."""
        if self._shown is None:
            return ""
        first, text, after = self._shown
        return text[self.typed - first:] if first <= self.typed and after == self.place.after else ""


class Recent:
    """One document's last runs, the newest first."""

    def __init__(self) -> None:
        self._runs: deque[Run] = deque(maxlen=KEPT)

    def add(self, run: Run) -> None:
        self._runs.appendleft(run)

    def add_behind(self, run: Run, other: Run) -> None:
        """An alternative to another one, which stays the first to answer."""
        if len(self._runs) == KEPT:
            self._runs.pop()
        self._runs.insert(self._runs.index(other) + 1 if other in self._runs else 0, run)

    def at(self, spot: Spot) -> list[tuple[Run, int]]:
        """The runs that reach a spot and have something to say there, and how many characters before it are theirs, the
        newest first. One that failed, or was stopped with nothing left, doesn't."""
        found = []
        for run in self._runs:
            typed = None if run.failure else run.reaches(spot)
            if typed is not None and (run.going or typed < len(run.text) or run.ended and not typed):
                found.append((run, typed))
        return found

    def going(self) -> list[Run]:
        return [run for run in self._runs if run.going]

    def clear(self) -> None:
        for run in self.going():
            run.stop()
        self._runs.clear()
