"""How much memory a worker gives to the keys and values of earlier texts, where the user doesn't say it."""
from gpt2_assist.architectures.description import Decoder
from gpt2_assist.engine.pages import BLOCK
from gpt2_assist.model.packing import padded

CONTEXTS, FEWEST = 8, 2
"""Whole ones that there is room for: of as many texts as one works on, and of one text with its next window."""
_SHARE = 8
"""The part of the free memory that is taken at most, for more than the fewest."""


def chosen_bytes(config: Decoder, free: int) -> int:
    """By the model, in bfloat16, and by the machine's `free` memory, in bytes. A head takes whole vectors and a context
    whole pages, as on the CPU."""
    head = padded(config.head_width, 16)
    context = 2 * 2 * config.n_layer * config.n_kv_head * head * padded(config.n_ctx, BLOCK)
    return max(FEWEST * context, min(CONTEXTS * context, free // _SHARE))
