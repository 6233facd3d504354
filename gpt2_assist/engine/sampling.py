"""From logits to one token, by the samplers that a sequence's settings name."""
import math
from collections.abc import Sequence

import numpy as np

from gpt2_assist.engine.engine import Token
from gpt2_assist.engine.randomness import uniform
from gpt2_assist.engine.samplers import SAMPLERS, Draw, Left, Mirostat, best, weights_of
from gpt2_assist.engine.settings import Sampling

_LEAST = float(np.finfo(np.float32).min)
"""A score that no token has by itself."""


def sample(logits: np.ndarray, seen: Sequence[int], sampling: Sampling, index: int, number: int,
           allowed: np.ndarray | None = None, refused: np.ndarray | None = None,
           mirostat: Mirostat | None = None) -> Token:
    """The next token from its logits, float32 [V]; `seen` are the tokens before it, of prompt and text.

    `allowed`: the only ids that may be drawn, int64 and ascending, at least one of them below V; None: all. `refused`:
    ids that are drawn only if nothing else is left. `mirostat`: the sample's own, which hears of each token in turn.
    """
    scores = logits
    if refused is not None and len(refused):
        scores = logits.copy()
        scores[refused[refused < len(scores)]] = _LEAST
    left = Left(scores)
    if allowed is not None:
        left.keep(allowed[:np.searchsorted(allowed, len(logits))])
    chosen = _drawn(left, Draw(sampling, seen, index, number), sampling.steps, mirostat)
    return reported(chosen, logits, sampling.logprobs)


def drawn(scores: np.ndarray, sampling: Sampling, index: int, number: int) -> int:
    """The token that is chosen by scores [V] to which penalties and bias have been added."""
    return _drawn(Left(scores), Draw(sampling, (), index, number), sampling.filtering, None)


def _drawn(left: Left, draw: Draw, steps: Sequence[str], mirostat: Mirostat | None) -> int:
    sampling = draw.sampling
    greedy = sampling.temperature_of(draw.number) == 0 or not math.isfinite(left.top)
    for name in steps:
        if not greedy or name in sampling.scoring:
            SAMPLERS[name](left, draw)
    if greedy:
        return left.id(int(left.scores.argmax()))  # of equals the lowest id
    if mirostat:
        mirostat.narrow(left)
    weights = left.weights()
    edges = np.cumsum(weights, out=weights)
    edge = edges.searchsorted(uniform(sampling.seed, draw.index, draw.number) * edges[-1], side="right")
    place = min(int(edge), len(left) - 1)
    if mirostat:
        mirostat.drawn(left, place)
    return left.id(place)


def reported(chosen: int, logits: np.ndarray, wanted: int | None) -> Token:
    """A chosen token with the log-probabilities that are asked for."""
    if wanted is None:
        return Token(chosen)
    top = float(logits.max())
    norm = top + math.log(weights_of(logits, top, 1.0).sum())
    ids = best(logits, min(wanted, len(logits))) if wanted else []
    return Token(chosen, float(logits[chosen]) - norm, tuple((int(id), float(logits[id]) - norm) for id in ids))
