"""Every golden case of every filter, and of the chain."""
import pytest
from golden import ALL, filter_named, names

from gpt2_assist.completion.filters import chain
from gpt2_assist.completion.filters.draft import Draft
from gpt2_assist.completion.filters.whitespace import normalised


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.id)
def test_case(case):
    if case.filter == "whitespace":
        assert normalised(case.place, case.text) == case.expect
        return
    draft = filter_named(case.filter)(case.place, Draft(case.text, case.ended is None, case.tokens))
    assert (draft.text, draft.reason) == (case.expect, case.reason)
    assert draft.ended == (case.ended is not False)


def test_every_filter_has_cases():
    in_chain = {apply.__module__.rpartition(".")[2] for apply in chain.ORDER}
    assert set(names()) == in_chain | {"chain", "whitespace"}
    assert len({case.id for case in ALL}) == len(ALL)
