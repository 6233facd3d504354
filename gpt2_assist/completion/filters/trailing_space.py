"""No white space at the end, unless a word follows from which it parts the completion."""
from gpt2_assist.completion.filters.draft import Draft, Place

_CLOSE = ")]}>,;:.!?"
"""What stands close to what is before it."""


def apply(place: Place, draft: Draft) -> Draft:
    length = len(draft.text.rstrip())
    following = place.line_after[:1]
    if draft.ended and following and not following.isspace() and following not in _CLOSE:
        return draft
    return draft if length == len(draft.text) else draft.held(length)
