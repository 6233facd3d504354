"""The samplers: each changes the scores of the tokens that are left to draw from, or leaves fewer of them.

Names, order and formulas are llama.cpp's, where it has them. Scores are divided by a temperature when chances are asked
for, never before: float32 logits are ranked as they are, their order is that of the float64 scores, which only a
shortlist needs. Where all V chances are wanted, they are computed in place: a second array of that size costs more
than its sums.
"""
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gpt2_assist.engine import dry
from gpt2_assist.engine.randomness import CHANCE, uniform
from gpt2_assist.engine.settings import Sampling

_BLOCK = 64
"""Scores of a block, whose maximum stands for them while the best are sought."""
_NUCLEUS = 64
"""So many tokens hold the share top_p of most distributions."""
_TYPICAL = 1024
"""So many of the most typical tokens hold the share typical_p of most distributions."""
_OUT_OF_REACH = 100.0
"""So far below the best a score is one of a token that was refused or penalised, and none of the model's noise."""


@dataclass(frozen=True)
class Draw:
    """Which token is chosen: new token `number` of sample `index`, behind the tokens `seen`."""

    sampling: Sampling
    seen: Sequence[int]
    index: int
    number: int


class Left:
    """The tokens that are left: their scores, float32 or float64 [n], in the order in which they are drawn from: by id
    until a sampler ranks them. `ranked`: the best is the first."""

    def __init__(self, scores: np.ndarray, ids: np.ndarray | None = None) -> None:
        """`ids`: int64 and ascending; None: the places in `scores`, which are not changed while they are float32."""
        self.scores, self.ids = scores, ids
        self.temperature, self.ranked = 1.0, False

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def top(self) -> float:
        """The highest score."""
        return float(self.scores[0] if self.ranked else self.scores.max())

    def id(self, place: int) -> int:
        return place if self.ids is None else int(self.ids[place])

    def keep(self, which: np.ndarray) -> None:
        """Leaves those at these places, or where this is true."""
        if self.ids is None:
            self.ids = np.flatnonzero(which) if which.dtype == bool else which
        else:
            self.ids = self.ids[which]
        self.scores = self.scores[which]

    def places(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(places, which): where those of `ids` stand that are left, and which ones of `ids` these are."""
        if self.ids is None:
            which = np.flatnonzero(ids < len(self.scores))
            return ids[which], which
        _, places, which = np.intersect1d(self.ids, ids, assume_unique=True, return_indices=True)
        return places, which

    def changeable(self) -> np.ndarray:
        """The scores in float64, to be changed."""
        if self.scores.dtype != np.float64:
            self.scores = self.scores.astype(np.float64)
        self.ranked = False
        return self.scores

    def weights(self) -> np.ndarray:
        """exp(score / temperature), scaled so that the best has 1, in float64; where numbers don't reach, the first of
        the best has 1 and the others 0."""
        top = self.top
        if self.temperature == 0 or not math.isfinite(top / self.temperature):
            weights = np.zeros(len(self))
            weights[self.scores.argmax()] = 1.0
            return weights
        return weights_of(self.scores, top, self.temperature)


def weights_of(scores: np.ndarray, top: float, temperature: float) -> np.ndarray:
    """exp(scores / temperature), scaled so that `top` gives 1, in float64."""
    weights = scores.astype(np.float64)
    weights /= temperature
    weights -= top / temperature
    return np.exp(weights, out=weights)


def _penalties(left: Left, draw: Draw) -> None:
    """Tokens that were seen are less likely by the factor repetition_penalty (CTRL, Keskar et al. 2019)."""
    penalty, scores = draw.sampling.repetition_penalty, left.changeable()
    places, _ = left.places(np.fromiter(set(draw.seen), np.int64))
    values = scores[places]
    scores[places] = np.where(values > 0, values / penalty, values * penalty)


def _bias(left: Left, draw: Draw) -> None:
    biases = draw.sampling.logit_bias
    scores = left.changeable()
    places, which = left.places(np.fromiter(biases, np.int64, len(biases)))
    scores[places] += np.fromiter(biases.values(), np.float64, len(biases))[which]


def _dry(left: Left, draw: Draw) -> None:
    """See engine/dry.py."""
    ids, taken = dry.penalties(draw.seen, draw.sampling)
    if len(ids):
        scores = left.changeable()
        places, which = left.places(ids)
        scores[places] -= taken[which] * left.temperature


def _top_n_sigma(left: Left, draw: Draw) -> None:
    """Scores lower than the best by more than so many standard deviations go (Tang et al. 2024). What is out of reach
    counts for none."""
    top = left.top
    scores = left.scores.astype(np.float64)
    reached = scores[scores >= top - _OUT_OF_REACH]
    left.keep(scores >= top - draw.sampling.top_n_sigma * reached.std())


def _top_k(left: Left, draw: Draw) -> None:
    left.keep(best(left.scores, min(draw.sampling.top_k, len(left))))
    left.ranked = True


def _typical_p(left: Left, draw: Draw) -> None:
    """The tokens that are as surprising as is to be expected, which hold a little more than the share p (locally
    typical sampling, Meister et al. 2022)."""
    typical_p, chances = draw.sampling.typical_p, left.weights()
    chances /= chances.sum()
    with np.errstate(divide="ignore"):
        surprises = -np.log(chances)
    far = np.abs(surprises - _entropy(chances))
    near = np.arange(len(far))
    if len(far) > _TYPICAL:
        few = np.flatnonzero(far <= np.partition(far, _TYPICAL)[_TYPICAL])
        near = few if chances[few].sum() > typical_p else near
    order = near[np.argsort(far[near], kind="stable")]
    count = np.searchsorted(chances[order].cumsum(), typical_p, side="right") + 1
    left.keep(np.sort(order[:count]))


def _top_p(left: Left, draw: Draw) -> None:
    """The fewest best tokens that hold the share p of all (nucleus sampling, Holtzman et al. 2019)."""
    top_p, weights = draw.sampling.top_p, left.weights()
    if left.ranked:
        count = _nucleus_size(weights, weights.cumsum(), top_p * weights.sum())
        left.keep(np.arange(count))
    else:
        left.keep(_nucleus(left.scores, weights, top_p))
        left.ranked = True


def _min_p(left: Left, draw: Draw) -> None:
    min_p = draw.sampling.min_p
    if not left.ranked and left.temperature > 0:
        left.keep(left.scores >= _lowest(left.top, left.temperature, min_p))
    left.keep(left.weights() >= min_p)  # the likeliest token has weight 1


def _xtc(left: Left, draw: Draw) -> None:
    """Exclude top choices (p-e-w 2024): now and then all tokens go that are as likely as the threshold, but for the
    least likely one of them and those that are spared."""
    sampling = draw.sampling
    if uniform(sampling.seed, draw.index, draw.number, CHANCE) >= sampling.xtc_probability:
        return
    weights = left.weights()
    viable = np.flatnonzero(weights >= sampling.xtc_threshold * weights.sum())
    viable = np.array([place for place in viable.tolist() if left.id(place) not in sampling.xtc_spared], np.int64)
    if len(viable) > 1:
        least = len(viable) - 1 - int(left.scores[viable][::-1].argmin())
        which = np.ones(len(left), bool)
        which[np.delete(viable, least)] = False
        left.keep(which)


def _temperature(left: Left, draw: Draw) -> None:
    """The text's temperature, or, where it is dynamic, one between its ends: the higher, the less sure the model is
    (kalomaze 2023)."""
    sampling, temperature = draw.sampling, draw.sampling.temperature_of(draw.number)
    if sampling.dynatemp_range > 0 and len(left) > 1:
        chances = left.weights()
        chances /= chances.sum()
        unsure = min(1.0, _entropy(chances) / math.log(len(left)))
        lowest = max(0.0, temperature - sampling.dynatemp_range)
        highest = temperature + sampling.dynatemp_range
        temperature = lowest + (highest - lowest) * unsure ** sampling.dynatemp_exponent
    left.temperature = temperature


SAMPLERS: dict[str, Callable[[Left, Draw], None]] = {
    "penalties": _penalties, "logit_bias": _bias, "dry": _dry, "top_n_sigma": _top_n_sigma, "top_k": _top_k,
    "typical_p": _typical_p, "top_p": _top_p, "min_p": _min_p, "xtc": _xtc, "temperature": _temperature}
"""The names of Sampling.steps."""


class Mirostat:
    """Mirostat 2 (Basu et al. 2021) of one sample: tokens are drawn from those that surprise less than a bound, which
    follows how much those that came did, so that a text surprises by `tau` bits a token."""

    def __init__(self, sampling: Sampling) -> None:
        self._tau, self._eta = sampling.mirostat_tau, sampling.mirostat_eta
        self.most = 2 * self._tau
        """The bound, in bits."""

    def narrow(self, left: Left) -> None:
        """Leaves what may be drawn, one token at least."""
        weights = left.weights()
        with np.errstate(divide="ignore"):
            near = -np.log2(weights / weights.sum()) <= self.most
        near[left.scores.argmax()] = True
        left.keep(near)

    def drawn(self, left: Left, place: int) -> None:
        """Hears which of those came."""
        weights = left.weights()
        self.most -= self._eta * (math.log2(weights.sum() / weights[place]) - self._tau)


def mirostat_of(sampling: Sampling, new_tokens: Sequence[int] = ()) -> Mirostat | None:
    """A sample's, if it has one. Raises ValueError where it can't: see engine.Engine.open."""
    if sampling.mirostat_tau <= 0:
        return None
    if new_tokens:
        raise ValueError("mirostat can't go on behind tokens whose chances it doesn't know")
    return Mirostat(sampling)


def _entropy(chances: np.ndarray) -> float:
    """In nats."""
    some = chances[chances > 0]
    return float(-(some * np.log(some)).sum())


def _nucleus(scores: np.ndarray, weights: np.ndarray, top_p: float) -> np.ndarray:
    """The fewest best places whose weights hold the share `top_p` of all."""
    total = weights.sum()
    places = best(scores, min(_NUCLEUS, len(scores)))
    edges = weights[places].cumsum()
    if edges[-1] < top_p * total:
        # What is lighter holds less than half of the share 1 - top_p, all together.
        places = np.flatnonzero(weights >= (1 - top_p) / 2 * total / len(weights))
        places = _ranked(scores, places)
        edges = weights[places].cumsum()
    return places[:_nucleus_size(weights[places], edges, top_p * total)]


def _nucleus_size(weights: np.ndarray, edges: np.ndarray, wanted: float) -> int:
    """How many of the best weights hold `wanted`, one at least; `edges` are their cumulative sums."""
    return max(1, int(np.count_nonzero(edges - weights < wanted)))


def _lowest(top: float, temperature: float, min_p: float) -> float:
    """A score that is below all whose weights are min_p or more, by a little, whatever was rounded."""
    reach = -temperature * math.log(min_p)
    return top - reach - 1e-6 * (abs(top) + reach) - 1e-12 * temperature


def best(scores: np.ndarray, count: int) -> np.ndarray:
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
