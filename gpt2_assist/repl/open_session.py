"""What the commands of one run of the program share."""
from dataclasses import dataclass, fields, replace
from typing import Any

from gpt2_assist.errors import UsageError
from gpt2_assist.ipc.messages import Generation
from gpt2_assist.repl.face import Face
from gpt2_assist.repl.settings import DEFAULT
from gpt2_assist.repl.writer import Writer
from gpt2_assist.writing.session import Session
from gpt2_assist.writing.store import SessionStore

_SETTINGS = {entry.name for entry in fields(Generation)}


class Quit(Exception):
    """The user wants to leave."""


@dataclass
class OpenSession:
    store: SessionStore
    session: Session
    writer: Writer
    face: Face

    @property
    def settings(self) -> Generation:
        """How the session wants its text. Entries that this version doesn't know are left aside."""
        session = self.session
        wanted: dict[str, Any] = {**session.settings, "banned": session.banned}
        return replace(DEFAULT, **{name: value for name, value in wanted.items() if name in _SETTINGS})

    async def go_on(self, parent: int | None = None, n: int = 1) -> None:
        """The model goes on from the end, or behind a passage. Raises AssistError."""
        await self.writer.go_on(self.session, replace(self.settings, n=n), parent)

    async def open(self, session: Session) -> None:
        """Goes over to another session and shows it."""
        self.session.close()
        self.session = session
        self.writer.forget()
        self.face.changed()

    def passage(self, argument: str) -> int:
        """The number of the passage that an argument means: a number, or a bookmark's name. Raises UsageError."""
        if argument.isdecimal():
            return self.session.passage(int(argument)).number
        marked = self.bookmarks()
        if argument in marked:
            return marked[argument]
        raise UsageError(f"There is no bookmark {argument!r}; " + (
            f"there are {', '.join(marked)}." if marked else "/mark NAME makes one."))

    def bookmarks(self) -> dict[str, int]:
        """Passages by the names that the user gave them."""
        return {passage.bookmark: passage.number for passage in self.session.passages() if passage.bookmark}
