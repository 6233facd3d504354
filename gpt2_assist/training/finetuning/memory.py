"""How much memory a training needs, beforehand, and how much there is."""
from dataclasses import replace

import torch

from gpt2_assist import free_memory
from gpt2_assist.architectures.description import Decoder
from gpt2_assist.training.finetuning.settings import FULL, FinetuneSettings
from gpt2_assist.training.loss import ROWS

_WIDTH, _HEADS, _INNER, _GATED = 31, 10, 4, 8
"""Bytes that a block keeps for the backward pass in bf16, per token: by unit of width (norms, what goes on to the next
block, and what the allocator loses), of attention, and of the inner part without and with gates. Measured on GPT-2 124M
and SmolLM2-135M."""
_PROGRAM = 350 << 20
"""Python, torch and what the products need besides."""
_SHARED_UP_TO = 32_000_000
"""Trained parameters up to which each core has gradients of its own."""


def trained_parameters(config: Decoder, settings: FinetuneSettings) -> int:
    if settings.method == FULL:
        return config.parameters()
    shapes = config.shapes()
    return settings.rank * sum(sum(shape) for name, shape in shapes.items()
                               if name.endswith(".weight") and any(name.endswith(f".{target}.weight")
                                                                   for target in settings.targets))


def sharing(config: Decoder, settings: FinetuneSettings, threads: int) -> int:
    """How many threads of a CPU take a part of the rows each, with gradients of their own; 1: all work at one part."""
    small = trained_parameters(config, settings) <= _SHARED_UP_TO
    return threads if small and settings.micro_rows >= threads else 1


def needed_bytes(config: Decoder, settings: FinetuneSettings, threads: int) -> int:
    """At the peak of a step, about."""
    parts = sharing(config, settings, threads)
    size, trained = config.parameters(), trained_parameters(config, settings)
    narrow = 2 if settings.precision == "bf16" else 4
    head = config.vocab_size * config.n_embd
    weights = (4 + narrow % 4) * size if settings.method == FULL else narrow * size
    learning = (8 + 4 * parts) * trained + (8 * head if settings.method == FULL else 0)
    tokens = settings.micro_rows * settings.context
    block = _block_bytes(config) * tokens * narrow // 2
    kept = block + 4 * config.n_embd * tokens * config.n_layer if settings.recompute else block * config.n_layer
    loss = min(parts * ROWS, tokens) * config.vocab_size * narrow
    return weights + learning + kept + loss + _PROGRAM


def _block_bytes(config: Decoder) -> int:
    inner = _GATED if config.gated else _INNER
    return _WIDTH * config.n_embd + _HEADS * config.attention_width + inner * config.n_inner


def fitting(settings: FinetuneSettings, asked: FinetuneSettings, config: Decoder, threads: int,
            there: int) -> FinetuneSettings:
    """`settings`, where need be with fewer rows at once or with activations computed twice, so that a step takes about
    half of the memory that is `there`: the rest is for the estimate's error and for other programs. Many rows at once
    are little quicker. What was asked for stays."""
    while needed_bytes(config, settings, threads) > there // 2:
        if settings.micro_rows > 1 and not asked.micro_rows:
            settings = replace(settings, micro_rows=settings.micro_rows // 2)
        elif not settings.recompute:
            settings = replace(settings, recompute=True)
        else:
            break
    return settings


def available_bytes(device: str = "cpu") -> int:
    """What this process may take: of the graphics card, of the machine, or of the container that it is in."""
    if device == "cuda":
        return torch.cuda.mem_get_info()[0]
    return free_memory.available_bytes()
