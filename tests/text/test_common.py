from hypothesis import given
from hypothesis import strategies as st

from gpt2_assist.text.common import common_end, common_start

TEXT = st.text("ab", max_size=20)


@given(TEXT, TEXT)
def test_alike_at_both_ends_as_one_sees_by_looking(left, right):
    start = common_start(left, right)
    assert left[:start] == right[:start] and left[start:start + 1] != right[start:start + 1] or left == right[:start]
    most = min(len(left), len(right)) - start
    end = common_end(left, right, most)
    assert left[len(left) - end:] == right[len(right) - end:]
    assert end == most or left[-1 - end] != right[-1 - end]
