"""The filters one after another.

The order: first what ends a completion by its characters and its shape alone, which is cheap and tells later filters
that nothing more comes; then what compares it with the document around it; then what judges the text by itself; then
the model's own doubts; and last, since all others may shorten the text, what is left at its end and whether that is
worth showing.

Each filter obeys the same law, so the chain does: of longer and longer beginnings of a text it lets longer and longer
beginnings through; what it has ended stays as it is, whatever comes; and at the end comes what it let through before,
or more. Only a rejection takes back, and filters that reject let nothing through until they know.
"""
from gpt2_assist.completion.filters import (
    blank_lines,
    brackets,
    characters,
    confidence,
    indentation,
    lines,
    minimum,
    repetition,
    sentence,
    single_line,
    suffix,
    trailing_space,
)
from gpt2_assist.completion.filters.draft import Draft, Place

ORDER = (characters.apply, single_line.apply, blank_lines.apply, suffix.apply, brackets.apply, lines.apply,
         indentation.apply, sentence.apply, repetition.apply, confidence.apply, trailing_space.apply, minimum.apply)


def filtered(place: Place, draft: Draft) -> Draft:
    """What may be shown of a completion so far, and whether that is all."""
    for apply in ORDER:
        draft = apply(place, draft)
        if draft.reason:
            break
    return draft
