"""The story as the screen shows it: whose words, which of them are copied, and what hasn't changed."""
import pytest

from gpt2_assist.repl.screen.story import Story
from gpt2_assist.writing.session import Session
from gpt2_assist.writing.store import SessionStore


@pytest.fixture
def session(tmp_path):
    store = SessionStore(tmp_path / "sessions.sqlite")
    session = Session(store, tmp_path / "locks", "mini", "tale")
    yield session
    session.close()
    store.close()


def styles(styled) -> list[tuple[str, str]]:
    return styled.fragments(0, len(styled.text))


def test_each_ones_words_have_their_style_and_the_draft_stands_behind(session):
    session.write("Once")
    reply = session.begin_reply({})
    session.grow(" upon a", reply.number)
    shown, _ = Story().picture(session, [("user", " time"), ("model", " there")], " was")
    assert styles(shown) == [("class:user", "Once"), ("class:model", " upon a"), ("class:user", " time"),
                             ("class:model", " there"), ("class:offer", " was")]


def test_what_is_copied_is_marked_where_it_stands(session):
    session.write("Once")
    reply, story = session.begin_reply({}), Story()
    session.grow(" upon a time there", reply.number)
    for text, copied in ((" upon", False), (" a time", True)):
        story.came(reply.number, text, copied)
    assert styles(story.picture(session, [], "")[0]) == [
        ("class:user", "Once"), ("class:model", " upon"), ("class:model class:copied", " a time"),
        ("class:model", " there")]


def test_what_is_as_before_is_counted(session):
    story = Story()
    session.write("Once")
    assert story.picture(session, [], "")[1] == 0
    assert story.picture(session, [("user", " upon")], "")[1] == 4
    session.write(" a time")
    assert story.picture(session, [], "")[1] == 4
    session.undo()
    assert story.picture(session, [], "")[1] == 4
    session.undo()
    assert story.picture(session, [], "")[1] == 0
