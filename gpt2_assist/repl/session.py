"""A writing session: a tree of passages, of which one path is the text; saved as it grows."""
import json
import time
from pathlib import Path

from filelock import FileLock, Timeout

from gpt2_assist.errors import StorageError, UsageError
from gpt2_assist.repl.store import Passage, SessionStore


class Session:
    """What is written lives here first and is then saved; where saving fails it stays here until it succeeds."""

    def __init__(self, store: SessionStore, locks: Path, model: str, name: str = "") -> None:
        """A new session, which appears in the store with its first passage."""
        self._store, self._locks = store, locks
        self.model, self.name = model, name or _free_name(store)
        self._id: int | None = None
        self._passages: dict[int, Passage] = {}
        self._unsaved: set[int] = set()
        self.current = 0
        self._lock = _hold(locks, self.name)

    @classmethod
    def reopen(cls, store: SessionStore, locks: Path, name: str) -> "Session":
        """A session from the store. Raises UsageError if there is none or another terminal has it open."""
        lock = _hold(locks, name)
        saved = store.read(name)
        if saved is None:
            lock.release()
            there = ", ".join(store.names()[:8]) or "none yet"
            raise UsageError(f"There is no session {name!r}; the latest are: {there}.")
        session = cls.__new__(cls)
        session._store, session._locks, session._lock = store, locks, lock
        session.model, session.name, session._id = saved.model, saved.name, saved.id
        session._passages, session.current = saved.passages, saved.current
        session._unsaved = set()
        return session

    @property
    def path(self) -> list[Passage]:
        """The passages of the text, from its beginning."""
        passages, number = [], self.current
        while number:
            passages.append(self._passages[number])
            number = passages[-1].parent
        return passages[::-1]

    @property
    def text(self) -> str:
        return "".join(passage.text for passage in self.path)

    @property
    def last(self) -> Passage | None:
        return self._passages.get(self.current)

    @property
    def saved(self) -> bool:
        """Whether all of it is on disk."""
        return not self._unsaved

    def write(self, text: str) -> None:
        """Adds the user's words. Raises StorageError if they could not be saved; they are kept all the same."""
        self._add("user", _joined(self.text, text), {})
        self.save()

    def begin_reply(self, how: dict) -> None:
        """Begins a passage of the model's; `how` says how it is made."""
        self._add("model", "", how)

    def grow(self, text: str) -> None:
        """Adds to the current passage. Raises StorageError if it could not be saved."""
        self._passages[self.current].text += text
        self._unsaved.add(self.current)
        self.save(synced=False)

    def end_reply(self, facts: dict) -> None:
        """The passage is complete: `facts` join what is known of its making. An empty one is dropped."""
        passage = self._passages[self.current]
        if not passage.text:
            self.current = passage.parent
            del self._passages[passage.number]
            self._unsaved.discard(passage.number)
        else:
            passage.how = json.dumps({**json.loads(passage.how), **facts})
            self._unsaved.add(passage.number)
        self.save()

    def undo(self) -> Passage | None:
        """Steps back over the last passage, which stays in the tree; None at the beginning."""
        passage = self.last
        if passage is not None:
            self.current = passage.parent
            self.save()
        return passage

    def rename(self, name: str) -> None:
        """Gives the session another name. Raises UsageError or StorageError if that name is taken."""
        if name == self.name:
            self.save()
            return
        lock = _hold(self._locks, name)
        before, self.name = self.name, name
        try:
            self.save()
        except StorageError:
            self.name = before
            lock.release()
            raise
        self._lock.release()
        self._lock = lock

    def save(self, synced: bool = True) -> None:
        """Puts everything on disk that isn't there. Raises StorageError; nothing is forgotten then."""
        if self._id is None and not self._passages:
            return
        waiting = sorted(self._unsaved)
        self._id = self._store.write(self._id, self.name, self.model, self.current,
                                     [self._passages[number] for number in waiting], synced)
        self._unsaved.clear()

    def close(self) -> None:
        """Lets another terminal open it."""
        self._lock.release()

    def export(self) -> str:
        """How the text was made, as JSON: each passage of it with its author and settings."""
        return json.dumps({"session": self.name, "text": self.text, "passages": [
            {"author": passage.author, "text": passage.text, "how": json.loads(passage.how),
             "time": passage.created} for passage in self.path]}, ensure_ascii=False, indent=2) + "\n"

    def _add(self, author: str, text: str, how: dict) -> None:
        number = max(self._passages, default=0) + 1
        self._passages[number] = Passage(number, self.current, author, text, json.dumps(how))
        self._unsaved.add(number)
        self.current = number


def _joined(before: str, text: str) -> str:
    """The user's words as they join the text: a space between where neither side has one."""
    apart = not before or before[-1].isspace() or text[:1].isspace() or text[:1] in ",.;:!?)]}'\"’”…"
    return text if apart else " " + text


def _free_name(store: SessionStore) -> str:
    name = stamp = time.strftime("%Y-%m-%d-%H%M")
    taken, number = set(store.names()), 1
    while name in taken:
        number += 1
        name = f"{stamp}-{number}"
    return name


def _hold(locks: Path, name: str) -> FileLock:
    """Keeps the session from being opened twice: two terminals would write over each other's words."""
    if not name or "/" in name or "\0" in name or len(name.encode()) > 150 or name.startswith("."):
        raise UsageError(f"{name!r} can't name a session: leave out slashes and a dot in front, and keep it short.")
    try:
        locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(locks / f"{name}.lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(f"The session {name} is open in another terminal.") from None
    except OSError as error:
        raise StorageError(f"The session {name} can't be locked in {locks}: {error.strerror}.") from None
    return lock
