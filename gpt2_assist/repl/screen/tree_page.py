"""The tree of passages on the screen."""
from prompt_toolkit.data_structures import Point
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.layout.controls import UIContent, UIControl

from gpt2_assist.console.terminal import visible
from gpt2_assist.errors import AssistError
from gpt2_assist.repl.open_session import OpenSession
from gpt2_assist.repl.screen.screen import WritingScreen
from gpt2_assist.repl.screen.wrapping import breadth
from gpt2_assist.repl.tree import difference, tree_rows

TITLE = "Passages: Enter opens  b bookmark  d hide  = difference  q back"


class TreePage(UIControl):
    title = TITLE

    def __init__(self, screen: WritingScreen, state: OpenSession) -> None:
        self._screen, self._state = screen, state
        self._rows = tree_rows(state.session)
        numbers = [row.passage.number for row in self._rows]
        self._at = numbers.index(state.session.current) if state.session.current in numbers else 0
        self._top, self._height = 0, 1

    def is_focusable(self) -> bool:
        return True

    def create_content(self, width: int, height: int) -> UIContent:
        self._height = height
        self._top = max(self._at - height + 1, min(self._top, self._at))
        lines = [self._line(place, width) for place in range(self._top, min(len(self._rows), self._top + height))]
        if not lines:
            lines = [[("class:note", "There are no passages yet.")]]
        return UIContent(get_line=lambda number: [*lines[number]], line_count=len(lines), show_cursor=False,
                         cursor_position=Point(0, max(0, self._at - self._top)))

    def _line(self, place: int, width: int) -> list[tuple[str, str]]:
        left, fragments = width - 1, []
        chosen = " class:chosen" if place == self._at else ""
        for style, text in self._rows[place].parts():
            text = visible(text)[:left]
            while breadth(text) > left:
                text = text[:-1]
            left -= breadth(text)
            fragments.append((f"class:{style}{chosen}", text))
        return fragments

    def get_key_bindings(self) -> KeyBindings:
        keys = KeyBindings()
        moves = {"up": lambda: -1, "c-p": lambda: -1, "k": lambda: -1, "down": lambda: 1, "c-n": lambda: 1,
                 "j": lambda: 1, "pageup": lambda: 1 - self._height, "pagedown": lambda: self._height - 1,
                 "home": lambda: -len(self._rows), "end": lambda: len(self._rows)}
        for name, step in moves.items():
            keys.add(name, eager=True)(lambda event, step=step: self._move(step()))
        for name, act in (("enter", self._open), ("b", self._bookmark), ("d", self._hide), ("=", self._compare)):
            keys.add(name, eager=True)(lambda event, act=act: act() if self._rows else None)
        for name in ("q", "escape", "c-c", "c-g"):
            keys.add(name, eager=True)(lambda event: self._screen.close_page())
        return keys

    @property
    def _number(self) -> int:
        return self._rows[self._at].passage.number

    def _move(self, step: int) -> None:
        self._at = max(0, min(self._at + step, len(self._rows) - 1))

    def _open(self) -> None:
        number = self._number
        self._screen.close_page()
        self._tried(lambda: self._state.session.choose(number))

    def _bookmark(self) -> None:
        number = self._number
        self._screen.ask("bookmark (empty: none): ", lambda name: self._tried(
            lambda: self._state.session.bookmark(name.strip(), number)))

    def _hide(self) -> None:
        number = self._number
        if self._rows[self._at].here:
            self._screen.note("What is part of the text now can't be hidden.")
            return
        self._tried(lambda: self._state.session.hide(number))

    def _compare(self) -> None:
        parts = difference(self._state.session, self._number)
        self._screen.read(f"passage {self._number} against the text now", parts)

    def _tried(self, act) -> None:
        try:
            act()
        except AssistError as error:
            self._screen.note(str(error))
        self._rows = tree_rows(self._state.session)
        self._move(0)
        self._screen.changed()
