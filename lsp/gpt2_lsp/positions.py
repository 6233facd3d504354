"""Positions in a line: from an editor's units to characters and back. Units are those of LSP's position encodings.

A line may be very long and is measured with each key: what walks along it are Python's own encoders, and only from the
place that was measured last.
"""
from gpt2_lsp.halves import is_first

UTF8, UTF16, UTF32 = "utf-8", "utf-16", "utf-32"


class Ruler:
    """Measures the lines of one document, and remembers one place of which it knows both numbers."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._line = self._column = self._units = 0
        self.inside = False
        """Whether the last position was inside a character."""

    def column(self, number: int, line: str, end: int, position: int) -> int:
        """How many of the first `end` characters of the line with this number lie before a position, in units. Past
        the end is the end, inside a character is before it."""
        self.inside = False
        if self._encoding == UTF32 or line.isascii():
            return min(position, end)
        column, known = (self._column, self._units) if number == self._line else (0, 0)
        if position < known // 2:
            column = known = 0
        if position < known:
            back = min(column, known - position)
            column -= back
            known -= units(line[column:column + back], self._encoding)
        part = line[column:min(end, column + position - known)]
        count = characters(part, position - known, self._encoding)
        self._line, self._column = number, column + count
        self._units = known + units(part[:count], self._encoding)
        self.inside = self._column < end and self._units < position
        return self._column

    def changed(self, number: int, column: int) -> None:
        """From this place on, text has changed."""
        if self._line > number or self._line == number and self._column > column:
            self.forget()

    def forget(self) -> None:
        self._line = self._column = self._units = 0


def characters(line: str, units: int, encoding: str) -> int:
    """How many characters of `line` lie before a position `units` units in. Past the end is the end, inside a
    character is before it."""
    if encoding == UTF32 or line.isascii():
        return min(units, len(line))
    if encoding == UTF8:
        data = line[:units].encode(UTF8, "surrogatepass")
        while 0 < units < len(data) and data[units] & 0xC0 == 0x80:
            units -= 1
        return len(data[:units].decode(UTF8, "surrogatepass"))
    data = line[:units].encode("utf-16-le", "surrogatepass")
    text = data[:2 * units].decode("utf-16-le", "surrogatepass")
    cut = bool(text) and is_first(text[-1]) and line[len(text) - 1] != text[-1]
    return len(text) - cut


def units(text: str, encoding: str) -> int:
    """How many units `text` has."""
    if encoding == UTF32 or text.isascii():
        return len(text)
    if encoding == UTF8:
        return len(text.encode(UTF8, "surrogatepass"))
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
