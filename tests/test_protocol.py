import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt2_assist.errors import ProtocolError
from gpt2_assist.protocol import MAX_DEPTH, MAX_FRAME_BYTES, Decoder, encode

scalars = (st.none() | st.booleans() | st.integers(-2**63, 2**64 - 1) | st.floats(allow_nan=False) | st.text()
           | st.binary())
messages = st.dictionaries(st.text(), st.recursive(scalars, lambda inner: st.lists(inner), max_leaves=8), max_size=5)


@given(st.lists(messages, max_size=4), st.integers(1, 9))
def test_messages_survive_any_cutting_of_the_stream(sent, size):
    stream, decoder, received = b"".join(map(encode, sent)), Decoder(), []
    for start in range(0, len(stream), size):
        received += decoder.feed(stream[start:start + size])
    assert received == sent


@given(st.binary(max_size=200))
def test_random_bytes_give_messages_or_a_protocol_error(data):
    try:
        assert all(isinstance(message, dict) for message in Decoder().feed(data))
    except ProtocolError:
        pass


def test_an_oversized_frame_is_refused_before_its_body_comes():
    with pytest.raises(ProtocolError):
        Decoder().feed((MAX_FRAME_BYTES + 1).to_bytes(4, "big"))
    with pytest.raises(ProtocolError):
        encode({"text": "x" * MAX_FRAME_BYTES})


def test_nesting_is_bounded_on_both_sides():
    import msgpack

    deep = {"v": None}
    for _ in range(MAX_DEPTH):
        deep = {"v": deep}
    with pytest.raises(ProtocolError):
        encode(deep)
    body = msgpack.packb(deep)
    with pytest.raises(ProtocolError):
        Decoder().feed(len(body).to_bytes(4, "big") + body)
