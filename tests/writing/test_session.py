"""A session loses no word: the tree, its saving, a full disk, two terminals."""
import sqlite3

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpt2_assist.errors import StorageError, UsageError
from gpt2_assist.writing.session import Session
from gpt2_assist.writing.store import SessionStore
from gpt2_assist.writing.tree import PassageTree


def test_words_stand_as_they_were_given(store, tmp_path):
    session = Session(store, tmp_path, "m", "s")
    for text in ("She ran ", "and ran", "\n\n", "\"Stop,\"  "):
        session.write(text)
    assert session.write("").number == 4
    assert session.text == "She ran and ran\n\n\"Stop,\"  "
    session.close()
    assert Session.reopen(store, tmp_path, "s").text == session.text


def test_undo_and_retry_keep_every_passage_in_the_tree(store, tmp_path, reply):
    session = Session(store, tmp_path, "m", "s")
    session.write("Once")
    reply(session, " a day")
    session.undo()
    reply(session, " a night")
    assert session.text == "Once a night"
    session.close()
    saved = store.read("s")
    assert [passage.text for passage in saved.passages.values()] == ["Once", " a day", " a night"]
    assert Session.reopen(store, tmp_path, "s").text == "Once a night"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=8)
@given(st.lists(st.one_of(st.just("undo"), st.tuples(st.sampled_from(["user", "model"]), st.text(max_size=9)))))
def test_what_lies_on_disk_is_the_text_after_every_step(tmp_path_factory, reply, steps):
    folder = tmp_path_factory.mktemp("steps")
    store = SessionStore(folder / "sessions.sqlite")
    session = Session(store, folder, "m", "s")
    texts = [""]
    for step in steps:
        if step == "undo":
            session.undo()
            texts = texts[:-1] or [""]
        elif step[0] == "user":
            session.write(step[1])
            if step[1]:
                texts.append(texts[-1] + step[1])
        else:
            reply(session, step[1])
            if step[1]:
                texts.append(texts[-1] + step[1])
        assert session.text == texts[-1]
        other = SessionStore(folder / "sessions.sqlite")
        saved = other.read("s")
        if saved:
            path = PassageTree(saved.passages.values()).path(saved.state.current)
            assert "".join(passage.text for passage in path) == session.text
        other.close()
    store.close()


def test_a_full_disk_loses_nothing_and_is_told_in_a_sentence(store, tmp_path):
    session = Session(store, tmp_path, "m", "s")
    session.write("Before.")
    pages = store._connection.execute("pragma page_count").fetchone()[0]
    store._connection.execute(f"pragma max_page_count = {pages}")
    long = "word " * 5000
    with pytest.raises(StorageError, match="full"):
        session.write(long)
    assert not session.saved and session.text == "Before." + long
    assert store.read("s").passages[1].text == "Before."
    assert store._connection.execute("pragma integrity_check").fetchone() == ("ok",)
    store._connection.execute("pragma max_page_count = 1000000")
    session.write("After.")
    assert session.saved
    session.close()
    assert Session.reopen(store, tmp_path, "s").text == "Before." + long + "After."


def test_a_session_opens_once_and_a_name_is_taken_once(store, tmp_path):
    first, second = Session(store, tmp_path, "m", "first"), Session(store, tmp_path, "m", "second")
    first.write("x")
    second.write("y")
    with pytest.raises(UsageError, match="another terminal"):
        Session.reopen(store, tmp_path, "first")
    first.close()
    with pytest.raises(StorageError, match="already a session"):
        second.rename("first")
    assert second.name == "second"
    second.rename("third")
    assert store.names()[0] == "third"
    with pytest.raises(UsageError, match="first"):
        Session.reopen(store, tmp_path, "nothing")
    for bad in ("", "a/b", ".hidden"):
        with pytest.raises(UsageError):
            Session.reopen(store, tmp_path, bad)


def test_a_damaged_database_gets_a_sentence(tmp_path):
    (tmp_path / "sessions.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(StorageError, match="sessions.sqlite"):
        SessionStore(tmp_path / "sessions.sqlite")


def test_an_unfinished_transaction_of_a_killed_program_leaves_the_last_state(store, tmp_path):
    session = Session(store, tmp_path, "m", "s")
    session.write("kept")
    other = sqlite3.connect(tmp_path / "sessions.sqlite", isolation_level=None)
    other.execute("begin immediate")
    other.execute("update passages set text = 'lost'")
    other.close()
    assert store.read("s").passages[1].text == "kept"
