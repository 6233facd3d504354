"""Small models fall into loops. A completion ends where it begins to say the same again: a line of code or a sentence
like the one before, two or three of them in turn, or some words for the third time on end."""
import re
from collections.abc import Sequence
from typing import NamedTuple

from gpt2_assist.completion.filters.draft import Draft, Place
from gpt2_assist.completion.filters.line import lines_of, word_characters

MOST_UNITS, MOST_WORDS = 3, 12
"""Lines or sentences, and words, that may come again together."""
LEAST_IN_UNITS, LEAST_IN_WORDS = 2, 3
"""Letters, digits and underscores of what counts; what has fewer comes again and again in good texts too."""
_SENTENCES_BACK, _WORDS_BACK = 300, 100
"""Characters before the cursor that may have begun a loop."""
_WORD = re.compile(r"\w+|([^\w\s])\1*")
_SENTENCE = re.compile(r"\S.*?(?:[.!?…]+[\"'”’)\]]*(?=\s)|\Z)", re.DOTALL)


class _Again(NamedTuple):
    start: int
    """Where the completion is cut that shall not have it."""
    certain: bool
    """Whether all of it has come again, so that it can't become something else."""


class _Unit(NamedTuple):
    start: int
    """Where a completion is cut that shall not have it; below 0 for what begins before the cursor."""
    content: str
    complete: bool

    def same(self, other: "_Unit") -> bool:
        """Whether it is another one, or may still become so."""
        if self.complete:
            return self.content == other.content
        return other.content.startswith(self.content) or self.content.rstrip() == other.content


def apply(place: Place, draft: Draft) -> Draft:
    units = _sentences(place, draft) if place.prose else _lines(place, draft)
    found = [*_units_again(units), *_words_again(place, draft)]
    if draft.ended:  # some of several lines are no loop by themselves
        found = [again for again in found if again.certain]
    if not found:
        return draft
    start = min(again.start for again in found)
    return draft.cut(start) if _Again(start, True) in found else draft.held(start)


def _lines(place: Place, draft: Draft) -> list[_Unit]:
    return [_Unit(line.cut if line.start > 0 else line.start, line.content, line.complete)
            for line in lines_of(place, draft) if not line.blank]


def _sentences(place: Place, draft: Draft) -> list[_Unit]:
    back = place.before[-_SENTENCES_BACK:]
    text = back + draft.text
    return [_Unit(found.start() - len(back), found[0].strip(), found.end() < len(text) or draft.ended)
            for found in _SENTENCE.finditer(text)]


def _units_again(units: Sequence[_Unit]) -> list[_Again]:
    """Where lines or sentences, one to MOST_UNITS of them, are those before them for the first time."""
    found = []
    for period in range(1, MOST_UNITS + 1):
        run = 0
        for place in range(period, len(units)):
            unit, earlier = units[place], units[place - period]
            run = run + 1 if unit.same(earlier) else 0
            if not run or run < period and place < len(units) - 1:
                continue
            first = place - run + 1
            block = "".join(unit.content for unit in units[first - period:first])
            if units[first].start >= 0 and word_characters(block) >= LEAST_IN_UNITS:
                found.append(_Again(units[first].start, run == period and unit.complete))
                break
            run = min(run, period - 1)
    return found


def _words_again(place: Place, draft: Draft) -> list[_Again]:
    """Where words, one to MOST_WORDS of them, come for the third time on end."""
    back = place.before[-_WORDS_BACK:]
    text = back + draft.text
    words = list(_WORD.finditer(text))
    keys = [word[0] for word in words]
    found = []
    for period in range(1, MOST_WORDS + 1):
        run = 0
        for at in range(period, len(keys)):
            open_end = at == len(keys) - 1 and words[at].end() == len(text) and not draft.ended
            same = keys[at - period].startswith(keys[at]) if open_end else keys[at - period] == keys[at]
            run = run + 1 if same else 0
            if run > period and (run == 2 * period or at == len(keys) - 1):
                first = at - run + 1 + period
                start = words[first].start() - len(back)
                if words[at].end() > len(back) and word_characters("".join(keys[first - period:first])) >= \
                        LEAST_IN_WORDS:
                    found.append(_Again(max(0, start), draft.ended or run == 2 * period and not open_end))
                    break
            if run == 2 * period:
                run = 2 * period - 1
    return found
