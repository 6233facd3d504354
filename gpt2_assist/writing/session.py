"""A writing session: a tree of passages, of which one path is the text; saved as it grows."""
import json
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from gpt2_assist.errors import StorageError, UsageError
from gpt2_assist.text.valid import valid
from gpt2_assist.writing.editing import stretches
from gpt2_assist.writing.journal import Journal
from gpt2_assist.writing.passage import Passage
from gpt2_assist.writing.replies import Replies
from gpt2_assist.writing.store import SessionState, SessionStore
from gpt2_assist.writing.tree import PassageTree


class Session:
    """What is written lives here first and is then saved; where saving fails it stays here until it succeeds.

    `model`, `settings` (name and value of what differs from the defaults of a `Generation`), `memory`, `note`,
    `note_depth` (in paragraphs from the end), `banned` (phrases) and `bias` (pairs of a text and a number) are the
    front end's to set; `save` keeps them.
    """

    def __init__(self, store: SessionStore, locks: Path, model: str, name: str = "") -> None:
        """A new session, which appears in the store with its first passage, draft or setting."""
        name = name or _free_name(store)
        self._begin(store, locks, _hold(locks, name), SessionState(name, model), PassageTree(), None)

    @classmethod
    def reopen(cls, store: SessionStore, locks: Path, name: str) -> "Session":
        """A session from the store. Raises UsageError if there is none or another terminal has it open."""
        lock = _hold(locks, name)
        try:
            saved = store.read(name)
            if saved is None:
                there = ", ".join(store.names()[:8]) or "none yet"
                raise UsageError(f"There is no session {name!r}; the latest are: {there}.")
        except BaseException:
            lock.release()
            raise
        session = cls.__new__(cls)
        tree = PassageTree(saved.passages.values(), saved.state.chosen)
        session._begin(store, locks, lock, saved.state, tree, saved.id)
        for passage in tree.all():
            if not passage.finished:  # its program was killed
                passage.finished = True
                session._unsaved.add(passage.number)
        with suppress(StorageError):  # it will be said where something is written
            session.save()
        return session

    @classmethod
    def made(cls, store: SessionStore, locks: Path, state: SessionState, passages: Iterable[Passage]) -> "Session":
        """A new session with a tree that is there already (a copy's, a file's); without a name it gets one."""
        state.name = state.name or _free_name(store)
        session, tree = cls.__new__(cls), PassageTree((replace(p, finished=True) for p in passages), state.chosen)
        session._begin(store, locks, _hold(locks, state.name), state, tree, None)
        session._unsaved.update(passage.number for passage in tree.all())
        try:
            session.save()
        except StorageError:
            session.close()
            raise
        return session

    def _begin(self, store: SessionStore, locks: Path, lock: FileLock, state: SessionState, tree: PassageTree,
               id: int | None) -> None:
        self._store, self._locks, self._lock, self._tree, self._id = store, locks, lock, tree, id
        self.name, self.model, self.settings = state.name, state.model, state.settings
        self.memory, self.note, self.note_depth = state.memory, state.note, state.note_depth
        self.banned, self.bias = state.banned, state.bias
        self.draft, self.draft_cursor = state.draft, state.draft_cursor
        here = state.current if state.current in tree else 0
        self._journal = Journal(state.journal, state.step)
        if self._journal.here != here or any(number not in tree for number in self._journal.places):
            self._journal = Journal([here], 0)
        self._path = tree.path(here)
        self._before = ""
        """The text without its last passage, so that a growing one costs its own length alone."""
        self._inner: set[int] = set()
        """Passages of the text, but the last, that still grow."""
        self._texts_before()
        self._replies = Replies()
        self._unsaved: set[int] = set()
        self._saved_state = self._state().copy()

    @property
    def current(self) -> int:
        """The number of the passage that the text ends with; 0 at the beginning."""
        return self._journal.here

    @property
    def path(self) -> list[Passage]:
        """The passages of the text, from its beginning."""
        return list(self._path)

    @property
    def text(self) -> str:
        return self._before + self._path[-1].text if self._path else ""

    def text_at(self, number: int) -> str:
        """The text as it would be if it ended with that passage."""
        return "".join(passage.text for passage in self._tree.path(self.passage(number).number))

    @property
    def last(self) -> Passage | None:
        return self._path[-1] if self._path else None

    @property
    def saved(self) -> bool:
        """Whether all of it is on disk."""
        return not self._unsaved and (self._state() == self._saved_state or self._is_blank())

    def passage(self, number: int) -> Passage:
        """Any passage of the tree. Raises UsageError where there is none of that number."""
        if number not in self._tree:
            raise UsageError(f"There is no passage {number}.")
        return self._tree[number]

    def children(self, number: int, hidden: bool = False) -> list[Passage]:
        """What was written after a passage (0: the beginning), in order of making; with `hidden`, all of it."""
        self.passage(number)
        return [child for child in self._tree.children(number) if child.text and (hidden or not child.hidden)]

    def passages(self) -> list[Passage]:
        """All of the tree, in order of making, hidden ones too."""
        return [passage for passage in self._tree.all() if passage.text]

    def alternatives(self) -> list[Passage]:
        """What the model wrote in the place of its last passage in the text, that one included, in order of making;
        empty where it wrote none."""
        last = next((passage for passage in reversed(self._path) if passage.author == "model"), None)
        if last is None:
            return []
        return [child for child in self.children(last.parent, hidden=True)
                if child is last or child.author == "model" and not child.hidden]

    def write(self, text: str, author: str = "user", how: dict | None = None) -> Passage:
        """Adds words, exactly as given; none make no passage. Those of the `model` are what the user accepted of it,
        and `how` says in which way. Raises StorageError if they could not be saved; they are kept all the same."""
        text = valid(text)
        if not text:
            return self._tree[self.current]
        passage = self._tree.add(self.current, author, text, json.dumps(how or {}, ensure_ascii=False))
        self._unsaved.add(passage.number)
        self._go(passage.number)
        self.save()
        return passage

    def begin_reply(self, how: dict, parent: int | None = None) -> Passage:
        """Begins a passage of the model's after `parent` (the text's end); `how` says how it is made.

        Several may grow at once. The text goes over to the first of them when that has words, and only if the user
        hasn't gone elsewhere meanwhile; one that comes to nothing leaves no trace.
        """
        parent = self.current if parent is None else self.passage(parent).number
        passage = self._tree.add(parent, "model", "", json.dumps(how), finished=False)
        self._replies.begin(passage.number, self.current)
        return passage

    def grow(self, text: str, number: int | None = None, tokens: list | None = None) -> None:
        """Adds to a reply (the one begun last), with its tokens as `Passage.tokens` has them. Raises StorageError if
        it could not be saved."""
        passage = self._tree[self._replies.newest if number is None else number]
        self._replies.keep_tokens(passage.number, tokens or [])
        if not text:
            return
        passage.text += text
        self._unsaved.add(passage.number)
        if passage.number in self._inner:
            self._texts_before()
        moved = self._follow_replies()
        waiting = sorted(self._unsaved)
        state = self._state() if moved or self._id is None else None
        self._write(state, waiting, synced=False)

    def end_reply(self, facts: dict, number: int | None = None) -> None:
        """A reply is complete: `facts` join what is known of its making. An empty one is dropped."""
        passage = self._tree[self._replies.newest if number is None else number]
        tokens = self._replies.end(passage.number, kept=bool(passage.text))
        if passage.text:
            passage.how = json.dumps({**json.loads(passage.how), **facts}, ensure_ascii=False)
            passage.tokens = json.dumps(tokens, ensure_ascii=False) if tokens else ""
            passage.finished = True
            self._unsaved.add(passage.number)
        else:
            self._tree.drop(passage.number)
            self._follow_replies()
        self.save()

    def choose(self, number: int, down: bool = True) -> None:
        """Has the text go by this passage, and `down` from it as it went on last, to its end. Raises UsageError where
        there is none of that number, or nothing in it yet."""
        if number and not self.passage(number).text:
            raise UsageError(f"Passage {number} has no words yet.")
        self._go(self._tree.leaf(number) if down else number)
        self.save()

    def goto(self, number: int) -> None:
        """Has the text end with this passage; 0 is the beginning."""
        self.choose(number, down=False)

    def undo(self) -> bool:
        """Goes back to where the text ended before; where that isn't known, before its last passage. Nothing leaves
        the tree. False at the beginning."""
        moved = self._journal.back(self._path[-1].parent if self._path else None)
        return self._moved(moved)

    def redo(self) -> bool:
        """Takes an undo back; where there is none, goes on as the text went on last. False at its end."""
        return self._moved(self._journal.forward(self._tree.onward(self.current) or None))

    def edit(self, text: str) -> None:
        """The whole story as it should read now. What changed becomes passages of the user's (`edit`, or `user` at
        the end), the rest keeps its origin, and what was there before stays in the tree as a branch."""
        text = valid(text)
        parent, same = 0, True
        for stretch in stretches(self._path, text):
            if same and stretch.whole and stretch.origin and stretch.origin.parent == parent:
                parent = stretch.origin.number
                continue
            same = False
            how, tokens = "{}", ""
            if stretch.origin:
                how, tokens = stretch.origin.how, stretch.origin.tokens if stretch.whole else ""
            passage = self._tree.add(parent, stretch.author, stretch.text, how, tokens=tokens)
            self._unsaved.add(passage.number)
            parent = passage.number
        self._go(parent)
        self.save()

    def bookmark(self, name: str, number: int | None = None) -> None:
        """Gives a passage (the text's last) a name; an empty one takes it away. Raises UsageError at the beginning."""
        passage = self._marked(number)
        passage.bookmark = valid(name)
        self._unsaved.add(passage.number)
        self.save()

    def hide(self, number: int, hidden: bool = True) -> None:
        """Takes a passage out of sight, or back; the text stays what it is."""
        passage = self._marked(number)
        passage.hidden = hidden
        self._unsaved.add(passage.number)
        self.save()

    def save_draft(self, text: str, cursor: int) -> None:
        """Keeps words that aren't sent yet, with the cursor's place in them. Raises StorageError."""
        self.draft, self.draft_cursor = valid(text), cursor
        self.save(synced=False)

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

    def copy(self, name: str) -> "Session":
        """A session of its own with the same tree and settings. Raises UsageError or StorageError as `rename`."""
        state = self._state().copy()
        state.name = name
        return Session.made(self._store, self._locks, state, self.passages())

    def save(self, synced: bool = True) -> None:
        """Puts everything on disk that isn't there. Raises StorageError; nothing is forgotten then."""
        if self._id is None and self._is_blank():
            return
        self._write(self._state(), sorted(self._unsaved), synced)

    def close(self) -> None:
        """Lets another terminal open it."""
        self._lock.release()

    @staticmethod
    def delete(store: SessionStore, locks: Path, name: str) -> None:
        """Takes a session out of the store for good. Raises UsageError if there is none or somebody has it open."""
        session = Session.reopen(store, locks, name)
        try:
            store.delete(name)
        finally:
            session.close()

    def _write(self, state: SessionState | None, numbers: list[int], synced: bool) -> None:
        self._id = self._store.write(self._id, state, [self._tree[number] for number in numbers], synced)
        self._unsaved.difference_update(numbers)
        if state is not None:
            self._saved_state = state.copy()

    def _state(self) -> SessionState:
        return SessionState(self.name, self.model, self.current, self._tree.root.chosen, self.settings, self.memory,
                            self.note, self.note_depth, self.banned, self.bias, self.draft, self.draft_cursor,
                            self._journal.places, self._journal.step)

    def _is_blank(self) -> bool:
        """Whether there is nothing yet that would be worth a session."""
        beside = (self.settings, self.memory, self.note, self.banned, self.bias, self.draft)
        return self._id is None and not any(beside) and not any(passage.text for passage in self._tree.all())

    def _marked(self, number: int | None) -> Passage:
        passage = self.passage(self.current if number is None else number)
        if not passage.number:
            raise UsageError("The beginning is no passage; write first.")
        return passage

    def _follow_replies(self) -> bool:
        """Goes over to the first reply of those that grow, if it has words now."""
        leader = self._replies.leader(self.current)
        if leader is None or not self._tree[leader].text:
            return False
        self._replies.moved = True
        self._go(leader)
        return True

    def _go(self, number: int) -> None:
        self._journal.move(number)
        self._moved(True, saving=False)

    def _moved(self, moved: bool, saving: bool = True) -> bool:
        """Brings path and chosen children to where the text ends now."""
        if not moved:
            return False
        passage = self._tree[self.current]
        if self._path and passage.parent == self._path[-1].number:
            self._before += self._path[-1].text
            if not self._path[-1].finished:
                self._inner.add(self._path[-1].number)
            self._path.append(passage)
            self._mark_chosen(passage)
        elif not self._path or passage is not self._path[-1]:
            self._path = self._tree.path(passage.number)
            self._texts_before()
            for passage in self._path:
                self._mark_chosen(passage)
        if saving:
            self.save()
        return True

    def _mark_chosen(self, passage: Passage) -> None:
        parent = self._tree[passage.parent]
        if parent.chosen != passage.number:
            parent.chosen = passage.number
            if parent.number:
                self._unsaved.add(parent.number)

    def _texts_before(self) -> None:
        self._before = "".join(passage.text for passage in self._path[:-1])
        self._inner = {passage.number for passage in self._path[:-1] if not passage.finished}


def _free_name(store: SessionStore) -> str:
    name = stamp = time.strftime("%Y-%m-%d-%H%M")
    taken, number = set(store.names()), 1
    while name in taken:
        number += 1
        name = f"{stamp}-{number}"
    return name


def _hold(locks: Path, name: str) -> FileLock:
    """Keeps the session from being opened twice: two terminals would write over each other's words."""
    if not name or "/" in name or "\0" in name or len(name.encode("utf-8", "replace")) > 150 or name.startswith("."):
        raise UsageError(f"{name!r} can't name a session: leave out slashes and a dot in front, and keep it short.")
    try:
        locks.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(locks / f"{name}.lock", mode=0o600)
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(f"The session {name} is open in another terminal.") from None
    except OSError as error:
        raise StorageError(f"The session {name} can't be locked in {locks}: {error.strerror}.") from None
    return lock
