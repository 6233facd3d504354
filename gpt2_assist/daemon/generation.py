"""One request inside a worker: its samples, their text, and when each ends. Drives no engine by itself."""
import time
from collections.abc import Callable
from copy import copy
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from gpt2_assist.engine.engine import NO_LIMIT, Engine, Sampling, Sequence, Token
from gpt2_assist.errors import UsageError
from gpt2_assist.model.card import Card
from gpt2_assist.protocol import Chunk, Finished, Generate, Resume, SampleDone
from gpt2_assist.text.healing import Healing, Respelling
from gpt2_assist.text.infill import Piece, infill_of, reserve
from gpt2_assist.text.opening import opening
from gpt2_assist.text.stream import TextStream
from gpt2_assist.text.tokenizer import TextTokenizer

Send = Callable[[object], None]
Refused = Callable[[list[int]], np.ndarray]
"""From a sample's new tokens to the ids that it can't have next."""
_MOST_CHARACTERS = 16
"""Of a text after the cursor, per token of the context: what is beyond is not even encoded."""
_TEXTS = 256
"""Texts around a cursor whose tokens are remembered: they stay as they are while somebody types."""


class Vocabulary:
    """What a worker knows of its model's texts: the tokenizer and the card's customs."""

    def __init__(self, tokenizer: TextTokenizer, card: Card, copies: Path | None = None) -> None:
        """`copies`: where the index of the texts lies that the model was fine-tuned on, if it was."""
        self.tokenizer, self.card, self._copies = tokenizer, card, copies
        self._index = None
        self.infill = infill_of(card.infill, tokenizer)
        self._encoded = lru_cache(_TEXTS)(partial(tokenizer.encode, plain=True))
        self.healing = Healing(tokenizer.ordinary_tokens(), tokenizer.encode)

    def of(self, card: Card, copies: Path | None, tokenizer: TextTokenizer | None = None) -> "Vocabulary":
        """That of a model with the same tokenizer, or with its own."""
        if tokenizer:
            return Vocabulary(tokenizer, card, copies)
        other = copy(self)
        other.card, other._copies, other._index = card, copies, None
        other.infill = infill_of(card.infill, self.tokenizer)
        return other

    def prompt(self, text: str, heal: bool, begins: bool = True) -> tuple[list[int], bytes]:
        """Token ids to go on from, and the bytes of the prompt's end that new tokens must spell before all else.

        Before what `begins` a text stands what the card says: models are tuned with these very tokens. Where there are
        no ids, or healing took all back, the token for a text's beginning stands for them; a model without one keeps
        the prompt's first. Raises UsageError where there is nothing to go on from.
        """
        before, text = self._opened(text) if begins else ([], text)
        ids, unsettled = self.tokenizer.encode_unsettled(text)
        taken = self.healing.taken(ids, unsettled) if heal else 0
        begin = before or ([] if self.tokenizer.begin_of_text is None else [self.tokenizer.begin_of_text])
        if taken == len(ids) and not begin:
            if not ids:
                raise UsageError("This model has no token for the beginning of a text, so the prompt can't be empty.")
            taken -= 1
        kept = len(ids) - taken
        return [*before, *ids[:kept]] or begin, b"".join(map(self.tokenizer.token_bytes, ids[kept:]))

    def _opened(self, text: str) -> tuple[list[int], str]:
        """Token ids of what the card puts before a text's beginning, and the text without those of its marks that it
        brings itself."""
        prefix = self.card.prompt_prefix
        added = opening(prefix, text)
        brought = prefix[len(added):]
        if not self.tokenizer.control.issuperset(self.tokenizer.encode_marks(brought)):
            brought = ""
        return self.tokenizer.encode_marks(added + brought), text[len(brought):]

    def infill_prompt(self, message: Generate, n_ctx: int) -> tuple[list[int], bytes]:
        """As `prompt`, between a prefix and a suffix. Raises UsageError where the model can't do that."""
        if self.infill is None:
            raise UsageError("The model can't fill in between a text and what follows it: it has no tokens for that. "
                             "`gpt2-assist finetune PATH --infill` teaches it to.")
        encode, settings = self._encoded, message.settings
        room = n_ctx - reserve(n_ctx, settings.max_new_tokens)
        ids, unsettled = self.tokenizer.encode_unsettled(message.prompt, plain=True)
        taken = self.healing.taken(ids, unsettled) if settings.heal else 0
        kept = len(ids) - taken
        after, *others = (encode(text[:_MOST_CHARACTERS * n_ctx])
                          for text in (message.suffix, *(text for _, text in message.beside)))
        names = [encode(f"{name}\n") if name else []
                 for name in (message.path, message.repository, *(path for path, _ in message.beside))]
        beside = [Piece(path, text) for path, text in zip(names[2:], others)]
        prompt = self.infill.prompt(ids[:kept], after, room, beside, *names[:2])
        return prompt, b"".join(map(self.tokenizer.token_bytes, ids[kept:]))

    def likely_spelling(self, spelling: bytes) -> list[tuple[int, np.ndarray]]:
        """Tokens that spell just these bytes as the tokenizer would, each with the ids that are allowed in its place;
        none where it would not."""
        try:
            ids = self.tokenizer.encode(spelling.decode())
        except UnicodeDecodeError:
            return []
        path, respelling = [], Respelling(self.healing, spelling)
        for id in ids:
            if respelling.allowed is None or id not in respelling.allowed:
                break
            path.append((id, respelling.allowed))
            if respelling.take(id):
                break
        return path if respelling.allowed is None else []

    def stop_strings(self, asked: list[str]) -> list[str]:
        return list(dict.fromkeys([*asked, *self.card.stop_strings]))

    def stop_tokens(self, asked: list[int], between: bool = False) -> frozenset[int]:
        """What ends a text; `between` a prefix and a suffix that is every control token."""
        ends = self.tokenizer.control if between else self.infill.file_ends if self.infill else ()
        return frozenset([*asked, *self.tokenizer.ends, *ends])

    def refused(self, stop_tokens: frozenset[int], most_copied: int | None) -> Refused | None:
        """For an engine's Sequence: control tokens that end nothing, and, if asked for, what would make a copied row
        too long. None where there is nothing to refuse. Raises as `_copying`."""
        control = np.array(sorted(self.tokenizer.control - stop_tokens), np.int64)
        copying = None if most_copied is None else self._copying(most_copied)
        if not len(control):
            return copying
        return (lambda new: control) if copying is None else lambda new: np.append(control, copying(new))

    def _copying(self, most: int) -> Refused:
        """The ids by which more than `most` new tokens in a row would stand in the texts of the fine-tuning. Raises
        UsageError where there are none, DataError where their index is damaged."""
        if self._copies is None:
            raise UsageError("Only models that were fine-tuned here know what they were trained on; this one can't be "
                             "kept from copying.")
        from gpt2_assist.originality.index import CopyIndex
        from gpt2_assist.originality.matcher import continuations
        if self._index is None:
            self._index = CopyIndex.load(self._copies)
        index, none = self._index, np.zeros(0, np.int64)
        return lambda new: continuations(index, new[-most:]) if len(new) >= most else none

    def shown(self, token: int) -> str:
        """A token by itself, for tables of log-probabilities."""
        return self.tokenizer.token_bytes(token).decode("utf-8", "replace")


class Request:
    """A generation under way. Its samples are opened one after the other by the scheduler."""

    def __init__(self, message: Generate | Resume, vocabulary: Vocabulary, send: Send, n_ctx: int,
                 adapter: int = 0) -> None:
        """`n_ctx`: of the engine, and `adapter` its number of one."""
        self.adapter = adapter
        self.message = message.request if isinstance(message, Resume) else message
        settings = self.message.settings
        self.id, self.priority = self.message.id, self.message.priority
        self.vocabulary, self._send = vocabulary, send
        self._n_ctx, self.most_tokens = n_ctx, NO_LIMIT
        """Tokens that a sample can have, those included that spell the prompt's end again."""
        if self.message.suffix is None:
            self.prompt, self.spelling = vocabulary.prompt(self.message.prompt, settings.heal, settings.begins)
        else:
            self.prompt, self.spelling = vocabulary.infill_prompt(self.message, n_ctx)
            self.most_tokens = n_ctx - len(self.prompt)  # a window that moved would have lost its first control token
        self.stops = vocabulary.stop_strings(settings.stop)
        self.stop_tokens = vocabulary.stop_tokens(settings.stop_tokens, self.message.suffix is not None)
        self.sampling = Sampling(
            temperature=settings.temperature, top_k=settings.top_k, top_p=settings.top_p, min_p=settings.min_p,
            repetition_penalty=settings.repetition_penalty,
            logit_bias={token: float(bias) for token, bias in settings.logit_bias},
            seed=settings.seed, logprobs=settings.logprobs)
        self.refused = vocabulary.refused(self.stop_tokens, settings.max_copied)
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

    def finish(self) -> None:
        """Says that all samples have ended."""
        self._send(Finished(self.id, self.message.model, self.message.settings.seed, len(self.prompt), self._cached,
                            self._context, self._n_ctx, time.monotonic() - self._begun))


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
        self._decoded = self._new = 0
        self._stop_token = False
        self.heard = False
        """Whether something of it was sent."""
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
        for token in self._delivered:
            self._read(token)
        reason = self._reason()
        if reason:
            self._end(reason)
        else:
            self.sequence = engine.open(self.request.prompt, self.request.sampling,
                                        self._settings.first_index + self.index, self._delivered,
                                        self.request.adapter, self._most_new())
            self.sequence.allowed = self._respelling.allowed
            self.sequence.refused = self.request.refused
            if self._respelling.allowed is not None and not self._delivered:
                self.sequence.likely = self.request.vocabulary.likely_spelling(self.request.spelling)

    def _most_new(self) -> int:
        """Tokens that will be wanted at most: what spells the prompt's end again counts here, a byte or more each."""
        wanted = self._settings.max_new_tokens + len(self.request.spelling)
        return min(self.request.most_tokens, wanted if self._settings.max_new_tokens > 0 else NO_LIMIT)

    def prefilled(self) -> None:
        """Ends a sample that wanted no more."""
        self._end("length")

    def take(self, token: Token) -> None:
        """The next token: sends what has become safe to show, and ends where an end is reached."""
        before = self._new
        text = self._read(token.id)
        self.sequence.allowed = self._respelling.allowed
        self._held.append(token.id)
        if self._settings.logprobs is not None and self._new > before:
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
            if self._held:
                self._flush("" if self._stream.stopped else self._stream.finish())
            self._end("cancelled")

    def _read(self, token: int) -> str:
        """The text that a token makes safe to show."""
        self._decoded += 1
        if self._respelling.allowed is None:
            data = self.request.vocabulary.tokenizer.token_bytes(token)
        else:
            data = self._respelling.take(token)
            if not data:
                return ""
        self._new += 1
        self._stop_token = token in self.request.stop_tokens
        return self._stream.feed(b"" if self._stop_token else data)

    def _reason(self) -> str:
        if self._stream.stopped or self._stop_token:
            return "stop"
        full = self._decoded >= self.request.most_tokens
        return "length" if full or 0 < self._settings.max_new_tokens <= self._new else ""

    def _flush(self, text: str) -> None:
        self._send(Chunk(self.request.id, self.index, text, self._held, self._held_logprobs))
        self.heard = True
        self._held, self._held_logprobs = [], []

    def _end(self, reason: str) -> None:
        self.ended = True
        self._send(SampleDone(self.request.id, self.index, reason, self._new))
