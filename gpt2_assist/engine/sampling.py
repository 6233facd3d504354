"""From logits to one token. Randomness is counter-based: a function of seed, sample index and token number alone."""
import math
from collections.abc import Sequence

import numpy as np

from gpt2_assist.engine.engine import Sampling, Token

_SHORTLIST = 1024


def uniform(seed: int, index: int, number: int) -> float:
    """The random number in [0, 1) that decides new token `number` of sample `index`."""
    bits = np.random.Philox(key=[seed, index], counter=[0, 0, 0, number]).random_raw()
    return (int(bits) >> 11) * 2.0 ** -53


def sample(logits: np.ndarray, seen: Sequence[int], sampling: Sampling, index: int, number: int) -> Token:
    """The next token from its logits, float32 [V]; `seen` are the tokens that a repetition penalty counts."""
    scores = logits.astype(np.float64)
    if sampling.repetition_penalty != 1.0 and len(seen):
        repeated = np.unique(np.asarray(seen))
        values = scores[repeated]
        scores[repeated] = np.where(values > 0, values / sampling.repetition_penalty,
                                    values * sampling.repetition_penalty)
    for token, bias in sampling.logit_bias.items():
        if token < len(scores):
            scores[token] += bias
    if sampling.temperature == 0:
        chosen = int(scores.argmax())  # of equals the lowest id
    else:
        ids, weights = _filtered(scores / sampling.temperature, sampling)
        edges = weights.cumsum()
        place = int(np.searchsorted(edges, uniform(sampling.seed, index, number) * edges[-1], side="right"))
        chosen = int(ids[min(place, len(ids) - 1)])
    return _token(chosen, logits, sampling.logprobs)


def _filtered(scores: np.ndarray, sampling: Sampling) -> tuple[np.ndarray, np.ndarray]:
    """(ids, weights): the tokens that may be drawn, by falling score and then by id, and their relative weights."""
    weights = np.exp(scores - scores.max())
    if sampling.top_k:
        ids = _best(scores, min(sampling.top_k, len(scores)))
    elif sampling.top_p < 1:
        ids = _best(scores, min(_SHORTLIST, len(scores)))
        if weights[ids].sum() < sampling.top_p * weights.sum():
            ids = _best(scores, len(scores))
    else:
        ids = np.arange(len(scores))
    if sampling.top_p < 1:
        total = weights[ids].sum() if sampling.top_k else weights.sum()
        before = weights[ids].cumsum() - weights[ids]
        ids = ids[:max(1, int((before < sampling.top_p * total).sum()))]
    if sampling.min_p > 0:
        ids = ids[weights[ids] >= sampling.min_p]  # the likeliest token has weight 1
    return ids, weights[ids]


def _best(scores: np.ndarray, count: int) -> np.ndarray:
    """The ids of the `count` highest scores, best first, of equals the lowest id first."""
    if count < len(scores):
        threshold = np.partition(scores, len(scores) - count)[len(scores) - count]
        ids = np.flatnonzero(scores >= threshold)
    else:
        ids = np.arange(len(scores))
    return ids[np.argsort(-scores[ids], kind="stable")][:count]


def _token(chosen: int, logits: np.ndarray, best: int | None) -> Token:
    if best is None:
        return Token(chosen)
    wide = logits.astype(np.float64)
    norm = wide.max() + math.log(np.exp(wide - wide.max()).sum())
    ids = _best(wide, min(best, len(wide))) if best else []
    return Token(chosen, float(wide[chosen] - norm), tuple((int(id), float(wide[id] - norm)) for id in ids))
