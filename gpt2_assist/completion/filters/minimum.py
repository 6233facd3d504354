"""Nothing is shown that wouldn't help: white space, or brackets and other signs alone. Who asks explicitly gets those
too."""
from gpt2_assist.completion.filters.draft import Draft, Place

REASON = "nothing confident: nothing useful came"
_PICTURES = "\u2fff"
"""Characters above this are words or pictures by themselves."""


def apply(place: Place, draft: Draft) -> Draft:
    if any(character.isalnum() or character > _PICTURES for character in draft.text):
        return draft
    if place.invoked and draft.text.strip():
        return draft
    return draft.rejected(REASON) if draft.ended else draft.held(0)
