"""Sessions on disk: one SQLite database, in which every passage is a row that points to its parent."""
import json
import os
import sqlite3
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from gpt2_assist.errors import StorageError
from gpt2_assist.files.modes import tighten
from gpt2_assist.text.valid import valid
from gpt2_assist.writing import searching
from gpt2_assist.writing.passage import Passage
from gpt2_assist.writing.schema import is_current, migrate

_COLUMNS = "number, parent, author, text, how, created, hidden, bookmark, chosen, tokens, finished"
_WRITE_PASSAGE = (
    f"insert into passages (session, {_COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "on conflict (session, number) do update set parent = excluded.parent, text = excluded.text, how = excluded.how, "
    "hidden = excluded.hidden, bookmark = excluded.bookmark, chosen = excluded.chosen, tokens = excluded.tokens, "
    "finished = excluded.finished")


@dataclass
class SessionState:
    """What a session is beside its passages."""

    name: str
    model: str
    current: int = 0
    chosen: int = 0
    """The child of the beginning by which the text went on last."""
    settings: dict = field(default_factory=dict)
    memory: str = ""
    note: str = ""
    note_depth: int = 3
    banned: list = field(default_factory=list)
    bias: list = field(default_factory=list)
    draft: str = ""
    draft_cursor: int = 0
    journal: list = field(default_factory=list)
    step: int = 0

    def copy(self) -> "SessionState":
        """One that later changes of this one leave as it is."""
        return SessionState(**{name: json.loads(json.dumps(value)) if isinstance(value, (list, dict)) else value
                               for name, value in vars(self).items()})


_STATE = list(SessionState.__dataclass_fields__)
_AS_JSON = {"settings": dict, "banned": list, "bias": list, "journal": list}


@dataclass(frozen=True)
class SavedSession:
    """A session as it lies on disk."""

    id: int
    state: SessionState
    passages: dict[int, Passage]


class SessionStore:
    """All sessions of a user. Every method raises StorageError, by a sentence, where the disk refuses."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._refusals():
            _make_private_file(path)
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=10)
            self._connection.execute("pragma journal_mode = wal")
            self._indexed = True
            if not (is_current(self._connection) and searching.is_prepared(self._connection)):
                with self._transaction():  # which others wait for: only where there is something to do
                    migrate(self._connection)
                    self._indexed = searching.prepare(self._connection)

    def names(self) -> list[str]:
        """Session names, the last changed first."""
        with self._refusals():
            rows = self._connection.execute("select name from sessions order by changed desc, id desc").fetchall()
        return [name for name, in rows]

    def recent(self) -> list[tuple[str, str, float, int, int]]:
        """Of each session name, model, time of the last change in seconds since 1970, number of passages and their
        characters, other branches' too; the last changed first."""
        with self._refusals():
            return self._connection.execute(
                "select name, model, changed, count(number), coalesce(sum(length(text)), 0) from sessions "
                "left join passages on session = sessions.id group by sessions.id "
                "order by changed desc, sessions.id desc").fetchall()

    def read(self, name: str) -> SavedSession | None:
        """The session of that name."""
        with self._refusals():
            row = self._connection.execute(f"select id, {', '.join(_STATE)} from sessions where name = ?",
                                           (name,)).fetchone()
            if row is None:
                return None
            rows = self._connection.execute(f"select {_COLUMNS} from passages where session = ? order by number",
                                            (row[0],)).fetchall()
        passages = {}
        for entry in rows:
            passage = passages[entry[0]] = Passage(*entry)
            passage.hidden, passage.finished = bool(passage.hidden), bool(passage.finished)
        return SavedSession(row[0], _state(row[1:]), passages)

    def write(self, id: int | None, state: SessionState | None, passages: Iterable[Passage] = (),
              synced: bool = True) -> int:
        """Writes a session's state and the given passages in one transaction; its id, a new one for None.

        Without a state, that of a known session stays. What is written outlives this process in any case, and with
        `synced` a power cut too. A name that another session has raises StorageError.
        """
        passages, now = list(passages), time.time()
        with self._refusals():
            self._connection.execute(f"pragma synchronous = {'full' if synced else 'normal'}")
        with self._refusals(), self._transaction():
            if id is None:
                assert state is not None
                marks = ", ".join("?" * (len(_STATE) + 2))
                self._connection.execute(f"insert into sessions ({', '.join(_STATE)}, created, changed) "
                                         f"values ({marks})", (*_row(state), now, now))
                id, = self._connection.execute("select last_insert_rowid()").fetchone()
            elif state is not None:
                self._connection.execute(f"update sessions set {' = ?, '.join(_STATE)} = ?, changed = ? where id = ?",
                                         (*_row(state), now, id))
            else:
                self._connection.execute("update sessions set changed = ? where id = ?", (now, id))
            self._connection.executemany(_WRITE_PASSAGE, [
                (id, p.number, p.parent, p.author, p.text, p.how, p.created, p.hidden, p.bookmark, p.chosen, p.tokens,
                 p.finished) for p in passages])
            if self._indexed and any(passage.finished for passage in passages):
                searching.index(self._connection, id)
        return id

    def delete(self, name: str) -> None:
        """Takes a session out for good; one that isn't there is no error."""
        with self._refusals(), self._transaction():
            row = self._connection.execute("select id from sessions where name = ?", (name,)).fetchone()
            if row:
                if self._indexed:
                    searching.forget(self._connection, row[0])
                self._connection.execute("delete from passages where session = ?", row)
                self._connection.execute("delete from sessions where id = ?", row)

    def search(self, query: str, limit: int = 20) -> list[tuple[str, int, str]]:
        """Where all words of `query` stand in a passage, of whatever session: the session's name, the passage's
        number and a piece of its text, the best first. Any text can be asked for."""
        with self._refusals():
            return searching.search(self._connection, valid(query), limit, self._indexed)

    def close(self) -> None:
        self._connection.close()

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._connection)

    def _refusals(self) -> "_Refusals":
        return _Refusals(self._path)


def _make_private_file(path: Path) -> None:
    """SQLite gives the files beside its own the mode of that one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    tighten(path)


def _row(state: SessionState) -> tuple:
    return tuple(json.dumps(value, ensure_ascii=False) if name in _AS_JSON else value
                 for name, value in vars(state).items())


def _state(row: tuple) -> SessionState:
    """What another program spoilt in a column is as if it had never been set."""
    values = dict(zip(_STATE, row, strict=True))
    for name, kind in _AS_JSON.items():
        value = None
        with suppress(ValueError):
            value = json.loads(values[name])
        values[name] = value if isinstance(value, kind) else kind()
    return SessionState(**values)


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
        if isinstance(error, sqlite3.IntegrityError) and "sessions.name" in str(error):
            raise StorageError("There is already a session of that name; choose another.") from None
        if isinstance(error, (sqlite3.Error, OSError)):
            raise StorageError(f"The sessions in {self._path} can't be read or written: {error}.") from None
