"""The interface that a worker drives. Token ids in, token ids out; no text, no sockets, no threads of its own."""
from collections.abc import Mapping
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from gpt2_assist.architectures.description import Decoder
from gpt2_assist.engine.settings import Sampling
from gpt2_assist.errors import UsageError
from gpt2_assist.model.adapter import Adapter


@dataclass(frozen=True)
class Token:
    """One decoded token. Log-probabilities are of the model itself: before temperature, filters and bias."""

    id: int
    logprob: float = 0.0
    """Natural logarithm; only computed when asked for."""
    best: tuple[tuple[int, float], ...] = ()
    """The likeliest tokens with their log-probabilities, best first, when asked for."""


NO_LIMIT = 1 << 30


class TokenRules(Protocol):
    """What may come next in a sample, asked before each new token. What it says follows from the new tokens alone."""

    def allowed(self, new: SequenceOf[int]) -> np.ndarray | None:
        """Ids, ascending, of which the token after these new ones must be one; None for all. More than that one token
        is then decoded only along `likely`."""

    def refused(self, new: SequenceOf[int]) -> np.ndarray | None:
        """Ids that can't follow these new tokens."""

    def likely(self, new: SequenceOf[int]) -> SequenceOf[int]:
        """A guess at the next tokens, where only some are allowed."""

    def over(self, new: SequenceOf[int]) -> bool:
        """Whether everything may come from here on."""


class Sequence(Protocol):
    """One sample in the making, owned by its engine."""

    tokens: list[int]
    """Prompt and new tokens. The engine appends to it in `decode`."""
    prompt_tokens: int
    cached_tokens: int
    """Prompt tokens that the prefix cache gave at `open`."""

    @property
    def context(self) -> int:
        """Tokens of the window now."""


Own = TypeVar("Own", bound=Sequence)
"""An engine's own kind of sequence: no other engine's may be handed to it."""


class Engine(Protocol[Own]):
    """One loaded model with its cache."""

    config: Decoder
    n_ctx: int
    vocab_size: int
    device: str
    precision: str
    most_open: int
    """Sequences that can be open at a time."""

    def add_adapter(self, adapter: Adapter, strength: float = 1.0) -> int:
        """A number for `open`, from 1 on and never given twice. Raises ModelError where it doesn't fit the model."""

    def drop_adapter(self, number: int) -> None:
        """Forgets an adapter that no open sequence has."""

    def open(self, prompt: SequenceOf[int], sampling: Sampling, index: int = 0, new_tokens: SequenceOf[int] = (),
             adapter: int = 0, most_new: int = NO_LIMIT, rules: TokenRules | None = None) -> Own:
        """A sample that continues `prompt` (not empty) as sample `index`; `new_tokens` were decoded before a crash.
        `adapter` 0 is the model itself. Its own tokens, if it has any, can stand in the prompt and are never new ones.
        No more than about `most_new` tokens will be wanted, where that is known: it changes what is prepared, no token.
        `rules` say what may come; None that everything may.

        Costs no model time. Randomness comes from (seed, index, number of new tokens so far), nothing else. What
        mirostat draws follows from the chances of all tokens before: such a sample takes no `new_tokens`, but begins
        anew.
        """

    def prefill(self, sequence: Own) -> bool:
        """Runs the model over one chunk of what is not cached. True once the sequence can be decoded."""

    def decode(self, sequences: SequenceOf[Own]) -> list[list[Token]]:
        """New tokens for each of the prefilled sequences, appended to its `tokens`: one, or, where a draft of what
        follows proved right, several.

        Where a window is full it moves, and the sequence wants `prefill` again: see `ready`.
        """

    def ready(self, sequence: Own) -> bool:
        """Whether `decode` can take the sequence without a `prefill` before."""

    def close(self, sequence: Own) -> None:
        """Ends a sequence; its keys and values stay in the cache for prompts that share its beginning."""

    def idle(self) -> bool:
        """A few milliseconds of work that later requests may profit from; False where there is none."""

    def shrink(self) -> None:
        """Gives the memory of earlier texts back to the system, but for the last one's. For times without open
        sequences."""

    def cached_tokens(self) -> int:
        """Tokens whose keys and values are held."""


def checked_tokens(prompt: SequenceOf[int], new_tokens: SequenceOf[int], vocab_size: int,
                   more: Mapping[int, object]) -> list[int]:
    """A sequence's tokens at `open`; `more` are those that its adapter has rows for. Raises UsageError where no model
    of this vocabulary could go on from them."""
    if not prompt:
        raise UsageError("There is no prompt token to go on from.")
    tokens = [*prompt, *new_tokens]
    if not all(0 <= token < vocab_size or token in more for token in tokens):
        raise UsageError("The prompt holds a token that the model doesn't have.")
    return tokens
