"""A store in a folder of its own, and what a model would have said."""
import pytest

from gpt2_assist.writing.session import Session
from gpt2_assist.writing.store import SessionStore


@pytest.fixture
def store(tmp_path):
    store = SessionStore(tmp_path / "sessions.sqlite")
    yield store
    store.close()


@pytest.fixture
def session(store, tmp_path):
    session = Session(store, tmp_path, "m", "s")
    yield session
    session.close()


@pytest.fixture
def reply():
    """Streams a reply into a session, character by character."""
    def stream(session, text, parent=None, facts=None):
        number = session.begin_reply({"model": "m"}, parent).number
        for character in text:
            session.grow(character, number)
        session.end_reply(facts or {"finish_reason": "length"}, number)
        return number
    return stream
