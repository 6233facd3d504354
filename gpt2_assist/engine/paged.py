"""What the engines over a prefix tree have in common: sequences, their windows and their drafts. The arithmetic is
each engine's own."""
import itertools
from collections.abc import Mapping
from collections.abc import Sequence as SequenceOf
from itertools import takewhile
from typing import Any

from gpt2_assist.architectures.description import Decoder
from gpt2_assist.engine.costs import MOST_ROWS, StepCosts
from gpt2_assist.engine.drafts import Drafter, History
from gpt2_assist.engine.engine import NO_LIMIT, Sampling, Token, TokenRules, checked_tokens
from gpt2_assist.engine.prefix_tree import Branch, PrefixTree
from gpt2_assist.engine.samplers import mirostat_of
from gpt2_assist.engine.window import window_start

_FIRST_TRUSTED = 3


class PagedSequence:
    """One sample in the making; see engine.Sequence."""

    def __init__(self, tokens: list[int], prompt_tokens: int, cached_tokens: int, sampling: Sampling,
                 index: int, adapter: int, most_new: int, rules: TokenRules | None) -> None:
        self.most_new, self.rules = most_new, rules
        self.tokens, self.prompt_tokens, self.cached_tokens = tokens, prompt_tokens, cached_tokens
        self.sampling, self.index, self.adapter = sampling, index, adapter
        self.mirostat = mirostat_of(sampling, tokens[prompt_tokens:])
        self.start = 0
        self.branch: Branch | None = None
        self.drafter: Drafter | None = None
        self.trusted = _FIRST_TRUSTED
        """Tokens of a draft at most; grows with drafts that were right to their end."""

    @property
    def context(self) -> int:
        return len(self.tokens) - self.start

    @property
    def pending(self) -> list[int]:
        """Tokens of the window that the model has not seen yet; at least the last one."""
        return self.tokens[self.start + (0 if self.branch is None else self.branch.length):]

    @property
    def prefilled(self) -> Branch:
        """Its keys and values. Raises ValueError where it has none."""
        if self.branch is None:
            raise ValueError("the sequence is not prefilled")
        return self.branch

    @property
    def new_tokens(self) -> list[int]:
        return self.tokens[self.prompt_tokens:]


class PagedEngine:
    """See engine.Engine, of which this is a part."""

    drafts_pay_from_s: float
    """Drafting costs some 20 µs a token: it is left out where a step takes less than that."""
    most_rows = MOST_ROWS
    """Tokens of a step in which drafts are verified."""
    most_open = NO_LIMIT
    most_pending: int
    """Tokens that `decode` runs in one step, the last one among them."""

    def __init__(self, config: Decoder, tree: PrefixTree, speculate: bool) -> None:
        self.config, self.n_ctx, self.vocab_size = config, config.n_ctx, config.vocab_size
        self._tree = tree
        self._history = History() if speculate else None
        self._costs = StepCosts()
        self._adapters: dict[int, Any] = {}
        self._numbers = itertools.count(1)

    def _keep_adapter(self, adapter: Any) -> int:
        """An adapter's number, under which `_adapters` has it as the engine made it."""
        number = next(self._numbers)
        self._adapters[number] = adapter
        return number

    def drop_adapter(self, number: int) -> None:
        del self._adapters[number]

    def open(self, prompt: SequenceOf[int], sampling: Sampling, index: int = 0, new_tokens: SequenceOf[int] = (),
             adapter: int = 0, most_new: int = NO_LIMIT, rules: TokenRules | None = None) -> PagedSequence:
        tokens = checked_tokens(prompt, new_tokens, self.vocab_size, self._own_tokens(adapter))
        start = window_start(len(tokens), self.n_ctx)
        shared = self._tree.shared(tokens[start:-1], adapter)
        return PagedSequence(tokens, len(prompt), min(shared, max(0, len(prompt) - start)), sampling, index, adapter,
                             most_new, rules)

    def _own_tokens(self, adapter: int) -> Mapping[int, object]:
        """Those that an adapter has rows for, which engines without such rows have none of."""
        return getattr(self._adapters.get(adapter), "rows", {})

    def ready(self, sequence: PagedSequence) -> bool:
        return (sequence.branch is not None and sequence.start == window_start(len(sequence.tokens), self.n_ctx)
                and sequence.context - sequence.branch.length <= self.most_pending)

    def close(self, sequence: PagedSequence) -> None:
        if sequence.drafter:
            sequence.drafter.close()
            sequence.drafter = None
        self._let_go(sequence)

    def cached_tokens(self) -> int:
        return self._tree.held_tokens()

    def _take_branch(self, sequence: PagedSequence) -> Branch:
        """Gives the sequence keys and values for its present window."""
        start = window_start(len(sequence.tokens), self.n_ctx)
        if sequence.branch is not None and sequence.start == start:
            return sequence.branch
        self._let_go(sequence)
        sequence.start = start
        sequence.branch = self._tree.acquire(sequence.tokens[start:-1], sequence.adapter)
        return sequence.branch

    def _let_go(self, sequence: PagedSequence) -> None:
        """Ends the use of keys and values; they stay in the tree."""
        if sequence.branch is not None:
            self._tree.release(sequence.branch)
            sequence.branch = None

    def _room(self, sequence: PagedSequence) -> int:
        """Tokens that can follow before the window moves."""
        return sequence.start + self.n_ctx - len(sequence.tokens)

    def _draft(self, sequence: PagedSequence, beside: int) -> list[int]:
        """Tokens that the text may well go on with, to be verified in one step with the token before them."""
        limit = max(0, min(self.most_rows // beside - 1, self._room(sequence)))  # all of them must see one window
        if sequence.rules:
            new = sequence.new_tokens
            if sequence.rules.allowed(new) is not None:
                return list(sequence.rules.likely(new)[:limit])
        if self._history is None or self._costs.one < self.drafts_pay_from_s or not limit:
            return []
        if sequence.drafter is None:
            sequence.drafter = Drafter(self._history, sequence.tokens)
        if len(sequence.pending) > 1 or len(sequence.tokens) == sequence.prompt_tokens:
            return []  # somebody waits for the first token: it doesn't wait for a longer step
        sequence.drafter.costs = self._costs.table(beside)[:self.most_rows]
        draft = sequence.drafter.draft(min(limit, sequence.trusted))
        return list(takewhile(self.vocab_size.__gt__, draft))  # a text seen before may hold an adapter's own token

    def _verified(self, sequence: PagedSequence, draft: list[int], new: list[Token]) -> None:
        """Tells the drafter what came of a step."""
        if sequence.drafter:
            sequence.drafter.verified(len(draft), len(new) - 1)
            if draft:
                whole = len(new) > len(draft)
                sequence.trusted = min(2 * sequence.trusted, self.most_rows) if whole else _FIRST_TRUSTED
            sequence.drafter.extend([token.id for token in new])
