"""Has the model go on with a session's text, through the daemon; comes back after the daemon was gone."""
import asyncio
import json
import re
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import asdict, dataclass, fields, replace
from math import exp
from typing import TYPE_CHECKING

from gpt2_assist.completion.daemon import Daemon
from gpt2_assist.errors import AssistError, StorageError, UsageError
from gpt2_assist.frontend.sampling import new_seed
from gpt2_assist.ipc.messages import Chunk, Finished, Generation, Loaded, Loading, SampleDone
from gpt2_assist.model.fingerprint import fingerprint
from gpt2_assist.model.store import find_model
from gpt2_assist.repl.face import Face
from gpt2_assist.writing.session import Session

if TYPE_CHECKING:
    from gpt2_assist.frontend.copied import Copied
    from gpt2_assist.originality.marking import CopyMarks

NOTHING = "The model ends the text here: it has nothing to add. Write on, or /retry."
ASKED = ("memory", "note", "note_depth")
"""Of a request, besides its settings, what a session keeps."""
STOPPED = ("cancelled", "interrupted")
WORD_TOKENS = 4
"""Tokens behind its first that a word has at most."""
_WORD_END = re.compile(r"[\w'’-]*")


def asked_of(session: Session) -> dict:
    """What a session asks of a request besides its settings."""
    return {name: getattr(session, name) for name in ASKED} if session.memory or session.note else {}


@dataclass
class Facts:
    """What is known of the model's last work; none of it outlives a change of session or model."""

    tokens_per_second: float = 0.0
    context: int = 0
    """Tokens that the model saw at the end."""
    n_ctx: int = 0
    seen: int = 0
    """Where in the text its view began."""
    words: str = ""
    """What is being waited for."""


class Writer:
    """Writes replies into a session, one request at a time."""

    def __init__(self, face: Face, daemon: Daemon, precision: str, device: str) -> None:
        self._face, self.daemon = face, daemon
        self.where = {"precision": precision, "device": device}
        """What models are asked for with."""
        self.facts = Facts()
        self._loaded: Loaded | None = None
        self.marks_copied = False
        """Whether what is copied from the training texts is marked as it comes."""
        self._copied: dict[tuple[str, int], Copied | None] = {}
        """Of the last model that it was asked of."""
        self._stop: Callable[[], None] | None = None

    @property
    def writes(self) -> bool:
        """Whether the model is at work."""
        return self._stop is not None

    def stop(self) -> None:
        """Ends what the model writes; what came stays."""
        if self._stop:
            self._stop()

    async def warm(self, model: str) -> None:
        """Starts the daemon and the model while the user begins to type."""
        try:
            self._loaded = loaded = await self.daemon.load(model, **self.where)
            self.facts.n_ctx = self.facts.n_ctx or loaded.n_ctx
        except AssistError:
            pass  # it will be said where somebody waits for it

    async def load(self, model: str) -> Loaded:
        """Makes a model ready, or raises the error that says why it can't be."""
        self._loaded = loaded = await self.daemon.load(model, **self.where)
        self.facts = Facts(n_ctx=loaded.n_ctx)
        return loaded

    async def go_on(self, session: Session, settings: Generation, parent: int | None = None) -> None:
        """Writes as many replies side by side as the settings have samples, behind the passage `parent` or else behind
        the last. Raises AssistError; a disk that refuses doesn't end it, and is told of after."""
        settings = replace(settings, seed=new_seed() if settings.seed is None else settings.seed)
        parent = session.current if parent is None else parent
        prompt, asked = session.text_at(parent), asked_of(session)
        how = {"model": session.model, **await asyncio.to_thread(self._identity, session.model),
               "settings": asdict(settings), **asked}
        replies = [session.begin_reply({**how, "index": index}, parent) for index in range(settings.n)]
        facts: list[dict] = [{"finish_reason": "interrupted"} for _ in replies]
        work = asyncio.ensure_future(self._stream(session, prompt, settings, asked, [reply.number for reply in replies],
                                                  facts))

        def stop() -> None:
            work.cancel()

        self._stop = stop
        try:
            await asyncio.wait([work])
        finally:
            work.cancel()
            self._stop, self.facts.words = None, ""
            for reply, known in zip(replies, facts):
                if work.done() and work.cancelled():
                    known["finish_reason"] = "cancelled"
                session.end_reply(known, reply.number)
            self._face.changed()
        trouble = None if work.cancelled() else work.result()
        if trouble:
            raise trouble
        if not any(reply.text for reply in replies) and not work.cancelled():
            self._face.note(NOTHING)

    async def again(self, session: Session, number: int, logprobs: int | None = None) -> tuple[str, list]:
        """A passage of the model's made again as it was made: its text, and its tokens as messages.Chunk has them, if
        `logprobs` are wanted. Raises UsageError where it isn't known how, and AssistError."""
        passage = session.passage(number)
        how = json.loads(passage.how)
        if "settings" not in how:
            raise UsageError("It isn't known how this passage was made: its words were chosen or imported.")
        known = {entry.name for entry in fields(Generation)}
        settings = Generation(**{name: value for name, value in how["settings"].items() if name in known})
        settings = replace(settings, n=1, first_index=settings.first_index + how.get("index", 0), logprobs=logprobs)
        return await self._whole(how["model"], session.text_at(passage.parent), settings,
                                 {name: how[name] for name in ASKED if name in how})

    async def next_words(self, session: Session, prompt: str, most: int) -> list[tuple[str, float]]:
        """The likeliest words that could come next, each with the space before it, and the probability of its first
        token, likeliest first. Raises AssistError."""
        asked = asked_of(session)
        first = Generation(max_new_tokens=1, temperature=0.0, seed=0, logprobs=most)
        _, tokens = await self._whole(session.model, prompt, first, asked)
        if not tokens:
            return []
        begins = [(text, exp(logprob)) for text, logprob in tokens[-1][2] if _is_text(text)]
        rest = Generation(max_new_tokens=WORD_TOKENS, temperature=0.0, seed=0, heal=False)
        wholes = await asyncio.gather(*(self._whole(session.model, prompt + text, rest, asked, text)
                                        for text, _ in begins))
        words = {}
        for (text, chance), (more, _) in zip(begins, wholes):
            ended = _WORD_END.match(more)
            words.setdefault(text + (ended[0] if ended and text[-1:].isalnum() else ""), chance)
        return list(words.items())

    async def _whole(self, model: str, prompt: str, settings: Generation, asked: dict,
                     name: str = "") -> tuple[str, list]:
        text, tokens = "", []
        async with aclosing(self.daemon.generate(model, prompt, settings, "session", document=f"whole {name}",
                                                 **self.where, **asked)) as messages:
            async for message in messages:
                if message is None:
                    text, tokens = "", []
                elif isinstance(message, Chunk):
                    text += message.text
                    tokens += message.logprobs
        return text, _without_prompt(text, tokens)

    def _identity(self, model: str) -> dict:
        """By which a passage says later which weights wrote it, and in which precision, as far as that is known."""
        precision = {"precision": self._loaded.precision} if self._loaded and self._loaded.model == model else {}
        try:
            return {**precision, "hash": fingerprint(find_model(model))}
        except (AssistError, OSError):
            return precision

    def forget(self) -> None:
        """Another session is open: what is known of the last work isn't of its text."""
        self.facts = Facts(n_ctx=self.facts.n_ctx)

    async def _stream(self, session: Session, prompt: str, settings: Generation, asked: dict, numbers: list[int],
                      facts: list[dict]) -> StorageError | None:
        """The last error of the disk's, if it refused anything."""
        marks = self._marks(session.model) if self.marks_copied else None
        trouble, begun, tokens = None, 0.0, 0
        streams = [_Once() for _ in numbers]
        try:
            async with aclosing(self.daemon.generate(session.model, prompt, settings, "session", document=session.name,
                                                     **self.where, **asked)) as messages:
                async for message in messages:
                    if message is None:  # the daemon was lost, and all comes again: the same seed gives the same text
                        for stream in streams:
                            stream.again()
                        for text, copied in marks.finish() if marks else []:
                            self._face.came(text, copied)
                        marks = None  # they follow tokens, of which some come twice now
                    elif isinstance(message, Loading):
                        self.facts.words = message.words or f"loading {message.model}"
                        self._face.changed()
                    elif isinstance(message, Chunk):
                        tokens += len(message.tokens)
                        begun = begun or time.monotonic()
                        self.facts.words = ""
                        text, known = streams[message.index].new(message)
                        try:
                            session.grow(text, numbers[message.index], known)
                        except StorageError as error:
                            trouble = error
                        if session.current == numbers[message.index]:
                            self._came(text, message.tokens, marks)
                    elif isinstance(message, SampleDone):
                        facts[message.index]["finish_reason"] = message.finish_reason
                    elif isinstance(message, Finished):
                        self._finished(message, len(prompt), facts)
        finally:
            for text, copied in marks.finish() if marks else []:
                self._face.came(text, copied)
        if begun and tokens > 1:
            self.facts.tokens_per_second = (tokens - 1) / max(1e-6, time.monotonic() - begun)
        return trouble

    def _came(self, text: str, tokens: list, marks: "CopyMarks | None") -> None:
        for part, copied in marks.feed(text, tokens) if marks else [(text, False)]:
            self._face.came(part, copied)

    def _finished(self, message: Finished, length: int, facts: list[dict]) -> None:
        self.facts.context, self.facts.n_ctx = message.context, message.n_ctx
        self.facts.seen = length - message.seen
        for known in facts:
            known["seen"] = message.seen

    def _marks(self, model: str) -> "CopyMarks | None":
        """None where nothing is known of the model's training texts, or what is known can't be read: that is said."""
        from gpt2_assist.frontend.copied import Copied, age  # here, since it brings numpy
        try:
            key = model, age(model)  # a run made anew has other texts
            if key not in self._copied:
                self._copied = {key: Copied.of(model)}
            copied = self._copied[key]
            return copied.marks() if copied else None
        except AssistError as error:
            self._face.note(str(error))
            return None


def _is_text(token: str) -> bool:
    """Whether a token can stand in a text by itself: no part of a character, no white space, no sign for the model."""
    return bool(token.strip()) and "\ufffd" not in token and not (token.startswith("<|") and token.endswith("|>"))


def _without_prompt(text: str, tokens: list) -> list:
    """Tokens whose first one doesn't begin with what it spells again of the prompt's end."""
    over = "".join(piece for piece, _, _ in tokens).find(text)
    if over <= 0:
        return tokens
    (piece, chance, best), *others = tokens
    spelled = piece[:over]
    return [[piece[over:], chance, [[other[over:], likely] for other, likely in best if other.startswith(spelled)]],
            *others]


class _Once:
    """One sample's chunks, of which some come twice where the daemon was lost."""

    def __init__(self) -> None:
        self._heard = self._skipped = 0
        self._tokens = self._skipped_tokens = 0

    def again(self) -> None:
        """It comes from its beginning."""
        self._skipped, self._skipped_tokens = self._heard, self._tokens
        self._heard = self._tokens = 0

    def new(self, chunk: Chunk) -> tuple[str, list]:
        """What of a chunk hasn't come before: its text and log-probabilities."""
        text = chunk.text[max(0, self._skipped - self._heard):]
        known = chunk.logprobs[max(0, self._skipped_tokens - self._tokens):]
        self._heard += len(chunk.text)
        self._tokens += len(chunk.logprobs)
        return text, known
