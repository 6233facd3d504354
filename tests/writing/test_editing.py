"""What an edit keeps of a story's passages, against the story itself."""
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2_assist.text.common import common_start
from gpt2_assist.writing.editing import stretches
from gpt2_assist.writing.passage import Passage

TEXT = st.text(st.sampled_from("ab \n."), max_size=12)


def passages(texts):
    return [Passage(number, number - 1, "model", text) for number, text in enumerate(texts, 1) if text]


@settings(max_examples=40, deadline=None)
@given(st.lists(TEXT, max_size=5), TEXT, st.data())
def test_stretches_are_the_new_text_and_what_is_kept_stands_in_its_passage(texts, inserted, data):
    path = passages(texts)
    old = "".join(texts)
    start = data.draw(st.integers(0, len(old)))
    end = data.draw(st.integers(start, len(old)))
    new = old[:start] + inserted + old[end:]
    found = stretches(path, new)
    assert "".join(stretch.text for stretch in found) == new
    origins = [stretch.origin.number for stretch in found if stretch.origin]
    assert origins == sorted(origins)
    for stretch in found:
        assert stretch.text and (stretch.origin is None or stretch.text in stretch.origin.text)
        assert stretch.whole == (stretch.origin is not None and stretch.text == stretch.origin.text)


@given(TEXT, TEXT)
def test_common_prefix_is_the_plain_one(one, other):
    plain = 0
    while plain < min(len(one), len(other)) and one[plain] == other[plain]:
        plain += 1
    assert common_start(one, other) == plain


def test_a_long_story_that_is_quite_another_is_no_reason_to_compare_word_by_word():
    path = passages(["".join(f"old{place} \n" for place in range(20_000))])
    new = "".join(f"new {place}.\n" for place in range(20_000))
    assert [(stretch.author, stretch.text) for stretch in stretches(path, new)] == [
        ("edit", new[:-1]), ("model", "\n")]
