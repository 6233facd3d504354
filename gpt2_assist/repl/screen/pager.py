"""Something longer to look through, with the keys of a pager: a list, help, the story in reading mode."""
from collections.abc import Callable, Sequence

from prompt_toolkit.application import get_app
from prompt_toolkit.data_structures import Point
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout.controls import UIContent, UIControl

from gpt2_assist.repl.face import Part
from gpt2_assist.repl.screen.page_view import PageView, Styled

KEYS = "↑ ↓ PgUp PgDn  / search  n next  q back"


class Pager(UIControl):
    def __init__(self, title: str, parts: Sequence[Part], leave: Callable[[], None],
                 ask: Callable[[str, Callable[[str], None]], None], at_end: bool = False) -> None:
        """`leave` closes it; `ask` has a question answered in the line at the bottom."""
        self.title = title
        self._styled = Styled.of([(f"class:{style}" if style else "", text) for style, text in parts])
        self._leave, self._ask = leave, ask
        self.view = PageView(follows=False)
        self._height, self._at_end = 1, at_end
        self._found: tuple[int, int] | None = None
        """Where what was sought stands."""
        self._sought = ""

    def is_focusable(self) -> bool:
        return True

    def create_content(self, width: int, height: int) -> UIContent:
        self._height = height
        styled = self._marked()
        end = len(styled.text)
        if self._at_end:
            self.view.follows = True
        shown = self.view.show(styled, end if self._at_end else 0, width, height, end)
        if self._at_end:
            self._at_end = self.view.follows = False
        return UIContent(get_line=lambda number: [*shown.rows[number]], line_count=len(shown.rows),
                         cursor_position=Point(0, 0), show_cursor=False)

    def _marked(self) -> Styled:
        if self._found is None:
            return self._styled
        start, end = self._found
        parts = [*self._styled.fragments(0, start), ("reverse", self._styled.text[start:end]),
                 *self._styled.fragments(end, len(self._styled.text))]
        return Styled.of(parts)

    def seek(self, words: str) -> None:
        """Goes to the next place of these words, from the screen's first row on; at the end it begins anew."""
        self._sought = words
        text, sought = self._styled.text.casefold(), words.casefold()
        if not sought or len(text) != len(self._styled.text):  # a few letters grow when their case is folded
            text, sought = self._styled.text, words
        start = self._found[1] if self._found else self.view.top
        at = text.find(sought, start) if sought else -1
        at = text.find(sought) if at < 0 and sought else at
        self._found = (at, at + len(sought)) if at >= 0 else None
        if self._found:
            self.view.top = self.view.wrapped.above(self.view.wrapped.row(at), self._height // 3)

    def get_key_bindings(self) -> KeyBindings:
        keys = KeyBindings()

        def scrolls(rows: Callable[[], int], *names: str) -> None:
            for name in names:
                keys.add(name, eager=True)(lambda event: self.view.scroll(rows()))

        scrolls(lambda: -1, "up", "k", "c-p")
        scrolls(lambda: 1, "down", "j", "c-n", "enter")
        scrolls(lambda: -max(1, self._height - 1), "pageup", "b", "c-b")
        scrolls(lambda: max(1, self._height - 1), "pagedown", "space", "c-f")
        for name in ("home", "g"):
            keys.add(name, eager=True)(lambda event: self.view.to_beginning())
        for name in ("end", "G"):
            keys.add(name, eager=True)(lambda event: self.view.to_end())
        keys.add("/", eager=True)(lambda event: self._ask("search: ", self.seek))
        keys.add("n", eager=True)(lambda event: self.seek(self._sought))
        for name in ("q", "escape", "c-c", "c-g"):
            keys.add(name, eager=True)(self._left)
        return keys

    def _left(self, event: KeyPressEvent) -> None:
        self._leave()
        get_app().invalidate()
