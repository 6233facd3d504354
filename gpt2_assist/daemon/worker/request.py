"""One request inside a worker: its samples, their text, and when each ends. Drives no engine by itself."""
import time
from collections.abc import Callable

from gpt2_assist.daemon.worker.banning import Banning
from gpt2_assist.daemon.worker.sampler_settings import sampling_of
from gpt2_assist.daemon.worker.vocabulary import Vocabulary
from gpt2_assist.engine.engine import NO_LIMIT, Engine, Sequence, Token
from gpt2_assist.engine.window import window_start
from gpt2_assist.ipc.messages import Chunk, Finished, Generate, Resume, SampleDone
from gpt2_assist.text.healing import Respelling
from gpt2_assist.text.sentences import TAIL, ends_sentence
from gpt2_assist.text.stream import TextStream

Send = Callable[[object], None]


class Request:
    """A generation under way. Its samples are opened one after the other by the scheduler."""

    def __init__(self, message: Generate | Resume, vocabulary: Vocabulary, send: Send, n_ctx: int,
                 adapter: int = 0) -> None:
        """`n_ctx`: of the engine, and `adapter` its number of one."""
        self.adapter = adapter
        self.message = message.request if isinstance(message, Resume) else message
        settings = self.message.settings
        self._seed = settings.seed or 0
        """Drawn by the supervisor where the client named none."""
        self.id, self.priority = self.message.id, self.message.priority
        self.vocabulary, self._send = vocabulary, send
        self._n_ctx, self.most_tokens = n_ctx, NO_LIMIT
        """Tokens that a sample can have, those included that spell the prompt's end again."""
        self._seen = len(self.message.prompt)
        """Characters at the prompt's end that the model sees when it begins."""
        if self.message.suffix is not None:
            self.prompt, self.spelling = vocabulary.infill_prompt(self.message, n_ctx)
            self.most_tokens = n_ctx - len(self.prompt)  # a window that moved would have lost its first control token
        elif self.message.memory or self.message.note:
            self.prompt, self.spelling, self._seen = vocabulary.pinned_prompt(self.message, n_ctx)
            self.most_tokens = n_ctx - len(self.prompt)  # or the memory
        else:
            self.prompt, self.spelling = vocabulary.prompt(self.message.prompt, settings.heal, settings.begins)
            if start := window_start(len(self.prompt), n_ctx):
                seen = vocabulary.characters(self.prompt[start:]) + len(self.spelling)
                self._seen = min(self._seen, seen)
        self.stops = vocabulary.stop_strings(settings.stop)
        self.stop_tokens = vocabulary.stop_tokens(settings.stop_tokens, self.message.suffix is not None)
        self.sampling = sampling_of(settings, self._seed, vocabulary, self.stop_tokens)
        self.rules = vocabulary.rules(self.spelling, self.stop_tokens, settings.max_copied)
        delivered = message.tokens if isinstance(message, Resume) else [None] * settings.n
        done = message.done if isinstance(message, Resume) else []
        self.banned = vocabulary.banned(tuple(settings.banned)) if settings.banned else None
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

    def finish(self) -> None:
        """Says that all samples have ended."""
        self._send(Finished(self.id, self.message.model, self._seed, len(self.prompt), self._cached,
                            self._context, self._n_ctx, self._seen, time.monotonic() - self._begun))


class Sample:
    """One continuation. `sequence` is the engine's while the sample is open.

    Tokens that only spell the prompt's healed end again are decoded and delivered like all others, so that a restarted
    worker goes on behind them, but they are no new tokens: they don't count, show or end anything.
    """

    def __init__(self, request: Request, index: int, delivered: list[int] | None, send: Send) -> None:
        self.request, self.index = request, index
        self.sequence: Sequence | None = None
        self.ended = False
        self._send = send
        self._settings = request.message.settings
        self._stream = TextStream(request.stops)
        self._respelling = Respelling(request.vocabulary.healing, request.spelling)
        self._delivered = list(delivered or [])
        self._silent = delivered is not None
        self._anew = request.sampling.mirostat_tau > 0
        """Whether its sequences begin at the prompt in any case: what mirostat draws follows from all before."""
        self._unsent = len(self._delivered) if self._anew else 0
        """So many tokens that were delivered are still to come once more."""
        self._repeated = 0
        """So many tokens come once more of a sequence that was opened again."""
        self._banning = None if request.banned is None else Banning(
            request.banned, request.vocabulary.tokenizer.token_bytes, request.vocabulary.healing, request.spelling,
            request.rules, request.stop_tokens)
        self.went_back = False
        """Whether a banned phrase has come: the sequence is of no use then, until `reopen`."""
        self._decoded = self._new = 0
        self._stop_token = False
        self.heard = False
        """Whether something of it was sent."""
        self._tail = ""
        """The end of the text, where it matters whether a sentence ends."""
        self._held: list[int] = []
        self._held_logprobs: list = []

    @property
    def wants_only_prefill(self) -> bool:
        """Whether the sample ends, by `prefilled`, as soon as the engine could decode it."""
        return self._settings.max_new_tokens == 0

    def open(self, engine: Engine) -> None:
        """Begins, or goes on behind what was delivered before a crash, which may have been all."""
        if self._settings.echo and not self._silent:
            self._send(Chunk(self.request.id, self.index, self.request.message.prompt, [], []))
        known = [] if self._anew else self._delivered
        for token in known:
            self._read(token)
        reason = self._reason()
        if reason:
            self._end(reason)
            return
        if self._banning:
            self._banning.known(known)
        self.sequence = self._sequence(engine, known)

    def reopen(self, engine: Engine) -> None:
        """Goes on before the banned phrase that has come."""
        if self.sequence is None or self._banning is None:
            raise ValueError("the sample has not gone back")
        cached = self.sequence.cached_tokens
        engine.close(self.sequence)
        self.sequence = self._sequence(engine, [] if self._anew else self._banning.tokens)
        self.sequence.cached_tokens = cached
        self._repeated = len(self._banning.tokens) if self._anew else 0
        self.went_back = False

    def _sequence(self, engine: Engine, known: list[int]) -> Sequence:
        rules = self._banning.rules if self._banning else self.request.rules
        return engine.open(self.request.prompt, self.request.sampling, self._settings.first_index + self.index, known,
                           self.request.adapter, self._most_new(), rules)

    def _most_new(self) -> int:
        """Tokens that will be wanted at most: what spells the prompt's end again counts here, a byte or more each."""
        wanted = self._settings.max_new_tokens + self._settings.finish_within + len(self.request.spelling)
        return min(self.request.most_tokens, wanted if self._settings.max_new_tokens > 0 else NO_LIMIT)

    def prefilled(self) -> None:
        """Ends a sample that wanted no more."""
        self._end("length")

    def take(self, token: Token) -> None:
        """The next token: sends what has become safe to show, and ends where an end is reached."""
        if self._banning is None:
            self._settle(token)
        elif self._repeated:
            self._repeated -= 1
        elif self._banning.exhausted(token):
            self._settle_rest()
            if not self.ended:
                self._flush(self._stream.finish())
                self._end("stop")
        elif not self._banning.take(token):
            self.went_back = True
        elif self._ends_with(token.id, self._banning):
            self._settle_rest()
        else:
            for settled in self._banning.settled():
                self._settle(settled)

    def _settle_rest(self) -> None:
        """Takes the tokens that waited for a banned phrase: nothing comes behind them."""
        for token in self._banning.settle_all() if self._banning else []:
            if not self.ended:
                self._settle(token)

    def _ends_with(self, token: int, banning: Banning) -> bool:
        """Whether the text ends with the latest of the tokens that may be taken back."""
        full = len(banning.tokens) >= self.request.most_tokens
        most = self._settings.max_new_tokens + self._settings.finish_within
        over = self._settings.max_new_tokens > 0 and self._new + banning.waiting_new >= most
        return (token in self.request.stop_tokens or full or over
                or bool(self.request.stops) and self._stream.would_stop(banning.waiting))

    def _settle(self, token: Token) -> None:
        """A token that stays."""
        before = self._new
        text = self._read(token.id)
        if self._unsent:
            self._unsent -= 1
            text = ""
        else:
            self._held.append(token.id)
        if self._settings.logprobs is not None and self._held and self._new > before:
            shown = self.request.vocabulary.shown
            best = [[shown(id), value] for id, value in token.best]
            self._held_logprobs.append([shown(token.id), token.logprob, best])
        reason = self._reason()
        if reason:  # in one message with the last token, so that a crash can't part them
            text += "" if self._stream.stopped else self._stream.finish()
        if text or reason:
            self._flush(text)
        if reason:
            self._end(reason)

    def cancel(self) -> None:
        if not self.ended:
            self._settle_rest()
        if not self.ended:
            if self._held:
                self._flush("" if self._stream.stopped else self._stream.finish())
            self._end("cancelled")

    def _read(self, token: int) -> str:
        """The text that a token makes safe to show."""
        self._decoded += 1
        if self._respelling.spelled:
            data = self.request.vocabulary.tokenizer.token_bytes(token)
        else:
            data = self._respelling.take(token)
            if not data:
                return ""
        self._new += 1
        self._stop_token = token in self.request.stop_tokens
        text = self._stream.feed(b"" if self._stop_token else data)
        if self._settings.finish_within:
            self._tail = (self._tail + text)[-TAIL:]
        return text

    def _reason(self) -> str:
        if self._stream.stopped or self._stop_token:
            return "stop"
        more = self._new - self._settings.max_new_tokens
        whole = more >= self._settings.finish_within or ends_sentence(self._tail)
        full = self._decoded >= self.request.most_tokens
        return "length" if full or 0 < self._settings.max_new_tokens <= self._new and whole else ""

    def _flush(self, text: str) -> None:
        self._send(Chunk(self.request.id, self.index, text, self._held, self._held_logprobs))
        self.heard = True
        self._held, self._held_logprobs = [], []

    def _end(self, reason: str) -> None:
        self.ended = True
        self._send(SampleDone(self.request.id, self.index, reason, self._new))
