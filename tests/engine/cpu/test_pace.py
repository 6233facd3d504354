"""One thread or all: whichever is quicker, found out soon, at little cost. Times are simulated."""
from gpt2_assist.engine.cpu.pace import Pace


def run(pace: Pace, steps: int, together: float, alone: float) -> float:
    """Seconds of so many steps."""
    total = 0.0
    for _ in range(steps):
        way = pace.next_alone()
        seconds = alone if way else together
        pace.measured(way, seconds)
        total += seconds
    return total


def test_where_all_threads_are_quicker_trials_cost_next_to_nothing():
    pace = Pace()
    assert run(pace, 5000, 2.0, 3.5) < 1.01 * 5000 * 2.0 and not pace.alone


def test_it_goes_over_to_one_thread_soon_after_another_program_comes_and_back_when_it_leaves():
    pace = Pace()
    run(pace, 3000, 2.0, 3.5)
    run(pace, 40, 6.0, 3.6)
    assert pace.alone
    assert run(pace, 1000, 6.0, 3.6) < 1.02 * 1000 * 3.6
    run(pace, 600, 2.0, 3.5)
    assert not pace.alone


def test_one_slow_step_changes_nothing():
    pace = Pace()
    run(pace, 100, 2.0, 3.5)
    run(pace, 1, 50.0, 3.5)
    run(pace, 60, 2.0, 3.5)
    assert not pace.alone
