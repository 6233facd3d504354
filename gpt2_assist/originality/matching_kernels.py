"""The inner loops of finding sequences of tokens in an index; see index.py for its arrays.

The suffixes that begin with a given sequence stand beside each other in the sorted order, so a sequence's places are
an interval [low, high) of ranks. A token more narrows it by binary search. An id that no training token has, such as
the separator's, is found nowhere.
"""
import numpy as np

from gpt2_assist.originality.sorting_kernels import kernel


@kernel
def _letter(text, size, place):
    """A training token, or one larger than all behind the end, where only a damaged index leads."""
    return np.int64(text[place]) if 0 <= place < size else 1 << 32


@kernel
def _first_from(text, size, order, low, high, depth, token):
    """The first rank in [low, high) whose suffix has `token` or a larger one at `depth`."""
    while low < high:
        middle = (low + high) // 2
        if _letter(text, size, order[middle] + depth) < token:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def _narrowed(text, size, order, letters, low, high, depth, token):
    """The part of an interval of sequences of `depth` tokens in which `token` comes next."""
    if low >= high or token < 0 or token >= letters:
        return 0, 0
    if _letter(text, size, order[low] + depth) != token:
        low = _first_from(text, size, order, low, high, depth, token)
    if low < high and _letter(text, size, order[high - 1] + depth) != token:
        high = _first_from(text, size, order, low, high, depth, token + 1)
    return low, high


@kernel
def _interval(text, size, order, buckets, letters, tokens, begin, end):
    """Where tokens[begin:end], at least one, stand."""
    token = tokens[begin]
    if token < 0 or token >= letters:
        return 0, 0
    low, high = buckets[token], buckets[token + 1]
    for place in range(begin + 1, end):
        low, high = _narrowed(text, size, order, letters, low, high, place - begin, tokens[place])
        if low >= high:
            break
    return low, high


@kernel
def _longest(text, size, order, buckets, letters, tokens, end, limit):
    """(length, low, high) of the longest sequence before tokens[end], of at most `limit` tokens, that stands somewhere.

    What ends a found sequence is found too: the length is doubled until it isn't, then looked for between the two.
    """
    good, low, high, bad, tried = 0, 0, 0, limit + 1, 1
    while good + 1 < bad:
        first, last = _interval(text, size, order, buckets, letters, tokens, end - tried, end)
        if first < last:
            good, low, high = tried, first, last
        else:
            bad = tried
        tried = 2 * good if bad > limit and 2 * good < bad else (good + bad) // 2
    return good, low, high


@kernel
def follow(text, size, order, buckets, letters, history, begin, end, state, lengths, places):
    """For each place in history[begin:end]: the longest sequence of tokens up to and with it that stands somewhere.

    history int64; lengths and places int64 [end - begin]: its length and one place where it begins, -1 where the
    length is 0. `state` int64 [3] is the interval and length of the sequence that ends before `begin`.
    """
    low, high, length = state[0], state[1], state[2]
    for place in range(begin, end):
        if length > 0:
            low, high = _narrowed(text, size, order, letters, low, high, length, history[place])
        if length > 0 and low < high:
            length += 1
        else:
            length, low, high = _longest(text, size, order, buckets, letters, history, place + 1, max(length, 1))
        lengths[place - begin] = length
        places[place - begin] = order[low] if length > 0 else -1
    state[0], state[1], state[2] = low, high, length


@kernel
def followers(text, size, order, buckets, letters, tokens, count, out, found):
    """found[0] (int64) ids, in order, that follow tokens[:count] somewhere, in out int64 [letters]."""
    low, high, number = 0, size, 0
    if count > 0:
        low, high = _interval(text, size, order, buckets, letters, tokens, 0, count)
    while low < high:
        token = _letter(text, size, order[low] + count)
        if token >= letters or number >= letters:
            break
        out[number] = token
        number += 1
        step = 1
        while low + step < high and _letter(text, size, order[low + step] + count) <= token:
            low += step
            step *= 2
        low = _first_from(text, size, order, low, min(low + step, high), count, token + 1)
    found[0] = number
