"""Doubts of the model: what is shown is right, as a whole, with at least the wanted probability.

The probability that a text is right up to somewhere is the product of its tokens' so far; GPT-2's are honest enough
for that (docs/completions.md has the measurement). The text ends at the last word up to which it is still high enough,
and if that isn't so even of the first word, nothing is shown.
"""
import re
from math import log

from gpt2_assist.completion.filters.draft import Draft, Place

REASON = "nothing confident"
_WORD = re.compile(r"\w")


def apply(place: Place, draft: Draft) -> Draft:
    if place.invoked or place.confidence <= 0 or not draft.tokens or not draft.text:
        return draft
    least, total, start, sure = log(place.confidence), 0.0, 0, 0
    for end, chance in draft.tokens:
        if start >= len(draft.text):
            break
        total += chance
        if total < least:
            return draft.cut(sure) if sure else draft.rejected(REASON)
        start = min(end, len(draft.text))
        if start < len(draft.text) and _begins_word(draft.text, start):
            sure = start
    return draft if draft.ended else draft.held(sure)


def _begins_word(text: str, at: int) -> bool:
    return not (_WORD.match(text[at - 1]) and _WORD.match(text[at])) if at else False
