"""Streams: what the model writes for a place, under way or done, and what it says at the places that typing reaches.

A stream that began at one place answers every later place whose text goes on as it did: typing along, accepting a
part, accepting all and going on, deleting and coming back cost the model nothing.
"""
import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

from gpt2_assist.completion.filters.chain import filtered
from gpt2_assist.completion.filters.draft import Draft
from gpt2_assist.completion.filters.whitespace import normalised
from gpt2_assist.completion.spots import Spot
from gpt2_assist.completion.views import View
from gpt2_assist.errors import AssistError

KEPT = 24
"""Streams per document that are remembered."""
_numbers = count(1)


@dataclass(eq=False)
class Stream:
    """A text that may follow a spot, growing while the model writes."""

    spot: Spot
    view: View
    """Of the last question that it answers; replaced as a whole."""
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
    task: asyncio.Task | None = None
    _raw: str = ""
    _begun: tuple[int, int] = (0, 0)
    _shown: tuple[int, str, str] | None = None
    """Of what was shown as whole: characters before it, itself, and what stood after the cursor."""
    _drafted: tuple[View, Draft] | None = None
    _waiting: list[asyncio.Future] = field(default_factory=list)

    def add(self, text: str, logprobs: list) -> None:
        """More text from the model and, per token, its text and log-probability."""
        # A generation's first token also spells what healing took back of the prompt, which is not in the text.
        length = len(self._raw) + len(text) - sum(len(piece) for piece, _, _ in logprobs)
        for piece, logprob, _ in logprobs:
            length += len(piece)
            self.tokens.append((max(0, length), logprob))
        self._rewrite(self._raw + text)

    def begin(self) -> None:
        """The model goes on from `text`: what rewriting held back of the end comes anew."""
        self._raw = self.text
        self._begun = len(self._raw), len(self.tokens)

    def again(self) -> None:
        """The daemon was lost: what came since `begin` comes anew."""
        characters, tokens = self._begun
        self.loading = ""
        del self.tokens[tokens:]
        self._rewrite(self._raw[:characters])

    def _rewrite(self, raw: str) -> None:
        self._raw, self.text, self._drafted = raw, normalised(self.view.place, raw), None

    def end(self) -> None:
        """The model came to an end."""
        self.ended, self._drafted = True, None

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
        """How many characters of the stream stand before `spot`; None if that isn't on its way."""
        return self.spot.reached(self.text, spot)

    def unfiltered(self, view: View) -> Draft:
        """What it says to a view, before any filter."""
        tokens = tuple((length - view.typed, logprob) for length, logprob in self.tokens if length > view.typed)
        if len(tokens) >= view.most_tokens:
            last, _ = tokens[view.most_tokens - 1]
            return Draft(self.text[view.typed:view.typed + last], True, tokens[:view.most_tokens])
        return Draft(self.text[view.typed:], self.ended, tokens)

    def draft(self, view: View) -> Draft:
        """What may be shown to a view so far: what is left of what was shown, or what the filters let through. They run
        once for each change."""
        if self._drafted is None or self._drafted[0] is not view:
            left = self._left(view)
            self._drafted = view, Draft(left, True) if left else filtered(view.place, self.unfiltered(view))
        return self._drafted[1]

    def show(self, view: View, text: str) -> None:
        """Remembers what was shown as whole, so that typing along shows the rest of just that."""
        self._shown, self._drafted = (view.typed, text, view.place.after), None

    def _left(self, view: View) -> str:
        """What is left to show of that, if the text after the cursor is still the same; or nothing."""
        if self._shown is None:
            return ""
        first, text, after = self._shown
        return text[view.typed - first:] if first <= view.typed and after == view.place.after else ""


class Recent:
    """One document's last streams, the newest first."""

    def __init__(self) -> None:
        self._streams: deque[Stream] = deque(maxlen=KEPT)

    def add(self, stream: Stream) -> None:
        self._streams.appendleft(stream)

    def add_behind(self, stream: Stream, other: Stream) -> None:
        """An alternative to another one, which stays the first to answer."""
        if len(self._streams) == KEPT:
            self._streams.pop()
        self._streams.insert(self._streams.index(other) + 1 if other in self._streams else 0, stream)

    def at(self, spot: Spot) -> list[tuple[Stream, int]]:
        """The streams that reach a spot and have something to say there, and how many characters before it are theirs,
        the newest first. One that failed, or was stopped with nothing left, doesn't."""
        found = []
        for stream in self._streams:
            typed = None if stream.failure else stream.reaches(spot)
            if typed is not None and (stream.going or typed < len(stream.text) or stream.ended and not typed):
                found.append((stream, typed))
        return found

    def going(self) -> list[Stream]:
        return [stream for stream in self._streams if stream.going]

    def clear(self) -> None:
        for stream in self.going():
            stream.stop()
        self._streams.clear()
