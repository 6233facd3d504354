"""How a session looks: the text in two colours, notes beside it, and the toolbar."""
import sys
from dataclasses import dataclass

from gpt2_assist.console.terminal import coloured, copied, visible
from gpt2_assist.writing.passage import Passage

_MODEL, _NOTE, _END = "\x1b[36m", "\x1b[2m", "\x1b[0m"


class Page:
    """Prints to the terminal; knows where the cursor stands in its line."""

    def __init__(self) -> None:
        self._coloured = coloured()
        self._line_begun = False

    def model_text(self, text: str, marked: bool = False) -> None:
        """Words of the model's, as they come; those that are copied from its training texts are `marked`."""
        if text:
            self._write(copied(visible(text), self._coloured) if marked else visible(text), _MODEL)
            self._line_begun = not text.endswith("\n")

    def note(self, text: str) -> None:
        """Something about the session that is not part of its text."""
        self.end_line()
        self._write(visible(text), _NOTE)
        self._write("\n")

    def end_line(self) -> None:
        if self._line_begun:
            self._write("\n")
            self._line_begun = False

    def show(self, passages: list[Passage]) -> None:
        """The text so far, each author in their own colour."""
        for passage in passages:
            if passage.author == "model":
                self.model_text(passage.text)
            else:
                self._write(visible(passage.text))
                self._line_begun = not passage.text.endswith("\n")
        self.end_line()

    def _write(self, text: str, colour: str = "") -> None:
        sys.stdout.write(f"{colour}{text}{_END}" if colour and self._coloured else text)
        sys.stdout.flush()


@dataclass
class Toolbar:
    """What the bottom line says."""

    model: str
    session: str = ""
    tokens_per_second: float = 0.0
    context: int = 0
    n_ctx: int = 0

    def line(self) -> str:
        parts = [self.model]
        if self.tokens_per_second:
            parts.append(f"{self.tokens_per_second:.0f} tok/s")
        if self.n_ctx:
            parts.append(f"context {self.context}/{self.n_ctx}")
        return " " + "  ·  ".join([*parts, self.session, "/help"])
