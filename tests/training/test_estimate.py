"""How long the rest of a training takes."""
import pytest

from gpt2_assist.training.finetuning.estimate import MODEL, SAMPLES, STATE, STEP, VALIDATION, Estimate
from gpt2_assist.training.finetuning.settings import FinetuneSettings

COSTS = {STEP: 2.0, VALIDATION: 30.0, STATE: 5.0, MODEL: 7.0, SAMPLES: 60.0}


def known(steps: int, every: int, sample_every: int, save_every: int = 1_000_000) -> Estimate:
    estimate = Estimate(FinetuneSettings(steps=steps, validate_every=every), save_every, sample_every)
    for kind, seconds in COSTS.items():
        estimate.guess(kind, seconds)
    return estimate


@pytest.mark.parametrize("steps, every, sample_every", [(1, 1, 1), (30, 5, 20), (31, 5, 20), (7, 100, 0), (12, 4, 4)])
def test_all_that_comes_is_counted_and_it_ends_at_nothing(steps, every, sample_every):
    estimate = known(steps, every, sample_every)

    def slow(first: int) -> float:
        seconds = 0.0
        for step in range(first + 1, steps + 1):
            seconds += 2.0
            seconds += 42.0 * (step % every == 0 or step == steps)
            seconds += 60.0 * bool(sample_every and (step % sample_every == 0 or step == steps))
        return seconds
    assert [estimate.left(step) for step in range(steps + 1)] == [slow(step) for step in range(steps + 1)]
    assert estimate.left(steps) == 0


def test_states_between_validations_count():
    assert known(100, 100, 0, 10).left(0) - known(100, 100, 0).left(0) == 9 * 5.0
    rare = known(100, 100, 0, 0)  # each minute of 242 s
    assert rare.left(0) - known(100, 100, 0).left(0) == 3 * 5.0


def test_what_is_measured_corrects_the_guess_and_a_pause_changes_nothing():
    estimate = known(1001, 1001, 0)
    for _ in range(5):
        estimate.took(STEP, 1.0)
    estimate.took(STEP, 3600.0)
    assert estimate.left(1) == 1000 * 1.0 + 42.0
    with estimate.timed(SAMPLES):
        pass
    assert 0 <= estimate.one(SAMPLES) < 60
