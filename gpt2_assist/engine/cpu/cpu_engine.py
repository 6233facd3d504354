"""The engine on the processor: numba kernels over packed weights and a tree of pages. Imports no torch."""
import os
import time
import weakref
from collections.abc import Sequence as SequenceOf
from contextlib import suppress

import numpy as np

from gpt2_assist.engine.cache_size import FEWEST
from gpt2_assist.engine.cpu.adapters import PackedAdapter
from gpt2_assist.engine.cpu.ahead import MOST_AHEAD, Ahead
from gpt2_assist.engine.cpu.pages import PagePool
from gpt2_assist.engine.cpu.workspace import LARGEST_STEP, LARGEST_WANTED, StepWorkspace
from gpt2_assist.engine.engine import Token
from gpt2_assist.engine.paged import PagedEngine, PagedSequence
from gpt2_assist.engine.pages import BLOCK
from gpt2_assist.engine.prefix_tree import Branch, PrefixTree
from gpt2_assist.engine.sampling import sample
from gpt2_assist.engine.window import window_start
from gpt2_assist.model.adapter import Adapter
from gpt2_assist.model.packing import padded
from gpt2_assist.model.prepared import Prepared

_CHUNK_WORK = 128 * 12 * 12 * 768 * 768
"""Bounds a prefill chunk, in tokens × the layers' numbers: about 25 ms at 124M parameters on two cores."""
_MOST_UNFINISHED = 4
"""Texts whose next windows are computed when the engine is idle."""

_Segment = tuple[Branch, list[int], int]
"""New tokens behind a branch, and the number of their adapter or 0."""


class CpuEngine(PagedEngine):
    """See engine.Engine."""

    device = "cpu"
    drafts_pay_from_s = 1e-3
    most_pending = 5  # few more rows cost a step little

    def __init__(self, prepared: Prepared, cache_bytes: int = 1 << 30, threads: int = 0,
                 speculate: bool = True, own_cores: bool = False) -> None:
        """`threads` 0: one per core. `own_cores`: where there are as many cores as threads, each thread, the caller
        too, keeps to a core from now on. Else one that wakes is often put beside another, and both wait for each other
        while a core stands idle; but whatever else the process computes would share these cores.
        """
        config = prepared.config
        self.precision = prepared.precision
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
        threads = threads or len(cores) or os.cpu_count() or 1
        self._space = StepWorkspace(prepared, threads, cores if own_cores and len(cores) == threads > 1 else [])
        weakref.finalize(self, self._space.team.stop)
        self._pool = PagePool(config.n_layer * config.n_kv_head * 2 * padded(config.head_width, 16) * BLOCK * 2,
                              cache_bytes)
        super().__init__(config, PrefixTree(self._pool), speculate)
        self._ahead: dict[PagedSequence, Ahead] = {}
        self._unfinished: list[tuple[list[int], int, int]] = []
        """Texts, how far their next windows were when last seen, and their adapters."""
        tokens = _CHUNK_WORK // config.matrix_numbers
        self._chunk = min(LARGEST_STEP, max(BLOCK, tokens // BLOCK * BLOCK))

    def add_adapter(self, adapter: Adapter, strength: float = 1.0) -> int:
        return self._keep_adapter(PackedAdapter(self.config, adapter, strength))

    def drop_adapter(self, number: int) -> None:
        self._unfinished = [text for text in self._unfinished if text[2] != number]
        super().drop_adapter(number)

    def prefill(self, sequence: PagedSequence) -> bool:
        branch = self._take_branch(sequence)
        if not self.ready(sequence):
            tokens = sequence.pending[:-1][:self._chunk]
            self._compute([(branch, tokens, sequence.adapter)], [])
            branch.commit(tokens)
        return self.ready(sequence)

    def decode(self, sequences: SequenceOf[PagedSequence]) -> list[list[Token]]:
        drafts = [self._draft(sequence, len(sequences)) for sequence in sequences]
        segments: list[_Segment] = []
        wanted, count = [], 0
        for sequence, draft in zip(sequences, drafts):
            tokens = [*sequence.pending, *draft]
            segments.append((sequence.prefilled, tokens, sequence.adapter))
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
            self._verified(sequence, draft, new)
        return results

    def close(self, sequence: PagedSequence) -> None:
        if sequence.branch is not None and sequence.context > self.n_ctx * 3 // 4:
            self._unfinished.append((sequence.tokens, -1, sequence.adapter))
            del self._unfinished[:-_MOST_UNFINISHED]
        super().close(sequence)

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

    def shrink(self) -> None:
        """Keeps what the last text and its next window take."""
        with suppress(MemoryError):  # no room even to move: then nothing is given back
            self._tree.shrink(FEWEST * -(-self.n_ctx // BLOCK), self._pool.compact)

    def logits(self, sequence: PagedSequence) -> np.ndarray:
        """The logits [V] that would decide the next token of a prefilled sequence, which stays as it is."""
        tokens = sequence.pending
        return self._compute([(sequence.prefilled, tokens, sequence.adapter)], [len(tokens) - 1])[0].copy()

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

    def _let_go(self, sequence: PagedSequence) -> None:
        """Ends the use of keys and values; they stay in the tree."""
        if sequence in self._ahead:
            self._ahead.pop(sequence).close()
        super()._let_go(sequence)

    def _accepted(self, sequence: PagedSequence, draft: list[int], logits: np.ndarray) -> list[Token]:
        """The tokens that are sampled one after the other for as long as the draft foretold them, and one more."""
        new: list[Token] = []
        for place, row in enumerate(logits):
            rules, before = sequence.rules, sequence.new_tokens if sequence.rules else []
            new.append(sample(row, sequence.tokens, sequence.sampling, sequence.index,
                              len(sequence.tokens) - sequence.prompt_tokens,
                              rules.allowed(before) if rules else None, rules.refused(before) if rules else None,
                              sequence.mirostat))
            sequence.tokens.append(new[-1].id)
            if place == len(draft) or new[-1].id != draft[place]:
                break
        return new

    def _segments_ahead(self, sequences: SequenceOf[PagedSequence], room: int) -> list[_Segment]:
        """Parts of the next windows of those sequences whose window will move soon, at most `room` rows in all."""
        parts = []
        for sequence in sequences:
            if sequence.context > self.n_ctx * 3 // 4 and room >= MOST_AHEAD and self._will_move(sequence):
                if sequence not in self._ahead:
                    self._ahead[sequence] = Ahead(self._tree, self.n_ctx, sequence.adapter)
                part = self._ahead[sequence].next_part(sequence.tokens)
                if part:
                    parts.append((*part, sequence.adapter))
                    room -= len(part[1])
        return parts

    def _will_move(self, sequence: PagedSequence) -> bool:
        """Whether the sequence may outgrow its present window. One that ends before leaves the next to idle times."""
        return window_start(sequence.prompt_tokens + sequence.most_new, self.n_ctx) > sequence.start

    def _compute(self, segments: list[_Segment], wanted: SequenceOf[int]) -> np.ndarray:
        """Runs new tokens behind each branch, not yet committed; logits [wanted rows, V], valid until the next step."""
        parts = []
        for branch, tokens, adapter in segments:
            branch.reserve(branch.length + len(tokens))
            parts.append((tokens, branch.length, branch.pages, self._adapters[adapter] if adapter else None))
        return self._space.run(parts, wanted)
