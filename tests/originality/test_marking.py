"""Marks while a text comes, beside what the whole text says."""
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2_assist.originality.index import CopyIndex
from gpt2_assist.originality.marking import CopyMarks
from gpt2_assist.originality.matcher import matches

texts = st.lists(st.integers(0, 3), max_size=60)


@settings(max_examples=400, deadline=None)
@given(st.lists(texts, min_size=1, max_size=3), texts, st.lists(st.integers(0, 4), max_size=60), st.integers(1, 6))
def test_pieces_come_in_order_each_once_and_marked_if_any_of_their_tokens_is_copied(known, text, sizes, least):
    index = CopyIndex.build([np.array(ids, np.int64) for ids in known], [("a", 1)] * len(known))
    lengths, _ = matches(index, text)
    copied = np.zeros(len(text), bool)
    for end, length in enumerate(lengths, 1):
        if length >= least:
            copied[end - length:end] = True
    marks, begin, expected, given = CopyMarks(index, least), 0, [], []
    for number, size in enumerate([*sizes, len(text)]):
        tokens = text[begin:begin + size]
        if tokens:
            expected.append((str(number), bool(copied[begin:begin + len(tokens)].any())))
            given += marks.feed(str(number), tokens)
            assert len(expected) - len(given) < least, "no more waits than may become a span"
        begin += len(tokens)
    assert given + marks.finish() == expected
