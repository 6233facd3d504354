"""The database of sessions: earlier and later versions of it, modes, search, how much is in it."""
import os
import sqlite3
import stat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpt2_assist.errors import StorageError
from gpt2_assist.writing import searching
from gpt2_assist.writing.session import Session
from gpt2_assist.writing.store import SessionStore

VERSION_0 = """
create table sessions (
    id integer primary key, name text unique not null, model text not null, current integer not null,
    created real not null, changed real not null) strict;
create table passages (
    session integer not null references sessions(id), number integer not null, parent integer not null,
    author text not null, text text not null, how text not null, created real not null,
    primary key (session, number)) strict;
insert into sessions values (1, 'old', 'mini', 3, 1.0, 2.0);
insert into passages values (1, 1, 0, 'user', 'Once', '{}', 1.0),
    (1, 2, 1, 'model', ' a day', '{"model": "mini"}', 1.0),
    (1, 3, 1, 'model', ' a night', '{}', 2.0);
"""


def test_sessions_of_the_first_version_open_with_all_their_branches(tmp_path):
    connection = sqlite3.connect(tmp_path / "sessions.sqlite")
    connection.executescript(VERSION_0)
    connection.close()
    store = SessionStore(tmp_path / "sessions.sqlite")
    session = Session.reopen(store, tmp_path, "old")
    assert session.text == "Once a night" and session.model == "mini"
    assert [passage.text for passage in session.alternatives()] == [" a day", " a night"]
    assert session.undo() and session.text == "Once" and session.redo() and session.text == "Once a night"
    assert store.search("day", 5) == [("old", 2, " a day")]
    assert store.recent() == [("old", "mini", store.recent()[0][2], 3, 18)]
    session.close()
    store.close()
    SessionStore(tmp_path / "sessions.sqlite").close()


def test_a_newer_version_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "sessions.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("pragma user_version = 99")
    connection.close()
    with pytest.raises(StorageError, match="newer version"):
        SessionStore(path)
    assert sqlite3.connect(path).execute("select count(*) from sqlite_schema").fetchone() == (0,)


@pytest.mark.skipif(os.name == "nt", reason="modes are Unix's")
def test_what_is_written_is_its_users_alone_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        store = SessionStore(tmp_path / "home" / "sessions.sqlite")
        session = Session(store, tmp_path / "home" / "locks", "m", "s")
        session.write("secret")
    finally:
        os.umask(before)
    for path in (tmp_path / "home").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700
    session.close()
    store.close()


def test_search_finds_finished_and_growing_passages_of_all_sessions(store, session, reply, tmp_path):
    session.write("The fox ran over the hill.")
    other = Session(store, tmp_path, "m", "other")
    reply(other, "Foxes ran, too.")
    number = other.begin_reply({}).number
    other.grow(" An owl.", number)
    assert {(name, place) for name, place, _ in store.search("ran fox", 9)} == {("s", 1), ("other", 1)}
    assert store.search("owl", 9) == [("other", 2, " An owl.")]
    assert store.search("ver th", 9)[0][:2] == ("s", 1)
    other.end_reply({}, number)
    assert store.search("owl", 9) == [("other", 2, " An owl.")]
    assert len(store.search("ran", 1)) == 1
    other.hide(1)
    assert [name for name, _, _ in store.search("ran", 9)] == ["s"]
    other.close()
    store.delete("other")
    assert store.search("owl", 9) == [] and store.search("Foxes", 9) == [] and store.names() == ["s"]


def test_search_without_an_index_finds_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(searching, "prepare", lambda connection: False)
    plain = SessionStore(tmp_path / "sessions.sqlite")
    session = Session(plain, tmp_path, "m", "s")
    session.write("The fox ran over the hill.")
    assert plain.search("fox", 9) == [("s", 1, "The fox ran over the hill.")]
    plain.close()
    monkeypatch.undo()
    indexed = SessionStore(tmp_path / "sessions.sqlite")
    assert indexed.search("fox", 9) == [("s", 1, "The fox ran over the hill.")]
    indexed.close()
    session.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(st.text(max_size=12) | st.text(alphabet="\"'*()-:^+ ANDORT\0", max_size=12))
def test_any_text_can_be_searched_for(store, query):
    assert isinstance(store.search(query, 3), list)
