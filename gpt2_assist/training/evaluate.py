"""How well a model predicts held-out text: bits per byte, comparable across tokenizers."""
import math

import numpy as np
import torch
import torch.nn.functional as F

from gpt2_assist.model.transformer import Transformer


@torch.no_grad()
def bits_per_byte(model: Transformer, documents: list[np.ndarray], byte_counts: list[int]) -> float:
    """Over documents of token ids, each ending with the separator; byte_counts are of the text without it.

    A document longer than the context is read in windows that overlap by half, so that every token but the first
    ones has at least half a context before it. The separator starts each document and its cost is counted.
    """
    nats = 0.0
    for ids in documents:
        nats += _document_nats(model, np.concatenate([ids[-1:], ids]).astype(np.int64))
    return nats / math.log(2) / max(1, sum(byte_counts))


def _document_nats(model: Transformer, ids: np.ndarray) -> float:
    window, half = model.config.n_ctx, model.config.n_ctx // 2
    nats, scored = 0.0, 1  # ids[0] is given
    while scored < len(ids):
        start = 0 if scored == 1 else scored - half
        piece = torch.from_numpy(ids[start:start + window + 1])
        hidden = model.hidden(piece[None, :-1])[0, scored - 1 - start:]
        targets = piece[scored - start:]
        for chunk, target in zip(hidden.split(256), targets.split(256)):
            nats += F.cross_entropy(F.linear(chunk, model.head_weight).float(), target, reduction="sum").item()
        scored = start + len(piece)
    return nats
