"""The engine on the processor: numba kernels over packed weights and a tree of pages. Imports no torch."""
import itertools
import os
import time
import weakref
from collections.abc import Sequence as SequenceOf

import numpy as np

from gpt2_assist.engine.cpu.adapters import PackedAdapter
from gpt2_assist.engine.cpu.ahead import MOST_AHEAD, Ahead
from gpt2_assist.engine.cpu.costs import MOST_ROWS, StepCosts
from gpt2_assist.engine.cpu.pages import BLOCK, PagePool
from gpt2_assist.engine.cpu.prefix_tree import Branch, PrefixTree
from gpt2_assist.engine.cpu.workspace import LARGEST_STEP, LARGEST_WANTED, Workspace
from gpt2_assist.engine.drafts import Drafter, History
from gpt2_assist.engine.engine import Sampling, Token, checked_tokens
from gpt2_assist.engine.sampling import sample
from gpt2_assist.engine.window import window_start
from gpt2_assist.model.adapter import Adapter
from gpt2_assist.model.prepared import Prepared

_CHUNK_WORK = 128 * 12 * 768 * 768
"""Bounds a prefill chunk, in tokens × layers × width²: about 25 ms at 124M parameters on two cores."""
_MOST_PENDING = 5
"""Tokens that `decode` runs in one step, the last one among them: few more rows cost a step little."""
_FIRST_TRUSTED = 3
_MOST_UNFINISHED = 4
"""Texts whose next windows are computed when the engine is idle."""

_Segment = tuple[Branch, list[int], int]
"""New tokens behind a branch, and the number of their adapter or 0."""


class CpuSequence:
    """One sample in the making; see engine.Sequence."""

    def __init__(self, tokens: list[int], prompt_tokens: int, cached_tokens: int, sampling: Sampling,
                 index: int, adapter: int) -> None:
        self.tokens, self.prompt_tokens, self.cached_tokens = tokens, prompt_tokens, cached_tokens
        self.sampling, self.index, self.adapter = sampling, index, adapter
        self.allowed: np.ndarray | None = None
        self.refused = None
        self.likely: list[tuple[int, np.ndarray]] = []
        self.start = 0
        self.branch: Branch | None = None
        self.drafter: Drafter | None = None
        self.trusted = _FIRST_TRUSTED
        """Tokens of a draft at most; grows with drafts that were right to their end."""
        self.ahead: Ahead | None = None

    @property
    def context(self) -> int:
        return len(self.tokens) - self.start

    @property
    def pending(self) -> list[int]:
        """Tokens of the window that the model has not seen yet; at least the last one."""
        return self.tokens[self.start + self.branch.length:]


class CpuEngine:
    """See engine.Engine."""

    device = "cpu"
    drafts_pay_from_s = 1e-3
    """Drafting costs some 20 µs a token: it is left out where a step takes less than that."""

    def __init__(self, prepared: Prepared, cache_bytes: int = 1 << 30, threads: int = 0,
                 speculate: bool = True, own_cores: bool = False) -> None:
        """`threads` 0: one per core. `own_cores`: where there are as many cores as threads, each thread, the caller
        too, keeps to a core from now on. Else one that wakes is often put beside another, and both wait for each other
        while a core stands idle; but whatever else the process computes would share these cores.
        """
        config = prepared.config
        self.config, self.n_ctx, self.vocab_size = config, config.n_ctx, config.vocab_size
        self.precision = prepared.precision
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
        threads = threads or len(cores) or os.cpu_count() or 1
        self._space = Workspace(prepared, threads, cores if own_cores and len(cores) == threads > 1 else [])
        weakref.finalize(self, self._space.team.stop)
        head_width = -(-(config.n_embd // config.n_head) // 16) * 16
        self._pool = PagePool(config.n_layer * config.n_head * 2 * head_width * BLOCK * 2, cache_bytes)
        self._tree = PrefixTree(self._pool)
        self._history = History() if speculate else None
        self._costs = StepCosts()
        self._adapters: dict[int, PackedAdapter] = {}
        self._numbers = itertools.count(1)
        self._unfinished: list[tuple[list[int], int, int]] = []
        """Texts, how far their next windows were when last seen, and their adapters."""
        tokens = _CHUNK_WORK // (config.n_layer * config.n_embd ** 2)
        self._chunk = min(LARGEST_STEP, max(BLOCK, tokens // BLOCK * BLOCK))

    def add_adapter(self, adapter: Adapter, strength: float = 1.0) -> int:
        number = next(self._numbers)
        self._adapters[number] = PackedAdapter(self.config, adapter, strength)
        return number

    def drop_adapter(self, number: int) -> None:
        self._unfinished = [text for text in self._unfinished if text[2] != number]
        del self._adapters[number]

    def open(self, prompt: SequenceOf[int], sampling: Sampling, index: int = 0, new_tokens: SequenceOf[int] = (),
             adapter: int = 0) -> CpuSequence:
        tokens = checked_tokens(prompt, new_tokens, self.vocab_size)
        start = window_start(len(tokens), self.n_ctx)
        shared = self._tree.shared(tokens[start:-1], adapter)
        return CpuSequence(tokens, len(prompt), min(shared, max(0, len(prompt) - start)), sampling, index, adapter)

    def prefill(self, sequence: CpuSequence) -> bool:
        self._take_branch(sequence)
        if not self.ready(sequence):
            tokens = sequence.pending[:-1][:self._chunk]
            self._compute([(sequence.branch, tokens, sequence.adapter)], [])
            sequence.branch.commit(tokens)
        return self.ready(sequence)

    def ready(self, sequence: CpuSequence) -> bool:
        return (sequence.branch is not None and sequence.start == window_start(len(sequence.tokens), self.n_ctx)
                and sequence.context - sequence.branch.length <= _MOST_PENDING)

    def decode(self, sequences: SequenceOf[CpuSequence]) -> list[list[Token]]:
        drafts = [self._draft(sequence, len(sequences)) for sequence in sequences]
        segments, wanted, count = [], [], 0
        for sequence, draft in zip(sequences, drafts):
            tokens = [*sequence.pending, *draft]
            segments.append((sequence.branch, tokens, sequence.adapter))
            count += len(tokens)
            wanted += range(count - len(draft) - 1, count)
        ahead = self._segments_ahead(sequences, LARGEST_STEP - count)
        began = time.perf_counter()
        logits = self._compute([*segments, *ahead], wanted)
        for branch, tokens, _ in ahead:
            branch.commit(tokens)
        results, row = [], 0
        for sequence, draft, (branch, tokens, _) in zip(sequences, drafts, segments):
            new = self._accepted(sequence, draft, logits[row:row + len(draft) + 1])
            branch.commit(tokens[:len(tokens) - len(draft) - 1 + len(new)])
            row += len(draft) + 1
            results.append(new)
        if not ahead:
            self._costs.measured(count, time.perf_counter() - began)
        for sequence, draft, new in zip(sequences, drafts, results):
            if sequence.drafter:
                sequence.drafter.verified(len(draft), len(new) - 1)
                if draft:
                    whole = len(new) > len(draft)
                    sequence.trusted = min(2 * sequence.trusted, MOST_ROWS) if whole else _FIRST_TRUSTED
                sequence.drafter.extend([token.id for token in new])
        return results

    def close(self, sequence: CpuSequence) -> None:
        if sequence.drafter:
            sequence.drafter.close()
            sequence.drafter = None
        if sequence.branch is not None and sequence.context > self.n_ctx * 3 // 4:
            self._unfinished.append((sequence.tokens, -1, sequence.adapter))
            del self._unfinished[:-_MOST_UNFINISHED]
        self._let_go(sequence)

    def idle(self) -> bool:
        """A few milliseconds of work that later requests may profit from; False where there is none."""
        while self._unfinished:
            tokens, held, adapter = self._unfinished.pop()
            ahead = Ahead(self._tree, self.n_ctx, adapter)
            part = ahead.next_part(tokens, idle=True)
            if part and part[0].length > held:  # else there is no room to keep what is computed
                self._unfinished.append((tokens, part[0].length, adapter))
                self._compute([(*part, adapter)], [])
                part[0].commit(part[1])
                ahead.close()  # nothing that only may be wanted is kept from being evicted
                return True
            ahead.close()
        return self._pool.touch()

    def cached_tokens(self) -> int:
        return self._tree.held_tokens()

    def logits(self, sequence: CpuSequence) -> np.ndarray:
        """The logits [V] that would decide the next token of a prefilled sequence, which stays as it is."""
        tokens = sequence.pending
        return self._compute([(sequence.branch, tokens, sequence.adapter)], [len(tokens) - 1])[0].copy()

    def all_logits(self, tokens: SequenceOf[int], adapter: int = 0) -> np.ndarray:
        """The logits [T, V] after each of up to n_ctx tokens."""
        branch = self._tree.acquire([], adapter)
        out = np.empty((len(tokens), self.vocab_size), np.float32)
        for first in range(0, len(tokens), LARGEST_WANTED):
            part = list(tokens[first:first + LARGEST_WANTED])
            out[first:first + len(part)] = self._compute([(branch, part, adapter)], range(len(part)))
            branch.commit(part)
        self._tree.release(branch)
        return out

    def _take_branch(self, sequence: CpuSequence) -> None:
        """Gives the sequence keys and values for its present window."""
        start = window_start(len(sequence.tokens), self.n_ctx)
        if sequence.branch is not None and sequence.start == start:
            return
        self._let_go(sequence)
        sequence.start = start
        sequence.branch = self._tree.acquire(sequence.tokens[start:-1], sequence.adapter)

    def _let_go(self, sequence: CpuSequence) -> None:
        """Ends the use of keys and values; they stay in the tree."""
        if sequence.ahead:
            sequence.ahead.close()
            sequence.ahead = None
        if sequence.branch is not None:
            self._tree.release(sequence.branch)
            sequence.branch = None

    def _draft(self, sequence: CpuSequence, beside: int) -> list[int]:
        """Tokens that the text may well go on with, to be verified in one step with the token before them."""
        room = sequence.start + self.n_ctx - len(sequence.tokens)  # all of them must see one window
        limit = max(0, min(MOST_ROWS // beside - 1, room))
        if sequence.allowed is not None:
            return [token for token, _ in sequence.likely[:limit]]
        if self._history is None or self._costs.one < self.drafts_pay_from_s or not limit:
            return []
        if sequence.drafter is None:
            sequence.drafter = Drafter(self._history, sequence.tokens)
        if len(sequence.pending) > 1 or len(sequence.tokens) == sequence.prompt_tokens:
            return []  # somebody waits for the first token: it doesn't wait for a longer step
        sequence.drafter.costs = self._costs.table(beside)
        return sequence.drafter.draft(min(limit, sequence.trusted))

    def _accepted(self, sequence: CpuSequence, draft: list[int], logits: np.ndarray) -> list[Token]:
        """The tokens that are sampled one after the other for as long as the draft foretold them, and one more."""
        new: list[Token] = []
        likely, sequence.likely = sequence.likely, []
        for place, row in enumerate(logits):
            allowed = None
            if sequence.allowed is not None:
                allowed = sequence.allowed if place == 0 else likely[place][1] if place < len(likely) else None
            new.append(sample(row, sequence.tokens, sequence.sampling, sequence.index,
                              len(sequence.tokens) - sequence.prompt_tokens, allowed,
                              sequence.refused and sequence.refused(sequence.tokens[sequence.prompt_tokens:])))
            sequence.tokens.append(new[-1].id)
            if place == len(draft) or new[-1].id != draft[place]:
                break
        return new

    def _segments_ahead(self, sequences: SequenceOf[CpuSequence], room: int) -> list[_Segment]:
        """Parts of the next windows of those sequences whose window will move soon, at most `room` rows in all."""
        parts = []
        for sequence in sequences:
            if sequence.context > self.n_ctx * 3 // 4 and room >= MOST_AHEAD:
                sequence.ahead = sequence.ahead or Ahead(self._tree, self.n_ctx, sequence.adapter)
                part = sequence.ahead.next_part(sequence.tokens)
                if part:
                    parts.append((*part, sequence.adapter))
                    room -= len(part[1])
        return parts

    def _compute(self, segments: list[_Segment], wanted: SequenceOf[int]) -> np.ndarray:
        """Runs new tokens behind each branch, not yet committed; logits [wanted rows, V], valid until the next step."""
        parts = []
        for branch, tokens, adapter in segments:
            branch.reserve(branch.length + len(tokens))
            parts.append((tokens, branch.length, branch.pages, self._adapters[adapter] if adapter else None))
        return self._space.run(parts, wanted)
