"""Blank lines: at most one in a row in code; in prose the paragraph ends there."""
import re

from gpt2_assist.completion.filters.draft import Draft, Place

_ONE = re.compile(r"(?:^|\n)[ \t]*\n")
_TWO = re.compile(r"(?:^|\n)[ \t]*\n[ \t]*\n")


def apply(place: Place, draft: Draft) -> Draft:
    found = (_ONE if place.prose else _TWO).search(place.line_before + draft.text)
    return draft.cut(found.end() - 1 - len(place.line_before)) if found else draft
