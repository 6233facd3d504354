"""Doubts of the model: nothing is shown that begins with a guess, and a text that begins well ends where guessing
begins.

How it begins is judged before anything is let through: by the first word, of at most three tokens, or at once where
the first token is likely enough. Later a stretch of unlikely tokens is held back until it has either become likely on
the whole or is so long that the text is cut before it.
"""
import re
from collections.abc import Sequence
from math import log

from gpt2_lsp.filters.draft import Draft, Place

REASON = "nothing confident"
FIRST = 3
"""Tokens by which a beginning is judged at most."""
FAR_BELOW = log(4)
"""So much below the least probability (as a logarithm) are tokens that end a text which began well."""
STRETCH = 4
"""Tokens of which they are the mean."""
_WORD = re.compile(r"\w")


def apply(place: Place, draft: Draft) -> Draft:
    if place.invoked or place.confidence <= 0 or not draft.tokens or not draft.text:
        return draft
    least = log(place.confidence)
    starts = [0, *(min(end, len(draft.text)) for end, _ in draft.tokens)]
    count = sum(start < len(draft.text) for start in starts[:-1])  # tokens that are in the text, at least in part
    chances = [chance for _, chance in draft.tokens[:count]]
    judged = _judged(draft, starts, chances, least)
    if judged is None:
        return draft.held(0)
    if judged == 0:
        return draft.rejected(REASON)
    return _until_guessing(draft, starts, chances, judged, least - FAR_BELOW)


def _judged(draft: Draft, starts: Sequence[int], chances: Sequence[float], least: float) -> int | None:
    """How many tokens have been judged and found likely: 0 where they weren't, None where more are awaited."""
    if chances[0] >= least / 2:
        return 1
    count = FIRST
    for number in range(1, min(FIRST, len(chances))):
        if _begins_word(draft.text, starts[number]):
            count = number
            break
    if len(chances) < count and not draft.ended:
        return None
    judged = chances[:count]
    return len(judged) if sum(judged) / len(judged) >= least else 0


def _until_guessing(draft: Draft, starts: Sequence[int], chances: Sequence[float], first: int, floor: float) -> Draft:
    at = first
    while at < len(chances):
        if chances[at] >= floor:
            at += 1
            continue
        total, end = 0.0, at
        while end < min(at + STRETCH, len(chances)):
            total += chances[end]
            end += 1
            if total / (end - at) >= floor:
                break
        else:
            cut = _word_boundary(draft.text, starts[at])
            certain = end == at + STRETCH and cut < len(draft.text)
            return draft.cut(cut) if certain or draft.ended else draft.held(cut)
        at = end
    return draft


def _word_boundary(text: str, at: int) -> int:
    """`at`, or the end of the word that is under way there: once begun it is finished."""
    while at < len(text) and not _begins_word(text, at):
        at += 1
    return at


def _begins_word(text: str, at: int) -> bool:
    return not (at and _WORD.match(text[at - 1]) and _WORD.match(text[at]))
