"""Which of the fields of a table or of JSON objects holds the texts."""
from collections.abc import Sequence

USUAL = ("text", "content", "full_text", "textContent", "body", "message", "note", "comment", "description")
"""The first of these names that is there is taken where nobody says another one."""


def named(name: str, names: Sequence[str]) -> int | None:
    """The place of a name, whatever its capitals if none is just so; None if it isn't there."""
    if name in names:
        return names.index(name)
    small = [other.strip().casefold() for other in names]
    return small.index(name.strip().casefold()) if name.strip().casefold() in small else None
