"""The part of the screen in which one writes: the story, and the draft at its end, as one text."""
from collections.abc import Callable
from typing import Any

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.data_structures import Point
from prompt_toolkit.layout.controls import BufferControl, UIContent

from gpt2_assist.repl.screen.page_view import PageView, Shown, Styled

Picture = tuple[Styled, int, int, int]
"""A text, where the cursor stands, how many characters are as before, and where the line across stands (0: nowhere)."""


class StoryControl(BufferControl):
    """Keys go to the draft's buffer as in any other; what is shown is the whole."""

    def __init__(self, draft: Buffer, picture: Callable[[], Picture]) -> None:
        super().__init__(buffer=draft, focusable=True)
        self._picture = picture
        self.view = PageView()
        self.height = self.width = 1

    def create_content(self, width: int, height: int, preview_search: bool = False) -> UIContent:
        self.buffer.load_history_if_not_yet_loaded()
        self.width, self.height = width, height
        styled, cursor, same, rule = self._picture()
        shown: Shown = self.view.show(styled, cursor, width, height, same, rule, " the model reads from here on ")
        point = Point(x=shown.cursor[1], y=shown.cursor[0]) if shown.cursor else Point(x=0, y=0)
        content = UIContent(get_line=lambda number: [*shown.rows[number], ("", " ")], line_count=len(shown.rows),
                            cursor_position=point, show_cursor=shown.cursor is not None)
        content.menu_position = point if self.buffer.complete_state else None
        return content

    def preferred_height(self, width: int, max_available_height: int, wrap_lines: bool,
                         get_line_prefix: Any) -> int | None:
        return None  # it takes what there is

    def move_cursor(self, rows: int) -> bool:
        """Puts the cursor so many rows further down, or up, as it stands on the screen; False where the draft has no
        such row."""
        styled, cursor, same, _ = self._picture()
        wrapped, first = self.view.wrapped, cursor - self.buffer.cursor_position
        wrapped.replace(styled.text, wrapped.width, same)
        row = wrapped.row(cursor)
        column = cursor - row
        for _ in range(abs(rows)):
            other = wrapped.below(row) if rows > 0 else wrapped.above(row) if row else None
            if other is None or other == row:
                return False
            row = other
        last = first + len(self.buffer.text)
        if row > last or (rows < 0 and wrapped.end(row) <= first):
            return False
        end = wrapped.end(row)
        most = end - 1 if end < len(styled.text) or styled.text.endswith("\n", row, end) else end
        self.buffer.cursor_position = max(0, min(row + column, most, last) - first)
        return True
