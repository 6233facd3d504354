"""Drafting without a draft model, beside a slow search, and replayed against texts that are known beforehand."""
import random
import sys
import tracemalloc
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2_assist.engine import drafts
from gpt2_assist.engine.drafts import COSTS, Drafter, GramIndex, History

FREE = (1.0,) * 9
"""Rows that cost nothing: a drafter with any hope at all drafts as much as it may."""

few_kinds = st.lists(st.integers(0, 3), max_size=60)


def slow_longest(tokens, ending, orders):
    """(n, place) behind the latest place in `tokens` where the longest end of `ending` went on, or (0, 0)."""
    for n in sorted(orders, reverse=True):
        for place in range(len(tokens) - 1, n - 1, -1):
            if n <= len(ending) and tokens[place - n:place] == ending[-n:]:
                return n, place
    return 0, 0


def random_text(seed, length, kinds=50_000):
    return random.Random(seed).choices(range(kinds), k=length)


def prose(seed, length, kinds=5_000):
    """Words as frequent as in prose and without a connection: short n-grams recur and foretell next to nothing."""
    return random.Random(seed).choices(range(kinds), [1 / rank for rank in range(1, kinds + 1)], k=length)


def replay(drafter, text, costs=COSTS):
    """Decodes `text`, accepting drafts while they equal it: (time, steps as [(place, tokens drafted, accepted)])."""
    time, place, steps = 0.0, 0, []
    while place < len(text):
        draft = drafter.draft(len(text) - place - 1)
        accepted = 0
        while accepted < len(draft) and draft[accepted] == text[place + accepted]:
            accepted += 1
        steps.append((place, len(draft), accepted))
        time += costs[len(draft)]
        drafter.extend(text[place:place + accepted + 1])
        drafter.verified(len(draft), accepted)
        place += accepted + 1
    return time, steps


def speed(text, history=None, prompt=(), costs=COSTS):
    """Tokens per unit of time, 1 being that of steps without drafts."""
    drafter = Drafter(history or History(), prompt, costs)
    time, _ = replay(drafter, text, costs)
    drafter.close()
    return len(text) / time


# the search

@given(st.lists(st.tuples(st.floats(0, 1), few_kinds, few_kinds), max_size=4), few_kinds)
def test_the_index_finds_what_a_slow_search_finds_also_after_cuts_and_in_copies(steps, ending):
    """Each step keeps a share of the tokens, appends some, and appends others to a copy that is thrown away."""
    index, tokens = GramIndex((2, 3, 4), 300), []
    for kept, new, others in steps:
        tokens = tokens[:int(len(tokens) * kept)]
        index.cut(len(tokens))
        copy = index.copy()
        for token in others:
            copy.append(token)
        assert copy.longest(array("i", ending)) == slow_longest(tokens + others, ending, (2, 3, 4))
        for end in (tokens, ending):
            assert index.longest(array("i", end)) == slow_longest(tokens, end, (2, 3, 4))
        for token in new:
            index.append(token)
        tokens = tokens + new
        for end in (tokens, ending):
            assert index.longest(array("i", end)) == slow_longest(tokens, end, (2, 3, 4))


@given(few_kinds)
def test_the_index_copes_with_one_that_is_full(tokens):
    index = GramIndex((2, 3, 4), max(1, len(tokens)))
    for token in tokens:
        index.append(token)
    assert index.full or not tokens
    assert index.longest(array("i", tokens)) == slow_longest(tokens, tokens, (2, 3, 4))


@given(st.lists(few_kinds, max_size=4), few_kinds, st.integers(0, 8))
def test_a_draft_is_what_followed_the_longest_known_ending_in_this_text_rather_than_in_another(others, text, limit):
    history = History()
    for other in others:
        history.add(other)
    draft = Drafter(history, text, FREE).draft(limit)
    own, place = slow_longest(text, text, (2, 3, 4))
    shared = max((slow_longest(other, text, (3, 4))[0] for other in others), default=0)
    if max(own, shared) == 0 or limit == 0:
        assert draft == []
    elif own >= shared:
        ahead = list(text)
        for step in range(limit):
            ahead.append(ahead[place + step])
        assert draft == ahead[len(text):]
    else:
        ending, length = text[-shared:], shared + len(draft)
        assert 1 <= len(draft) <= limit
        assert any(other[place:place + length] == ending + draft for other in others for place in range(len(other)))


@given(st.lists(few_kinds, max_size=3), few_kinds, st.lists(st.tuples(few_kinds, st.integers(0, 9)), max_size=6))
def test_a_draft_holds_only_ids_that_were_seen_keeps_its_limit_and_is_the_same_each_time(others, prompt, steps):
    def run():
        history, given_out = History(capacity=64), []
        seen = {token for text in [*others, prompt] for token in text}
        for other in others:
            history.add(other)
        drafter = Drafter(history, prompt)
        for tokens, limit in steps:
            draft = drafter.draft(limit)
            assert draft == drafter.draft(limit)
            assert len(draft) <= min(limit, len(COSTS) - 1) and seen.issuperset(draft)
            drafter.extend(tokens)
            drafter.verified(len(draft), sum(1 for a, b in zip(draft, tokens) if a == b))
            seen.update(tokens)
            given_out.append(draft)
        drafter.close()
        return given_out

    assert run() == run()


@given(few_kinds, few_kinds, few_kinds)
def test_two_sequences_with_one_beginning_do_not_disturb_each_other(prompt, ours, theirs):
    history = History()
    us, them = Drafter(history, prompt, FREE), Drafter(history, prompt, FREE)
    them.extend(theirs)
    us.extend(ours)
    alone = Drafter(History(), prompt, FREE)
    alone.extend(ours)
    assert us.draft(8) == alone.draft(8)


def test_a_match_that_holds_is_followed_beyond_later_occurrences_of_its_last_words():
    long, end = random_text(1, 40), random_text(2, 5)
    text = [*long, *end, 1, 2, 3, *end, 7, 8, 9, *long]
    drafter = Drafter(History(), text, FREE)
    drafter.extend(end)
    assert drafter.draft(3) == [1, 2, 3]


def test_two_tokens_suffice_in_the_own_text_and_three_in_another():
    history = History()
    history.add([1, 2, 3, 4, 5, 6])
    assert Drafter(history, [9, 3, 4], FREE).draft(1) == []
    assert Drafter(history, [2, 3, 4], FREE).draft(9) == [5, 6]
    assert Drafter(history, [3, 4, 5, 9, 3, 4], FREE).draft(4) == [5, 9, 3, 4]


# what adding costs

def lines_run(call):
    """(result, lines of drafts.py that were executed)."""
    count = 0

    def trace(frame, event, arg):
        nonlocal count
        if frame.f_code.co_filename != drafts.__file__:
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        return call(), count
    finally:
        sys.settrace(before)


def test_a_keystroke_costs_what_is_new_however_long_the_text():
    def one_key(length):
        history, text = History(), random_text(3, length + 1)
        history.add(text[:length])
        history.add(random_text(4, 500))
        drafter, opened = lines_run(lambda: Drafter(history, text))
        drafter.extend(random_text(5, 4))
        return opened + lines_run(drafter.close)[1]

    short, long = one_key(300), one_key(3000)
    assert long < 600 and long < short + 100


def test_two_documents_written_in_turns_cost_what_is_new_in_each():
    history, documents = History(), [[0, *random_text(seed, 1500)] for seed in (6, 7)]
    for document in documents:
        history.add(document[:1400])
    for length in range(1401, 1410):
        for document in documents:
            assert lines_run(lambda text=document[:length]: history.add(text))[1] < 600


def test_another_ending_costs_what_was_cut_and_what_is_new():
    history, text = History(), random_text(6, 3000)
    history.add(text)
    _, lines = lines_run(lambda: history.add([*text[:2980], *random_text(7, 10)]))
    assert lines < 3000


def test_a_text_typed_key_by_key_is_stored_once():
    history, text = History(), random_text(8, 1000)
    for length in range(200, 1000):
        history.add(text[:length])
    assert len(history) < 1100


def test_another_ending_is_known_as_the_first_one_is():
    history, text, endings = History(), random_text(8, 100), [random_text(seed, 30) for seed in (9, 10)]
    for ending in endings:
        history.add(text + ending)
    assert all(Drafter(history, ending[10:14], FREE).draft(2) == ending[14:16] for ending in endings)


def test_a_text_that_comes_again_without_its_beginning_or_long_after_is_stored_once():
    history, text = History(), random_text(9, 1000)
    history.add(text)
    for seed in range(30):
        history.add(random_text(seed, 40))
    before = len(history)
    for skipped in range(0, 500, 10):
        history.add(text[skipped:])
    assert len(history) == before


# bounds

def test_the_history_forgets_the_oldest_and_keeps_its_bound():
    history = History(capacity=4000)
    for seed in range(40):
        history.add(random_text(seed, 500))
        assert len(history) <= 4000
    history = History(capacity=4000)
    texts = [random_text(seed, 500) for seed in range(40)]
    for text in texts:
        history.add(text)
    assert Drafter(history, texts[-2][100:104], FREE).draft(3) == texts[-2][104:107]
    assert Drafter(history, texts[-5][100:104], FREE).draft(3) == texts[-5][104:107]
    assert Drafter(history, texts[0][100:104], FREE).draft(3) == []


@pytest.mark.slow
def test_memory_stays_where_it_is_once_the_history_is_full():
    def held(texts):
        for _ in range(texts):
            history.add([dice.randrange(50_000) for _ in range(400)])
        return tracemalloc.get_traced_memory()[0]

    dice, history = random.Random(10), History(capacity=8000)
    tracemalloc.start()
    try:
        once = held(40)
        assert held(60) < once + 200_000
    finally:
        tracemalloc.stop()


def test_a_text_longer_than_an_index_of_its_own_goes_on_drafting_and_its_beginning_stays_known():
    history, beginning, verse = History(), random_text(11, 60), random_text(12, 50)
    drafter = Drafter(history, beginning)
    time, _ = replay(drafter, random_text(13, 9000) + verse * 20)
    assert time < 9000 + 20 * 50 / 2
    drafter.extend(beginning[:20])
    assert drafter.draft(4) == beginning[20:24]
    drafter.close()


def test_all_of_a_long_text_is_added():
    history, text = History(), random_text(14, 20_000)
    history.add(text)
    assert all(Drafter(history, text[at:at + 5], FREE).draft(2) == text[at + 5:at + 7] for at in range(0, 19_000, 997))


# whether it pays

def test_repeated_text_is_at_least_twice_as_fast():
    assert speed(random_text(15, 25) * 16) > 2
    assert speed([1, 2] * 100) > 2
    assert speed([1] * 100) > 2


def test_rewriting_a_text_of_the_history_with_changes_is_at_least_twice_as_fast():
    history, dice = History(), random.Random(16)
    text = random_text(17, 1000)
    history.add(text)
    changed = [dice.randrange(50_000) if dice.random() < 0.04 else token for token in text]
    assert speed(changed, history, random_text(18, 30)) > 2


@pytest.mark.parametrize("costs", [COSTS, (1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5)])
@pytest.mark.parametrize("kinds", [8, 15, 20, 30, 50, 200, 50_000])
def test_random_text_loses_less_than_two_percent(kinds, costs):
    assert all(speed(random_text(seed, 400, kinds), costs=costs) > 0.98 for seed in range(8))


@pytest.mark.parametrize("costs", [COSTS, (1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5)])
def test_fresh_prose_loses_less_than_two_percent_also_as_many_short_completions(costs):
    assert all(speed(prose(seed, 400), costs=costs) > 0.98 for seed in range(8))
    history, time = History(), 0.0
    for seed in range(40):
        text = prose(seed, 216)
        drafter = Drafter(history, text[:200], costs)
        time += replay(drafter, text[200:], costs)[0]
        drafter.close()
    assert 40 * 16 / time > 0.98


def test_text_without_repetition_is_not_drafted():
    _, steps = replay(Drafter(History(), []), random_text(19, 1000))
    assert sum(drafted for _, drafted, _ in steps) <= 2


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([6, 20, 5_000]), st.integers(12, 40))
def test_text_that_begins_to_repeat_is_picked_up_within_ten_tokens(seed, kinds, period):
    """Whatever went before, also where many drafts were refused."""
    before, verse = prose(seed, 400, kinds), random_text(seed + 1, period)
    _, steps = replay(Drafter(History(), []), before + verse * 3)
    again = len(before) + period
    first = next(place + accepted for place, _, accepted in steps if place >= again and accepted)
    assert first <= again + 10
    assert max(drafted for place, drafted, _ in steps if place < again + 2 * period) >= 5


def test_drafts_grow_with_success_and_stop_with_the_repetition():
    verse = random_text(20, 20)
    _, steps = replay(Drafter(History(), []), verse * 6 + random_text(21, 200))
    assert max(drafted for place, drafted, _ in steps if 20 < place < 120) == len(COSTS) - 1
    assert sum(drafted for place, drafted, _ in steps if place > 120) <= 2


def test_rows_that_cost_as_much_as_steps_are_not_used():
    drafter = Drafter(History(), [1, 2, 3] * 20, (5.0, 10.0, 15.0))
    assert drafter.draft(2) == []
    drafter.costs = (5.0, 5.5, 6.0)
    assert drafter.draft(2) == [1, 2]
    assert drafter.draft(1) == [1] and drafter.draft(0) == []


@pytest.mark.parametrize("breaks", [4, 8])
def test_a_text_that_refuses_every_draft_is_left_alone_until_it_proves_to_repeat(breaks):
    """It goes on as foretold where nothing is drafted, though never `breaks` times in a row."""
    costs = (1.0, 1.25, 1.5, 1.75, 2.0)
    verse = random_text(22, 30, 50)
    drafter, drafted = Drafter(History(), verse * 2, costs), []
    for step in range(2000):
        draft = drafter.draft(7)
        drafted.append(len(draft))
        drafter.extend([50_000 + step if draft or step % breaks == 0 else verse[step % 30]])
        drafter.verified(len(draft), 0)
    assert 2000 / sum(costs[rows] for rows in drafted) > 0.98
    assert sum(map(bool, drafted[1000:])) <= sum(map(bool, drafted[:1000])) / 2
    _, steps = replay(drafter, random_text(23, 30) * 2, costs)
    assert sum(accepted for place, _, accepted in steps if 30 <= place < 40)


def test_what_one_sequence_learned_serves_the_next():
    verses = [random_text(seed, 3) for seed in range(200)]
    text = [token for verse in verses for token in [*verse, 1]]
    stubborn = [token for verse in verses for token in [*verse, 2]]
    history = History()
    history.add(text)
    assert Drafter(history, verses[7]).draft(1) == [1]
    replay(Drafter(history, []), stubborn)
    assert Drafter(history, verses[7]).draft(1) == []
