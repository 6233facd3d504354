"""The fast sampler beside an obvious one that sorts everything."""
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2_assist.engine.engine import Sampling
from gpt2_assist.engine.sampling import sample, uniform


def slow_sample(logits, seen, sampling, index, number, allowed=None):
    scores = [float(value) for value in logits]
    for token in set(seen):
        penalty = sampling.repetition_penalty
        scores[token] = scores[token] / penalty if scores[token] > 0 else scores[token] * penalty
    for token, bias in sampling.logit_bias.items():
        scores[token] += bias
    ids = range(len(scores)) if allowed is None else allowed
    ranked = sorted(ids, key=lambda id: (-scores[id], id))
    if sampling.temperature == 0:
        return ranked[0]
    top = scores[ranked[0]] / sampling.temperature
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
top_ps, min_ps = st.sampled_from([1.0, 0.9, 0.5, 0.13]), st.sampled_from([0.0, 0.07, 0.4])
temperatures, penalties = st.sampled_from([0, 0.5, 1.0, 2.0]), st.sampled_from([1.0, 1.7, 0.6])
seeds, indices, numbers = st.integers(0, 2**63 - 1), st.integers(0, 63), st.integers(0, 10**6)


@given(st.data(), st.lists(quarters, min_size=1, max_size=40), seeds, st.integers(0, 12), top_ps, min_ps,
       temperatures, penalties, indices, numbers)
def test_it_draws_the_token_that_the_obvious_one_draws(data, logits, seed, top_k, top_p, min_p, temperature, penalty,
                                                       index, number):
    sampling = Sampling(temperature, top_k, top_p, min_p, penalty, {0: 1.25}, seed)
    seen = list(range(0, len(logits), 3))
    ids = data.draw(st.none() | st.sets(st.integers(0, len(logits) - 1), min_size=1).map(sorted))
    allowed = None if ids is None else np.array(ids, dtype=np.int64)
    values = np.array(logits, dtype=np.float32)
    assert sample(values, seen, sampling, index, number, allowed).id == slow_sample(logits, seen, sampling, index,
                                                                                   number, ids)


@given(st.sampled_from([700, 4999, 8192]), st.sampled_from([0.5, 2.0, 6.0]), st.booleans(), st.booleans(), seeds,
       st.sampled_from([0, 1, 40, 300, 10000]), top_ps, min_ps, temperatures, penalties, st.booleans())
@settings(max_examples=60, deadline=None)
def test_it_does_so_over_large_vocabularies_with_many_ties(size, spread, tied, few, seed, top_k, top_p, min_p,
                                                           temperature, penalty, biased):
    dice = np.random.default_rng(seed)
    logits = (dice.standard_normal(size) * spread).astype(np.float32)
    logits = np.round(logits * 2) / 2 if tied else logits
    allowed = np.flatnonzero(dice.random(size) < 0.1) if few else None
    sampling = Sampling(temperature, top_k, top_p, min_p, penalty, {3: 2.5} if biased else {}, seed)
    seen = dice.integers(0, size, 50).tolist()
    for number in range(3):
        assert sample(logits, seen, sampling, 1, number, allowed).id == slow_sample(logits, seen, sampling, 1, number,
                                                                                    allowed)


@given(seeds, indices, numbers)
def test_the_random_number_is_philoxs(seed, index, number):
    bits = np.random.Philox(key=[seed, index], counter=[0, 0, 0, number]).random_raw()
    assert uniform(seed, index, number) == (int(bits) >> 11) / 2**53


def test_ids_that_the_model_lacks_are_never_drawn():
    logits = np.zeros(5, dtype=np.float32)
    allowed = np.array([2, 3, 7, 900])
    ids = {sample(logits, [], Sampling(seed=seed), 0, 0, allowed).id for seed in range(50)}
    assert ids == {2, 3}


def test_log_probabilities_are_the_models_own_whatever_is_allowed():
    logits = np.log(np.array([0.5, 0.3, 0.2], dtype=np.float32))
    token = sample(logits, [], Sampling(temperature=0, logprobs=2), 0, 0, np.array([1, 2]))
    assert token.id == 1 and math.isclose(token.logprob, math.log(0.3), abs_tol=1e-6)
    assert [id for id, _ in token.best] == [0, 1]


@pytest.mark.parametrize("top_p", [1.0, 0.9])
def test_a_temperature_next_to_zero_is_greedy(top_p):
    logits = np.array([1.0, 5.0, 4.999], dtype=np.float32)
    assert {sample(logits, [], Sampling(1e-310, 0, top_p, seed=seed), 0, 0).id for seed in range(20)} == {1}


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
