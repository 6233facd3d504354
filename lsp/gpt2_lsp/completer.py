"""Answers questions about places in documents: from streams that reach them, or by a new one.

A change of a document is judged at once: if the text now goes on as a stream did, that one is adopted, else the model
stops and begins to read the new text, before the editor asks.
"""
import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Protocol

from gpt2_assist.completion.daemon import Daemon
from gpt2_assist.completion.filters.draft import Place
from gpt2_assist.completion.languages import PROSE
from gpt2_assist.completion.spots import TAIL, Spot
from gpt2_assist.completion.streams import Recent, Stream
from gpt2_assist.completion.views import View
from gpt2_assist.errors import AssistError
from gpt2_assist.ipc.messages import Chunk, Generation, Loading, SampleDone
from gpt2_lsp.context import Context
from gpt2_lsp.documents import Cursor, Document
from gpt2_lsp.settings import EditorSettings

WINDOW = 2300
"""Characters before the cursor that the model reads at most: what fits the context of GPT-2 in code."""
BEFORE, AFTER_LINES = 2000, 12
"""Characters and lines around the cursor that filters see."""
HOT_TOKENS = 16
"""Tokens beyond what is shown, for after it was accepted."""
ALTERNATIVES_S = 1.5
"""Other samples are waited for so long at most."""
SUPERSEDED, NOTHING = "superseded", "nothing confident"
Snapshot = Callable[[int, str, bool], None]
"""Told the session, the text so far, and whether it is whole."""


class Listener(Protocol):
    """Who hears what the completer does."""

    def shown(self, latency_ms: float) -> None: ...
    def loading(self, words: str) -> None: ...
    def failed(self, error: AssistError) -> None: ...


@dataclass
class Question:
    document: Document
    cursor: Cursor
    invoked: bool = False
    selected: str = ""
    """What the editor's menu would insert at the cursor."""
    end: Cursor | None = None
    """Where what that replaces ends, if it replaces something."""
    indent: str = ""
    """One level of indentation, where the editor says so."""
    snapshot: Snapshot | None = None
    """Told the text as it grows; whoever has none gets the first useful text at the deadline."""
    finished: Callable[[], None] | None = None
    """Called once the rest of a text is there of which the deadline let go the beginning, if there is any and nothing
    else was asked or typed meanwhile."""


@dataclass
class Answer:
    texts: list[str]
    reason: str = ""
    session: int = 0
    whole: bool = True
    """Whether nothing may follow; the deadline can come first."""


@dataclass
class _Known:
    """What is known of one document."""

    context: Context
    recent: Recent = field(default_factory=Recent)
    replaced: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the question under way is replaced by a newer one or by a change."""
    expects: bool = False
    """Whether the editor asked after the last change."""
    reading: asyncio.Task | None = None
    """The prefill under way."""


class Completer:
    def __init__(self, daemon: Daemon, listener: Listener) -> None:
        self._daemon, self._listener = daemon, listener
        self._known: dict[str, _Known] = {}
        self._tasks: set[asyncio.Task] = set()

    def changed(self, document: Document, cursor: Cursor | None, settings: EditorSettings,
                others: Callable[[], Iterable[Document]]) -> None:
        """A document changed; `cursor` is where one seems to type, None where that is unclear."""
        known = self._of(document.uri)
        self._supersede(known)
        expects, known.expects = known.expects, False
        spot = _spot(document, cursor) if cursor else None
        adopted = known.recent.at(spot) if spot else []
        for stream in known.recent.going():
            if all(stream is not other for other, _ in adopted):
                stream.stop()
        if adopted or spot is None or cursor is None or settings.idle_ms:
            return
        question = Question(document, cursor)
        prompt = self._prompt(known, question, others)
        if expects:
            view = View(self._place(question, settings), settings.max_tokens)
            self._start(known, Stream(spot, view, document=document.uri), prompt, settings)
        else:
            self._read(known, document.uri, prompt, settings)

    async def answer(self, question: Question, settings: EditorSettings,
                     others: Callable[[], Iterable[Document]]) -> Answer:
        """The text, or texts where the user asked explicitly, for a place; or why there is none."""
        began = time.monotonic()
        known = self._of(question.document.uri)
        self._supersede(known)
        known.replaced = replaced = asyncio.Event()
        known.expects = not question.invoked
        spot, place = self._spot(question), self._place(question, settings)
        prompt = self._prompt(known, question, others)
        waits = settings.idle_ms and not question.invoked and not known.recent.at(spot)
        if waits and await _happens(replaced, settings.idle_ms / 1000):
            return Answer([], SUPERSEDED)
        found = known.recent.at(spot)
        view = View(place, settings.max_tokens, found[0][1] if found else 0, wanted=True)
        if found:
            stream, _ = found[0]
            stream.view = view
            if not stream.going and not stream.draft(view).ended:
                self._write_on(known, stream, prompt + stream.text[view.typed:], settings)
        else:
            stream = Stream(spot, view, document=question.document.uri)
            self._start(known, stream, prompt, settings)
        deadline = None if question.snapshot else began + settings.deadline_ms / 1000
        answer = await self._follow(stream, view, question.snapshot, deadline, replaced)
        if answer.texts:
            self._listener.shown((time.monotonic() - began) * 1000)
        if not answer.whole and question.finished:
            self._task(self._finish(stream, view, replaced, answer.texts[0], question.finished))
        if question.invoked and answer.reason != SUPERSEDED and not stream.failure:
            await self._add_alternatives(known, answer, stream, view, prompt, settings, replaced)
        return answer

    def accepted(self, uri: str) -> None:
        """What was shown was taken, or a part: the editor will ask again."""
        self._of(uri).expects = True

    def dismissed(self, uri: str) -> None:
        """Nobody looks: work for the document stops."""
        known = self._of(uri)
        known.expects = False
        self._supersede(known)
        for stream in known.recent.going():
            stream.stop()

    def closed(self, uri: str) -> None:
        known = self._known.pop(uri, None)
        if known:
            self._forget(known)

    def forget(self) -> None:
        """Everything known is out of date: another model, other settings."""
        for known in self._known.values():
            self._forget(known)

    def _forget(self, known: _Known) -> None:
        self._supersede(known)
        known.recent.clear()
        known.context.forget()

    def _of(self, uri: str) -> _Known:
        if uri not in self._known:
            self._known[uri] = _Known(Context(WINDOW))
        return self._known[uri]

    def _supersede(self, known: _Known) -> None:
        known.replaced.set()
        for stream in known.recent.going():
            stream.tell()
        if known.reading:
            known.reading.cancel()
            known.reading = None

    def _spot(self, question: Question) -> Spot:
        spot = _spot(question.document, question.cursor)
        return spot.behind(question.selected) if question.selected else spot

    def _place(self, question: Question, settings: EditorSettings) -> Place:
        document, cursor = question.document, question.cursor
        before = document.before(cursor, BEFORE)[-2 * BEFORE:]  # a line may be very long
        return Place(
            before=before + question.selected, after=document.after(question.end or cursor, AFTER_LINES),
            language=document.language, prose=document.language in PROSE, invoked=question.invoked,
            single_line=settings.single_line, max_lines=settings.max_lines, prose_unit=settings.prose_unit,
            confidence=settings.confidence, indent=question.indent)

    def _prompt(self, known: _Known, question: Question, others: Callable[[], Iterable[Document]]) -> str:
        return known.context.prompt(question.document, question.cursor, others) + question.selected

    def _read(self, known: _Known, uri: str, prompt: str, settings: EditorSettings) -> None:
        """Has the model read the prompt and no more."""
        async def read() -> None:
            try:
                only = Generation(max_new_tokens=0, begins=False)
                async with aclosing(self._daemon.generate(settings.model, prompt, only, uri)) as messages:
                    async for _ in messages:
                        pass
            except AssistError:
                pass  # the question that follows says so
        known.reading = self._task(read())

    def _start(self, known: _Known, stream: Stream, prompt: str, settings: EditorSettings) -> None:
        known.recent.add(stream)
        self._write_on(known, stream, prompt, settings)

    def _write_on(self, known: _Known, stream: Stream, prompt: str, settings: EditorSettings) -> None:
        """Has the model write a stream from `prompt` on, which ends with what it has so far; no other goes on."""
        for other in known.recent.going():
            other.stop()
        stream.going = True
        stream.begin()
        stream.task = self._task(self._write(stream, prompt, settings))

    async def _write(self, stream: Stream, prompt: str, settings: EditorSettings) -> None:
        generation = Generation(max_new_tokens=settings.max_tokens + HOT_TOKENS, temperature=0.0, top_k=0, seed=0,
                                logprobs=0, begins=False)
        try:
            async with aclosing(self._daemon.generate(settings.model, prompt, generation, stream.document)) as messages:
                async for message in messages:
                    if message is None:
                        stream.again()
                    elif isinstance(message, Loading):
                        stream.loading = message.words or "the model is being loaded"
                        self._listener.loading(stream.loading)
                    elif isinstance(message, SampleDone):
                        if message.finish_reason == "stop":
                            stream.end()
                    elif isinstance(message, Chunk):
                        stream.add(message.text, message.logprobs)
                        stream.tell()
                        if _enough(stream):
                            break
        except AssistError as error:
            stream.failure = error
            self._listener.failed(error)
        finally:
            if stream.task is asyncio.current_task():
                stream.going = False
                stream.tell()

    async def _follow(self, stream: Stream, view: View, snapshot: Snapshot | None, deadline: float | None,
                      replaced: asyncio.Event) -> Answer:
        """The answer that a stream has for a view, whose question may be replaced meanwhile."""
        told = ""
        while not replaced.is_set():
            if stream.failure:
                return Answer([], f"failed: {stream.failure}", stream.number)
            draft = stream.draft(view)
            if draft.ended or not stream.going:
                if not draft.text:
                    return Answer([], draft.reason or NOTHING, stream.number)
                stream.show(view, draft.text)
                if snapshot:
                    snapshot(stream.number, draft.text, True)
                return Answer([draft.text], "", stream.number)
            if snapshot and draft.text != told:
                told = draft.text
                snapshot(stream.number, told, False)
            late = deadline is not None and time.monotonic() >= deadline
            if late and draft.text:
                return Answer([draft.text], "", stream.number, whole=False)
            if late and stream.loading and not stream.text:
                return Answer([], f"loading: {stream.loading}", stream.number)
            await stream.change(None if deadline is None or late else deadline - time.monotonic())
        return Answer([], SUPERSEDED, stream.number)

    async def _finish(self, stream: Stream, view: View, replaced: asyncio.Event, early: str,
                      finished: Callable[[], None]) -> None:
        whole = await self._follow(stream, view, None, None, replaced)
        if whole.texts not in ([], [early]):
            finished()

    async def _add_alternatives(self, known: _Known, answer: Answer, stream: Stream, view: View, prompt: str,
                                settings: EditorSettings, replaced: asyncio.Event) -> None:
        """Other texts for the same place, from earlier streams or sampled now, behind the first."""
        spot = stream.spot.behind(stream.text[:view.typed])
        for other, typed in known.recent.at(spot):
            if other is not stream:
                other.view = replace(view, typed=typed)
                _include(answer, other.draft(other.view).text, settings.alternatives)
        if len(answer.texts) >= settings.alternatives:
            return
        fresh = replace(view, typed=0)
        others = [Stream(spot, fresh, document=stream.document) for _ in range(settings.alternatives + 1)]
        generation = Generation(max_new_tokens=settings.max_tokens, temperature=0.9, seed=0, n=len(others), logprobs=0,
                                begins=False)
        sampling = self._task(self._sample(others, prompt, settings, generation))
        waiting = self._task(replaced.wait())
        await asyncio.wait([sampling, waiting], timeout=ALTERNATIVES_S, return_when=asyncio.FIRST_COMPLETED)
        sampling.cancel()
        waiting.cancel()
        shown = [other for other in others if _include(answer, other.draft(fresh).text, settings.alternatives)]
        for other in reversed(shown):
            other.show(fresh, other.draft(fresh).text)
            known.recent.add_behind(other, stream)

    async def _sample(self, streams: list[Stream], prompt: str, settings: EditorSettings,
                      generation: Generation) -> None:
        """Fills alternatives until each has all that can be shown."""
        try:
            async with aclosing(self._daemon.generate(settings.model, prompt, generation,
                                                      f"{streams[0].document}#alternatives")) as messages:
                async for message in messages:
                    if message is None:
                        for stream in streams:
                            stream.again()
                    elif isinstance(message, Chunk):
                        streams[message.index].add(message.text, message.logprobs)
                        if all(stream.draft(stream.view).ended for stream in streams):
                            break
        except AssistError as error:
            self._listener.failed(error)

    def _task(self, work: Coroutine) -> asyncio.Task:
        task = asyncio.create_task(work)
        self._tasks.add(task)  # the loop itself keeps only weak references
        task.add_done_callback(self._tasks.discard)
        return task


def _spot(document: Document, cursor: Cursor) -> Spot:
    return Spot.of(cursor, document.before(cursor, TAIL))


def _enough(stream: Stream) -> bool:
    """Whether a stream has all that can be shown to its view, and, if somebody looks, some more for what follows."""
    view, draft = stream.view, stream.draft(stream.view)
    if not draft.ended:
        return False
    end = view.typed + len(draft.text)
    beyond = sum(length > end for length, _ in stream.tokens)
    return not view.wanted or not draft.text or beyond >= HOT_TOKENS


def _include(answer: Answer, text: str, most: int) -> bool:
    """Whether a text is another one, which is then added, and there is room."""
    new = bool(text) and text not in answer.texts and len(answer.texts) < most
    if new:
        answer.texts.append(text)
        answer.reason = ""
    return new


async def _happens(event: asyncio.Event, seconds: float) -> bool:
    """Whether it happens within so many seconds."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True
