import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt2_assist.errors import ProtocolError, UsageError
from gpt2_assist.ipc.framing import FrameDecoder, encode, from_wire, to_wire
from gpt2_assist.ipc.messages import MAX_DEPTH, MAX_FRAME_BYTES, MAX_PIECES, Generate, Generation

scalars = (st.none() | st.booleans() | st.integers(-2**63, 2**64 - 1) | st.floats(allow_nan=False) | st.text()
           | st.binary())
messages = st.dictionaries(st.text(), st.recursive(scalars, lambda inner: st.lists(inner), max_leaves=8), max_size=5)


@given(st.lists(messages, max_size=4), st.integers(1, 9))
def test_messages_survive_any_cutting_of_the_stream(sent, size):
    stream, decoder, received = b"".join(map(encode, sent)), FrameDecoder(), []
    for start in range(0, len(stream), size):
        received += decoder.feed(stream[start:start + size])
    assert received == sent


@given(st.binary(max_size=200))
def test_random_bytes_give_messages_or_a_protocol_error(data):
    try:
        assert all(isinstance(message, dict) for message in FrameDecoder().feed(data))
    except ProtocolError:
        pass


def test_an_oversized_frame_is_refused_before_its_body_comes():
    with pytest.raises(ProtocolError):
        FrameDecoder().feed((MAX_FRAME_BYTES + 1).to_bytes(4, "big"))
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
        FrameDecoder().feed(len(body).to_bytes(4, "big") + body)


@given(st.none() | st.text(), st.text(), st.text(), st.lists(st.lists(st.text(), min_size=2, max_size=2), max_size=4))
def test_what_stands_around_the_cursor_survives_the_wire(suffix, path, repository, beside):
    sent = Generate(1, "m", "p", Generation(), suffix=suffix, path=path, repository=repository, beside=beside)
    sent.validate()
    entries, = FrameDecoder().feed(to_wire(sent))
    assert from_wire(entries) == sent


@given(st.dictionaries(st.sampled_from(["suffix", "path", "repository", "beside", "prompt"]),
                       scalars | st.lists(scalars | st.lists(scalars, max_size=3), max_size=3), max_size=5))
def test_wild_entries_give_a_message_that_is_right_or_an_error_with_a_sentence(wild):
    entries, = FrameDecoder().feed(to_wire(Generate(1, "m", "p", Generation())))
    try:
        message = from_wire({**entries, **wild})
        message.validate()
    except (ProtocolError, UsageError) as error:
        assert str(error).endswith(".")
    else:
        assert message.suffix is None or isinstance(message.suffix, str)
        assert all(isinstance(text, str) for piece in message.beside for text in piece)


def test_other_files_pieces_are_few():
    many = [["a", "b"]] * (MAX_PIECES + 1)
    with pytest.raises(UsageError, match=str(MAX_PIECES)):
        Generate(1, "m", "p", Generation(), beside=many).validate()


@pytest.mark.parametrize(("given", "words"), [
    ({"typical_p": 1.5}, "typical_p must be a number between 0 and 1"), ({"typical_p": "x"}, "typical_p"),
    ({"top_n_sigma": -1.0}, "top_n_sigma"), ({"xtc_probability": 2}, "xtc_probability"),
    ({"xtc_threshold": float("nan")}, "xtc_threshold"), ({"dry_multiplier": -0.1}, "dry_multiplier"),
    ({"dry_base": 0.5}, "dry_base"), ({"dry_allowed_length": 0}, "dry_allowed_length"),
    ({"dry_allowed_length": 1.5}, "a whole number"), ({"dry_breakers": [""]}, "dry_breakers must have 1 to"),
    ({"dry_breakers": [5]}, "dry_breakers"), ({"dry_breakers": ["a"] * 99}, "99 texts in dry_breakers"),
    ({"dynatemp_range": -1.0}, "dynatemp_range"), ({"dynatemp_exponent": 1e9}, "dynatemp_exponent"),
    ({"temperatures": [0.5, -1.0]}, "a temperature"), ({"temperatures": [[1]]}, "a temperature"),
    ({"temperatures": [1.0] * 65}, "65 temperatures"), ({"mirostat_tau": -5.0}, "mirostat_tau"),
    ({"mirostat_eta": 11.0}, "mirostat_eta"), ({"samplers": ["top_k", "topp"]}, "no sampler 'topp'; there are penal"),
    ({"samplers": [["x"]]}, "no sampler"), ({"samplers": ["dry", "dry"]}, "dry is named twice")])
def test_a_sampler_setting_that_means_nothing_is_refused_by_one_sentence(given, words):
    with pytest.raises(UsageError) as refused:
        Generation(**given).validate()
    assert words in str(refused.value) and str(refused.value).endswith(".") and "\n" not in str(refused.value)
