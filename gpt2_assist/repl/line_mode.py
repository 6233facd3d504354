"""The session line by line: for terminals that can't do more, and whoever wants it so."""
import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import Completer
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys

from gpt2_assist.console.terminal import (
    coloured,
    columns_shown,
    copied,
    fitted,
    on_interrupt,
    visible,
    without_echo,
)
from gpt2_assist.errors import AssistError, StorageError
from gpt2_assist.repl import commands, external_editor
from gpt2_assist.repl.commands import Command
from gpt2_assist.repl.face import Part
from gpt2_assist.repl.flowing import Flow
from gpt2_assist.repl.open_session import OpenSession, Quit
from gpt2_assist.repl.typed import cleaned
from gpt2_assist.text.valid import valid
from gpt2_assist.writing.joining import joined

PROMPT = "› "
_COLOURS = {"model": "\x1b[36m", "edit": "\x1b[4m", "note": "\x1b[2m", "strong": "\x1b[1m", "removed": "\x1b[9m",
            "added": "\x1b[4m"}
_END = "\x1b[0m"
DRAFT_S = 1.0
"""How often what is typed is saved, where it changed."""
_TAIL = 240
"""Characters of the text that show where it ends now."""
KEYS = (("Enter", "the model goes on from your words, or by itself"), ("Alt-Enter", "a new paragraph"),
        ("Tab", "completes a command"), ("Ctrl-C", "stop the model, keep what came"), ("Ctrl-Z Ctrl-D",
                                                                                    "suspend; leave"))


class LineMode:
    """See Face."""

    state: OpenSession

    def __init__(self, table: dict[str, Command], completer: Completer, history: Path, vi: bool,
                 enter_goes_on: bool) -> None:
        """`state` is set before it runs."""
        self._table, self._coloured = table, coloured()
        self._flow = Flow(columns_shown)
        self._prompts = False
        """Whether the user can type."""
        self._text = ""
        """The text whose end is on the screen."""
        self._prompt: PromptSession[str] = PromptSession(
            PROMPT, multiline=True, key_bindings=_keys(enter_goes_on), history=_history(history),
            bottom_toolbar=self._toolbar, complete_while_typing=False, completer=completer, enable_suspend=True,
            editing_mode=EditingMode.VI if vi else EditingMode.EMACS)

    async def run(self) -> None:
        """Until the user leaves."""
        self.changed()
        saving = asyncio.ensure_future(self._save_drafts())
        try:
            await self._converse()
        finally:
            saving.cancel()

    async def _converse(self) -> None:
        draft = self.state.session.draft
        while True:
            self._prompts = True
            try:
                line = cleaned(valid(await self._prompt.prompt_async(default=draft)))
            except EOFError:
                line = "/quit"
            except KeyboardInterrupt:
                continue
            finally:
                self._prompts, draft = False, ""
            session = self.state.session
            try:
                await self._do(line)
            except Quit:
                return
            except AssistError as error:
                self.note(str(error))
            if self.state.session is not session:
                draft = self.state.session.draft

    async def _save_drafts(self) -> None:
        """What is typed outlives the terminal."""
        while True:
            await asyncio.sleep(DRAFT_S)
            buffer, session = self._prompt.default_buffer, self.state.session
            text = cleaned(buffer.text)
            if self._prompts and text != session.draft:
                with suppress(AssistError):
                    session.save_draft(text, buffer.cursor_position)

    async def _do(self, line: str) -> None:
        loop = asyncio.get_running_loop()

        def stop() -> None:
            loop.call_soon_threadsafe(self.state.writer.stop)

        with suppress(AssistError):  # it is sent
            self.state.session.save_draft("", 0)
        with without_echo(), on_interrupt(stop):
            if commands.is_command(line):
                await commands.run(self._table, self.state, line)
            else:
                await self._write(commands.as_text(line))
            self._line_begins()

    async def _write(self, line: str) -> None:
        trouble = None
        if line:
            words = joined(self.state.session.text, line)
            try:
                self.state.session.write(words)
            except StorageError as error:  # the words are kept in memory: go on, and say it at the end
                trouble = error
            self._text = self.state.session.text
        await self.state.go_on()
        if trouble:
            raise trouble

    # Face

    def note(self, text: str) -> None:
        self._line_begins()
        self._print(fitted(visible(text)), "note")
        self._print("\n")

    def came(self, text: str, copied: bool = False) -> None:
        self._flow_out(self._flow.feed(visible(text)), "copied" if copied else "model")
        self._text += text

    def changed(self) -> None:
        """Where the text is another one than that on the screen, its end is shown."""
        text = self.state.session.text
        if text != self._text:
            self._text = text
            self._line_begins()
            tail, before = text[-_TAIL:], len(text) > _TAIL
            self._parts([("note", "…" if before else ""), *self._tail(len(tail))])

    async def page(self, title: str, parts: Sequence[Part]) -> None:
        self._line_begins()
        self._parts(parts)

    async def edit(self, text: str) -> str | None:
        editor = external_editor.command()
        return await asyncio.to_thread(external_editor.edited, text, editor)

    async def sure(self, question: str) -> bool:
        return (await self._asked(f"{question} (y/n) ")).strip().lower() in ("y", "yes")

    async def choose(self, title: str, items: Sequence[str]) -> int | None:
        if not items:
            return None
        self.note("\n".join([title, *(f"{number} {item}" for number, item in enumerate(items, 1))]))
        answer = (await self._asked("number, or Enter for none: ")).strip()
        return int(answer) - 1 if answer.isdecimal() and 1 <= int(answer) <= len(items) else None

    async def _asked(self, question: str) -> str:
        self._line_begins()
        with suppress(EOFError, KeyboardInterrupt):
            return await PromptSession(question).prompt_async()
        return ""

    def _tail(self, length: int) -> list[Part]:
        parts: list[Part] = []
        for passage in reversed(self.state.session.path):
            if length <= 0:
                break
            parts.append((passage.author, passage.text[-length:]))
            length -= len(passage.text)
        return parts[::-1]

    def _parts(self, parts: Sequence[Part]) -> None:
        for style, text in parts:
            self._flow_out(self._flow.feed(visible(text)), style)
        self._flow_out(self._flow.rest())
        self._line_begins()

    def _line_begins(self) -> None:
        self._flow_out(self._flow.rest())
        if self._flow.column:
            self._flow.column = 0
            self._print("\n")

    def _flow_out(self, text: str, style: str = "model") -> None:
        if text:
            self._print(copied(text, self._coloured) if style == "copied" else text, style)

    def _print(self, text: str, style: str = "") -> None:
        colour = _COLOURS.get(style, "") if self._coloured else ""
        sys.stdout.write(f"{colour}{text}{_END}" if colour else text)
        sys.stdout.flush()

    def _toolbar(self) -> str:
        session, facts = self.state.session, self.state.writer.facts
        fields = [session.model, f"{facts.tokens_per_second:.0f} tok/s" if facts.tokens_per_second else "",
                  f"context {facts.context}/{facts.n_ctx}" if facts.context else "", session.name, "/help"]
        return " " + "  ·  ".join(filter(None, fields))


def _keys(enter_goes_on: bool) -> KeyBindings:
    keys = KeyBindings()

    def goes_on(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    def breaks(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    keys.add("enter")(goes_on if enter_goes_on else breaks)
    keys.add("escape", "enter")(breaks if enter_goes_on else goes_on)
    keys.add(Keys.BracketedPaste)(lambda event: event.current_buffer.insert_text(cleaned(event.data)))

    @keys.add("c-c")
    def _(event: KeyPressEvent) -> None:
        """Nothing is lost by it: what was typed is the history's last entry."""
        buffer = event.current_buffer
        if buffer.text:
            buffer.append_to_history()
            buffer.reset()

    return keys


def _history(path: Path) -> History:
    """The lines entered in earlier sessions, in a file of the user's own; in memory where none can be made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError:
        return InMemoryHistory()

    class ValidHistory(FileHistory):
        def store_string(self, string: str) -> None:
            with suppress(OSError):  # a full disk costs the history, not the session
                super().store_string(valid(string))
    return ValidHistory(str(path))
