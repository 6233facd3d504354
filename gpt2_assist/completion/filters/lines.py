"""No doubled lines: neither the line above the cursor once more, nor two lines in a row that stand below anyway. (The
very next line below is `suffix`'s.)"""
from gpt2_assist.completion.filters.draft import Draft, Place
from gpt2_assist.completion.filters.line import Line, above, following, lines_of, word_characters

BELOW = 8
"""Lines below that are compared."""
LEAST_WORD_CHARACTERS = 2
"""A line with fewer may well stand there twice."""


def apply(place: Place, draft: Draft) -> Draft:
    lines = [line for line in lines_of(place, draft) if not line.blank]
    if not lines:
        return draft
    return _not_above(place, draft, lines) or _not_below(place, draft, lines) or draft


def _not_above(place: Place, draft: Draft, lines: list[Line]) -> Draft | None:
    """The first line that the completion makes, against the one before it."""
    before, line = above(place), lines[0]
    if line.start <= 0 and line.complete and line.content == place.line_before.rstrip():
        if len(lines) < 2:
            return None
        before, line = line.content, lines[1]
    if word_characters(before) < LEAST_WORD_CHARACTERS:
        return None
    if line.complete:
        return draft.cut(line.cut) if line.content == before else None
    return draft.held(line.cut) if line.may_become(before) else None


def _not_below(place: Place, draft: Draft, lines: list[Line]) -> Draft | None:
    """Two lines that the completion makes, against each two below."""
    below = following(place)[:BELOW]
    pairs = [pair for pair in zip(below, below[1:])
             if word_characters(pair[0] + pair[1]) > 2 * LEAST_WORD_CHARACTERS]
    new = [line for line in lines if line.start > 0]
    for line, after in zip(new, [*new[1:], None]):
        for first, second in pairs:
            if line.may_become(first):
                return draft.held(line.cut)
            if line.complete and line.content == first and after:
                if after.may_become(second):
                    return draft.held(line.cut)
                if after.complete and after.content == second:
                    return draft.cut(line.cut)
    return None
