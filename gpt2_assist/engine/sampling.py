"""From logits to one token. Randomness is counter-based: a function of seed, sample index and token number alone.

Float32 logits are ranked as they are: their order is that of the float64 scores, which only a shortlist needs.
Where all V weights are wanted, they are computed in place: a second array of that size costs more than its sums.
"""
import math
from collections.abc import Sequence

import numpy as np

from gpt2_assist.engine.engine import Sampling, Token

_BLOCK = 64
"""Scores of a block, whose maximum stands for them while the best are sought."""
_NUCLEUS = 64
"""So many tokens hold the share top_p of most distributions."""
_WORD = (1 << 64) - 1
_LEAST = float(np.finfo(np.float32).min)
"""A score that no token has by itself."""


def uniform(seed: int, index: int, number: int) -> float:
    """The random number in [0, 1) that decides new token `number` of sample `index`.

    The first word that the generator Philox4x64-10 (Salmon et al. 2011) gives with the key (seed, index) and the
    counter (0, 0, 0, number), in numpy's reading, which counts up before it draws.
    """
    word, second, third, fourth = 1, 0, 0, number
    for _ in range(10):
        left, right = word * 0xD2E7470EE14C6C93, third * 0xCA5A826395121157
        word, second = (right >> 64) ^ second ^ seed, right & _WORD
        third, fourth = (left >> 64) ^ fourth ^ index, left & _WORD
        seed, index = (seed + 0x9E3779B97F4A7C15) & _WORD, (index + 0xBB67AE8584CAA73B) & _WORD
    return (word >> 11) * 2.0 ** -53


def sample(logits: np.ndarray, seen: Sequence[int], sampling: Sampling, index: int, number: int,
           allowed: np.ndarray | None = None, refused: np.ndarray | None = None) -> Token:
    """The next token from its logits, float32 [V]; `seen` are the tokens that a repetition penalty counts.

    `allowed`: the only ids that may be drawn, int64 and ascending, at least one of them below V; None: all. `refused`:
    ids that are drawn only if nothing else is left.
    """
    scores = _adjusted(logits, seen, sampling)
    if refused is not None and len(refused):
        scores = scores.copy()
        scores[refused[refused < len(scores)]] = _LEAST
    if allowed is not None:
        allowed = allowed[:np.searchsorted(allowed, len(logits))]
        scores = scores[allowed]
    chosen = drawn(scores, sampling, index, number)
    return reported(chosen if allowed is None else int(allowed[chosen]), logits, sampling.logprobs)


def drawn(scores: np.ndarray, sampling: Sampling, index: int, number: int) -> int:
    """The place in `scores`, to which penalty and bias have been added, that is chosen."""
    top = float(scores.max())
    if sampling.temperature == 0 or not math.isfinite(top / sampling.temperature):
        return int(scores.argmax())  # of equals the lowest id
    places, weights = _filtered(scores, top, sampling)
    edges = np.cumsum(weights, out=weights)
    edge = edges.searchsorted(uniform(sampling.seed, index, number) * edges[-1], side="right")
    return int(places[min(int(edge), len(places) - 1)])


def _adjusted(logits: np.ndarray, seen: Sequence[int], sampling: Sampling) -> np.ndarray:
    """Scores [V] after repetition penalty and bias: float64, or the logits themselves where there is neither."""
    penalty = sampling.repetition_penalty
    penalised = penalty != 1.0 and len(seen) > 0
    if not penalised and not sampling.logit_bias:
        return logits
    scores = logits.astype(np.float64)
    if penalised:
        repeated = np.fromiter(set(seen), np.int64)
        repeated = repeated[repeated < len(scores)]
        values = scores[repeated]
        scores[repeated] = np.where(values > 0, values / penalty, values * penalty)
    for token, bias in sampling.logit_bias.items():
        if token < len(scores):
            scores[token] += bias
    return scores


def _filtered(scores: np.ndarray, top: float, sampling: Sampling) -> tuple[Sequence[int] | np.ndarray, np.ndarray]:
    """(places, weights): where the scores stand that may be drawn, and their relative weights; `top` is the highest.

    With top_k or top_p by falling score and then by place, else by place.
    """
    temperature, top_p, min_p = sampling.temperature, sampling.top_p, sampling.min_p
    if sampling.top_k:
        places = _best(scores, min(sampling.top_k, len(scores)))
        weights = _weights(scores[places], top, temperature)
        if top_p < 1:
            count = _nucleus_size(weights, weights.cumsum(), top_p * weights.sum())
            places, weights = places[:count], weights[:count]
    elif top_p < 1:
        places, weights = _nucleus(scores, _weights(scores, top, temperature), top_p)
    elif min_p > 0:
        places = np.flatnonzero(scores >= _lowest(top, temperature, min_p))
        weights = _weights(scores[places], top, temperature)
    else:
        return range(len(scores)), _weights(scores, top, temperature)
    if min_p > 0:
        likely = weights >= min_p  # the likeliest token has weight 1
        places, weights = places[likely], weights[likely]
    return places, weights


def _weights(scores: np.ndarray, top: float, temperature: float) -> np.ndarray:
    """exp(scores / temperature), scaled so that `top` gives 1, in float64."""
    weights = scores.astype(np.float64)
    weights /= temperature
    weights -= top / temperature
    return np.exp(weights, out=weights)


def _nucleus(scores: np.ndarray, weights: np.ndarray, top_p: float) -> tuple[np.ndarray, np.ndarray]:
    """The fewest best places whose weights hold the share `top_p` of all, and their weights."""
    total = weights.sum()
    places = _best(scores, min(_NUCLEUS, len(scores)))
    edges = weights[places].cumsum()
    if edges[-1] < top_p * total:
        # What is lighter holds less than half of the share 1 - top_p, all together.
        places = np.flatnonzero(weights >= (1 - top_p) / 2 * total / len(weights))
        places = _ranked(scores, places)
        edges = weights[places].cumsum()
    places = places[:_nucleus_size(weights[places], edges, top_p * total)]
    return places, weights[places]


def _nucleus_size(weights: np.ndarray, edges: np.ndarray, wanted: float) -> int:
    """How many of the best weights hold `wanted`, one at least; `edges` are their cumulative sums."""
    return max(1, int(np.count_nonzero(edges - weights < wanted)))


def _lowest(top: float, temperature: float, min_p: float) -> float:
    """A score that is below all whose weights are min_p or more, by a little, whatever was rounded."""
    reach = -temperature * math.log(min_p)
    return top - reach - 1e-6 * (abs(top) + reach) - 1e-12 * temperature


def _best(scores: np.ndarray, count: int) -> np.ndarray:
    """The places of the `count` highest scores, best first, of equals the lowest place first.

    At least `count` scores are as high as the count-th highest maximum of disjoint blocks: few others pass it.
    """
    if count >= len(scores):
        return _ranked(scores, np.arange(len(scores)))
    blocks = len(scores) // _BLOCK
    # A block is a column: numpy takes the maxima of columns ten times as fast as those of rows.
    few = scores[:blocks * _BLOCK].reshape(_BLOCK, blocks).max(axis=0) if count <= blocks else scores
    bound = np.partition(few, len(few) - count)[len(few) - count]
    return _ranked(scores, np.flatnonzero(scores >= bound))[:count]


def _ranked(scores: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Ascending `places` by falling score and then by place."""
    return places[np.argsort(-scores[places], kind="stable")]


def reported(chosen: int, logits: np.ndarray, best: int | None) -> Token:
    """A chosen token with the log-probabilities that are asked for."""
    if best is None:
        return Token(chosen)
    top = float(logits.max())
    norm = top + math.log(_weights(logits, top, 1.0).sum())
    ids = _best(logits, min(best, len(logits))) if best else []
    return Token(chosen, float(logits[chosen]) - norm, tuple((int(id), float(logits[id]) - norm) for id in ids))
