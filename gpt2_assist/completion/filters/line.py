"""The lines that a completion makes of the document."""
from dataclasses import dataclass

from gpt2_assist.completion.filters.draft import Draft, Place


@dataclass(frozen=True)
class Line:
    content: str
    """The whole line, without its end and white space there; the first one begins before the cursor."""
    start: int
    """Where it begins in the completion; below 0 for the first one, if there is something before the cursor."""
    complete: bool
    """Whether it can't grow any more."""

    @property
    def cut(self) -> int:
        """Where a completion is cut that shall not have this line: before the line end that leads to it."""
        return max(0, self.start - 1)

    @property
    def blank(self) -> bool:
        """Whether it has come to its end with nothing in it."""
        return self.complete and not self.content

    def may_become(self, target: str) -> bool:
        """Whether it may still grow to be a line with this content."""
        return not self.complete and (target.startswith(self.content) or self.content.rstrip() == target)


def lines_of(place: Place, draft: Draft) -> list[Line]:
    """The cursor's line and those after it, as far as the completion goes."""
    parts = (place.line_before + draft.text).split("\n")
    lines, start = [], -len(place.line_before)
    for number, part in enumerate(parts):
        complete = draft.ended or number < len(parts) - 1
        lines.append(Line(part.rstrip() if complete else part, start, complete))
        start += len(part) + 1
    return lines


def following(place: Place) -> list[str]:
    """The lines below the cursor's that aren't blank, without white space at their ends."""
    return [line.rstrip() for line in place.after.split("\n")[1:] if line.strip()]


def above(place: Place) -> str:
    """The last line above the cursor's that isn't blank, or nothing."""
    lines = place.before.split("\n")[:-1]
    return next((line.rstrip() for line in reversed(lines) if line.strip()), "")


def indentation(line: str) -> str:
    return line[:len(line) - len(line.lstrip())]


def word_characters(text: str) -> int:
    return sum(character.isalnum() or character == "_" for character in text)
