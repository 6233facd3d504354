"""Answers questions about places in documents: from streams that reach them, or by a new one.

A change of a document is judged at once: if the text now goes on as a stream did, that one is adopted, else the model
stops and begins to read the new text, before the editor asks.
"""
import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from gpt2_assist.completion.daemon import Daemon
from gpt2_assist.completion.filters.draft import Place
from gpt2_assist.completion.ghostwriter import Ghostwriter, Listener, Prompt
from gpt2_assist.completion.languages import PROSE
from gpt2_assist.completion.spots import TAIL, Spot
from gpt2_assist.completion.streams import Stream
from gpt2_assist.completion.views import View
from gpt2_lsp.context import Context
from gpt2_lsp.documents import Cursor, Document
from gpt2_lsp.settings import EditorSettings

WINDOW = 2300
"""Characters before the cursor that the model reads at most: what fits the context of GPT-2 in code."""
BEFORE, AFTER_LINES = 2000, 12
"""Characters and lines around the cursor that filters see."""
SUPERSEDED, NOTHING = "superseded", "nothing confident"
Snapshot = Callable[[int, str, bool], None]
"""Told the session, the text so far, and whether it is whole."""


class Audience(Listener, Protocol):
    """Who hears what the completer does."""

    def shown(self, latency_ms: float) -> None: ...


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
    writer: Ghostwriter
    replaced: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the question under way is replaced by a newer one or by a change."""
    expects: bool = False
    """Whether the editor asked after the last change."""


class Completer:
    def __init__(self, daemon: Daemon, audience: Audience) -> None:
        self._daemon, self._audience = daemon, audience
        self._known: dict[str, _Known] = {}
        self._tasks: set[asyncio.Task] = set()

    def changed(self, document: Document, cursor: Cursor | None, settings: EditorSettings,
                others: Callable[[], Iterable[Document]]) -> None:
        """A document changed; `cursor` is where one seems to type, None where that is unclear."""
        known = self._of(document.uri)
        self._supersede(known)
        expects, known.expects = known.expects, False
        spot = _spot(document, cursor) if cursor else None
        adopted = known.writer.adopt(spot)
        if adopted or spot is None or cursor is None or settings.idle_ms:
            return
        question = Question(document, cursor)
        prompt = self._prompt(known, question, settings, others)
        if expects:
            known.writer.begin(spot, View(self._place(question, settings), settings.max_tokens), prompt)
        else:
            known.writer.read(prompt)

    async def answer(self, question: Question, settings: EditorSettings,
                     others: Callable[[], Iterable[Document]]) -> Answer:
        """The text, or texts where the user asked explicitly, for a place; or why there is none."""
        began = time.monotonic()
        known = self._of(question.document.uri)
        self._supersede(known)
        known.replaced = replaced = asyncio.Event()
        known.expects = not question.invoked
        spot, place = self._spot(question), self._place(question, settings)
        prompt = self._prompt(known, question, settings, others)
        waits = settings.idle_ms and not question.invoked and not known.writer.recent.at(spot)
        if waits and await _happens(replaced, settings.idle_ms / 1000):
            return Answer([], SUPERSEDED)
        found = known.writer.recent.at(spot)
        view = View(place, settings.max_tokens, found[0][1] if found else 0, wanted=True)
        if found:
            stream, _ = found[0]
            stream.view = view
            if not stream.going and not stream.draft(view).ended:
                known.writer.go_on(stream, prompt.behind(stream.text[view.typed:]))
        else:
            stream = known.writer.begin(spot, view, prompt)
        deadline = None if question.snapshot else began + settings.deadline_ms / 1000
        answer = await self._follow(stream, view, question.snapshot, deadline, replaced)
        if answer.texts:
            self._audience.shown((time.monotonic() - began) * 1000)
        if not answer.whole and question.finished:
            self._task(self._finish(stream, view, replaced, answer.texts[0], question.finished))
        if question.invoked and answer.reason != SUPERSEDED and not stream.failure:
            answer.texts = await known.writer.alternatives(stream, view, prompt, answer.texts, settings.alternatives,
                                                           replaced)
            answer.reason = "" if answer.texts else answer.reason
        return answer

    def accepted(self, uri: str) -> None:
        """What was shown was taken, or a part: the editor will ask again."""
        self._of(uri).expects = True

    def dismissed(self, uri: str) -> None:
        """Nobody looks: work for the document stops."""
        known = self._of(uri)
        known.expects = False
        self._supersede(known)
        known.writer.stop()

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
        known.writer.forget()
        known.context.forget()

    def _of(self, uri: str) -> _Known:
        if uri not in self._known:
            self._known[uri] = _Known(Context(WINDOW), Ghostwriter(self._daemon, uri, self._audience))
        return self._known[uri]

    def _supersede(self, known: _Known) -> None:
        known.replaced.set()
        for stream in known.writer.recent.going():
            stream.tell()
        known.writer.stop_reading()

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

    def _prompt(self, known: _Known, question: Question, settings: EditorSettings,
                others: Callable[[], Iterable[Document]]) -> Prompt:
        text = known.context.prompt(question.document, question.cursor, others)
        return Prompt(settings.model, text + question.selected)

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

    def _task(self, work: Coroutine) -> asyncio.Task:
        task = asyncio.create_task(work)
        self._tasks.add(task)  # the loop itself keeps only weak references
        task.add_done_callback(self._tasks.discard)
        return task


def _spot(document: Document, cursor: Cursor) -> Spot:
    return Spot.of(cursor, document.before(cursor, TAIL))


async def _happens(event: asyncio.Event, seconds: float) -> bool:
    """Whether it happens within so many seconds."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True
