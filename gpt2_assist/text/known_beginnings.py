"""The tokens of a text that comes again and again, a little longer each time, as at every key that somebody types."""
from collections import deque
from collections.abc import Callable

_TEXTS = 8
_REST = 64
"""Characters at a text's end that are encoded anew in any case: words that are still being written."""
_GROWTH = 512
"""Characters after which a remembered beginning is made longer."""


class KnownBeginnings:
    """Remembers the beginnings of the last texts with their tokens.

    A beginning ends before a space that stands between two letters or digits: GPT-2's pattern cuts there whatever else
    the text holds, since only white space alone ever has a space within or at its end.
    """

    def __init__(self) -> None:
        self._pairs: deque[tuple[str, list[int]]] = deque(maxlen=_TEXTS)

    def split(self, text: str, encode: Callable[[str], list[int]]) -> tuple[list[int], str]:
        """(the tokens of a beginning of `text`, the rest of it)."""
        known, ids = max((pair for pair in self._pairs if text.startswith(pair[0])), key=lambda pair: len(pair[0]),
                        default=("", []))
        if len(text) - len(known) > _GROWTH + _REST:
            end = _cut(text, len(text) - _REST)
            if end > len(known):
                ids = ids + encode(text[len(known):end])
                known = text[:end]
                self._pairs.append((known, ids))
        return ids, text[len(known):]


def _cut(text: str, limit: int) -> int:
    """The last place up to `limit` at which words are parted in any case; 0 where there is none."""
    place = text.rfind(" ", 0, limit)
    while place > 0 and not (text[place - 1].isalnum() and text[place + 1].isalnum()):
        place = text.rfind(" ", 0, place)
    return max(place, 0)
