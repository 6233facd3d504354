"""Undo and redo along the places where the text ended."""
from hypothesis import given
from hypothesis import strategies as st

from gpt2_assist.writing.journal import MOST_STEPS, Journal


def test_the_last_thousand_steps_are_kept_and_before_them_one_goes_back_by_parents():
    journal = Journal([0], 0)
    for number in range(1, MOST_STEPS + 501):
        journal.move(number)
    assert len(journal.places) == MOST_STEPS and journal.here == MOST_STEPS + 500
    while journal.step:
        assert journal.back(None)
    assert journal.here == 501 and not journal.back(None)
    assert journal.back(500) and journal.here == 500
    assert len(journal.places) == MOST_STEPS and journal.forward(None) and journal.here == 501


@given(st.lists(st.integers(-9, 9) | st.none(), max_size=5), st.integers(-9, 9))
def test_what_another_program_spoilt_is_a_journal_that_has_just_begun(places, step):
    journal = Journal(places, step)
    assert 0 <= journal.step < len(journal.places)


@given(st.lists(st.sampled_from(["back", "forward"]) | st.integers(1, 50), max_size=40))
def test_back_and_forward_are_each_others_opposite(steps):
    journal, places, step = Journal([0], 0), [0], 0
    for action in steps:
        if action == "back":
            assert journal.back(None) == (step > 0)
            step = max(0, step - 1)
        elif action == "forward":
            assert journal.forward(None) == (step + 1 < len(places))
            step = min(len(places) - 1, step + 1)
        elif action != places[step]:
            journal.move(action)
            places, step = [*places[:step + 1], action], step + 1
        assert journal.here == places[step]
