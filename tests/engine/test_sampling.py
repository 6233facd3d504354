"""The fast sampler beside an obvious one that sorts everything."""
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from plain_sampling import plain_sample

from gpt2_assist.engine.engine import Sampling
from gpt2_assist.engine.samplers import mirostat_of
from gpt2_assist.engine.sampling import sample, uniform
from gpt2_assist.engine.settings import ORDER

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
    assert sample(values, seen, sampling, index, number, allowed).id == plain_sample(logits, seen, sampling, index,
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
        assert sample(logits, seen, sampling, 1, number, allowed).id == plain_sample(logits, seen, sampling, 1, number,
                                                                                    allowed)


@st.composite
def samplings(draw):
    """Any samplers in any order, with settings that do something."""
    def some(*values):
        return draw(st.sampled_from(values))
    cycle = some((), (), (0.7, 1.4, 0.3), (0, 2.0))
    return Sampling(
        some(0.5, 0.8, 1.0, 2.0), some(0, 0, 3, 11), some(1.0, 0.87, 0.43), some(0.0, 0.07), some(1.0, 1.7, 0.6),
        some({}, {0: 1.25, 5: -100.0}), draw(seeds), typical_p=some(1.0, 0.91, 0.37), top_n_sigma=some(0.0, 1.1),
        xtc_probability=some(0.0, 0.5, 1.0), xtc_threshold=some(0.03, 0.13), dry_multiplier=some(0.0, 0.8),
        dry_base=some(1.75, 1.0), dry_allowed_length=some(1, 2), dynatemp_range=some(0.0, 0.0, 0.4, 3.0),
        dynatemp_exponent=some(1.0, 0.6), temperatures=cycle, mirostat_tau=some(0.0, 0.0, 0.0, 1.3),
        mirostat_eta=some(0.1, 1.0), samplers=tuple(draw(st.permutations(ORDER)))[draw(st.integers(0, 4)):],
        dry_breakers=some(frozenset(), frozenset([2])), xtc_spared=some(frozenset(), frozenset([1, 3])))


far = st.sampled_from([-np.inf, -1e30, 88.0, 1e5, -0.0])


wild = st.lists(st.floats(-6, 6, width=32) | quarters | far, min_size=1, max_size=25).filter(lambda row: max(row) > -50)


@given(wild, st.lists(st.integers(0, 4), max_size=30), samplings(), st.booleans(), indices, numbers)
@settings(deadline=None)
def test_with_any_samplers_in_any_order_it_draws_what_the_obvious_one_draws(logits, seen, sampling, few, index, number):
    values = np.array(logits, np.float32)
    allowed = np.arange(0, len(logits), 2) if few else None
    assume(np.isfinite(values[allowed]).any() if few else True)
    seen = [token % len(logits) for token in seen]
    fast, plain = mirostat_of(sampling), [2 * sampling.mirostat_tau] if sampling.mirostat_tau else None
    for further in range(3):
        found = sample(values, seen, sampling, index, number + further, allowed, mirostat=fast).id
        expected = plain_sample(values, seen, sampling, index, number + further, allowed, plain)
        assert found == expected
        assert not fast or math.isclose(fast.most, plain[0], abs_tol=1e-9)
        seen.append(found)


@pytest.mark.parametrize("spread", [0.1, 1.0, 6.0])
@pytest.mark.parametrize("sampling", [
    Sampling(1.0, typical_p=0.9), Sampling(1.0, typical_p=0.1), Sampling(1.5, top_n_sigma=1.0), Sampling(
        dynatemp_range=0.5), Sampling(1.0, xtc_probability=1.0, xtc_threshold=0.01), Sampling(mirostat_tau=5.0),
    Sampling(1.0, dry_multiplier=1.0, top_k=50)], ids=lambda sampling: " ".join(sampling.steps))
def test_so_it_does_with_the_others_over_a_large_vocabulary(sampling, spread):
    dice = np.random.default_rng(3)
    logits = (dice.standard_normal(4000) * spread).astype(np.float32)
    logits[:1500:2] = logits[1:1500:2]
    seen = dice.integers(0, 9, 200).tolist()
    for number in range(3):
        fast, plain = mirostat_of(sampling), [2 * sampling.mirostat_tau] if sampling.mirostat_tau else None
        assert sample(logits, seen, sampling, 1, number, mirostat=fast).id == plain_sample(
            logits, seen, sampling, 1, number, mirostat=plain)


@given(seeds, indices, numbers, st.integers(0, 1))
def test_the_random_numbers_are_philoxs(seed, index, number, stream):
    bits = np.random.Philox(key=[seed, index], counter=[0, 0, stream, number]).random_raw()
    assert uniform(seed, index, number, stream) == (int(bits) >> 11) / 2**53


def test_what_decides_whether_a_sampler_acts_tells_nothing_of_the_draw():
    pairs = np.array([[uniform(7, 0, number, stream) for stream in (0, 1)] for number in range(2000)])
    assert abs(np.corrcoef(pairs.T)[0, 1]) < 0.08


def test_wild_logits_give_a_token_whatever_the_samplers():
    everything = Sampling(1.0, 3, 0.9, 0.1, 1.2, {0: 1.0}, typical_p=0.5, top_n_sigma=1.0, xtc_probability=1.0,
                          dry_multiplier=1.0, dynatemp_range=0.5)
    for value in (np.nan, np.inf, -np.inf, 3e38):
        logits = np.array([1.0, value, 0.0, value], np.float32)
        for sampling in (everything, Sampling(mirostat_tau=1.0)):
            assert sample(logits, [1, 2, 1], sampling, 0, 0, mirostat=mirostat_of(sampling)).id in range(4)
    flat = np.full(5, -np.inf, np.float32)
    assert sample(flat, [1], everything, 0, 0).id in range(5)


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
