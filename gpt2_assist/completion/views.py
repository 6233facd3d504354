"""Who looks at a stream, and from where. A view never changes: the next question has another."""
from dataclasses import dataclass

from gpt2_assist.completion.filters.draft import Place


@dataclass(frozen=True, eq=False)
class View:
    place: Place
    """Where the text would stand."""
    most_tokens: int
    """To be shown at most."""
    typed: int = 0
    """How many of the stream's characters stand before the place."""
    wanted: bool = False
    """Whether somebody asked; else it is only a guess that somebody will."""
