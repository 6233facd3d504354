"""Streams against an obvious slow one: decode all, look for every stop string at every place."""
import codecs

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gpt2_assist.text.stops import StopMatcher
from gpt2_assist.text.stream import TextStream
from gpt2_assist.text.tokenizer import TextTokenizer

# A small alphabet makes overlapping stop strings and half characters frequent.
letters = st.sampled_from("ab é😀\n\ufffd")
texts = st.lists(letters, max_size=30).map("".join)
stop_strings = st.lists(st.lists(letters, min_size=1, max_size=6).map("".join), max_size=4)
data = texts.map(str.encode) | st.lists(
    st.binary(max_size=3) | st.sampled_from([b"a", b"b", "é".encode(), "😀".encode(), b"\xf0\x9f", b"\xc3"]),
    max_size=20).map(b"".join)


def slow(text: str, stops: list[str]) -> tuple[str, bool]:
    """(what is before the stop string that ends first, the longest of those that end there; whether there is one)."""
    for end in range(1, len(text) + 1):
        ending = [len(stop) for stop in stops if text[:end].endswith(stop)]
        if ending:
            return text[:end - max(ending)], True
    return text, False


def could_become_a_stop(text: str, stops: list[str]) -> bool:
    return any(stop.startswith(text) for stop in stops)


def pieces(content: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({min(cut, len(content)) for cut in cuts} | {0, len(content)})
    return [content[start:end] for start, end in zip(places, places[1:])]


@given(data, stop_strings, st.lists(st.integers(0, 60), max_size=12))
@example(b"aab", ["ab"], [1, 2])
@example(b"abcx", ["abcd", "c"], [1, 2, 3])
@example(b"a\xc3", ["\ufffd"], [1])
@example(b"a\xff\xffbcd", ["bc"], [1, 2, 3, 4, 5])
@settings(max_examples=500, deadline=None)
def test_a_stream_gives_what_the_slow_one_gives(content, stops, cuts):
    stream = TextStream(stops)
    given_out = "".join(stream.feed(piece) for piece in pieces(content, cuts))
    text = given_out + stream.finish()
    whole, stopped = slow(_without_a_cut_character(content), stops)
    assert (text, stream.stopped) == (whole.rstrip("\ufffd"), stopped)
    text.encode()  # whole characters only
    assert stream.feed(b"more") == "" or not stream.stopped


@given(data, stop_strings)
@example(b"\xe0", [])
@example(b"\xed", [])
@example(b"\xed\xa0\x80", [])
@example(b"\xed\xbf\xed\xa0a", [])
@example(b"a\xf0\x9f", ["a\ufffd"])
@settings(max_examples=500, deadline=None)
def test_nothing_is_withheld_longer_than_needed(content, stops):
    stream = TextStream(stops)
    given_out = ""
    for end in range(1, len(content) + 1):
        given_out += stream.feed(content[end - 1:end])
        if stream.stopped:
            return
        decoded = _settled(content[:end])
        assert decoded.startswith(given_out)
        withheld = decoded[len(given_out):]
        broken = len(withheld) - len(withheld.lstrip("\ufffd"))
        assert any(withheld[cut:] == "" or could_become_a_stop(withheld[cut:], stops) for cut in range(broken + 1))


def _without_a_cut_character(content: bytes) -> str:
    return codecs.getincrementaldecoder("utf-8")("replace").decode(content)


def _settled(content: bytes) -> str:
    """The characters that no byte to come can change: any follower makes the same of what stands before it. At the
    beginning of a surrogate, which no UTF-8 has, Python's decoder waits for a byte more, and so do we."""
    for cut in range(min(3, len(content)) + 1):
        tail = content[len(content) - cut:]
        followers = (first + b"\x80" * more for first in (b"\x80", b"\x90", b"\xa0") for more in range(3))
        surrogate = cut == 2 and tail[0] == 0xED and 0xA0 <= tail[1] <= 0xBF
        if surrogate or cut and any(_is_whole(tail + rest) for rest in followers):
            return content[:len(content) - cut].decode("utf-8", "replace")
    return content.decode("utf-8", "replace")


def _is_whole(content: bytes) -> bool:
    try:
        return len(content.decode("utf-8")) == 1
    except UnicodeDecodeError:
        return False


@given(texts, stop_strings)
@settings(max_examples=100, deadline=None)
def test_stop_strings_span_tokens(tiny_model_tokenizer, text, stops):
    stream = TextStream(stops)
    parts = [stream.feed(tiny_model_tokenizer.token_bytes(id)) for id in tiny_model_tokenizer.encode(text)]
    assert "".join(parts) + stream.finish() == slow(text, stops)[0].rstrip("\ufffd")


@pytest.fixture(scope="module")
def tiny_model_tokenizer(tiny_model) -> TextTokenizer:
    return TextTokenizer.from_folder(tiny_model)


def test_characters_come_as_soon_as_they_are_whole():
    stream = TextStream([])
    assert [stream.feed(bytes([byte])) for byte in "é😀".encode()] == ["", "é", "", "", "", "😀"]


@pytest.mark.parametrize("cut", range(1, len("春眠".encode()) + 1))
def test_of_a_character_that_is_cut_off_nothing_is_left(cut):
    stream = TextStream([])
    assert stream.feed("春眠".encode()[:cut]) + stream.finish() == "春眠"[:cut // 3]


def test_no_sample_ends_in_broken_characters_and_those_inside_are_said():
    stream = TextStream(["end"])
    said = [stream.feed(data) for data in (b"a\x98", b"\xff", b"b", b"\xe6", b"\xe6")]
    assert said == ["a", "", "\ufffd\ufffdb", "", ""]
    assert stream.finish() == ""
    stream = TextStream(["end"])
    assert stream.feed(b"a\xffend") + stream.finish() == "a"


def test_samples_with_the_same_stop_strings_do_not_share_their_state():
    first, second = TextStream(["ab"]), TextStream(["ab"])
    assert first.feed(b"xa") == "x"
    assert second.feed(b"b") == "b"
    assert first.finish() == "a"


def test_an_empty_stop_string_is_refused():
    with pytest.raises(ValueError, match="empty"):
        StopMatcher([""])


def test_long_runs_that_almost_match_many_long_stop_strings():
    stops = ["a" * (1023 - k) + "b" for k in range(32)]
    stream = TextStream(stops)
    assert stream.feed(b"a" * 200_000) == "a" * (200_000 - 1023)
    assert stream.finish() == "a" * 1023
