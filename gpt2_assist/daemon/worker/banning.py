"""How banned phrases stay out of one sample: tokens wait until no phrase can begin in them, and where one has come, the
sample goes back, that token is refused at its place, and another is drawn.

What is refused at a place is kept until the text before it changes, so every draw there leaves less, and the text goes
on or ends. All of it follows from the tokens that stay: a sample that begins again behind them comes to the same text.
"""
from collections.abc import Callable, Sequence

import numpy as np

from gpt2_assist.daemon.worker.token_rules import RequestRules
from gpt2_assist.engine.engine import Token
from gpt2_assist.text.banned import BannedPhrases, BannedWatch
from gpt2_assist.text.healing import Healing, Respelling

_NONE = np.zeros(0, np.int64)


class Banning:
    """The tokens of a sample that may still be taken back, and what is refused at their places."""

    def __init__(self, phrases: BannedPhrases, bytes_of: Callable[[int], bytes], healing: Healing, spelling: bytes,
                 rules: RequestRules | None, stop_tokens: frozenset[int]) -> None:
        """`bytes_of`: what a token stands for. `spelling`, `rules` and `stop_tokens`: as the request has them."""
        self._bytes_of = bytes_of
        self._healing, self._spelling, self._base, self._stop_tokens = healing, spelling, rules, stop_tokens
        self._always = phrases.held_by - stop_tokens
        self._always_ids = np.array(sorted(self._always), np.int64)
        self._watch = BannedWatch(phrases)
        self._respelling = Respelling(healing, spelling)
        self._refused: dict[int, list[int]] = {}
        """By place, the number of tokens before."""
        self.tokens: list[int] = []
        """All so far."""
        self._waiting: list[tuple[Token, bytes, bool]] = []

    @property
    def rules(self) -> "BanningRules":
        """For a sequence that is opened now."""
        refused = {place: np.array(ids, np.int64) for place, ids in self._refused.items()}
        return BanningRules(self._base, self._always_ids, refused)

    @property
    def waiting(self) -> bytes:
        """The new text of the tokens that may be taken back."""
        return b"".join(data for _, data, _ in self._waiting)

    @property
    def waiting_new(self) -> int:
        """How many of them are new tokens, not such as only spell the prompt's end again."""
        return sum(new for _, _, new in self._waiting)

    def known(self, tokens: Sequence[int]) -> None:
        """Begins behind tokens that stay."""
        for token in tokens:
            self._watch.feed(self._read(token)[0])
            self.tokens.append(token)
        self._watch.settle_all()

    def exhausted(self, token: Token) -> bool:
        """Whether the next token was only drawn because all that could come is refused."""
        own = self._refused.get(len(self.tokens), [])
        always = self._respelling.spelled and self._always
        if token.id in own or always and token.id in always:
            return True
        others = self._base.refused(self.tokens) if self._base and (own or always) else None
        return others is not None and bool((others == token.id).any())

    def take(self, token: Token) -> bool:
        """The next token. False where a phrase has come: then `tokens` are fewer, and a sequence with the new `rules`
        goes on behind them."""
        data, new = self._read(token.id)
        place = self._watch.feed(data)
        self.tokens.append(token.id)
        self._waiting.append((token, data, new))
        if place is None:
            return True
        self._refused = {other: ids for other, ids in self._refused.items() if other <= place}
        self._refused.setdefault(place, []).append(self.tokens[place])
        self._watch.rewind(place)
        del self._waiting[place - len(self.tokens):], self.tokens[place:]
        self._respelling = Respelling(self._healing, self._spelling)
        for id in self.tokens:
            if self._respelling.spelled:
                break
            self._respelling.take(id)
        return False

    def settled(self) -> list[Token]:
        """Tokens that now stay and were not given out yet."""
        count = len(self._waiting) - (len(self.tokens) - self._watch.settled)
        given, self._waiting = self._waiting[:count], self._waiting[count:]
        return [token for token, _, _ in given]

    def settle_all(self) -> list[Token]:
        """All that were not given out yet: nothing comes behind them."""
        self._watch.settle_all()
        return self.settled()

    def _read(self, token: int) -> tuple[bytes, bool]:
        """A token's new text, and whether it is a new token."""
        spelled = self._respelling.spelled
        data = self._bytes_of(token) if spelled else self._respelling.take(token)
        return b"" if token in self._stop_tokens else data, spelled or bool(data)


class BanningRules:
    """See engine.TokenRules."""

    def __init__(self, base: RequestRules | None, always: np.ndarray, refused: dict[int, np.ndarray]) -> None:
        """`always`: ids that can't come once the prompt's end is spelled; `refused`: ids by place, beside them."""
        self._base, self._always, self._refused = base, always, refused
        self._last = max(refused, default=-1)

    def allowed(self, new: Sequence[int]) -> np.ndarray | None:
        return self._base.allowed(new) if self._base else None

    def refused(self, new: Sequence[int]) -> np.ndarray | None:
        parts = [self._refused.get(len(new), _NONE)]
        if self.allowed(new) is None:
            parts.append(self._always)
        if self._base:
            others = self._base.refused(new)
            parts += [] if others is None else [others]
        parts = [part for part in parts if len(part)]
        return np.concatenate(parts) if len(parts) > 1 else parts[0] if parts else None

    def likely(self, new: Sequence[int]) -> Sequence[int]:
        return self._base.likely(new) if self._base else ()

    def over(self, new: Sequence[int]) -> bool:
        return len(new) > self._last and not len(self._always) and (self._base is None or self._base.over(new))
