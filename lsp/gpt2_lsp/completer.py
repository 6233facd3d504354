"""Answers questions about places in documents: from runs that reach them, or by a new one.

A change of a document is judged at once: if the text now goes on as a run did, that run is adopted, else the model
stops and begins to read the new text, before the editor asks.
"""
import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

from gpt2_assist.errors import AssistError
from gpt2_assist.ipc.messages import Chunk, Generation, Loading, SampleDone
from gpt2_lsp.context import Context
from gpt2_lsp.daemon import Daemon
from gpt2_lsp.documents import Cursor, Document
from gpt2_lsp.filters.chain import filtered
from gpt2_lsp.filters.draft import Draft, Place
from gpt2_lsp.languages import PROSE
from gpt2_lsp.runs import Recent, Run, Spot
from gpt2_lsp.settings import Settings

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
class _Desk:
    """What is kept for one document."""

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
        self._desks: dict[str, _Desk] = {}
        self._tasks: set[asyncio.Task] = set()

    def changed(self, document: Document, cursor: Cursor | None, settings: Settings,
                others: Callable[[], Iterable[Document]]) -> None:
        """A document changed; `cursor` is where one seems to type, None where that is unclear."""
        desk = self._desk(document.uri)
        self._supersede(desk)
        expects, desk.expects = desk.expects, False
        spot = Spot.of(document, cursor) if cursor else None
        adopted = desk.recent.at(spot) if spot else []
        for run in desk.recent.going():
            if all(run is not other for other, _ in adopted):
                run.stop()
        if adopted or spot is None or settings.idle_ms:
            return
        question = Question(document, cursor)
        prompt = self._prompt(desk, question, others)
        if expects:
            self._start(desk, Run(spot, self._place(question, settings), document=document.uri), prompt, settings)
        else:
            self._read(desk, document.uri, prompt, settings)

    async def answer(self, question: Question, settings: Settings, others: Callable[[], Iterable[Document]]) -> Answer:
        """The text, or texts where the user asked explicitly, for a place; or why there is none."""
        began = time.monotonic()
        desk = self._desk(question.document.uri)
        self._supersede(desk)
        desk.replaced = replaced = asyncio.Event()
        desk.expects = not question.invoked
        spot, place = self._spot(question), self._place(question, settings)
        prompt = self._prompt(desk, question, others)
        waits = settings.idle_ms and not question.invoked and not desk.recent.at(spot)
        if waits and await _happens(replaced, settings.idle_ms / 1000):
            return Answer([], SUPERSEDED)
        found = desk.recent.at(spot)
        run, typed = found[0] if found else (Run(spot, place, document=question.document.uri), 0)
        run.place, run.typed, run.wanted = place, typed, True
        if not found:
            self._start(desk, run, prompt, settings)
        elif not run.going and not self._draft(run, settings).ended:
            self._write_on(desk, run, prompt + run.text[typed:], settings)
        deadline = None if question.snapshot else began + settings.deadline_ms / 1000
        answer = await self._follow(run, settings, question.snapshot, deadline, replaced)
        if answer.texts:
            self._listener.shown((time.monotonic() - began) * 1000)
        if not answer.whole and question.finished:
            self._task(self._finish(run, settings, replaced, answer.texts[0], question.finished))
        if question.invoked and answer.reason != SUPERSEDED and not run.failure:
            await self._add_alternatives(desk, answer, run, prompt, settings, replaced)
        return answer

    def accepted(self, uri: str) -> None:
        """What was shown was taken, or a part: the editor will ask again."""
        self._desk(uri).expects = True

    def dismissed(self, uri: str) -> None:
        """Nobody looks: work for the document stops."""
        desk = self._desk(uri)
        desk.expects = False
        self._supersede(desk)
        for run in desk.recent.going():
            run.stop()

    def closed(self, uri: str) -> None:
        desk = self._desks.pop(uri, None)
        if desk:
            self._forget(desk)

    def forget(self) -> None:
        """Everything known is out of date: another model, other settings."""
        for desk in self._desks.values():
            self._forget(desk)

    def _forget(self, desk: _Desk) -> None:
        self._supersede(desk)
        desk.recent.clear()
        desk.context.forget()

    def _desk(self, uri: str) -> _Desk:
        if uri not in self._desks:
            self._desks[uri] = _Desk(Context(WINDOW))
        return self._desks[uri]

    def _supersede(self, desk: _Desk) -> None:
        desk.replaced.set()
        for run in desk.recent.going():
            run.tell()
        if desk.reading:
            desk.reading.cancel()
            desk.reading = None

    def _spot(self, question: Question) -> Spot:
        spot = Spot.of(question.document, question.cursor)
        return spot.behind(question.selected) if question.selected else spot

    def _place(self, question: Question, settings: Settings) -> Place:
        document, cursor = question.document, question.cursor
        before = document.before(cursor, BEFORE)[-2 * BEFORE:]  # a line may be very long
        return Place(
            before=before + question.selected, after=document.after(question.end or cursor, AFTER_LINES),
            language=document.language, prose=document.language in PROSE, invoked=question.invoked,
            single_line=settings.single_line, max_lines=settings.max_lines, prose_unit=settings.prose_unit,
            confidence=settings.confidence, indent=question.indent)

    def _prompt(self, desk: _Desk, question: Question, others: Callable[[], Iterable[Document]]) -> str:
        return desk.context.prompt(question.document, question.cursor, others) + question.selected

    def _read(self, desk: _Desk, uri: str, prompt: str, settings: Settings) -> None:
        """Has the model read the prompt and no more."""
        async def read() -> None:
            try:
                only = Generation(max_new_tokens=0, begins=False)
                async with aclosing(self._daemon.generate(settings.model, prompt, only, uri)) as messages:
                    async for _ in messages:
                        pass
            except AssistError:
                pass  # the question that follows says so
        desk.reading = self._task(read())

    def _start(self, desk: _Desk, run: Run, prompt: str, settings: Settings) -> None:
        desk.recent.add(run)
        self._write_on(desk, run, prompt, settings)

    def _write_on(self, desk: _Desk, run: Run, prompt: str, settings: Settings) -> None:
        """Has the model write a run from `prompt` on, which ends with what the run has so far; no other goes on."""
        for other in desk.recent.going():
            other.stop()
        run.going = True
        run.begin()
        run.task = self._task(self._write(run, prompt, settings))

    def _draft(self, run: Run, settings: Settings) -> Draft:
        """What a run has to say at its last question's place."""
        left = run.shown()
        return Draft(left, True) if left else filtered(run.place, run.draft(settings.max_tokens))

    async def _write(self, run: Run, prompt: str, settings: Settings) -> None:
        generation = Generation(max_new_tokens=settings.max_tokens + HOT_TOKENS, temperature=0.0, top_k=0, seed=0,
                                logprobs=0, begins=False)
        try:
            async with aclosing(self._daemon.generate(settings.model, prompt, generation, run.document)) as messages:
                async for message in messages:
                    if message is None:
                        run.again()
                    elif isinstance(message, Loading):
                        run.loading = message.words or "the model is being loaded"
                        self._listener.loading(run.loading)
                    elif isinstance(message, SampleDone):
                        run.ended = message.finish_reason == "stop"
                    elif isinstance(message, Chunk):
                        run.add(message.text, message.logprobs)
                        run.tell()
                        if self._enough(run, settings):
                            break
        except AssistError as error:
            run.failure = error
            self._listener.failed(error)
        finally:
            if run.task is asyncio.current_task():
                run.going = False
                run.tell()

    def _enough(self, run: Run, settings: Settings) -> bool:
        """Whether a run has all that can be shown, and, if somebody looks, some more for what comes after it."""
        draft = self._draft(run, settings)
        if not draft.ended:
            return False
        end = run.typed + len(draft.text)
        beyond = sum(length > end for length, _ in run.tokens)
        return not run.wanted or not draft.text or beyond >= HOT_TOKENS

    async def _follow(self, run: Run, settings: Settings, snapshot: Snapshot | None, deadline: float | None,
                      replaced: asyncio.Event) -> Answer:
        """The answer from a run for its last question, which may be replaced meanwhile."""
        told = ""
        while not replaced.is_set():
            if run.failure:
                return Answer([], f"failed: {run.failure}", run.number)
            draft = self._draft(run, settings)
            if draft.ended or not run.going:
                if not draft.text:
                    return Answer([], draft.reason or NOTHING, run.number)
                run.show(draft.text)
                if snapshot:
                    snapshot(run.number, draft.text, True)
                return Answer([draft.text], "", run.number)
            if snapshot and draft.text != told:
                told = draft.text
                snapshot(run.number, told, False)
            late = deadline is not None and time.monotonic() >= deadline
            if late and draft.text:
                return Answer([draft.text], "", run.number, whole=False)
            if late and run.loading and not run.text:
                return Answer([], f"loading: {run.loading}", run.number)
            await run.change(None if deadline is None or late else deadline - time.monotonic())
        return Answer([], SUPERSEDED, run.number)

    async def _finish(self, run: Run, settings: Settings, replaced: asyncio.Event, early: str,
                      finished: Callable[[], None]) -> None:
        whole = await self._follow(run, settings, None, None, replaced)
        if whole.texts not in ([], [early]):
            finished()

    async def _add_alternatives(self, desk: _Desk, answer: Answer, run: Run, prompt: str, settings: Settings,
                                replaced: asyncio.Event) -> None:
        """Other texts for the same place, from earlier runs or sampled now, behind the first."""
        spot = run.spot.behind(run.text[:run.typed])
        for other, typed in desk.recent.at(spot):
            if other is not run:
                other.place, other.typed = run.place, typed
                _include(answer, self._draft(other, settings).text, settings.alternatives)
        if len(answer.texts) >= settings.alternatives:
            return
        others = [Run(spot, run.place, document=run.document) for _ in range(settings.alternatives + 1)]
        generation = Generation(max_new_tokens=settings.max_tokens, temperature=0.9, seed=0, n=len(others), logprobs=0,
                                begins=False)
        sampling = self._task(self._sample(others, prompt, settings, generation))
        waiting = self._task(replaced.wait())
        await asyncio.wait([sampling, waiting], timeout=ALTERNATIVES_S, return_when=asyncio.FIRST_COMPLETED)
        sampling.cancel()
        waiting.cancel()
        shown = [other for other in others
                 if _include(answer, self._draft(other, settings).text, settings.alternatives)]
        for other in reversed(shown):
            other.show(self._draft(other, settings).text)
            desk.recent.add_behind(other, run)

    async def _sample(self, runs: list[Run], prompt: str, settings: Settings, generation: Generation) -> None:
        """Fills alternatives until each has all that can be shown."""
        try:
            async with aclosing(self._daemon.generate(settings.model, prompt, generation,
                                                      f"{runs[0].document}#alternatives")) as messages:
                async for message in messages:
                    if message is None:
                        for run in runs:
                            run.again()
                    elif isinstance(message, Chunk):
                        runs[message.index].add(message.text, message.logprobs)
                        if all(self._draft(run, settings).ended for run in runs):
                            break
        except AssistError as error:
            self._listener.failed(error)

    def _task(self, work: Coroutine) -> asyncio.Task:
        task = asyncio.create_task(work)
        self._tasks.add(task)  # the loop itself keeps only weak references
        task.add_done_callback(self._tasks.discard)
        return task


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
