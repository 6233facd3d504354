"""What of the card's memory a model gets, decided before anything is loaded."""
import math
from dataclasses import dataclass, replace

import torch

from gpt2_assist.architectures.description import Decoder
from gpt2_assist.engine.cuda import shapes
from gpt2_assist.engine.cuda.pool import page_bytes
from gpt2_assist.engine.cuda.step import kept_apart
from gpt2_assist.engine.cuda.weights import KINDS
from gpt2_assist.engine.pages import BLOCK
from gpt2_assist.errors import ModelError

_OPEN, _LEAST_OPEN = 16, 2
"""Texts that can be in work at a time, each with a whole window's pages."""
_SPARE = 512 << 20
"""For what CUDA, the graphs and the desktop take."""


@dataclass(frozen=True)
class Budget:
    """`weights` and `work` in bytes; `limit` and `capacity` in pages, see pool.DevicePages."""

    weights: int
    work: int
    limit: int
    capacity: int


def budget(config: Decoder, precision: str, device: str, cache_bytes: int, loaded: bool = False) -> Budget:
    """`loaded`: the weights are there already. Raises ModelError where the model doesn't fit what is free."""
    page = page_bytes(config, KINDS[precision])
    window = -(-config.n_ctx // BLOCK)
    wanted = Budget(_weights(config, precision), _work(config, precision), cache_bytes // page,
                  cache_bytes // page + _OPEN * window)
    if device != "cuda":
        return wanted
    torch.cuda.empty_cache()  # what loading took for a moment
    free, _ = torch.cuda.mem_get_info()
    return fitted(replace(wanted, weights=0) if loaded else wanted, page, window, free)


def fitted(wanted: Budget, page: int, window: int, free: int) -> Budget:
    """The plan with as many pages as `free` bytes allow. Raises ModelError where that are too few."""
    room = (free - wanted.weights - wanted.work - _SPARE) // page
    if room < _LEAST_OPEN * window:
        needed = wanted.weights + wanted.work + _SPARE + _LEAST_OPEN * window * page
        raise ModelError(f"The model wants {needed / 1e9:.1f} GB of the graphics card's memory, of which "
                         f"{free / 1e9:.1f} GB are free; choose --precision int8, a smaller model or --device cpu.")
    capacity = min(wanted.capacity, room)
    return Budget(wanted.weights, wanted.work, max(0, min(wanted.limit, capacity - _LEAST_OPEN * window)), capacity)


def _weights(config: Decoder, precision: str) -> int:
    """What weights.Weights holds."""
    a_weight = 1 if precision == "int8" else KINDS[precision].itemsize
    total = 0
    for name, shape in config.shapes().items():
        numbers = math.prod(shape)
        if len(shape) == 1 or name == "positions.weight":
            total += 4 * numbers
        else:
            total += a_weight * numbers + (4 * max(shape) if precision == "int8" else 0)
    return total + (4 * config.n_ctx * config.head_width if config.positions == "rotary" else 0)


def _work(config: Decoder, precision: str) -> int:
    """What step.Step holds."""
    rows, splits = shapes.CHUNKS[-1] + shapes.MOST_ROWS, -(-config.n_ctx // shapes.KEYS)
    a_number = KINDS[precision].itemsize
    a_row = (config.attention_width * (4 * splits + a_number) + config.n_inner * a_number + config.n_embd * 4 * 8
             + splits * config.n_head * 8)
    if kept_apart(config):
        a_row += 4 * (config.attention_width + 2 * config.kv_width)
    return rows * a_row + shapes.MOST_ROWS * config.vocab_size * 13
