"""How much memory a worker gives to the keys and values of earlier texts, where the user doesn't say it."""
from gpt2_assist.architectures.description import Decoder

CONTEXTS, FEWEST = 8, 2
"""Whole ones that there is room for: of as many texts as one works on, and of one text with its next window."""
_SHARE = 8
"""The part of the free memory that is taken at most, for more than the fewest."""


def chosen_bytes(config: Decoder, free: int) -> int:
    """By the model, in bfloat16, and by the machine's `free` memory, in bytes."""
    context = 2 * 2 * config.n_layer * config.kv_width * config.n_ctx
    return max(FEWEST * context, min(CONTEXTS * context, free // _SHARE))
