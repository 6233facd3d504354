"""How well a model predicts held-out text: bits per byte, comparable across tokenizers."""
import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from gpt2_assist.model.transformer import Transformer

_WINDOW = 1024
"""Tokens, at most: what is further away helps little, and costs much."""


@torch.no_grad()
def bits_per_byte(model: Transformer, documents: list[np.ndarray], byte_counts: list[int],
                  given: Sequence[int] = ()) -> float:
    """Over documents of token ids, each ending with the separator; byte_counts are of the text without it. `given`: how
    many tokens at each one's beginning are marks that cost nothing and are no text; by default none.

    A document longer than the window is read in windows that overlap by half, so that every token but the first
    ones has at least half a window before it. The separator starts each document and its cost is counted.
    """
    nats = 0.0
    for ids, marks in zip(documents, given or [0] * len(documents)):
        nats += _document_nats(model, np.concatenate([ids[-1:], ids]).astype(np.int64), 1 + marks)
    return nats / math.log(2) / max(1, sum(byte_counts))


def _document_nats(model: Transformer, ids: np.ndarray, scored: int) -> float:
    """Of all but the first `scored` ids, which are given."""
    window = min(model.config.n_ctx, _WINDOW)
    nats, first = 0.0, scored
    while scored < len(ids):
        start = 0 if scored == first else scored - window // 2
        piece = torch.from_numpy(ids[start:start + window + 1])
        hidden = model.hidden(piece[None, :-1])[0, scored - 1 - start:]
        targets = piece[scored - start:]
        for chunk, target in zip(hidden.split(256), targets.split(256)):
            nats += F.cross_entropy(F.linear(chunk, model.head_weight).float(), target, reduction="sum").item()
        scored = start + len(piece)
    return nats
