"""The full screen: the story with the draft at its end, what is said beside it, and one line of status."""
import asyncio
from collections.abc import Callable, Sequence

from prompt_toolkit.application import Application, run_in_terminal
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.filters import Condition
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.layout import (
    BufferControl,
    CompletionsMenu,
    ConditionalContainer,
    Dimension,
    DynamicContainer,
    Float,
    FloatContainer,
    FormattedTextControl,
    HSplit,
    Layout,
    VSplit,
    Window,
)
from prompt_toolkit.layout.controls import UIControl
from prompt_toolkit.styles import Style

from gpt2_assist.console.terminal import visible, wrapped
from gpt2_assist.repl import external_editor
from gpt2_assist.repl.face import Part
from gpt2_assist.repl.screen.chooser import Chooser
from gpt2_assist.repl.screen.page_view import WIDEST
from gpt2_assist.repl.screen.pager import KEYS, Pager
from gpt2_assist.repl.screen.status_line import fitted_line
from gpt2_assist.repl.screen.story_control import Picture, StoryControl

STYLE = Style.from_dict({
    "model": "ansicyan", "edit": "underline", "copied": "underline", "offer": "ansibrightblack",
    "rule": "ansibrightblack", "note": "ansibrightblack", "strong": "bold", "chosen": "reverse", "status": "reverse",
    "alternatives": "ansibrightblack", "said": "ansiyellow",
    "removed": "ansired strike", "added": "ansigreen underline"})
ESCAPE_S = 0.05
"""An escape that nothing follows for so long is the key of that name."""
YES = frozenset(("y", "yes"))


class WritingScreen:
    """See Face. Shows what it is given; what keys do is Composer's."""

    def __init__(self, draft: Buffer, picture: Callable[[], Picture], status: Callable[[], Sequence[str]],
                 alternatives: Callable[[], str], came: Callable[[str, bool], None], keys: KeyBindings,
                 vi: bool = False) -> None:
        """`status`: fields of the bottom line. `alternatives`: what else the last words could have been, in a line.
        `came` hears what Face.came does."""
        self.story = StoryControl(draft, picture)
        self._status, self._alternatives = status, alternatives
        self._came = came
        self._said = ""
        self._page: Window | None = None
        """What stands in the story's place."""
        self._choice: tuple[Window, Chooser] | None = None
        self._asked: Callable[[str], None] | None = None
        self._question = ""
        self._answer = Buffer(multiline=False)
        self.story_window = Window(self.story)
        answer_window = Window(BufferControl(self._answer, key_bindings=self._answer_keys()), height=1)
        self._answer_window = answer_window
        asks = Condition(lambda: self._asked is not None)
        menu = Float(CompletionsMenu(max_height=8), xcursor=True, ycursor=True)
        root = HSplit([
            FloatContainer(DynamicContainer(lambda: self._page or self.story_window), [menu]),
            ConditionalContainer(Window(FormattedTextControl(lambda: self._said_rows()), style="class:said",
                                        height=lambda: Dimension.exact(self._said_rows().count("\n") + 1)),
                                 Condition(lambda: bool(self._said) and self._page is None)),
            DynamicContainer(lambda: self._choice[0] if self._choice else Window(height=0)),
            ConditionalContainer(Window(FormattedTextControl(lambda: self._fitted([self._alternatives()])), height=1,
                                        style="class:alternatives"),
                                 Condition(lambda: self._page is None and bool(self._alternatives()))),
            ConditionalContainer(VSplit([Window(FormattedTextControl(lambda: self._question), height=1,
                                                dont_extend_width=True), answer_window]), asks),
            ConditionalContainer(Window(FormattedTextControl(self._status_row), height=1, style="class:status"),
                                 ~asks)])
        self.app: Application[None] = Application(
            Layout(root, focused_element=self.story_window), style=STYLE, full_screen=True, key_bindings=keys,
            enable_page_navigation_bindings=False, editing_mode=EditingMode.VI if vi else EditingMode.EMACS)
        self.app.ttimeoutlen = ESCAPE_S

    # Face

    def note(self, text: str) -> None:
        if text.count("\n") > max(2, self._size()[1] // 3):
            self._open_page("", [("", text)])
            return
        self._said = visible(text)
        self.app.invalidate()

    def came(self, text: str, copied: bool = False) -> None:
        self._came(text, copied)
        self.app.invalidate()

    def changed(self) -> None:
        self.app.invalidate()

    async def page(self, title: str, parts: Sequence[Part]) -> None:
        self._open_page(title, parts)

    async def edit(self, text: str) -> str | None:
        editor = external_editor.command()
        return await run_in_terminal(lambda: external_editor.edited(text, editor), in_executor=True)

    async def choose(self, title: str, items: Sequence[str]) -> int | None:
        if not items:
            return None
        answered: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

        def end(place: int | None) -> None:
            self.close_choice()
            if not answered.done():
                answered.set_result(place)

        self.open_choice(Chooser(title, items, end, lambda: end(None)))
        return await answered

    async def sure(self, question: str) -> bool:
        answered: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def end(text: str) -> None:
            if not answered.done():
                answered.set_result(text)

        self.ask(f"{question} (y/n) ", end)
        return (await answered).strip().lower() in YES

    # What else can stand on it

    def hush(self) -> None:
        """What was said has been read."""
        self._said = ""

    def read(self, title: str, parts: Sequence[Part], searching: bool = False) -> None:
        """Opens parts to look through from their end on, or for a search."""
        pager = self._open_page(title, parts, at_end=True)
        if searching:
            self.ask("search: ", pager.seek)

    def _open_page(self, title: str, parts: Sequence[Part], at_end: bool = False) -> Pager:
        pager = Pager(title, parts, self.close_page, self.ask, at_end)
        self.open_page(pager)
        return pager

    def open_page(self, control: UIControl) -> None:
        """Puts something in the story's place."""
        self._page = Window(control)
        self.app.layout.focus(self._page)
        self.app.invalidate()

    def close_page(self) -> None:
        self._page = None
        self.app.layout.focus(self.story_window)
        self.app.invalidate()

    def open_choice(self, chooser: Chooser) -> None:
        """Opens a choice under the story."""
        rows = max(2, min(chooser.rows, self._size()[1] // 2))
        self._choice = Window(chooser, height=rows), chooser
        self.app.layout.focus(self._choice[0])
        self.app.invalidate()

    def close_choice(self) -> None:
        self._choice = None
        self.app.layout.focus(self._page or self.story_window)
        self.app.invalidate()

    def ask(self, question: str, answered: Callable[[str], None]) -> None:
        """Has a line answered at the bottom; left without an answer, it is an empty one."""
        if self._asked:
            self._asked("")
        self._question, self._asked, self._before = visible(question), answered, self.app.layout.current_window
        self._answer.reset()
        self.app.layout.focus(self._answer_window)
        self.app.invalidate()

    def _answered(self, text: str) -> None:
        answered, self._asked = self._asked, None
        self.app.layout.focus(self._before)
        if answered:
            answered(text)
        self.app.invalidate()

    def _answer_keys(self) -> KeyBindings:
        keys = KeyBindings()
        keys.add("enter", eager=True)(lambda event: self._answered(self._answer.text))
        for name in ("escape", "c-c", "c-g"):
            keys.add(name, eager=True)(lambda event: self._answered(""))
        return keys

    # Rows at the bottom

    def _size(self) -> tuple[int, int]:
        size = self.app.output.get_size()
        return size.columns, size.rows

    def _fitted(self, fields: Sequence[str]) -> str:
        return fitted_line([visible(field) for field in fields], self._size()[0])

    def _said_rows(self) -> str:
        columns, rows = self._size()
        lines = wrapped(self._said, min(WIDEST, columns - 1), whole_words=False).split("\n")
        most = max(1, rows // 2 - 1)
        return "\n".join(lines if len(lines) <= most else [*lines[:most - 1], "…"])

    def _status_row(self) -> str:
        if self._page is not None:
            control = self._page.content
            return self._fitted([getattr(control, "title", ""), KEYS if isinstance(control, Pager) else ""])
        return self._fitted(self._status())
