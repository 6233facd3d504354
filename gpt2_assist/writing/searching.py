"""Search over the passages of all sessions, by SQLite's FTS5; by reading all of them where SQLite lacks it.

The index holds no text of its own, it points to the passages' rows; a passage is in it once it is finished.
"""
import re
import sqlite3

_WORD = re.compile(r"\w+")
_AROUND = 60
"""Characters of a snippet on each side of what was found."""


def prepare(connection: sqlite3.Connection) -> bool:
    """Makes the index and puts in what isn't there yet; False where this SQLite has none."""
    try:
        connection.execute("create virtual table if not exists words using fts5"
                           "(text, content = 'passages', content_rowid = 'id')")
    except sqlite3.OperationalError as error:
        if "no such module" not in str(error):
            raise
        return False
    _index_where(connection, "finished = 1 and indexed = 0", ())
    return True


def is_prepared(connection: sqlite3.Connection) -> bool:
    """Whether there is nothing to prepare."""
    there = connection.execute("select 1 from sqlite_master where name = 'words'").fetchone()
    return bool(there) and not connection.execute(
        "select 1 from passages where finished = 1 and indexed = 0 limit 1").fetchone()


def index(connection: sqlite3.Connection, session: int) -> None:
    """Puts in what a session has finished since it was last called."""
    _index_where(connection, "session = ? and finished = 1 and indexed = 0", (session,))


def forget(connection: sqlite3.Connection, session: int) -> None:
    """Takes out all passages of a session that is about to be deleted."""
    connection.execute("insert into words (words, rowid, text) select 'delete', id, text from passages "
                       "where session = ? and indexed = 1", (session,))


def search(connection: sqlite3.Connection, query: str, limit: int, indexed: bool) -> list[tuple[str, int, str]]:
    """Session, number and snippet of passages with all words of the query, of which the last may go on.

    What the index doesn't find, pieces of words and scripts without spaces, is looked for by reading.
    """
    words = _WORD.findall(query)
    found = []
    if indexed and words:
        match = " ".join(f'"{word}"' for word in words) + "*"
        found = connection.execute(
            "select name, number, snippet(words, 0, '', '', '…', 24) from words "
            "join passages on passages.id = words.rowid join sessions on sessions.id = session "
            "where words match ? and hidden = 0 order by rank limit ?", (match, limit)).fetchall()
    return found or _read_all(connection, query.strip(), limit)


def _read_all(connection: sqlite3.Connection, query: str, limit: int) -> list[tuple[str, int, str]]:
    if not query:
        return []
    found, wanted = [], re.compile(re.escape(query), re.IGNORECASE)
    rows = connection.execute("select name, number, text from passages join sessions on sessions.id = session "
                              "where hidden = 0 order by changed desc, number")
    for name, number, text in rows:
        if place := wanted.search(text):
            found.append((name, number, _snippet(text, *place.span())))
            if len(found) == limit:
                break
    return found


def _snippet(text: str, start: int, end: int) -> str:
    first, last = max(0, start - _AROUND), min(len(text), end + _AROUND)
    return ("…" if first else "") + text[first:last] + ("…" if last < len(text) else "")


def _index_where(connection: sqlite3.Connection, condition: str, values: tuple) -> None:
    connection.execute(f"insert into words (rowid, text) select id, text from passages where {condition}", values)
    connection.execute(f"update passages set indexed = 1 where {condition}", values)
