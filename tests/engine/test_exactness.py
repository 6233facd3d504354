"""The promise of all engines: nothing but model, adapter, prompt, settings and seed decides a token, to the last bit.

Any batch, any cache state, any number of threads, drafts on or off, a restart in the middle, the next window computed
ahead or not: the same tokens and the same logits as one sample alone on a new engine.
"""
import random
from functools import cache

import numpy as np
import pytest
from engines import KINDS as ALL_KINDS
from engines import fresh, generate, logits_of, over_architectures, prefilled, random_tokens
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2_assist.engine.engine import NO_LIMIT, Sampling

_OWN = [kind for kind in ALL_KINDS if kind not in ("cuda-fp32", "cuda-int8")]  # bf16's way is theirs, and slow
KINDS = over_architectures(_OWN)
SAMPLINGS = (Sampling(temperature=0), Sampling(seed=1, top_k=20), Sampling(seed=2, temperature=0.4),
             Sampling(seed=3, top_p=0.9, repetition_penalty=1.3),
             Sampling(seed=4, top_k=30, temperatures=(0.4, 0.9), dry_multiplier=0.8, xtc_probability=0.5))
LONGEST = 90


def text(number: int, length: int) -> tuple[int, ...]:
    """Texts of few families, so that many share beginnings; every third repeats itself, which makes drafts right."""
    if number % 3 == 0:
        return tuple((random_tokens(number, 11) * 60)[:length])
    return tuple((random_tokens(number % 3, 40) + random_tokens(number, 600))[:length])


@cache
def alone(kind: str, prompt: tuple[int, ...], sampling: int, index: int, adapter: int = 0) -> list[int]:
    """LONGEST tokens of one sample by itself: no cache, no drafts, one thread."""
    return generate(fresh(kind, cache_bytes=0), list(prompt), SAMPLINGS[sampling], LONGEST, index, adapter=adapter)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_happens_around_it_a_sample_is_the_same(kind):
    rounds_are_exact(kind, True)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", _OWN)
def test_whatever_happens_around_it_many_times_a_sample_is_the_same(kind):
    rounds_are_exact(kind, False)


def rounds_are_exact(kind: str, few: bool) -> None:
    rounds = {"cpu": 100, "torch": 8, "cuda": 4, "card": 4}[kind.split("-")[0]] // (12 if few else 1) or 1
    if " " in kind and few:
        rounds = -(-rounds // 2)
    compared = sum(one_round(kind, random.Random(f"{kind} {number}")) for number in range(rounds))
    assert compared > 50 * rounds


def one_round(kind: str, dice: random.Random) -> int:
    """Random work on one engine; tokens that were compared. Not drawn by hypothesis, since how many tokens a step gives
    depends on drafts, and how many are drafted on how long steps take."""
    engine = fresh(kind, dice.choice([0, 20_000, 200_000, 1 << 30]), dice.choice([1, 2, 3]), dice.random() < 0.7)
    live, compared = [], 0  # live: [sequence, expected new tokens, prompt length]
    for _ in range(dice.randrange(5, 60)):
        act = dice.choice(["open", "open", "prefill", "decode", "decode", "decode", "close", "idle", "logits"])
        if act == "open" and len(live) < 6:
            prompt = text(dice.randrange(9), dice.choice([1, 2, 17, 39, 64, 100, 148, 150, 230]))
            sampling, index = dice.randrange(len(SAMPLINGS)), dice.randrange(3)
            adapter = dice.choice([0, 0, 1, 2])
            expected = alone(kind, prompt, sampling, index, adapter)
            restarted = dice.randrange(20) if dice.random() < 0.3 else 0
            sequence = engine.open(list(prompt), SAMPLINGS[sampling], index, expected[:restarted], adapter,
                                   dice.choice([LONGEST, NO_LIMIT]))
            live.append((sequence, expected, len(prompt)))
        elif act == "prefill" and live:
            engine.prefill(dice.choice(live)[0])
        elif act == "decode" and live:
            for sequence, _, _ in live:
                while not engine.ready(sequence) and dice.random() < 0.9:
                    engine.prefill(sequence)
            for _ in range(dice.choice([1, 2, 12])):
                ready = [sequence for sequence, _, _ in live if engine.ready(sequence)]
                if ready:
                    engine.decode(ready)
        elif act == "close" and live:
            engine.close(live.pop(dice.randrange(len(live)))[0])
        elif act == "idle":
            engine.idle()
        elif act == "logits" and live:
            sequence = dice.choice(live)[0]
            if engine.ready(sequence):
                again = logits_of(fresh(kind), sequence.tokens, sequence.adapter)
                assert np.array_equal(engine.logits(sequence), again)
        for entry in list(live):
            sequence, expected, length = entry
            new = sequence.tokens[length:]
            assert new[:LONGEST] == expected[:len(new)]
            compared += len(new)
            if len(new) > LONGEST - 20:
                engine.close(sequence)
                live.remove(entry)
    return compared


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", over_architectures(_OWN, slow=("cuda",)))
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_editing_gives_the_logits_of_a_fresh_pass_bit_for_bit(kind, data):
    engine = fresh(kind, data.draw(st.sampled_from([1 << 30, 60_000, 0]), "cache bytes"), 2)
    words = random_tokens(0, 40)
    for number in range(data.draw(st.integers(1, 8), "edits")):
        place = data.draw(st.integers(0, len(words)), "place")
        edit = data.draw(st.sampled_from(["extend", "replace", "truncate"]), "edit")
        piece = random_tokens(number + 1, data.draw(st.integers(1, 120), "size"))
        words = {"extend": words + piece, "replace": words[:place] + piece[:9] + words[place + 5:],
                 "truncate": words[:max(1, place)]}[edit]
        assert np.array_equal(logits_of(engine, words), logits_of(fresh(kind), words))


@pytest.mark.parametrize("kind", over_architectures(_OWN, slow=("cuda",)))
def test_samples_of_a_prompt_differ_and_a_restart_anywhere_changes_none(kind):
    prompt = list(text(1, 90))
    samples = [alone(kind, tuple(prompt), 1, index) for index in range(5)]
    assert len(set(map(tuple, samples))) == 5
    for place in (1, 30, 59, 61, 79):
        assert generate(fresh(kind, speculate=True), prompt, SAMPLINGS[1], 80, 2,
                        samples[2][:place]) == samples[2][:80]


def steps_of(engine, sequence, count: int) -> list[int]:
    """How many tokens each step gave."""
    found = []
    while sum(found) < count:
        while not engine.ready(sequence):
            engine.prefill(sequence)
        found += map(len, engine.decode([sequence]))
    return found


@pytest.mark.parametrize("kind", over_architectures(kind for kind in _OWN if kind.startswith(("cuda", "card"))))
def test_on_a_card_drafts_are_taken_and_else_several_steps_are_launched_at_once(kind):
    few = 1 if "relative" in kind else 9  # that one's text wanders among few tokens, too
    greedy = Sampling(temperature=0, logit_bias=dict.fromkeys(range(few), 9.0))
    texts = []
    for speculate in (True, False):
        engine = fresh(kind, speculate=speculate)
        engine.burst_s *= not speculate
        sequence = prefilled(engine, list(text(0, 30)), greedy)
        steps = steps_of(engine, sequence, 100)
        assert steps[0] == 1, "who waits for the first token doesn't wait for more"
        assert len(steps) < 60 and max(steps) > 3
        texts.append(sequence.tokens[:130])
    assert texts[0] == texts[1]


@pytest.mark.parametrize("kind", over_architectures(kind for kind in _OWN if kind.startswith("cpu")))
def test_drafts_are_taken_and_the_moved_window_waits_ready(kind):
    engine = fresh(kind, speculate=True)
    engine._costs.measured = lambda rows, seconds: None  # how long drafts pay must not depend on what else runs here
    greedy = Sampling(temperature=0, logit_bias=dict.fromkeys(range(9), 9.0))  # few tokens: it soon repeats itself
    sequence = prefilled(engine, list(text(0, 120)), greedy)
    steps, computed = 0, []
    while len(sequence.tokens) < 250:
        before = engine.cached_tokens()
        while not engine.ready(sequence):
            engine.prefill(sequence)
        computed.append(engine.cached_tokens() - before)
        steps += 1
        engine.decode([sequence])
    assert steps < 100
    assert max(computed[1:]) <= 40, "of a moved window only the newest part is left to compute"
