"""Commands about sessions: opening, naming, finding, writing them to files."""
import os
import time

from gpt2_assist import config
from gpt2_assist.errors import UsageError
from gpt2_assist.repl.commands import Command
from gpt2_assist.repl.face import Part
from gpt2_assist.repl.open_session import OpenSession, Quit
from gpt2_assist.writing.exporting import export as write_out
from gpt2_assist.writing.exporting import would_replace
from gpt2_assist.writing.importing import import_session
from gpt2_assist.writing.session import Session
from gpt2_assist.writing.store import SessionStore

SESSIONS = "Sessions"
SHOWN = 20
"""Sessions that a list names, and places that were found."""


def new(store: SessionStore, model: str, name: str = "") -> Session:
    """A new session in the store's folder."""
    return Session(store, config.home() / "locks", model, name)


def reopen(store: SessionStore, name: str) -> Session:
    """A session that was saved."""
    return Session.reopen(store, config.home() / "locks", name)


async def begin(state: OpenSession, argument: str) -> None:
    if argument in state.store.names():
        raise UsageError(f"There is a session {argument} already; /load {argument} opens it.")
    before = state.session
    session = new(state.store, before.model, argument)
    session.settings = dict(before.settings)
    await state.open(session)
    state.face.note(f"session {session.name}")


async def load(state: OpenSession, argument: str) -> None:
    if not argument:
        await sessions(state, argument)
    elif argument == state.session.name:
        state.face.note(f"{argument} is open here.")
    else:
        await state.open(reopen(state.store, argument))
        state.face.note(f"session {argument}")


async def sessions(state: OpenSession, argument: str) -> None:
    recent = state.store.recent()[:SHOWN]
    if not recent:
        raise UsageError("There are no sessions yet: what you write makes one.")
    parts: list[Part] = []
    for name, model, changed, passages, characters in recent:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(changed))
        parts += [("strong", name), ("note", f"  {when}  {model}  {passages} passages, {characters:,} characters\n")]
    await state.face.page("Sessions", parts)


async def save(state: OpenSession, argument: str) -> None:
    if argument:
        state.session.rename(argument)
    else:
        state.session.save()
    state.face.changed()
    state.face.note(f"saved as {state.session.name}")


async def copy(state: OpenSession, argument: str) -> None:
    session = state.session.copy(argument)
    name = state.session.name
    await state.open(session)
    state.face.note(f"{argument} is a copy of {name}, and open now")


async def delete(state: OpenSession, argument: str) -> None:
    if argument == state.session.name:
        raise UsageError(f"{argument} is open here; /new or /load another one first.")
    reopen(state.store, argument).close()  # raises where there is none, or another terminal has it open
    if await state.face.sure(f"Delete the session {argument} with all its passages, for good?"):
        Session.delete(state.store, config.home() / "locks", argument)
        state.face.note(f"{argument} is deleted")
    else:
        state.face.note(f"{argument} stays")


async def find(state: OpenSession, argument: str) -> None:
    found = state.store.search(argument, SHOWN)
    if not found:
        raise UsageError(f"Nothing in your sessions has {argument!r}.")
    parts: list[Part] = []
    for name, number, snippet in found:
        parts += [("strong", f"{name} {number}"), ("", f"  {' '.join(snippet.split())}\n")]
    await state.face.page(f"Found: {argument}", parts)


async def export(state: OpenSession, argument: str) -> None:
    path = os.path.expanduser(argument)
    if would_replace(path) and not await state.face.sure(f"Replace {path}?"):
        state.face.note(f"{path} stays as it is")
        return
    write_out(state.session, path)
    state.face.note(f"written to {path}")


async def read_in(state: OpenSession, argument: str) -> None:
    session = import_session(state.store, config.home() / "locks", os.path.expanduser(argument), state.session.model)
    await state.open(session)
    state.face.note(f"{argument} is the session {session.name}")


async def leave(state: OpenSession, argument: str) -> None:
    if not state.session.saved:
        try:
            state.session.save()
        except Exception as error:
            if not await state.face.sure(f"{error} Leave without saving?"):
                return
    raise Quit


COMMANDS = (
    Command("/new", "[NAME]", SESSIONS, "begin another session", begin),
    Command("/load", "[NAME]", SESSIONS, "open another session, or list them", load,
            lambda state: state.store.names()),
    Command("/sessions", "", SESSIONS, "the last sessions", sessions),
    Command("/find", "WORDS", SESSIONS, "where words stand, in all sessions", find),
    Command("/save", "[NAME]", SESSIONS, "everything is saved as you go; this gives the session a name", save),
    Command("/rename", "NAME", SESSIONS, "the same", save),
    Command("/copy", "NAME", SESSIONS, "go on in a copy", copy),
    Command("/delete", "NAME", SESSIONS, "a session, for good", delete, lambda state: state.store.names()),
    Command("/export", "FILE", SESSIONS, "write the text to a file; .md: with what made it; .json: all of it", export),
    Command("/import", "FILE", SESSIONS, "a text, or a story of KoboldAI's or mikupad's, as a new session", read_in),
    Command("/quit", "", "Else", "leave (Ctrl-D does too); everything is saved", leave),
)
