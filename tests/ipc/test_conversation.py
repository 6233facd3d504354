"""A client's conversation, fed bytes as a daemon could send them."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt2_assist.errors import AssistError, DaemonError, ProtocolError
from gpt2_assist.ipc.conversation import Conversation, ServerError
from gpt2_assist.ipc.framing import to_wire
from gpt2_assist.ipc.messages import Chunk, Failure, Ping, StatusReply, Welcome


@given(st.lists(st.tuples(st.integers(1, 3), st.text(max_size=5)), max_size=20), st.data())
def test_each_request_gets_its_own_in_order_however_the_bytes_are_cut(said, data):
    talk = Conversation()
    ids = [talk.status().id for _ in range(3)]
    stream = b"".join(to_wire(Chunk(id, 0, text, [], [])) for id, text in said)
    came: list[int] = []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        came += talk.hear(stream[:cut])
        stream = stream[cut:]
    assert came == [id for id, _ in said]
    for id in ids:
        for text in [text for other, text in said if other == id]:
            assert talk.next(id).text == text
        assert talk.next(id) is None


def test_what_nobody_listens_for_is_dropped():
    talk = Conversation()
    id = talk.status().id
    talk.forget(id)
    assert talk.hear(to_wire(StatusReply(id, {}))) == [] and talk.hear(to_wire(StatusReply(99, {}))) == []


def test_a_failure_ends_its_request_alone():
    talk = Conversation()
    one, other = talk.status().id, talk.status().id
    talk.hear(to_wire(Failure(one, "No.", 7)))
    with pytest.raises(ServerError, match="No.") as caught:
        talk.next(one)
    assert caught.value.exit_code == 7 and talk.next(other) is None


@pytest.mark.parametrize("last, kind", [(to_wire(Failure(0, "Away with you.", 5)), ServerError),
                                        (b"\xff\xff\xff\xff", ProtocolError), (to_wire(Ping()), ProtocolError),
                                        (b"", DaemonError)])
def test_after_the_end_comes_what_was_there_before_it_and_then_why(last, kind):
    talk = Conversation()
    id = talk.status().id
    assert talk.hear(to_wire(Welcome(1, "1", 2, b"/")) + to_wire(StatusReply(id, {"pid": 2}))) == [id]
    assert talk.welcome == Welcome(1, "1", 2, b"/")
    if last:
        talk.hear(last)
    else:
        talk.end(DaemonError("It went."))
    assert talk.next(id).status == {"pid": 2}
    for again in (lambda: talk.next(id), talk.check, talk.status):
        with pytest.raises(AssistError) as caught:
            again()
        assert type(caught.value) is kind
