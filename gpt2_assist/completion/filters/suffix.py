"""Stops where a completion comes to what stands after the cursor anyway: the rest of the line or, where that is blank,
the next line that isn't.

Brackets and quotes right after the cursor are left to `brackets`, which knows which of them belong together.
"""
import re

from gpt2_assist.completion.filters.draft import Draft, Place
from gpt2_assist.completion.filters.line import following, lines_of

ENOUGH = 8
"""Characters (not spaces) that are no chance: so many of the rest of the line are the rest of the line."""
_CLOSERS = ")]}\"'`"
_WORD = re.compile(r"\w")


def apply(place: Place, draft: Draft) -> Draft:
    rest = place.line_after.strip()
    if rest:
        return draft if rest[0] in _CLOSERS else _before_rest(place, draft, rest)
    below = following(place)
    return _before_line(place, draft, below[0]) if below else draft


def _before_rest(place: Place, draft: Draft, rest: str) -> Draft:
    """A long rest is known by its beginning; a short one only by standing there whole, at the end of the line."""
    text = draft.text
    known = _beginning(rest)
    for at in range(len(text)):
        if text[at] != rest[0] or not _stands_alone(place, text, at):
            continue
        end = at + len(known)
        if known and text.startswith(known, at) and (draft.ended or text[end:]) and not _WORD.match(text[end:]):
            return draft.cut(at)
        if draft.ended:
            if text[at:].rstrip() == rest:
                return draft.cut(at)
        elif rest.startswith(text[at:]) or text[at:].rstrip() == rest:
            return draft.held(at)
    return draft


def _beginning(rest: str) -> str:
    """The first words of a text that are enough; empty where the whole is too short."""
    size = 0
    for at, character in enumerate(rest):
        size += not character.isspace()
        if size >= ENOUGH and not (_WORD.match(character) and _WORD.match(rest[at + 1:at + 2])):
            return rest[:at + 1]
    return ""


def _stands_alone(place: Place, text: str, at: int) -> bool:
    """Whether no word and no bracket of the completion is under way at a place."""
    before = text[at - 1] if at else place.line_before[-1:]
    if _WORD.match(text[at]) and _WORD.match(before):
        return False
    return _opened(text[:at]) <= 0


def _before_line(place: Place, draft: Draft, target: str) -> Draft:
    closes = target.lstrip()[0] in _CLOSERS
    lines = lines_of(place, draft)
    for number, line in enumerate(lines):
        if number == 0 and line.content == place.line_before.rstrip() or line.blank:
            continue
        if closes and _opened(draft.text[:max(0, line.start)]) > 0:
            continue
        if line.may_become(target):
            return draft.held(line.cut)
        last = draft.ended and line is lines[-1] and draft.text.endswith(line.content[-1:])
        broken_off = last and _is_most(line.content, target)
        if broken_off or line.complete and line.content == target:
            return draft.cut(line.cut)
    return draft


def _is_most(content: str, target: str) -> bool:
    """Whether a line that was broken off was going to be another one."""
    return target.startswith(content) and len(content.split()) > 1 and len("".join(content.split())) >= ENOUGH


def _opened(text: str) -> int:
    """How many brackets more are opened than closed."""
    return sum((character in "([{") - (character in ")]}") for character in text)
