"""What a session needs of whoever shows it: the full screen, or a terminal's lines."""
from collections.abc import Sequence
from typing import Protocol

Part = tuple[str, str]
"""(style, text); styles are user, model, edit, copied, note and strong, and "" for none."""


class Face(Protocol):
    def note(self, text: str) -> None:
        """Says something beside the text."""

    def came(self, text: str, copied: bool = False) -> None:
        """Words of the model's came at the end of the text, and are in the session."""

    def changed(self) -> None:
        """The text, or what is said of it, is another one."""

    async def page(self, title: str, parts: Sequence[Part]) -> None:
        """Something longer to look through."""

    async def edit(self, text: str) -> str | None:
        """A text after the user edited it with their editor; None where they left it or it couldn't be. Raises
        UsageError where there is no editor."""

    async def sure(self, question: str) -> bool:
        """Whether the user says yes."""

    async def choose(self, title: str, items: Sequence[str]) -> int | None:
        """The place of the one that the user chooses; None where they want none."""
