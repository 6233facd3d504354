"""Nothing is shown that can't be seen: broken characters, controls, and signs that turn or hide the text around them.

What joins two signs (in Persian words, in pictures of several persons) may stand between them, and in prose what parts
words where no space does.
"""
import re
from unicodedata import category

from gpt2_assist.completion.filters.draft import Draft, Place

_SUSPECT = re.compile("[^\n\t -~\u00a1-\u00ac\u00ae-\u02ff\u3400-\u9fff\uac00-\ud7a3]")
"""Of these characters the category is looked at."""
_UNSEEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
_JOINERS = "\u200c\u200d"
_IN_PROSE = "\u00ad\u200b\u200e\u200f\u061c"
_FILLERS = "\ufffd\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"
"""Unseen whatever their category."""


def apply(place: Place, draft: Draft) -> Draft:
    end = next((found.start() for found in _SUSPECT.finditer(draft.text) if _unseen(place, found[0])), None)
    text = draft.text[:end]
    whole = len(text.rstrip(_JOINERS + _IN_PROSE))
    if end is not None:
        return draft.cut(whole)
    return draft if whole == len(text) else draft.held(whole)


def _unseen(place: Place, character: str) -> bool:
    if character in _JOINERS or place.prose and character in _IN_PROSE:
        return False
    return character in _FILLERS or category(character) in _UNSEEN
