"""Text that is offered behind the cursor of somebody who writes prose: as an editor's completions, without documents.

Typing along, accepting a word or all, deleting and coming back cost the model nothing: the streams that were begun
answer. Whatever else is typed stops the model, and it goes on from the new text. A key costs the same in a text of any
length: its end alone is looked at.
"""
import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from gpt2_assist.completion.daemon import Daemon
from gpt2_assist.completion.filters.draft import Place
from gpt2_assist.completion.ghostwriter import Ghostwriter, Prompt
from gpt2_assist.completion.spots import Offset, Spot
from gpt2_assist.completion.streams import Stream
from gpt2_assist.completion.views import View
from gpt2_assist.completion.window import Window
from gpt2_assist.errors import AssistError

BEFORE = 2000
"""Characters before the cursor that filters see."""
_SPACELESS = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"\s*(?:[{_SPACELESS}][^\s\w]*|[^\s{_SPACELESS}]+)")
"""White space and a word with its marks; of what is written without spaces one sign with its marks."""
_numbers = count(1)


@dataclass(frozen=True)
class OfferSettings:
    confidence: float = 0.25
    """How likely a text must be right as a whole; 0 shows all."""
    unit: str = "sentence"
    """Or paragraph: how far an offer goes."""
    max_tokens: int = 64
    characters: int = 3200
    """Of the text before the cursor, at most, that the model reads: what fits the context of GPT-2 in prose."""


class Offers:
    """For one text, within an event loop."""

    def __init__(self, daemon: Daemon, changed: Callable[[], None], settings: OfferSettings | None = None) -> None:
        """`changed` is called in the loop whenever the model's work, not a call from outside, changed `text`, `whole`
        or `reason`."""
        self._changed = changed
        self._settings = settings or OfferSettings()
        self._writer = Ghostwriter(daemon, f"offers {next(_numbers)}", self)
        self._window = Window(self._settings.characters)
        self._before, self._above, self._prompt = "", 0, Prompt("", "")
        self._offered: tuple[Stream, View] | None = None
        self._watching: asyncio.Task | None = None
        self._told = "", True
        self._replaced = asyncio.Event()
        """Set when something else is typed than where alternatives are looked for."""
        self.reason = ""
        """Why nothing is offered: what is being done while the model loads, or what failed; the next key tries
        again."""

    @property
    def text(self) -> str:
        """What is offered behind the cursor, which grows as it comes; "" for nothing."""
        return self._state()[0]

    @property
    def whole(self) -> bool:
        """Whether nothing more comes."""
        return self._state()[1]

    def word(self) -> str:
        """The first word of what is offered, with the white space before it and the marks behind it."""
        return first_word(self.text)

    def typed(self, before: str, model: str, above: int = 0, **asked: Any) -> None:
        """The text before the cursor is `before` now; behind it stands nothing. Of a long text its end is enough,
        OfferSettings.characters of it or more; `above` then says how many characters are left out. `asked`: further
        entries of messages.Generate, as precision and device. To be called also when a part of `text`, or all, was
        accepted."""
        self._withdraw()
        start = self._window.start(before, above)
        if (model, asked) != (self._prompt.model, self._prompt.asked):
            self._writer.forget()
        self._before, self._above = before, above
        self._prompt = Prompt(model, before[start - above:], begins=not start, asked=asked)
        if self._blank():
            self._writer.stop()
            return
        self._offered = stream, view = self._answered(invoked=False)
        self._told = self._state()
        self._watching = asyncio.create_task(self._watch(stream, view))

    def stop(self) -> None:
        """Nothing is offered, and the model does nothing for this text, until something is typed."""
        self._withdraw()
        self._writer.stop()

    async def alternatives(self, most: int) -> list[str]:
        """Up to so many different texts for the place where one typed last, also such of which the model isn't sure,
        the likeliest first; none once something else is typed, or all is stopped. What is offered stays. It takes as
        long as one text, if that isn't there yet, and at most ALTERNATIVES_S for the others."""
        if self._blank():
            return []
        self._replaced.set()
        self._replaced = replaced = asyncio.Event()
        prompt = self._prompt
        stream, view = self._answered(invoked=True)
        while not _is_whole(stream, view) and not replaced.is_set():
            await stream.change(None)
        if replaced.is_set() or stream.failure:
            return []
        first = stream.draft(view).text
        texts = await self._writer.alternatives(stream, view, prompt, [first] if first else [], most, replaced)
        return [] if replaced.is_set() else texts

    def loading(self, words: str) -> None:
        """The ghostwriter's: the model isn't there yet."""
        self._explain(words)

    def failed(self, error: AssistError) -> None:
        """The ghostwriter's."""
        self._explain(str(error))

    def _blank(self) -> bool:
        """Whether there is nothing to go on from."""
        return not self._before[-BEFORE:].strip()

    def _answered(self, invoked: bool) -> tuple[Stream, View]:
        """A stream for the place where one types, that reaches it or begins there, and the view from there."""
        spot = Spot.of(Offset(self._above + len(self._before)), self._before[-BEFORE:])
        place = Place(before=self._before[-BEFORE:], after="", language="plaintext", prose=True, invoked=invoked,
                      prose_unit=self._settings.unit, confidence=self._settings.confidence)
        view = View(place, self._settings.max_tokens, wanted=True)
        found = self._writer.adopt(spot)
        if not found:
            return self._writer.begin(spot, view, self._prompt), view
        stream, typed = found[0]
        stream.view = view = replace(view, typed=typed)
        if not stream.going and not stream.draft(view).ended:
            self._writer.go_on(stream, self._prompt.behind(stream.text[typed:]))
        return stream, view

    def _state(self) -> tuple[str, bool]:
        if self._offered is None:
            return "", True
        stream, view = self._offered
        return stream.draft(view).text, _is_whole(stream, view)

    async def _watch(self, stream: Stream, view: View) -> None:
        """Tells what comes, until that is whole."""
        while True:
            text, whole = state = self._state()
            if whole and text:
                stream.show(view, text)
            waits = stream.failure or not whole and not stream.text
            reason = self.reason if waits else ""
            if (state, reason) != (self._told, self.reason):
                self._told, self.reason = state, reason
                self._changed()
            if whole:
                return
            await stream.change(None)

    def _withdraw(self) -> None:
        """Nothing is offered, nor looked for."""
        self._replaced.set()
        for stream in self._writer.recent.going():
            stream.tell()
        if self._watching:
            self._watching.cancel()
        self._offered, self._told, self.reason = None, ("", True), ""

    def _explain(self, words: str) -> None:
        if words != self.reason:
            self.reason = words
            self._changed()


def first_word(text: str) -> str:
    """The first word with the white space before it and the marks behind it; all, where no word is."""
    found = _WORD.match(text)
    return found[0] if found else text


def _is_whole(stream: Stream, view: View) -> bool:
    return not stream.going or stream.draft(view).ended
