"""A passage: a piece of a session's text by one author."""
import time
from dataclasses import dataclass, field


@dataclass
class Passage:
    """Number 0 is the empty beginning that every session has. Its text never changes once it is finished."""

    number: int
    parent: int
    author: str
    """user, model, or edit: what the user changed in what was there."""
    text: str
    how: str = "{}"
    """JSON: how the model made it; empty for the user's own."""
    created: float = field(default_factory=time.time)
    """Seconds since 1970."""
    hidden: bool = False
    bookmark: str = ""
    """A name that the user gave to this place; none is empty."""
    chosen: int = 0
    """The child by which the text went on last; 0 is none."""
    tokens: str = ""
    """JSON: [[text, log-probability, [[text, log-probability] …]] …], of each token and its likeliest rivals; empty
    where nobody asked."""
    finished: bool = True
    """Whether nothing is to come any more."""
