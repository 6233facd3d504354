"""The samplers as one would write them down: everything sorted, everything summed, one token after the other."""
import numpy as np

from gpt2_assist.engine.engine import Sampling
from gpt2_assist.engine.sampling import uniform

FARTHEST = 100.0
"""Below the best: what is farther was refused or penalised, and counts for no deviation."""


def plain_sample(logits, seen, sampling: Sampling, index: int, number: int, allowed=None, mirostat=None) -> int:
    """The token that is drawn; `mirostat` is a list of one number, the bound of surprise, which changes."""
    ids = list(range(len(logits)) if allowed is None else allowed)
    chances, greedy = plain_chances(ids, [float(logits[id]) for id in ids], seen, sampling, index, number)
    if greedy is not None:
        return greedy
    if mirostat:
        chances = _narrowed(chances, mirostat[0])
    edge = uniform(sampling.seed, index, number) * sum(chances.values())
    for id in chances:
        edge -= chances[id]
        if edge < 0:
            break
    if mirostat:
        mirostat[0] -= sampling.mirostat_eta * (-np.log2(chances[id] / sum(chances.values())) - sampling.mirostat_tau)
    return id


def plain_chances(ids, scores, seen, sampling: Sampling, index: int, number: int):
    """(chances of what may be drawn, by id in the order of drawing; None), or (…, the greedy choice)."""
    score, steps = dict(zip(ids, map(np.float64, scores))), list(sampling.samplers)
    steps.insert(int(steps[:1] == ["penalties"]), "logit_bias")
    heat = 1.0
    temperature = sampling.temperature
    if sampling.temperatures:
        temperature = sampling.temperatures[number % len(sampling.temperatures)]
    greedy = temperature == 0 and "temperature" in steps
    for step in steps:
        if step == "penalties":
            for id in set(seen) & set(score):
                factor = sampling.repetition_penalty
                score[id] = score[id] / factor if score[id] > 0 else score[id] * factor
        elif step == "logit_bias":
            for id in score:
                score[id] += sampling.logit_bias.get(id, 0.0)
        elif step == "dry":
            for id in score if sampling.dry_multiplier > 0 else ():
                length = plain_repetition(list(seen), id, sampling.dry_breakers)
                if length >= sampling.dry_allowed_length:
                    power = length - sampling.dry_allowed_length
                    score[id] -= heat * sampling.dry_multiplier * sampling.dry_base ** power
        elif greedy or (sampling.mirostat_tau and step != "temperature"):
            continue
        elif step == "temperature":
            heat = _heat(_shares(score, heat), temperature, sampling)
        else:
            score = FILTERS[step](score, heat, sampling, index, number)
    if greedy:
        return {}, min(score, key=lambda id: -score[id])
    return _shares(score, heat), None


def plain_repetition(text: list, id: int, breakers) -> int:
    """Tokens at the text's end that also stand before an earlier `id`, at most 100, without a breaker."""
    longest = 0
    for place in range(len(text)):
        if text[place] == id:
            length = 0
            while (length < min(place, 100) and text[place - 1 - length] == text[len(text) - 1 - length]
                   and text[place - 1 - length] not in breakers):
                length += 1
            longest = max(longest, length)
    return longest


def _shares(score: dict, heat: float) -> dict:
    if heat == 0:
        best = max(score, key=score.__getitem__)
        return {id: float(id == best) for id in score}
    values = np.array(list(score.values()))
    weights = np.exp(values / heat - values.max() / heat)
    return dict(zip(score, weights / weights.sum()))


def _heat(shares: dict, temperature: float, sampling: Sampling) -> float:
    if sampling.dynatemp_range == 0 or len(shares) == 1:
        return temperature
    entropy = -sum(share * np.log(share) for share in shares.values() if share > 0)
    least, most = max(0, temperature - sampling.dynatemp_range), temperature + sampling.dynatemp_range
    return least + (most - least) * min(1, entropy / np.log(len(shares))) ** sampling.dynatemp_exponent


def _top_k(score, heat, sampling, index, number):
    if sampling.top_k == 0:
        return score
    return {id: score[id] for id in sorted(score, key=lambda id: -score[id])[:sampling.top_k]}


def _top_p(score, heat, sampling, index, number):
    if sampling.top_p >= 1:
        return score
    shares, kept, held = _shares(score, heat), {}, 0.0
    for id in sorted(score, key=lambda id: -score[id]):
        if kept and held >= sampling.top_p:
            break
        kept[id], held = score[id], held + shares[id]
    return kept


def _min_p(score, heat, sampling, index, number):
    shares = _shares(score, heat)
    least = sampling.min_p * max(shares.values())
    return {id: score[id] for id in score if shares[id] >= least}


def _top_n_sigma(score, heat, sampling, index, number):
    if sampling.top_n_sigma == 0:
        return score
    top = max(score.values())
    near = np.array([value for value in score.values() if value >= top - FARTHEST])
    least = top - sampling.top_n_sigma * np.sqrt(((near - near.mean()) ** 2).mean())
    return {id: value for id, value in score.items() if value >= least}


def _typical_p(score, heat, sampling, index, number):
    if sampling.typical_p >= 1:
        return score
    shares = _shares(score, heat)
    entropy = -sum(share * np.log(share) for share in shares.values() if share > 0)
    far = {id: abs(-np.log(share) - entropy) if share > 0 else np.inf for id, share in shares.items()}
    kept, held = set(), 0.0
    for id in sorted(score, key=far.__getitem__):
        kept.add(id)
        held += shares[id]
        if held > sampling.typical_p:
            break
    return {id: value for id, value in score.items() if id in kept}


def _xtc(score, heat, sampling, index, number):
    if uniform(sampling.seed, index, number, 1) >= sampling.xtc_probability:
        return score
    shares = _shares(score, heat)
    viable = [id for id in score if shares[id] >= sampling.xtc_threshold and id not in sampling.xtc_spared]
    stays = min(reversed(viable), key=score.__getitem__, default=None)
    return {id: value for id, value in score.items() if id not in viable or id == stays}


FILTERS = {"top_k": _top_k, "top_p": _top_p, "min_p": _min_p, "top_n_sigma": _top_n_sigma, "typical_p": _typical_p,
           "xtc": _xtc}


def _narrowed(shares: dict, most: float) -> dict:
    kept = {id: share for id, share in shares.items() if share > 0 and -np.log2(share) <= most}
    best = max(shares, key=shares.__getitem__)
    return kept or {best: shares[best]}
