"""The fast sampler beside an obvious one that sorts everything."""
import math
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gpt2_assist.engine.engine import Sampling
from gpt2_assist.engine.sampling import sample, uniform


def slow_sample(logits, seen, sampling, index, number):
    scores = [float(value) for value in logits]
    for token in set(seen):
        penalty = sampling.repetition_penalty
        scores[token] = scores[token] / penalty if scores[token] > 0 else scores[token] * penalty
    for token, bias in sampling.logit_bias.items():
        scores[token] += bias
    if sampling.temperature == 0:
        return scores.index(max(scores))
    top = max(scores) / sampling.temperature
    ranked = sorted(range(len(scores)), key=lambda id: (-scores[id], id))
    if sampling.top_k:
        ranked = ranked[:sampling.top_k]
    weight = {id: math.exp(scores[id] / sampling.temperature - top) for id in ranked}
    total, kept, mass = sum(weight.values()), [], 0.0
    for id in ranked:
        if kept and mass >= sampling.top_p * total and sampling.top_p < 1:
            break
        kept.append(id)
        mass += weight[id]
    kept = [id for id in kept if weight[id] >= sampling.min_p]
    if not (sampling.top_k or sampling.top_p < 1):
        kept.sort()
    threshold = uniform(sampling.seed, index, number) * sum(weight[id] for id in kept)
    for id in kept:
        threshold -= weight[id]
        if threshold < 0:
            return id
    return kept[-1]


quarters = st.integers(-20, 20).map(lambda value: value / 4)


@given(st.lists(quarters, min_size=1, max_size=40), st.integers(0, 2**63 - 1), st.integers(0, 12),
       st.sampled_from([1.0, 0.9, 0.5, 0.13]), st.sampled_from([0.0, 0.07, 0.4]), st.sampled_from([0, 0.5, 1.0, 2.0]),
       st.sampled_from([1.0, 1.7, 0.6]), st.integers(0, 63), st.integers(0, 10**6))
def test_it_draws_the_token_that_the_obvious_one_draws(logits, seed, top_k, top_p, min_p, temperature, penalty,
                                                       index, number):
    sampling = Sampling(temperature, top_k, top_p, min_p, penalty, {0: 1.25}, seed)
    seen = list(range(0, len(logits), 3))
    values = np.array(logits, dtype=np.float32)
    assert sample(values, seen, sampling, index, number).id == slow_sample(logits, seen, sampling, index, number)


def test_draws_follow_the_distribution_and_differ_between_seeds_samples_and_places():
    logits = np.log(np.array([0.5, 0.3, 0.2], dtype=np.float32))
    for vary in (lambda k: (k, 0, 0), lambda k: (1, k, 0), lambda k: (1, 0, k)):
        counts = Counter()
        for k in range(4000):
            seed, index, number = vary(k)
            counts[sample(logits, [], Sampling(temperature=1.0, seed=seed), index, number).id] += 1
        assert all(abs(counts[id] / 4000 - share) < 0.04 for id, share in enumerate((0.5, 0.3, 0.2)))


def test_a_narrow_top_p_over_a_large_flat_vocabulary_looks_beyond_the_shortlist():
    logits = np.zeros(5000, dtype=np.float32)
    ids = {sample(logits, [], Sampling(temperature=1.0, top_p=0.5, seed=seed), 0, 0).id for seed in range(600)}
    assert max(ids) > 2000 and max(ids) < 2500
