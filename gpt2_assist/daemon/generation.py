"""One request inside a worker: its samples, their text, and when each ends. Drives no engine by itself."""
import time
from collections.abc import Callable

from gpt2_assist.engine.engine import Engine, Sampling, Sequence, Token
from gpt2_assist.errors import UsageError
from gpt2_assist.protocol import Chunk, Finished, Generate, Resume, SampleDone
from gpt2_assist.text.stream import TextStream

Send = Callable[[object], None]


class Vocabulary:
    """What a worker knows of its model's texts: the tokenizer and the card's customs."""

    def __init__(self, tokenizer, card) -> None:
        self.tokenizer, self.card = tokenizer, card

    def prompt(self, text: str) -> list[int]:
        """Token ids of a prompt; where there is nothing, the end of a text that went before."""
        ids = self.tokenizer.encode(self.card.prompt_prefix + text)
        if ids:
            return ids
        if self.tokenizer.end_of_text is None:
            raise UsageError("This model has no token for the beginning of a text, so the prompt can't be empty.")
        return [self.tokenizer.end_of_text]

    def stop_strings(self, asked: list[str]) -> list[str]:
        return list(dict.fromkeys([*asked, *self.card.stop_strings]))

    def stop_tokens(self, asked: list[int]) -> frozenset[int]:
        own = () if self.tokenizer.end_of_text is None else (self.tokenizer.end_of_text,)
        return frozenset([*asked, *own])

    def shown(self, token: int) -> str:
        """A token by itself, for tables of log-probabilities."""
        return self.tokenizer.token_bytes(token).decode("utf-8", "replace")


class Request:
    """A generation under way. Its samples are opened one after the other by the scheduler."""

    def __init__(self, message: Generate | Resume, vocabulary: Vocabulary, send: Send) -> None:
        self.message = message.request if isinstance(message, Resume) else message
        settings = self.message.settings
        self.id, self.priority = self.message.id, self.message.priority
        self.vocabulary, self._send = vocabulary, send
        self.prompt = vocabulary.prompt(self.message.prompt)
        self.stops = vocabulary.stop_strings(settings.stop)
        self.stop_tokens = vocabulary.stop_tokens(settings.stop_tokens)
        self.sampling = Sampling(
            temperature=settings.temperature, top_k=settings.top_k, top_p=settings.top_p, min_p=settings.min_p,
            repetition_penalty=settings.repetition_penalty,
            logit_bias={token: float(bias) for token, bias in settings.logit_bias},
            seed=settings.seed, logprobs=settings.logprobs)
        delivered = message.tokens if isinstance(message, Resume) else [None] * settings.n
        done = message.done if isinstance(message, Resume) else []
        self.samples = [Sample(self, index, delivered[index], send) for index in range(settings.n) if index not in done]
        self._begun = time.monotonic()
        self._cached = self._context = 0

    @property
    def ended(self) -> bool:
        return all(sample.ended for sample in self.samples)

    def note(self, sequence: Sequence, index: int) -> None:
        """Keeps what Finished reports of a sequence that is about to be closed."""
        if index == 0:
            self._cached, self._context = sequence.cached_tokens, sequence.context

    def finish(self, n_ctx: int) -> None:
        """Says that all samples have ended."""
        self._send(Finished(self.id, self.message.model, self.message.settings.seed, len(self.prompt), self._cached,
                            self._context, n_ctx, time.monotonic() - self._begun))


class Sample:
    """One continuation. `sequence` is the engine's while the sample is open."""

    def __init__(self, request: Request, index: int, delivered: list[int] | None, send: Send) -> None:
        self.request, self.index = request, index
        self.sequence: Sequence | None = None
        self.ended = False
        self._send = send
        self._settings = request.message.settings
        self._stream = TextStream(request.stops)
        self._new = list(delivered or [])
        self._silent = delivered is not None
        self._held: list[int] = []
        self._held_logprobs: list = []

    def open(self, engine: Engine) -> None:
        """Begins, or goes on behind what was delivered before a crash. May end at once."""
        if self._settings.echo and not self._silent:
            self._send(Chunk(self.request.id, self.index, self.request.message.prompt, [], []))
        for token in self._new:
            self._stream.feed(self._bytes(token))
        reason = self._reason(self._new[-1] if self._new else None)
        if reason:
            self._end(reason)
        else:
            self.sequence = engine.open(self.request.prompt, self.request.sampling,
                                        self._settings.first_index + self.index, self._new)

    def take(self, token: Token) -> None:
        """The next token: sends what has become safe to show, and ends where an end is reached."""
        self._new.append(token.id)
        self._held.append(token.id)
        if self._settings.logprobs is not None:
            shown = self.request.vocabulary.shown
            best = [[shown(id), value] for id, value in token.best]
            self._held_logprobs.append([shown(token.id), token.logprob, best])
        text = self._stream.feed(self._bytes(token.id))
        reason = self._reason(token.id)
        if reason:  # in one message with the last token, so that a crash can't part them
            text += "" if self._stream.stopped else self._stream.finish()
        if text or reason:
            self._flush(text)
        if reason:
            self._end(reason)

    def cancel(self) -> None:
        if not self.ended:
            if self._held:
                self._flush("" if self._stream.stopped else self._stream.finish())
            self._end("cancelled")

    def _bytes(self, token: int) -> bytes:
        return b"" if token in self.request.stop_tokens else self.request.vocabulary.tokenizer.token_bytes(token)

    def _reason(self, last: int | None) -> str:
        if self._stream.stopped or last in self.request.stop_tokens:
            return "stop"
        return "length" if len(self._new) >= self._settings.max_new_tokens else ""

    def _flush(self, text: str) -> None:
        self._send(Chunk(self.request.id, self.index, text, self._held, self._held_logprobs))
        self._held, self._held_logprobs = [], []

    def _end(self, reason: str) -> None:
        self.ended = True
        self._send(SampleDone(self.request.id, self.index, reason, len(self._new)))
