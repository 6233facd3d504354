"""Sessions on disk: one SQLite database, in which every passage is a row that points to its parent."""
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from gpt2_assist.errors import StorageError

_SCHEMA = """
create table if not exists sessions (
    id integer primary key, name text unique not null, model text not null, current integer not null,
    created real not null, changed real not null) strict;
create table if not exists passages (
    session integer not null references sessions(id), number integer not null, parent integer not null,
    author text not null, text text not null, how text not null, created real not null,
    primary key (session, number)) strict;
"""


@dataclass
class Passage:
    """A piece of text by one author. Number 0 is the empty beginning that every session has."""

    number: int
    parent: int
    author: str
    """user or model."""
    text: str
    how: str = "{}"
    """JSON: how the model made it; empty for the user's own."""
    created: float = field(default_factory=time.time)


@dataclass(frozen=True)
class Saved:
    """A session as it lies on disk."""

    id: int
    name: str
    model: str
    current: int
    passages: dict[int, Passage]


class SessionStore:
    """All sessions of a user. Every method raises StorageError, by a sentence, where the disk refuses."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._refusals():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=10)
            self._connection.execute("pragma journal_mode = wal")
            self._connection.executescript(_SCHEMA)

    def names(self) -> list[str]:
        """Session names, the last changed first."""
        with self._refusals():
            rows = self._connection.execute("select name from sessions order by changed desc, id desc").fetchall()
        return [name for name, in rows]

    def read(self, name: str) -> Saved | None:
        """The session of that name."""
        with self._refusals():
            row = self._connection.execute("select id, name, model, current from sessions where name = ?",
                                           (name,)).fetchone()
            if row is None:
                return None
            rows = self._connection.execute("select number, parent, author, text, how, created from passages "
                                            "where session = ? order by number", (row[0],)).fetchall()
        return Saved(*row, {entry[0]: Passage(*entry) for entry in rows})

    def write(self, id: int | None, name: str, model: str, current: int, passages: Iterable[Passage],
              synced: bool = True) -> int:
        """Writes a session's state and the given passages in one transaction; its id, a new one for None.

        What is written outlives this process in any case, and with `synced` a power cut too. A name that another
        session has raises StorageError.
        """
        now = time.time()
        with self._refusals():
            self._connection.execute(f"pragma synchronous = {'full' if synced else 'normal'}")
        with self._refusals(), self._transaction():
            if id is None:
                self._connection.execute(
                    "insert into sessions (name, model, current, created, changed) values (?, ?, ?, ?, ?)",
                    (name, model, current, now, now))
                id, = self._connection.execute("select last_insert_rowid()").fetchone()
            else:
                self._connection.execute("update sessions set name = ?, model = ?, current = ?, changed = ? "
                                         "where id = ?", (name, model, current, now, id))
            self._connection.executemany(
                "insert or replace into passages values (?, ?, ?, ?, ?, ?, ?)",
                [(id, p.number, p.parent, p.author, p.text, p.how, p.created) for p in passages])
        return id

    def close(self) -> None:
        self._connection.close()

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._connection)

    def _refusals(self) -> "_Refusals":
        return _Refusals(self._path)


class _Transaction:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("begin immediate")

    def __exit__(self, kind, error, trace) -> None:
        if kind is None:
            try:
                self._connection.execute("commit")
                return
            except sqlite3.Error:
                self._roll_back()
                raise
        self._roll_back()

    def _roll_back(self) -> None:
        if self._connection.in_transaction:  # a full disk may have ended the transaction already
            self._connection.execute("rollback")


class _Refusals:
    """Turns what SQLite and the disk say into a sentence."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind, error, trace) -> None:
        if isinstance(error, sqlite3.IntegrityError):
            raise StorageError("There is already a session of that name; choose another.") from None
        if isinstance(error, (sqlite3.Error, OSError)):
            raise StorageError(f"The sessions in {self._path} can't be read or written: {error}.") from None
