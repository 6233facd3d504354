"""The engine on an NVIDIA card: fused kernels over pages in a tree, each step one launch of a graph."""
import time
from collections.abc import Callable
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, field

import numpy as np
import torch

from gpt2_assist.architectures.description import Decoder
from gpt2_assist.engine import dry
from gpt2_assist.engine.cuda import shapes
from gpt2_assist.engine.cuda.memory import budget
from gpt2_assist.engine.cuda.plain import PlainKernels
from gpt2_assist.engine.cuda.pool import DevicePages
from gpt2_assist.engine.cuda.rows import BIASED, MOST_BEST, PENALISED
from gpt2_assist.engine.cuda.step import Step
from gpt2_assist.engine.cuda.weights import KINDS, AdapterTable, Weights
from gpt2_assist.engine.engine import Token
from gpt2_assist.engine.paged import PagedEngine, PagedSequence
from gpt2_assist.engine.pages import BLOCK
from gpt2_assist.engine.prefix_tree import PrefixTree
from gpt2_assist.engine.sampling import sample
from gpt2_assist.errors import ModelError, UsageError
from gpt2_assist.model.adapter import Adapter

_SINGLY = 16
"""Steps by themselves that follow one whose token the host had to choose: the next may well be its too."""
_REFUSED = -1e30
"""Added to the score of a token that is drawn only if nothing else is left."""


def missing(config: Decoder) -> str | None:
    """What keeps this machine's card from running the kernels, for a model of these sizes; None where nothing does."""
    width = config.head_width
    if torch.version.cuda is None:
        return "it is not NVIDIA's"
    if torch.cuda.get_device_capability() < (8, 0):
        return "the card is older than compute capability 8.0"
    if width & (width - 1) or width > shapes.WIDE_INPUTS:
        return f"its heads are {width} wide, and a power of 2 up to {shapes.WIDE_INPUTS} is wanted"
    try:
        from triton.runtime import driver
        # Here Triton compiles what launches kernels, with the system's C compiler.
        driver.active.utils  # ty: ignore[missing-attribute]  # noqa: B018
    except ImportError:
        return "Triton is not installed"
    except Exception as error:
        return (f"Triton doesn't start ({type(error).__name__}); it needs a C compiler and Python's headers (gcc and "
                "python3-dev)")
    return None


_Rules = tuple[np.ndarray | None, np.ndarray | None]
"""Ids that a token must be one of, and ids that it must not be; see engine.Sequence."""


@dataclass
class _Part:
    """A sequence's rows in a step: from `row` on, the tokens that the model has not seen, the draft's at their end."""

    sequence: PagedSequence
    tokens: list[int]
    draft: list[int]
    rules: list[_Rules] = field(default_factory=lambda: [(None, None)])
    """For the token behind none, one, … all of the draft's."""
    row: int = 0

    @property
    def for_host(self) -> bool:
        """Whether the host chooses its tokens, by samplers that the kernels don't know."""
        return self.sequence.sampling.filtered_hot is None


class CudaEngine(PagedEngine):
    """See engine.Engine. `precision`: bf16, fp32, or int8, in which weights alone are; auto is bf16.

    On a card the kernels are Triton's; with device "cpu" the same engine runs what they do in plain torch.
    """

    drafts_pay_from_s = 3e-4
    burst_s = 1e-3
    """Steps that nobody waits for are launched one behind the other for about so long: the host has its part of a
    step's work, some 25 µs, once for them all."""
    most_rows = shapes.MOST_ROWS
    most_pending = shapes.MOST_ROWS

    def __init__(self, config: Decoder, weights: dict[str, torch.Tensor], precision: str = "auto",
                 device: str = "cuda", cache_bytes: int = 1 << 30, speculate: bool = True,
                 progress: Callable[[str], None] = lambda words: None, fused: bool | None = None) -> None:
        """`fused`: whether Triton's kernels run, by default on a card only; elsewhere its interpreter runs them.

        Raises ModelError where the card's memory doesn't hold the model.
        """
        self.device = device
        self.precision = "bf16" if precision == "auto" else precision
        if self.precision not in KINDS:
            raise UsageError(f"The precision {precision} is not available there; choose auto, bf16, int8 or fp32.")
        budget(config, self.precision, device, cache_bytes)
        kind = KINDS[self.precision]
        on_card = Weights(config, weights, self.precision, device)
        room = budget(config, self.precision, device, cache_bytes, loaded=True)
        self._pool = DevicePages(config, kind, room.limit, room.capacity, device)
        self.most_open = room.capacity // -(-config.n_ctx // BLOCK)
        self._table = AdapterTable(config, kind, device)
        fused = device == "cuda" if fused is None else fused
        if fused:
            from gpt2_assist.engine.cuda.launch import Fused
            kernels = Fused(on_card, self._table, self._pool)
        else:
            kernels = PlainKernels(on_card, self._table, self._pool)
        self._step = Step(on_card, self._pool, kernels, device, _quick_doubles(device))
        if fused and device == "cuda":
            self._step.capture(lambda done, of: progress(f"preparing its graphs, {done} of {of}"))
        super().__init__(config, PrefixTree(self._pool), speculate)
        self._chunk = self._step.chunks[-1]
        self._singly: dict[PagedSequence, int] = {}
        """How many of a text's next tokens are decided in steps by themselves, since the host had to choose one."""

    def add_adapter(self, adapter: Adapter, strength: float = 1.0) -> int:
        if adapter.rows:
            raise ModelError("The adapter has tokens of its own, which the graphics card's engine doesn't know: choose "
                             "--device cpu, or make a model of it by `gpt2-assist runs merge`.")
        return self._keep_adapter(self._table.add(adapter, strength))

    def drop_adapter(self, number: int) -> None:
        self._table.drop(self._adapters[number])
        super().drop_adapter(number)

    def shrink(self) -> None:
        """The card's memory was taken at once and is kept."""

    def prefill(self, sequence: PagedSequence) -> bool:
        branch = self._take_branch(sequence)
        branch.reserve(self.n_ctx)  # all that the window will want: decoding never lacks a page
        if not self.ready(sequence):
            held = branch.length
            end = min(sequence.context - 1, (held // self._chunk + 1) * self._chunk)
            self._read(sequence, sequence.tokens[sequence.start + held:sequence.start + end])
        return self.ready(sequence)

    def decode(self, sequences: SequenceOf[PagedSequence]) -> list[list[Token]]:
        parts = []
        for sequence in sequences:
            draft = self._draft(sequence, min(len(sequences), shapes.MOST_ROWS))
            draft = draft[:shapes.MOST_ROWS - len(sequence.pending)]
            parts.append(_Part(sequence, [*sequence.pending, *draft], draft,
                               [_rules(sequence, draft[:drafted]) for drafted in range(len(draft) + 1)]))
        found: dict[int, list[Token]] = {}
        for group in _grouped(parts):
            for part, new in zip(group, self._decided(group)):
                found[id(part)] = new
        for part in parts:
            self._verified(part.sequence, part.draft, found[id(part)])
        return [found[id(part)] for part in parts]

    def close(self, sequence: PagedSequence) -> None:
        self._singly.pop(sequence, None)
        super().close(sequence)

    def idle(self) -> bool:
        return False

    def logits(self, sequence: PagedSequence) -> np.ndarray:
        """The logits [V] that would decide the next token of a prefilled sequence, which stays as it is."""
        part = _Part(sequence, sequence.pending, [])
        self._fill([part])
        self._launch(len(part.tokens), sequence.context, 1)
        return self._row_of(len(part.tokens) - 1)

    def _read(self, sequence: PagedSequence, tokens: list[int]) -> None:
        """Keys and values of a chunk behind those that are there."""
        lane, branch = self._step.reading, sequence.prefilled
        lane.table.clear()
        lane.table.put_pages(0, branch.pages, branch.length + len(tokens))
        lane.table.put(0, tokens, branch.length, self._adapters.get(sequence.adapter, 0))
        lane.upload()
        self._step.read(len(tokens))
        self._wait()  # a cancel waits for one chunk, not for a queue of them
        branch.commit(tokens)

    def _decided(self, group: list[_Part]) -> list[list[Token]]:
        """New tokens of sequences whose rows fit a step."""
        self._fill(group)
        count = sum(len(part.tokens) for part in group)
        reach = max(part.sequence.context + len(part.draft) for part in group)
        times = self._times(group, count)
        began = time.perf_counter()
        self._launch(count, reach + times - 1, times)
        tokens, chances, best = self._heard(times, count, any(part.sequence.sampling.logprobs is not None
                                                              for part in group))
        self._costs.measured(count, (time.perf_counter() - began) / times)
        results, left = [], []
        for part in group:
            last = part.row + len(part.tokens) - 1 - len(part.draft)
            places = [(0, last + k) for k in range(len(part.draft) + 1)] if part.draft else [
                (step, last) for step in range(times)]
            new: list[Token] = []
            for number, (step, row) in enumerate(places):
                if tokens[step, row] >= 0 and not part.for_host:
                    token = _token(tokens[step, row], chances, best, step, row, part.sequence.sampling.logprobs)
                elif times == 1:
                    token = self._chosen_here(part, row, part.rules[number])
                else:
                    break  # its logits are gone
                new.append(token)
                part.sequence.tokens.append(token.id)
                if part.draft and (number == len(part.draft) or token.id != part.draft[number]):
                    break
            if not new:
                left.append((part, new))
            results.append(new)
        if left:
            self._fill([part for part, _ in left])
            self._launch(len(left), reach, 1)
            for part, new in left:
                new.append(self._chosen_here(part, part.row, part.rules[0]))
                part.sequence.tokens.append(new[0].id)
        for part, new in zip(group, results):
            seen = part.tokens[:len(part.tokens) - len(part.draft)]
            part.sequence.prefilled.commit([*seen, *(token.id for token in new[:-1])])
            self._singly[part.sequence] = max(0, self._singly.get(part.sequence, 0) - len(new))
        return results

    def _times(self, group: list[_Part], count: int) -> int:
        """Steps that are launched together: one where somebody waits, or the host has a say in each token."""
        if count > len(group) or any(
                (part.sequence.rules and not part.sequence.rules.over(part.sequence.new_tokens))
                or len(part.sequence.tokens) == part.sequence.prompt_tokens
                or part.for_host or part.sequence.sampling.temperatures or part.sequence.sampling.dry_multiplier > 0
                or part.sequence.sampling.top_k > shapes.NEAR or self._singly.get(part.sequence) for part in group):
            return 1
        wanted = int(self.burst_s / max(self._costs.one, 1e-6)) if self._costs.one else 1
        room = min(self._room(part.sequence) for part in group)
        return max(1, min(wanted, shapes.BURST, room))

    def _fill(self, group: list[_Part]) -> None:
        """Tells the step of its rows."""
        lane = self._step.decoding
        lane.table.clear()
        row = 0
        for part in group:
            part.row = row
            sequence, count = part.sequence, len(part.tokens)
            branch = sequence.prefilled
            held = branch.length
            lane.table.put(row, part.tokens, held, self._adapters.get(sequence.adapter, 0))
            first = count - 1 - len(part.draft)
            for place in range(count):
                lane.table.put_pages(row + place, branch.pages, held + count)
            for place in range(first, count):
                number = len(sequence.tokens) - sequence.prompt_tokens + place - first
                flags = self._extra(part, row + place, place - first)
                lane.table.put_sampling(row + place, sequence.sampling, sequence.index, number, flags)
            row += count
        lane.upload()

    def _extra(self, part: _Part, row: int, drafted: int) -> int:
        """Sends what the row's scores depend on beside its logits; the row's flags."""
        sequence, sampling, flags = part.sequence, part.sequence.sampling, 0
        scores = self._step.scores
        if "penalties" in sampling.steps:
            seen = np.zeros(self.vocab_size, np.int8)
            seen[[*sequence.tokens, *part.draft[:drafted]]] = 1
            scores.seen[row].copy_(torch.from_numpy(seen))
            flags |= PENALISED
        allowed, refused = part.rules[drafted]
        repeated = ()
        if "dry" in sampling.steps and not part.for_host:
            repeated = dry.penalties([*sequence.tokens[-dry.REACH:], *part.draft[:drafted]], sampling)
        if repeated or sampling.logit_bias or allowed is not None or (refused is not None and len(refused)):
            biases = np.zeros(self.vocab_size, np.float32)
            for token, bias in sampling.logit_bias.items():
                if token < self.vocab_size:
                    biases[token] = bias
            if repeated:
                biases[repeated[0]] -= repeated[1]
            if refused is not None and len(refused):
                biases[refused[refused < self.vocab_size]] = _REFUSED
            if allowed is not None:
                within = np.zeros(self.vocab_size, bool)
                within[allowed[allowed < self.vocab_size]] = True
                biases[~within] = -np.inf
            scores.biases[row].copy_(torch.from_numpy(biases))
            flags |= BIASED
        return flags

    def _launch(self, count: int, reach: int, times: int) -> None:
        self._step.decode(count, min(reach, self.n_ctx), times)

    def _heard(self, times: int, count: int, chances: bool) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """The tokens [times, count], and where somebody asked for them log-probabilities with the likeliest tokens."""
        scores = self._step.scores
        tokens = scores.tokens.cpu().numpy()[:times, :count]
        if not chances:
            return tokens, None, None
        return tokens, scores.chances.cpu().numpy()[:times, :count], scores.best.cpu().numpy()[:times, :count]

    def _chosen_here(self, part: _Part, row: int, rules: _Rules) -> Token:
        """A token that the card left to the host, which has the row's logits."""
        sequence = part.sequence
        self._singly[sequence] = _SINGLY + 1
        return sample(self._row_of(row), sequence.tokens, sequence.sampling, sequence.index,
                      len(sequence.tokens) - sequence.prompt_tokens, *rules, sequence.mirostat)

    def _row_of(self, row: int) -> np.ndarray:
        return self._step.scores.logits[row].cpu().numpy().copy()

    def _wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.current_stream().synchronize()


def _quick_doubles(device: str) -> bool:
    """Whether float64 is quick there, as it is on cards for servers."""
    return device != "cuda" or torch.cuda.get_device_capability() in ((8, 0), (9, 0), (10, 0))


def _rules(sequence: PagedSequence, draft: list[int]) -> _Rules:
    """Those for the token behind a part of a draft."""
    if not sequence.rules:
        return None, None
    new = [*sequence.new_tokens, *draft]
    return sequence.rules.allowed(new), sequence.rules.refused(new)


def _grouped(parts: list[_Part]) -> list[list[_Part]]:
    """Groups whose rows fit a step. Those with the same adapter stand side by side, as the kernels want it."""
    groups: list[list[_Part]] = []
    count = 0
    for part in sorted(parts, key=lambda part: part.sequence.adapter):
        count += len(part.tokens)
        if not groups or count > shapes.MOST_ROWS:
            groups.append([])
            count = len(part.tokens)
        groups[-1].append(part)
    return groups


def _token(id: int, chances: np.ndarray | None, best: np.ndarray | None, step: int, row: int,
           wanted: int | None) -> Token:
    if wanted is None or chances is None or best is None:
        return Token(int(id))
    values = chances[step, row].tolist()
    listed = zip(best[step, row, :min(wanted, MOST_BEST)].tolist(), values[1:])
    return Token(int(id), values[0], tuple(listed))

