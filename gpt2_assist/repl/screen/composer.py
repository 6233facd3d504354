"""What one does on the screen: writing at the story's end, having the model go on, taking back, choosing."""
import asyncio
from collections.abc import Coroutine
from typing import Any

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import Completer
from prompt_toolkit.document import Document

from gpt2_assist.completion.offers import Offers
from gpt2_assist.errors import AssistError, StorageError, UsageError
from gpt2_assist.frontend.guard import recorded
from gpt2_assist.repl import choosing_commands, commands, text_commands
from gpt2_assist.repl.commands import Command
from gpt2_assist.repl.open_session import OpenSession, Quit
from gpt2_assist.repl.screen.draft import Origins
from gpt2_assist.repl.screen.keys import writing_keys
from gpt2_assist.repl.screen.screen import WritingScreen
from gpt2_assist.repl.screen.story import Story
from gpt2_assist.repl.screen.story_control import Picture
from gpt2_assist.repl.screen.tree_page import TreePage
from gpt2_assist.repl.typed import cleaned
from gpt2_assist.repl.writer import asked_of
from gpt2_assist.writing.session import Session

DRAFT_S = 1.0
"""How often the draft is saved, where it changed."""
SUGGESTIONS = 3
LOOKED_AT = 8000
"""Characters of the text, at most, that what is offered follows from."""


class Composer:
    """Holds the draft, and the one thing that is being done for it."""

    state: OpenSession
    offers: Offers

    def __init__(self, table: dict[str, Command], completer: Completer, vi: bool, enter_goes_on: bool) -> None:
        """`state` and `offers` are set before it runs: they want the screen, which is made here."""
        self.table, self.enter_goes_on = table, enter_goes_on
        self.draft = Buffer(multiline=True, completer=completer, on_text_changed=lambda buffer: self._typed(),
                            on_cursor_position_changed=lambda buffer: self._moved())
        self._origins, self._story = Origins(), Story()
        self._accepting: int | None = None
        """Where in the draft the model's words begin that are being put there."""
        self._returned = ""
        """What taking back has put into the draft."""
        self._work: asyncio.Task | None = None
        self._kept = ("", 0)
        self._drafted: Session | None = None
        """Of which session the draft is."""
        self.screen = WritingScreen(self.draft, self._picture, self._status, self._alternatives, self._came,
                                    writing_keys(self), vi)

    async def run(self) -> None:
        """Until the user leaves."""
        self._take_up_draft()
        saving = asyncio.ensure_future(self._save_drafts())
        try:
            await self.screen.app.run_async(handle_sigint=False)
        finally:
            saving.cancel()
            self.state.writer.stop()
            if self._work:
                await asyncio.wait([self._work], timeout=2)
            self._save_draft()

    def _take_up_draft(self) -> None:
        """Goes on with what wasn't sent in the session that is open now."""
        self._drafted = session = self.state.session
        self.draft.reset(Document(session.draft, min(session.draft_cursor, len(session.draft))))
        self._kept, self._returned = (session.draft, self.draft.cursor_position), ""
        self._changed()

    # Writing

    def enter(self) -> None:
        """Does the command that the draft is, or has the model go on from it."""
        entered = cleaned(self.draft.text)
        if commands.is_command(entered):
            self._begin(self._command(entered), stopping=True)
        elif entered or not self.state.writer.writes:
            self._begin(self._go_on(), stopping=True)

    def insert(self, text: str) -> None:
        """Puts pasted words into the draft."""
        self.draft.insert_text(cleaned(text))

    def stop(self) -> None:
        """Ends what the model does; without it, says how to leave."""
        if self.state.writer.writes:
            self.state.writer.stop()
        else:
            self.screen.note("Ctrl-C stops the model. Ctrl-D on an empty draft, or /quit, leaves; everything is saved.")

    def leave(self) -> None:
        self._begin(self._command("/quit"), stopping=True)

    async def _command(self, line: str) -> None:
        if cleaned(self.draft.text) == line:
            self._empty()
        try:
            await commands.run(self.table, self.state, line)
        except UsageError:
            if not self.draft.text:  # to be mended
                self.draft.reset(Document(line))
                self._changed()
            raise

    async def _go_on(self) -> None:
        trouble = self._write()
        await self.state.go_on()
        if trouble:
            raise trouble

    def _write(self) -> StorageError | None:
        """Makes passages of the draft. Where the disk refuses they are kept in memory: that is said at the end."""
        trouble = None
        parts = [(author, cleaned(text)) for author, text in self._origins.parts()]
        if parts and parts[0][1].startswith("//"):
            parts[0] = parts[0][0], commands.as_text(parts[0][1])
        again = self._returned and self.draft.text == self._returned
        self._empty()
        if again and self.state.session.redo():
            return None
        for author, text in parts:
            try:
                how = {"model": self.state.session.model, "chosen": "offered while writing"}
                self.state.session.write(text, author, how if author == "model" else None)
            except StorageError as error:
                trouble = error
        return trouble

    def _empty(self) -> None:
        self.draft.reset()
        self._changed()
        self._save_draft()

    # Taking back

    def undo(self) -> None:
        """First of what was typed, then of the passages; one's own come back into the draft."""
        before = self.draft.text
        self.draft.undo()
        if self.draft.text != before:
            return
        if before and before != self._returned:
            self.screen.note("The draft stands before the text: empty it, or write it, to take back more.")
            return
        self._begin(self._take_back(), stopping=True)

    async def _take_back(self) -> None:
        session = self.state.session
        last = session.last
        if not session.undo():
            self.screen.note("There is nothing to take back.")
            return
        self._returned = last.text if last and last.author == "user" and session.current == last.parent else ""
        self.draft.reset(Document(self._returned))
        self._changed()

    def redo(self) -> None:
        before = self.draft.text
        self.draft.redo()
        if self.draft.text != before:
            return
        if before and before != self._returned:
            self.screen.note("There is nothing that was taken back from this draft.")
            return
        self._begin(self._again_what_was(), stopping=True)

    async def _again_what_was(self) -> None:
        if not self.state.session.redo():
            self.screen.note("Nothing was taken back.")
            return
        self._returned = ""
        self._empty()

    # Other ways it could go

    def again(self) -> None:
        """Another continuation beside the last."""
        self._begin(text_commands.retry(self.state, ""), stopping=True)

    def other(self, step: int) -> None:
        """The next of the alternatives, or the one before."""
        session = self.state.session
        ways = session.alternatives()
        numbers = [way.number for way in ways]
        if len(ways) < 2 or session.current not in numbers or self.state.writer.writes:
            self.screen.note("There is no other continuation here yet; Alt-R writes one.")
            return
        session.choose(numbers[(numbers.index(session.current) + step) % len(numbers)], down=False)
        self.screen.changed()

    def suggestions(self) -> None:
        """Ways to go on from the cursor, to choose from; or completion, where the draft is a command."""
        if commands.is_command(self.draft.text) or self.draft.text == "/":
            self.draft.complete_next() if self.draft.complete_state else self.draft.start_completion(
                select_first=False, insert_common_part=True)
            return
        self._begin(self._suggest())

    async def _suggest(self) -> None:
        before = self.draft.text
        found = await self.offers.alternatives(SUGGESTIONS)
        if self.draft.text != before:
            return
        if not found:
            self.screen.note("The model has nothing to suggest here.")
            return
        place = await self.screen.choose("A number or Enter takes one, Escape none", found)
        if place is not None:
            self._accept(found[place])

    def considered(self) -> None:
        """What else could have stood at a word of the last reply."""
        self._begin(choosing_commands.considered(self.state, ""), stopping=True)

    # What is offered

    @property
    def offer(self) -> str:
        """What is offered behind the cursor, if anything is."""
        at_end = self.draft.cursor_position == len(self.draft.text)
        return self.offers.text if at_end and not self.state.writer.writes else ""

    def accept(self) -> None:
        self._accept(self.offer)

    def accept_word(self) -> None:
        self._accept(self.offers.word() if self.offer else "")

    def _accept(self, text: str) -> None:
        if text:
            self._accepting = self.draft.cursor_position
            self.draft.insert_text(text)
            self._accepting = None

    def _typed(self) -> None:
        self.screen.hush()
        self._changed()

    def _changed(self) -> None:
        text = self.draft.text
        if self._accepting is None:
            self._origins.change(text)
        else:
            self._origins.accept(text, self._accepting)
        self.screen.story.view.follows = True
        self._moved()

    def _moved(self) -> None:
        if self.draft.cursor_position < len(self.draft.text) or self.state.writer.writes or not self.draft.text or (
                commands.is_command(self.draft.text)):
            self.offers.stop()
        else:
            session = self.state.session
            before = session.text + self.draft.text
            above = max(0, len(before) - LOOKED_AT)
            self.offers.typed(before[above:], session.model, above, **self.state.writer.where, **asked_of(session))

    # Elsewhere

    def edit(self) -> None:
        self._begin(text_commands.edit(self.state, ""), stopping=True)

    def read(self, searching: bool = False) -> None:
        session = self.state.session
        self.screen.read(session.name, [(passage.author, passage.text) for passage in session.path], searching)

    def tree(self) -> None:
        self.screen.open_page(TreePage(self.screen, self.state))

    def up(self) -> None:
        if not self.screen.story.move_cursor(-1):
            self.scroll(-1)

    def down(self) -> None:
        if not self.screen.story.move_cursor(1):
            self.scroll(1)

    def scroll(self, rows: int) -> None:
        self.screen.story.view.scroll(rows)

    def turn(self, pages: int) -> None:
        self.scroll(pages * max(1, self.screen.story.height - 1))

    # The work and what is said

    def _begin(self, work: Coroutine[Any, Any, None], stopping: bool = False) -> None:
        """Does it after what is being done, which is ended first where it is the model's writing."""
        if stopping:
            self.state.writer.stop()
        self._work = asyncio.ensure_future(self._done(work, self._work))

    async def _done(self, work: Coroutine[Any, Any, None], before: asyncio.Task | None) -> None:
        if before and not before.done():
            await asyncio.wait([before])
        self.screen.hush()
        try:
            await work
        except Quit:
            if self.screen.app.is_running:
                self.screen.app.exit()
        except AssistError as error:
            self.screen.note(str(error))
        except Exception as error:  # the text is still there to be worked with
            self.screen.note(recorded(error))
        if self.state.session is not self._drafted:
            self._take_up_draft()
        self._moved()
        self.screen.changed()

    async def _save_drafts(self) -> None:
        while True:
            await asyncio.sleep(DRAFT_S)
            self._save_draft()

    def _save_draft(self) -> None:
        if self.state.session is not self._drafted:
            return  # another one has just been opened, whose draft isn't here yet
        now = (self.draft.text, self.draft.cursor_position)
        if now != self._kept:
            try:
                self.state.session.save_draft(cleaned(now[0]), now[1])
                self._kept = now
            except AssistError:
                pass  # it is tried again, and the status line says what isn't saved

    # What is shown

    def _picture(self) -> Picture:
        styled, same = self._story.picture(self.state.session, self._origins.parts(), self.offer)
        written = len(styled.text) - len(self.offer) - len(self.draft.text)
        return styled, written + self.draft.cursor_position, same, self.state.writer.facts.seen

    def _came(self, text: str, copied: bool) -> None:
        self._story.came(self.state.session.current, text, copied)

    def _status(self) -> list[str]:
        session, facts, settings = self.state.session, self.state.writer.facts, self.state.settings
        work = facts.words or ("writing, Ctrl-C stops" if self.state.writer.writes else "")
        return [f"{work} …" if work else "", "saved" if session.saved else "NOT SAVED", session.name, session.model,
                f"temperature {settings.temperature:g}",
                f"context {facts.context}/{facts.n_ctx}" if facts.context else "",
                f"{facts.tokens_per_second:.0f} tokens/s" if facts.tokens_per_second else "",
                "Enter goes on" if self.enter_goes_on else "Alt-Enter goes on", "Alt-R again", "/help"]

    def _alternatives(self) -> str:
        session = self.state.session
        ways = session.alternatives()
        if len(ways) < 2:
            return ""
        numbers = [way.number for way in ways]
        if session.current not in numbers:
            return ""
        at = numbers.index(session.current)
        following = ways[(at + 1) % len(ways)]
        return f"◂ {at + 1}/{len(ways)} ▸  {(at + 1) % len(ways) + 1}: {' '.join(following.text[:200].split())}"
