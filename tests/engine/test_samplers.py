"""Each sampler in each family of engines, beside its plain form, over drafts, restarts and many draws."""
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from engines import fresh, generate, logits_of, model, prefilled
from plain_sampling import plain_chances, plain_sample

from gpt2_assist.engine.dry import LONGEST, REACH, repetitions
from gpt2_assist.engine.engine import Sampling
from gpt2_assist.engine.reference import reference_generate, reference_logits
from gpt2_assist.engine.settings import ORDER

PROMPT = [5, 9, 7, 31, 12, 5, 9, 7, 40, 5, 9, 7]
SAMPLERS = {
    "typical_p": Sampling(0.4, typical_p=0.5), "top_n_sigma": Sampling(0.5, top_n_sigma=1.2),
    "xtc": Sampling(0.3, xtc_probability=0.6, xtc_threshold=0.015, xtc_spared=frozenset([13])),
    "dry": Sampling(0.5, dry_multiplier=2.0, dry_breakers=frozenset([12]), logit_bias={31: 3.0, 40: 3.0}),
    "dynatemp": Sampling(0.5, dynatemp_range=0.4, dynatemp_exponent=3.0),
    "temperatures": Sampling(temperatures=(0.2, 0.6, 1.0)),
    "mirostat": Sampling(0.3, mirostat_tau=2.0, mirostat_eta=0.3),
    "top_p behind": Sampling(0.3, top_p=0.7, min_p=0.02, samplers=("top_k", "temperature", "top_p", "min_p")),
    "top_p before": Sampling(0.3, top_p=0.4, min_p=0.3),
    "all": Sampling(0.5, 60, 0.95, 0.01, 1.5, {40: 3.0}, typical_p=0.9, top_n_sigma=3.0, xtc_probability=0.5,
                    dry_multiplier=2.0, dynatemp_range=0.2, temperatures=(0.3, 1.3)),
    "another order": Sampling(0.3, 60, 0.9, dry_multiplier=2.0, repetition_penalty=1.5, logit_bias={40: 2.0},
                              samplers=("temperature", "top_k", "dry", "penalties", "top_p"))}
KINDS = ["cpu-int8", "torch-fp32", pytest.param("cuda-fp32", marks=pytest.mark.slow)]


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("kind", ["cpu-int8", "torch-fp32", "cuda-fp32"])
def test_each_token_is_the_one_that_the_plain_form_draws(kind, name):
    engine, sampling = fresh(kind), replace(SAMPLERS[name], seed=4)
    engine.burst_s = 0.0
    sequence = prefilled(engine, PROMPT, sampling, 2)
    mirostat = [2 * sampling.mirostat_tau] if sampling.mirostat_tau else None
    for number in range(12):
        logits, seen = np.asarray(engine.logits(sequence)), list(sequence.tokens)
        engine.decode([sequence])
        assert sequence.tokens[-1] == plain_sample(logits, seen, sampling, 2, number, mirostat=mirostat)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("kind", KINDS)
def test_many_draws_have_the_chances_of_the_plain_form_and_not_those_without_the_sampler(kind, name):
    sampling = SAMPLERS[name]
    engine = fresh(kind)
    logits = logits_of(engine, PROMPT)
    counts = Counter()
    for seed in range(25):
        sequences = [prefilled(engine, PROMPT, replace(sampling, seed=seed), index) for index in range(16)]
        counts.update(new[0].id for new in engine.decode(sequences))
        for sequence in sequences:
            engine.close(sequence)
    assert fits(counts, chances_of(logits, sampling))
    off = Sampling(sampling.temperature, logit_bias=sampling.logit_bias)
    assert not fits(counts, chances_of(logits, off)), "the test could tell them apart"


def test_so_has_the_reference():
    for name in ("xtc", "mirostat"):
        sampling = SAMPLERS[name]
        counts = Counter(reference_generate(model(), PROMPT, replace(sampling, seed=seed), 1)[0].id
                         for seed in range(300))
        assert fits(counts, chances_of(reference_logits(model(), PROMPT).numpy(), sampling))


def chances_of(logits: np.ndarray, sampling: Sampling) -> np.ndarray:
    """Of the first new token [V], over all seeds."""
    total = np.zeros(len(logits))
    for xtc, share in ((0.0, 1 - sampling.xtc_probability), (1.0, sampling.xtc_probability)):
        chances, _ = plain_chances(range(len(logits)), logits, PROMPT, replace(sampling, xtc_probability=xtc), 0, 0)
        if sampling.mirostat_tau:
            chances = {id: chance for id, chance in chances.items() if -np.log2(chance) <= 2 * sampling.mirostat_tau}
        for id, chance in chances.items():
            total[id] += share * chance / sum(chances.values())
    return total


def fits(counts: Counter, chances: np.ndarray) -> bool:
    """A chi-square test over tokens that are awaited five times at least, and all others in one; what can't come is
    not there."""
    if any(chances[id] == 0 for id in counts):
        return False
    awaited = chances * counts.total()
    often = np.flatnonzero(awaited >= 5)
    pairs = [(counts[id], awaited[id]) for id in often.tolist()]
    rest = counts.total() - sum(found for found, _ in pairs), counts.total() - sum(value for _, value in pairs)
    pairs += [rest] if rest[1] >= 5 else []
    chi = sum((found - value) ** 2 / value for found, value in pairs)
    return chi < len(pairs) - 1 + 4 * np.sqrt(2 * len(pairs))


@pytest.mark.parametrize(("kind", "name"), [
    *(("cpu-int8", name) for name in SAMPLERS), ("cuda-fp32", "dry"), ("cuda-fp32", "mirostat"),
    *(pytest.param("cuda-fp32", name, marks=pytest.mark.slow) for name in SAMPLERS if name not in ("dry", "mirostat"))])
def test_drafts_and_a_restart_in_the_middle_change_no_text(kind, name):
    sampling = replace(SAMPLERS[name], seed=3,
                       logit_bias=dict.fromkeys(range(9), 9.0))  # among few tokens drafts are often right
    expected = generate(fresh(kind), PROMPT, sampling, 50, 1)
    drafting = fresh(kind, speculate=True)
    assert generate(drafting, PROMPT, sampling, 50, 1) == expected
    assert generate(drafting, PROMPT, sampling, 50, 1) == expected, "now it has seen the text"
    if sampling.mirostat_tau:
        with pytest.raises(ValueError, match="mirostat"):
            drafting.open(PROMPT, sampling, 1, expected[:7])
        return
    for place in (1, 23):
        assert generate(drafting, PROMPT, sampling, 50, 1, expected[:place]) == expected


@pytest.mark.parametrize("kind", ["cpu-int8", "torch-fp32", "cuda-fp32"])
def test_greedy_stays_greedy_whatever_filters_there_are(kind):
    plain = Sampling(temperature=0, repetition_penalty=1.3, dry_multiplier=2.0)
    wild = replace(plain, top_k=9, top_p=0.3, typical_p=0.2, top_n_sigma=0.5, xtc_probability=1.0, xtc_threshold=0.01,
                   dynatemp_range=2.0, mirostat_tau=3.0, min_p=0.5)
    free = replace(plain, dry_multiplier=0)
    texts = [generate(fresh(kind), PROMPT, sampling, 20) for sampling in (plain, wild, free)]
    assert texts[0] == texts[1] != texts[2]


def test_a_repetition_is_the_longest_ends_at_breakers_and_at_what_came_first():
    text = [1, 2, 3, 4, 9, 2, 3, 5, 1, 2, 3]
    assert repetitions(text, frozenset(), 2) == {4: 3, 5: 2}
    assert repetitions(text, frozenset(), 3) == {4: 3}
    assert repetitions(text, frozenset([1]), 1) == {4: 2, 5: 2}
    assert repetitions(text, frozenset([3]), 1) == {}
    assert repetitions([7], frozenset(), 1) == {} == repetitions([], frozenset(), 1)


def test_a_text_that_turns_in_a_circle_costs_no_more_than_what_counts():
    assert repetitions([1, 2] * 100_000, frozenset(), 2) == {1: LONGEST}
    assert repetitions([8, 8, 8, *range(20, 20 + REACH), 8, 8], frozenset(), 1) == {8: 1}, "what is far is forgotten"


def test_the_engines_and_the_messages_samplers_are_the_same():
    from gpt2_assist.ipc.messages import SAMPLERS as NAMED
    assert ORDER == NAMED
