"""What a filter sees and says: the place where a completion would stand, and the text that came for it so far."""
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Place:
    """A cursor and what was asked for there. Line ends are \\n in all texts."""

    before: str
    """The document from somewhere above up to the cursor."""
    after: str
    """From the cursor on, some lines of it."""
    language: str = ""
    """LSP's language id."""
    prose: bool = False
    """Whether it is natural language, of which a unit is a sentence, not a line."""
    invoked: bool = False
    """Whether the user asked explicitly."""
    single_line: bool = False
    max_lines: int = 8
    prose_unit: str = "sentence"
    """Or paragraph."""
    confidence: float = 0.0
    """How likely a text must be right as a whole; 0 shows all."""
    indent: str = ""
    """One level of indentation as the document has it: spaces, or a tab; empty where that isn't known."""

    @property
    def line_before(self) -> str:
        """The cursor's line up to the cursor."""
        return self.before[self.before.rfind("\n") + 1:]

    @property
    def line_after(self) -> str:
        """The cursor's line from the cursor on."""
        return self.after.partition("\n")[0]


@dataclass(frozen=True)
class Draft:
    """A completion under way. A filter gives back the same one, or one whose text is a beginning of it.

    While `ended` is False a filter may hold back the end of the text, which it must let go once more is known; what it
    has let go it never takes back, unless it rejects the whole, which `reason` says.
    """

    text: str
    ended: bool = False
    """Whether nothing more will come: the model ended, or a filter knows that it would only cut."""
    tokens: tuple[tuple[int, float], ...] = ()
    """Per token, the length of the text up to its end and the natural logarithm of its probability."""
    reason: str = ""
    """Why nothing is shown; the text is then empty."""

    def cut(self, length: int) -> "Draft":
        """Ended, after so many characters."""
        return replace(self, text=self.text[:length], ended=True)

    def held(self, length: int) -> "Draft":
        """So many characters for now."""
        return replace(self, text=self.text[:length])

    def rejected(self, reason: str) -> "Draft":
        return replace(self, text="", ended=True, reason=reason)
