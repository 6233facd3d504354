"""What a step is told of each of its rows, as the kernels read it: a table of 32-bit numbers."""
import numpy as np

from gpt2_assist.engine.engine import Sampling
from gpt2_assist.engine.pages import BLOCK

(TOKEN, POSITION, ADAPTER, INDEX, NUMBER, SEED_LOW, SEED_HIGH, TOP_K, BEST, FLAGS, TEMPERATURE, TOP_P, MIN_P, PENALTY,
 FILTERING, STEP) = range(16)
FIELDS = 16
"""Numbers of a row. TEMPERATURE, TOP_P, MIN_P, PENALTY and FILTERING are the bits of a float32. A row with POSITION -1
is none. NUMBER: of the new token that the row decides. STEP: how many tokens the row has decided since it was told of.
FILTERING: the temperature at which the filters see chances."""
PENALISED, BIASED = 1, 2
"""Bits of FLAGS: whether the row's tokens seen so far count, whether it has scores to be added."""
MOST_BEST = 20
"""Likeliest tokens that a row can report. BEST: 0 for no log-probabilities, else one more than how many tokens."""


class RowTable:
    """On the host: `fields` [rows, FIELDS] and `pages` [tables, pages of a window], both int32. What the kernels trust
    is checked here."""

    def __init__(self, fields: np.ndarray, pages: np.ndarray, n_ctx: int, vocab_size: int, pool_pages: int) -> None:
        self.fields, self.pages = fields, pages
        self._n_ctx, self._vocab_size, self._pool_pages = n_ctx, vocab_size, pool_pages
        self.clear()

    def clear(self) -> None:
        self.fields[:] = 0
        self.fields[:, POSITION] = -1

    def put(self, row: int, tokens: list[int], start: int, adapter: int) -> None:
        """Rows from `row` on: tokens at positions from `start` on. Raises ValueError where the model has none such."""
        if not 0 <= start <= self._n_ctx - len(tokens) or row + len(tokens) > len(self.fields):
            raise ValueError("rows past the window or the step")
        rows = self.fields[row:row + len(tokens)]
        rows[:, TOKEN] = tokens
        if rows[:, TOKEN].min() < 0 or rows[:, TOKEN].max() >= self._vocab_size:
            raise ValueError("a token that the model doesn't have")
        rows[:, POSITION] = np.arange(start, start + len(tokens))
        rows[:, ADAPTER] = adapter

    def put_pages(self, table: int, pages: np.ndarray, positions: int) -> None:
        """The pages of a window. Raises ValueError where they don't hold so many positions, or are none of the pool."""
        if len(pages) * BLOCK < positions or (pages.min() < 0 or pages.max() >= self._pool_pages):
            raise ValueError("pages that don't hold the window")
        self.pages[table, :len(pages)] = pages
        self.pages[table, len(pages):] = 0

    def put_sampling(self, row: int, sampling: Sampling, index: int, number: int, flags: int) -> None:
        """How the row's next token is chosen, as far as the kernels know."""
        fields, steps = self.fields[row], sampling.steps
        seed = sampling.seed & (1 << 64) - 1
        fields[INDEX], fields[NUMBER], fields[FLAGS] = index, number, flags
        fields[SEED_LOW:SEED_HIGH + 1] = np.array([seed], np.uint64).view(np.int32)
        fields[TOP_K] = min(sampling.top_k, self._vocab_size) if "top_k" in steps else 0
        fields[BEST] = 0 if sampling.logprobs is None else 1 + min(sampling.logprobs, self._vocab_size, MOST_BEST)
        temperature = sampling.temperature_of(number)
        top_p, min_p = sampling.top_p if "top_p" in steps else 1.0, sampling.min_p if "min_p" in steps else 0.0
        filtering = temperature if sampling.filtered_hot else 1.0
        numbers = [temperature, top_p, min_p, sampling.repetition_penalty, filtering]
        fields[TEMPERATURE:FILTERING + 1] = np.array(numbers, np.float32).view(np.int32)
