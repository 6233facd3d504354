"""The end of a long text that the model reads."""

_NEAR = 300
"""Characters within which the window looks for a line or a word to begin with."""


class Window:
    """Moves in large steps, so that one more key is one more token to read."""

    def __init__(self, characters: int) -> None:
        """`characters`: at most so many are read."""
        self._characters, self._start = characters, 0

    def start(self, before: str, above: int = 0) -> int:
        """The character of the text with which the part before a cursor begins that the model reads: where it did,
        while the cursor is between a quarter and the whole of the window's size behind that. `before` is the text's end
        there, so much of it as the window has or more, `above` the number of characters that it leaves out."""
        length = above + len(before)
        size = length - self._start
        if size > self._characters or size < self._characters // 4 and self._start:
            near = max(0, length - self._characters * 5 // 8)
            self._start = above + _beginning(before, near - above) if near > above else above
        return max(self._start, above)


def _beginning(text: str, near: int) -> int:
    """The first beginning of a line, or else of a word, from a place on that isn't the first."""
    for sign in "\n ":
        found = text.find(sign, near - 1, near + _NEAR)
        if found >= 0:
            return found + 1
    return near
