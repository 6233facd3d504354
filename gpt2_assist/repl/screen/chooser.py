"""A few things of which one is chosen: other ways to go on, words, passages."""
from collections.abc import Callable, Sequence

from prompt_toolkit.data_structures import Point
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.layout.controls import UIContent, UIControl

from gpt2_assist.console.terminal import visible
from gpt2_assist.repl.screen.wrapping import breadth

NUMBERED = "1234567890"


class Chooser(UIControl):
    """Its keys: arrows or Tab move, Enter or a digit chooses, Escape leaves; `more` are keys with a meaning of their
    own, told the chosen place."""

    def __init__(self, title: str, items: Sequence[str], chosen: Callable[[int], None], leave: Callable[[], None],
                 more: dict[str, Callable[[int], None]] | None = None, at: int = 0, numbered: bool = True) -> None:
        self.title, self.items, self.at = title, list(items), at
        self._chosen, self._leave, self._more, self._numbered = chosen, leave, more or {}, numbered
        self._top = 0

    @property
    def rows(self) -> int:
        return len(self.items) + 1

    def is_focusable(self) -> bool:
        return True

    def create_content(self, width: int, height: int) -> UIContent:
        visible_rows = max(1, height - 1)
        self._top = min(max(self._top, self.at - visible_rows + 1), self.at)
        lines = [[("class:strong", _cut(self.title, width))]]
        for place, item in enumerate(self.items[self._top:self._top + visible_rows], self._top):
            number = f"{NUMBERED[place]} " if self._numbered and place < len(NUMBERED) else "  "
            style = "class:chosen" if place == self.at else ""
            lines.append([(style, _cut(number + " ".join(visible(item).split("\n")), width))])
        return UIContent(get_line=lambda number: [*lines[number]], line_count=len(lines),
                         cursor_position=Point(0, min(len(lines) - 1, self.at - self._top + 1)), show_cursor=False)

    def get_key_bindings(self) -> KeyBindings:
        keys = KeyBindings()
        for name, step in (("up", -1), ("c-p", -1), ("s-tab", -1), ("down", 1), ("c-n", 1), ("tab", 1)):
            keys.add(name, eager=True)(lambda event, step=step: self._move(step))
        for name in ("enter", "right"):
            keys.add(name, eager=True)(lambda event: self._chosen(self.at))
        if self._numbered:
            for place, digit in enumerate(NUMBERED[:len(self.items)]):
                keys.add(digit, eager=True)(lambda event, place=place: self._chosen(place))
        for name, act in self._more.items():
            keys.add(name, eager=True)(lambda event, act=act: act(self.at))
        for name in ("escape", "c-c", "c-g", "q", "left"):
            if name not in self._more:
                keys.add(name, eager=True)(lambda event: self._leave())
        return keys

    def _move(self, step: int) -> None:
        self.at = (self.at + step) % len(self.items)


def _cut(text: str, width: int) -> str:
    while breadth(text) > width:
        text = text[:-2] + "…" if len(text) > 1 else ""
    return text
