"""The commands of a writing session: what a line that begins with a slash does."""
import difflib
import os
from pathlib import Path

from gpt2_assist import config
from gpt2_assist.errors import AssistError, UsageError
from gpt2_assist.ipc.messages import Generation
from gpt2_assist.repl import settings as session_settings
from gpt2_assist.repl.page import Page, Toolbar
from gpt2_assist.repl.writer import Writer
from gpt2_assist.writing.exporting import export, would_replace
from gpt2_assist.writing.importing import import_session
from gpt2_assist.writing.joining import joined
from gpt2_assist.writing.session import Session
from gpt2_assist.writing.store import SessionStore

HELP = """\
Write, and press Enter: the model goes on from your words. Enter on an empty line: it goes on by itself.
Alt-Enter (or Esc, then Enter) begins a new line.  Ctrl-C stops the model and keeps what came.
/retry            another continuation in place of the last one, which stays: /undo shows it again
/undo             go back to the text before the last passage or retry
/model [NAME]     change the model, or list the models
/set [NAME VALUE] change a setting (without a value: its default), or list them
/copied [on|off]  what of the last passage stands in the texts that the model was fine-tuned on; on: mark it as it comes
/save [NAME]      everything is saved as you go; this gives the session a name
/load [NAME]      open another session, or list them
/export FILE      write the text to a file; .md says title, models and date in front, .json has all branches
/import FILE      a new session of a text, an export in .json, or a story of KoboldAI or mikupad
/quit             leave (Ctrl-D does too)"""


class Quit(Exception):
    """The user wants to leave."""


class Commands:
    """The state of one run of the program, and the commands that change it."""

    def __init__(self, store: SessionStore, session: Session, page: Page, toolbar: Toolbar, writer: Writer) -> None:
        self.store, self.session, self.page, self.toolbar, self.writer = store, session, page, toolbar, writer
        self.settings = Generation()
        self._warned = False
        self._to_replace = ""
        """A file that the user was asked about."""
        self.table = {"/help": self._help, "/model": self._model, "/set": self._set, "/retry": self._retry,
                      "/undo": self._undo, "/save": self._save, "/load": self._load, "/export": self._export,
                      "/import": self._import, "/copied": self._copied, "/quit": self._quit}

    def line(self, line: str) -> None:
        """Does what the user entered. Raises AssistError and Quit."""
        self.toolbar.session = self.session.name
        if line.startswith("/"):
            name, _, argument = line.strip().partition(" ")
            if name not in self.table:
                near = difflib.get_close_matches(name, self.table, 1)
                hint = f"did you mean {near[0]}?" if near else "/help lists them."
                raise UsageError(f"There is no command {name}; {hint}")
            self.table[name](argument.strip())
        else:
            self.write(line)

    def write(self, line: str) -> None:
        """The user's words, if any, and the model's after them."""
        trouble = None
        if line.strip():
            try:
                self.session.write(joined(self.session.text, line))
            except AssistError as error:  # the words are kept in memory: go on, and say it at the end
                trouble = error
        self.writer.go_on(self.session, self.settings)
        if trouble:
            raise trouble

    def _help(self, argument: str) -> None:
        self.page.note(HELP)

    def _model(self, name: str) -> None:
        from gpt2_assist.model.store import find_model, list_models
        if not name:
            names = [model.name for model in list_models()]
            self.page.note("\n".join(f"{'*' if known == self.session.model else ' '} {known}" for known in names))
            return
        name = find_model(name).name
        loaded = self.writer.load(name)
        self.session.model = self.toolbar.model = name
        self.toolbar.n_ctx = loaded.n_ctx
        self.toolbar.tokens_per_second = 0.0
        self.page.note(f"{name}: {loaded.parameters / 1e6:.1f}M parameters, context {loaded.n_ctx}, "
                       f"{loaded.precision} on {loaded.device}")
        self.session.save()

    def _set(self, argument: str) -> None:
        if not argument:
            self.page.note("\n".join(session_settings.shown(self.settings)))
            return
        name, _, value = argument.replace("=", " ", 1).partition(" ")
        self.settings = session_settings.changed(self.settings, name, value.strip() or None)
        self.page.note(next(line for line in session_settings.shown(self.settings) if line.startswith(name)))

    def _retry(self, argument: str) -> None:
        last = self.session.last
        if last is None:
            raise UsageError("There is nothing to retry yet.")
        self.writer.go_on(self.session, self.settings, last.parent if last.author == "model" else None)

    def _undo(self, argument: str) -> None:
        if not self.session.undo():
            raise UsageError("There is nothing to undo.")
        self.page.note("undone; the text now ends:")
        self.page.show(self.session.path[-2:])

    def _copied(self, argument: str) -> None:
        from gpt2_assist.frontend.copied import Copied
        if argument:
            if argument not in ("on", "off"):
                raise UsageError(f"/copied takes on or off, not {argument!r}.")
            if argument == "on":
                Copied(self.session.model)  # raises for a model that wasn't fine-tuned here
            self.writer.marks_copied = argument == "on"
            self.page.note("what is copied is marked from now on" if self.writer.marks_copied else "no marks any more")
            return
        last = self.session.last
        if last is None:
            raise UsageError("There is nothing yet that could be copied.")
        self.page.note("\n".join(Copied(self.session.model).lines(last.text)))

    def _save(self, name: str) -> None:
        if name:
            self.session.rename(name)
        else:
            self.session.save()
        self.page.note(f"saved as {self.session.name}")

    def _load(self, name: str) -> None:
        if not name:
            self.page.note("\n".join(self.store.names()[:20]) or "There are no sessions yet.")
            return
        if name == self.session.name:
            self.page.note(f"{name} is open already")
            return
        self.open(reopen(self.store, name))

    def open(self, session: Session) -> None:
        """Goes over to another session and shows it."""
        self.session.close()
        self.session = session
        self.toolbar.model, self.toolbar.session, self.toolbar.context = session.model, session.name, 0
        self.page.note(f"session {session.name}")
        self.page.show(session.path)

    def _export(self, argument: str) -> None:
        if not argument:
            raise UsageError("/export wants the name of a file, for instance /export story.txt")
        path = os.path.expanduser(argument)
        if would_replace(path) and self._to_replace != path:
            self._to_replace = path
            raise UsageError(f"There is already a file {path}; the same command once more replaces it.")
        export(self.session, path)
        self.page.note(f"written to {path}")

    def _import(self, argument: str) -> None:
        if not argument:
            raise UsageError("/import wants the name of a file, for instance /import story.txt")
        self.open(import_session(self.store, _locks(), os.path.expanduser(argument), self.session.model))

    def _quit(self, argument: str) -> None:
        if not self.session.saved:
            try:
                self.session.save()
            except AssistError as error:
                if not self._warned:
                    self._warned = True
                    raise UsageError(f"{error} Use /export FILE to keep the text elsewhere, "
                                     "or /quit again to leave without it.") from None
        raise Quit


def new(store: SessionStore, model: str, name: str = "") -> Session:
    """A new session in the store's folder."""
    return Session(store, _locks(), model, name)


def reopen(store: SessionStore, name: str) -> Session:
    """A session that was saved."""
    return Session.reopen(store, _locks(), name)


def _locks() -> Path:
    return config.home() / "locks"
