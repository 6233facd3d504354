"""The engine in plain torch: incremental decoding over cached keys and values, on any device that torch knows."""
import itertools
import os
from collections.abc import Sequence as SequenceOf

import torch

from gpt2_assist.architectures.description import Decoder
from gpt2_assist.engine.engine import NO_LIMIT, Sampling, Token, TokenRules, checked_tokens
from gpt2_assist.engine.forward import Forward, LowRank, Segment
from gpt2_assist.engine.kv_cache import BLOCK, KeysValues, PrefixCache
from gpt2_assist.engine.samplers import mirostat_of
from gpt2_assist.engine.sampling import sample
from gpt2_assist.engine.window import window_start
from gpt2_assist.errors import UsageError
from gpt2_assist.model.adapter import Adapter
from gpt2_assist.model.device import choose_device

_CHUNK_WORK = 64 * 12 * 12 * 768 * 768
"""Bounds a prefill chunk, in tokens × the layers' numbers: about 100 ms at 124M parameters on two cores."""
_LARGEST_CHUNK = 512


class TorchSequence:
    """One sample in the making; see engine.Sequence."""

    def __init__(self, tokens: list[int], prompt_tokens: int, cached_tokens: int, sampling: Sampling,
                 index: int, adapter: int, rules: TokenRules | None) -> None:
        self.tokens, self.prompt_tokens, self.cached_tokens = tokens, prompt_tokens, cached_tokens
        self.sampling, self.index, self.adapter, self.rules = sampling, index, adapter, rules
        self.mirostat = mirostat_of(sampling, tokens[prompt_tokens:])
        self.start = 0
        self.cache: KeysValues | None = None

    @property
    def context(self) -> int:
        return len(self.tokens) - self.start

    @property
    def prefilled(self) -> KeysValues:
        """Its keys and values. Raises ValueError where it has none."""
        if self.cache is None:
            raise ValueError("the sequence is not prefilled")
        return self.cache


class TorchEngine:
    """See engine.Engine. `precision`: fp32 or bf16 for the blocks' matrices; auto is bf16 where the device has it."""

    most_open = NO_LIMIT

    def __init__(self, config: Decoder, weights: dict[str, torch.Tensor], precision: str = "auto",
                 device: str = "auto", cache_bytes: int = 1 << 30, threads: int = 0) -> None:
        self.config, self.n_ctx, self.vocab_size = config, config.n_ctx, config.vocab_size
        self.device = choose_device(device)
        self.precision = choose_precision(precision, self.device)
        torch.set_num_threads(threads or os.cpu_count() or 1)
        kind = torch.bfloat16 if self.precision == "bf16" else torch.float32
        with torch.inference_mode():
            self._forward = Forward(config, weights, kind, self.device)
        self._cache = PrefixCache(cache_bytes)
        self._adapters: dict[int, LowRank] = {}
        self._numbers = itertools.count(1)
        tokens = _CHUNK_WORK // config.matrix_numbers
        self._chunk = min(_LARGEST_CHUNK, max(BLOCK, tokens // BLOCK * BLOCK))

    def add_adapter(self, adapter: Adapter, strength: float = 1.0) -> int:
        number = next(self._numbers)
        self._adapters[number] = LowRank(self.config, adapter, strength, self.device)
        return number

    def drop_adapter(self, number: int) -> None:
        del self._adapters[number]

    def open(self, prompt: SequenceOf[int], sampling: Sampling, index: int = 0, new_tokens: SequenceOf[int] = (),
             adapter: int = 0, most_new: int = NO_LIMIT, rules: TokenRules | None = None) -> TorchSequence:
        tokens = checked_tokens(prompt, new_tokens, self.vocab_size,
                                self._adapters[adapter].rows if adapter else {})
        start = window_start(len(tokens), self.n_ctx)
        shared = self._cache.shared(tokens[start:-1], adapter)
        return TorchSequence(tokens, len(prompt), min(shared, max(0, len(prompt) - start)), sampling, index, adapter,
                             rules)

    def prefill(self, sequence: TorchSequence) -> bool:
        cache = self._take_cache(sequence)
        wanted = sequence.tokens[sequence.start:-1]  # the last token is run by `decode`, which needs its logits
        done = len(cache.tokens)
        if done < len(wanted):
            end = min(len(wanted), (done // BLOCK) * BLOCK + self._chunk)  # chunks end where blocks do
            with torch.inference_mode():
                self._forward.hidden([self._segment(sequence, wanted[done:end], done)])
        return self.ready(sequence)

    def ready(self, sequence: TorchSequence) -> bool:
        return (sequence.cache is not None and sequence.start == window_start(len(sequence.tokens), self.n_ctx)
                and len(sequence.cache.tokens) == sequence.context - 1)

    def decode(self, sequences: SequenceOf[TorchSequence]) -> list[list[Token]]:
        segments = [self._segment(sequence, sequence.tokens[-1:], sequence.context - 1) for sequence in sequences]
        tokens = []
        with torch.inference_mode():
            hidden = self._forward.hidden(segments)
            for sequence, row in zip(sequences, hidden, strict=True):
                logits = self._forward.logits(row).cpu().numpy()
                rules, before = sequence.rules, sequence.tokens[sequence.prompt_tokens:]
                token = sample(logits, sequence.tokens, sequence.sampling, sequence.index, len(before),
                               rules.allowed(before) if rules else None, rules.refused(before) if rules else None,
                               sequence.mirostat)
                tokens.append([token])
                sequence.tokens.append(token.id)
        return tokens

    def close(self, sequence: TorchSequence) -> None:
        if sequence.cache is not None:
            self._cache.release(sequence.cache)
            sequence.cache = None

    def idle(self) -> bool:
        return False

    def shrink(self) -> None:
        self._cache.shrink()
        if self.device == "cuda":
            torch.cuda.empty_cache()
        elif self.device == "mps":
            torch.mps.empty_cache()

    def cached_tokens(self) -> int:
        return self._cache.tokens()

    def logits(self, sequence: TorchSequence) -> torch.Tensor:
        """The logits [V] that would decide the next token of a prefilled sequence, which stays as it is."""
        cache, before = sequence.prefilled, list(sequence.prefilled.tokens)
        with torch.inference_mode():
            row = self._forward.hidden([self._segment(sequence, sequence.tokens[-1:], sequence.context - 1)])[0]
            cache.tokens = before
            return self._forward.logits(row)

    def _segment(self, sequence: TorchSequence, tokens: list[int], start: int) -> Segment:
        return Segment(sequence.prefilled, tokens, start, self._adapters.get(sequence.adapter))

    def _take_cache(self, sequence: TorchSequence) -> KeysValues:
        """Gives the sequence keys and values for its present window."""
        start = window_start(len(sequence.tokens), self.n_ctx)
        if sequence.cache is not None and sequence.start == start:
            return sequence.cache
        self.close(sequence)
        config = self.config
        empty = KeysValues(config.n_layer, config.n_kv_head, config.head_width, config.n_ctx, self.device,
                           sequence.adapter)
        sequence.start = start
        with torch.inference_mode():
            sequence.cache = self._cache.acquire(sequence.tokens[start:-1], empty)
        return sequence.cache


def choose_precision(name: str, device: str) -> str:
    """fp32 or bf16, as `name` asks or as suits the device."""
    if name == "auto":
        fast = (device == "cuda" and torch.cuda.get_device_capability() >= (8, 0)
                or device == "cpu" and _bf16_products())
        return "bf16" if fast else "fp32"
    if name not in ("fp32", "bf16"):
        raise UsageError(f"The precision {name} is not available; choose auto, bf16 or fp32.")
    return name


def _bf16_products() -> bool:
    """Whether this CPU multiplies bfloat16 itself; elsewhere torch emulates it, slowly."""
    return any(getattr(torch.cpu, name, lambda: False)() for name in
               ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
