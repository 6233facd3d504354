"""An edit of the whole story, in passages: what is new, and of what is kept where it comes from."""
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from gpt2_assist.text.common import common_start
from gpt2_assist.writing.passage import Passage

_MOST_WORDS = 4000
"""Words on either side that are compared one by one: difflib takes the square of their number at worst."""
_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_LINES = re.compile(r"[^\n]*\n+|[^\n]+")


@dataclass
class Stretch:
    """A part of the new text."""

    author: str
    text: str
    origin: Passage | None
    """The passage that it is of; None is the user's own now."""
    whole: bool
    """Whether it is all of that passage."""


def stretches(path: list[Passage], new: str) -> list[Stretch]:
    """The new text of a story whose passages were `path`."""
    old = "".join(passage.text for passage in path)
    found: list[Stretch] = []
    place, at = _Place(path), 0
    for old_start, old_end, new_start, new_end in _kept(old, new):
        if new_start > at:
            found.append(Stretch("edit", new[at:new_start], None, False))
        found.extend(place.cut(old_start, old_end))
        at = new_end
    if at < len(new):
        author = "user" if "".join(stretch.text for stretch in found) == old else "edit"
        found.append(Stretch(author, new[at:], None, False))
    return found


class _Place:
    """Cuts the old text, from its beginning to its end, along its passages."""

    def __init__(self, path: list[Passage]) -> None:
        self._path, self._index, self._start = path, 0, 0

    def cut(self, start: int, end: int) -> Iterator[Stretch]:
        while start < end:
            passage = self._path[self._index]
            passage_end = self._start + len(passage.text)
            if passage_end <= start:
                self._index, self._start = self._index + 1, passage_end
                continue
            stop = min(end, passage_end)
            text = passage.text[start - self._start:stop - self._start]
            yield Stretch(passage.author, text, passage, len(text) == len(passage.text))
            start = stop


def _kept(old: str, new: str) -> Iterator[tuple[int, int, int, int]]:
    """Stretches that both have, in order: first and last of the old, first and last of the new."""
    first = common_start(old, new)
    last = common_start(old[:first - 1 if first else None:-1], new[:first - 1 if first else None:-1])
    if first:
        yield 0, first, 0, first
    yield from _kept_within(old[first:len(old) - last], new[first:len(new) - last], first)
    if last:
        yield len(old) - last, len(old), len(new) - last, len(new)


def _kept_within(old: str, new: str, start: int) -> Iterator[tuple[int, int, int, int]]:
    """By words where these are few, else by lines, else nothing."""
    if not old or not new:
        return
    for unit in (_WORDS, _LINES):
        olds, news = unit.findall(old), unit.findall(new)
        if max(len(olds), len(news)) <= _MOST_WORDS:
            break
    else:
        return
    old_at, new_at = _starts(olds, start), _starts(news, start)
    for a, b, size in SequenceMatcher(None, olds, news, autojunk=False).get_matching_blocks():
        if "".join(olds[a:a + size]).strip():  # a space or two in common are chance
            yield old_at[a], old_at[a + size], new_at[b], new_at[b + size]


def _starts(units: list[str], start: int) -> list[int]:
    places = [start]
    for unit in units:
        places.append(places[-1] + len(unit))
    return places
