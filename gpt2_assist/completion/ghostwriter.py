"""Has the model write the streams of one text, one at a time: what is typed decides which."""
import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from gpt2_assist.completion.daemon import Daemon
from gpt2_assist.completion.spots import Spot
from gpt2_assist.completion.streams import Recent, Stream
from gpt2_assist.completion.views import View
from gpt2_assist.errors import AssistError
from gpt2_assist.ipc.messages import Chunk, Generation, Loading, SampleDone

HOT_TOKENS = 16
"""Tokens beyond what is shown, for after it was accepted."""
ALTERNATIVES_S = 1.5
"""Other samples are waited for so long at most."""


class Listener(Protocol):
    """Who hears what stands in the model's way."""

    def loading(self, words: str) -> None: ...
    def failed(self, error: AssistError) -> None: ...


@dataclass(frozen=True)
class Prompt:
    """What the model goes on from."""

    model: str
    text: str
    begins: bool = False
    """As Generation's."""
    asked: Mapping[str, Any] = field(default_factory=dict)
    """Further entries of messages.Generate."""

    def behind(self, text: str) -> "Prompt":
        """The prompt after `text` was added."""
        return replace(self, text=self.text + text)


class Ghostwriter:
    """Within an event loop. `document` names the text to the daemon, for which an earlier request of the same ends."""

    def __init__(self, daemon: Daemon, document: str, listener: Listener) -> None:
        self._daemon, self._document, self._listener = daemon, document, listener
        self._tasks: set[asyncio.Task] = set()
        self._reading: asyncio.Task | None = None
        """The prefill under way."""
        self.recent = Recent()

    def adopt(self, spot: Spot | None) -> list[tuple[Stream, int]]:
        """As Recent.at, for the place at which one types now (None: that is unclear); all other streams stop."""
        found = self.recent.at(spot) if spot else []
        for stream in self.recent.going():
            if all(stream is not other for other, _ in found):
                stream.stop()
        return found

    def read(self, prompt: Prompt) -> None:
        """Has the model read the prompt and no more."""
        async def read() -> None:
            try:
                only = Generation(max_new_tokens=0, begins=prompt.begins)
                async with aclosing(self._generate(prompt, only)) as messages:
                    async for _ in messages:
                        pass
            except AssistError:
                pass  # the question that follows says so
        self._reading = self._task(read())

    def stop_reading(self) -> None:
        if self._reading:
            self._reading.cancel()
            self._reading = None

    def begin(self, spot: Spot, view: View, prompt: Prompt) -> Stream:
        """A new stream from `prompt` on, which ends at the spot."""
        stream = Stream(spot, view)
        self.recent.add(stream)
        self.go_on(stream, prompt)
        return stream

    def go_on(self, stream: Stream, prompt: Prompt) -> None:
        """Has the model write a stream from `prompt` on, which ends with what it has so far; no other goes on."""
        for other in self.recent.going():
            other.stop()
        stream.going = True
        stream.begin()
        stream.task = self._task(self._write(stream, prompt))

    def stop(self) -> None:
        """Nobody looks: the model's work for the text stops. What came is kept."""
        self.stop_reading()
        for stream in self.recent.going():
            stream.stop()

    def forget(self) -> None:
        """Everything known is out of date."""
        self.stop_reading()
        self.recent.clear()

    async def alternatives(self, stream: Stream, view: View, prompt: Prompt, texts: list[str], most: int,
                           replaced: asyncio.Event) -> list[str]:
        """`texts`, and behind them other ones for the place of a view of `stream`, `most` in all: from earlier streams
        or sampled now. None are waited for once `replaced` is set."""
        texts = list(texts)
        spot = stream.spot.behind(stream.text[:view.typed])
        for other, typed in self.recent.at(spot):
            if other is not stream:
                other.view = replace(view, typed=typed)
                _include(texts, other.draft(other.view).text, most)
        if len(texts) >= most:
            return texts
        fresh = replace(view, typed=0)
        others = [Stream(spot, fresh) for _ in range(most + 1)]
        sampling = self._task(self._sample(others, prompt, view.most_tokens))
        waiting = self._task(replaced.wait())
        try:
            await asyncio.wait([sampling, waiting], timeout=ALTERNATIVES_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sampling.cancel()
            waiting.cancel()
        shown = [other for other in others if _include(texts, other.draft(fresh).text, most)]
        for other in reversed(shown):
            other.show(fresh, other.draft(fresh).text)
            self.recent.add_behind(other, stream)
        return texts

    async def _write(self, stream: Stream, prompt: Prompt) -> None:
        generation = Generation(max_new_tokens=stream.view.most_tokens + HOT_TOKENS, temperature=0.0, top_k=0, seed=0,
                                logprobs=0, begins=prompt.begins)
        try:
            async with aclosing(self._generate(prompt, generation)) as messages:
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

    async def _sample(self, streams: list[Stream], prompt: Prompt, most_tokens: int) -> None:
        """Fills alternatives until each has all that can be shown."""
        generation = Generation(max_new_tokens=most_tokens, temperature=0.9, seed=0, n=len(streams), logprobs=0,
                                begins=prompt.begins)
        try:
            async with aclosing(self._generate(prompt, generation, "#alternatives")) as messages:
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

    def _generate(self, prompt: Prompt, generation: Generation, part: str = ""):
        return self._daemon.generate(prompt.model, prompt.text, generation, document=self._document + part,
                                     **prompt.asked)

    def _task(self, work: Coroutine) -> asyncio.Task:
        task = asyncio.create_task(work)
        self._tasks.add(task)  # the loop itself keeps only weak references
        task.add_done_callback(self._tasks.discard)
        return task


def _enough(stream: Stream) -> bool:
    """Whether a stream has all that can be shown to its view, and, if somebody looks, some more for what follows."""
    view, draft = stream.view, stream.draft(stream.view)
    if not draft.ended:
        return False
    end = view.typed + len(draft.text)
    beyond = sum(length > end for length, _ in stream.tokens)
    return not view.wanted or not draft.text or beyond >= HOT_TOKENS


def _include(texts: list[str], text: str, most: int) -> bool:
    """Whether a text is another one, which is then added, and there is room."""
    new = bool(text) and text not in texts and len(texts) < most
    if new:
        texts.append(text)
    return new
