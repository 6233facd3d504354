"""The tables of the database of sessions, and how those of earlier versions become them."""
import sqlite3

from gpt2_assist.errors import StorageError

VERSION = 1
"""SQLite's `user_version` of these tables."""

_FIRST = """
create table if not exists sessions (
    id integer primary key, name text unique not null, model text not null, current integer not null,
    created real not null, changed real not null) strict;
create table if not exists passages (
    session integer not null references sessions(id), number integer not null, parent integer not null,
    author text not null, text text not null, how text not null, created real not null,
    primary key (session, number)) strict
"""
"""Version 0: what databases had before they said a version."""

_SECOND = """
alter table sessions add column chosen integer not null default 0;
alter table sessions add column settings text not null default '{}';
alter table sessions add column memory text not null default '';
alter table sessions add column note text not null default '';
alter table sessions add column note_depth integer not null default 3;
alter table sessions add column banned text not null default '[]';
alter table sessions add column bias text not null default '[]';
alter table sessions add column draft text not null default '';
alter table sessions add column draft_cursor integer not null default 0;
alter table sessions add column journal text not null default '[]';
alter table sessions add column step integer not null default 0;
alter table passages rename to passages_before;
create table passages (
    id integer primary key, session integer not null references sessions(id), number integer not null,
    parent integer not null, author text not null, text text not null, how text not null, created real not null,
    hidden integer not null default 0, bookmark text not null default '', chosen integer not null default 0,
    tokens text not null default '', finished integer not null default 1, indexed integer not null default 0,
    unique (session, number)) strict;
insert into passages (session, number, parent, author, text, how, created)
    select session, number, parent, author, text, how, created from passages_before;
drop table passages_before;
create index not_indexed on passages (session, number) where indexed = 0
"""


def is_current(connection: sqlite3.Connection) -> bool:
    """Whether the tables are of this version."""
    return connection.execute("pragma user_version").fetchone() == (VERSION,)


def migrate(connection: sqlite3.Connection) -> None:
    """Brings the tables to this version, within the caller's transaction. Raises StorageError for a newer one."""
    version, = connection.execute("pragma user_version").fetchone()
    if version > VERSION:
        raise StorageError("The sessions were last opened by a newer version of gpt2-assist; use that one, "
                           "or install it again.")
    if version < VERSION:
        for statement in (_FIRST + ";" + _SECOND).split(";"):
            connection.execute(statement)
        connection.execute(f"pragma user_version = {VERSION}")
