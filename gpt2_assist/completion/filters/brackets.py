"""No doubled brackets and quotes.

Editors close what one opens, so a completion of `foo(|)` that comes as `x)` would make `foo(x))`. It is cut where it
would close a bracket or a string that is closed after the cursor, on its line or at the beginning of a line below that
is indented as the line on which the bracket was opened.
"""
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from gpt2_assist.completion.filters.draft import Draft, Place
from gpt2_assist.completion.filters.line import following, indentation
from gpt2_assist.completion.filters.marks import OPENER, Mark, goes_over_lines, marks


@dataclass
class _Bracket:
    sign: str
    indent: str = ""
    """Of the line on which it was opened."""
    closed: bool = False
    """Whether it is closed after the cursor."""


@dataclass(frozen=True)
class _Inside:
    """What the cursor is inside of."""

    brackets: tuple[tuple[str, bool], ...]
    """From the outermost: the sign and whether it is closed after the cursor. In a string or a comment, those in it."""
    quote: str
    quote_closed: bool
    comment: bool


def apply(place: Place, draft: Draft) -> Draft:
    inside = _inside(place)
    outer, inner = list(inside.brackets), []
    here, quote = len(place.line_before), ""
    in_place = bool(inside.quote or inside.comment)
    for mark in marks(place, place.line_before + draft.text, here, inside.quote, inside.comment, draft.ended):
        at = mark.at - here
        if mark.kind == "wait":
            return draft.held(at)
        if in_place and mark.kind == "unquote":
            if inside.quote_closed:
                return draft.cut(at)
            in_place, outer, inner = False, [], []
        elif in_place and mark.kind == "line" and not goes_over_lines(inside.quote):
            in_place, outer, inner = False, [], []
        elif mark.kind == "quote":
            quote = mark.sign
        elif mark.kind == "unquote":
            quote = ""
        elif mark.kind == "comment":
            quote = "comment"
        elif mark.kind == "line":
            quote = quote if goes_over_lines(quote) else ""
        elif quote:
            continue
        elif mark.kind == "open":
            inner.append(mark.sign)
        elif mark.kind == "close":
            if inner:
                _close(inner, mark.sign)
            elif outer and outer[-1][0] == OPENER[mark.sign]:
                _, closed = outer.pop()
                if closed:
                    return draft.cut(at)
    return draft


def _close(openers: list[str], sign: str) -> None:
    """Takes off what the sign closes; one that fits nothing is passed over."""
    if openers[-1] == OPENER[sign]:
        openers.pop()


@lru_cache(maxsize=8)
def _inside(place: Place) -> _Inside:
    line = place.line_before
    quote, in_comment, begins = _context(place, marks(place, line))
    brackets: list[_Bracket] = []
    if quote or in_comment:
        _open(brackets, marks(place, line, begins, quote, in_comment), "", in_string=True)
        own = len(brackets)
    else:
        above = place.before[:len(place.before) - len(line)].split("\n")
        for text in above[:-1]:
            _open(brackets, marks(place, text), indentation(text))
        outside = len(brackets)
        _open(brackets, marks(place, line), indentation(line))
        own = max(0, len(brackets) - outside)
    rest = place.line_after
    quote_closed = False
    if quote:
        quote_closed, rest = _closing_quote(place, quote)
    closers = _closers(place, rest)
    if closers:
        _match(brackets, own, closers)
    elif not quote and not in_comment:
        _match_below(place, brackets)
    return _Inside(tuple((bracket.sign, bracket.closed) for bracket in brackets), quote, quote_closed, in_comment)


def _context(place: Place, found: Iterable[Mark]) -> tuple[str, bool, int]:
    """(the quote that is open at the end of the cursor's line so far, whether a comment is, where that begins)."""
    quote, in_comment, begins = "", False, 0
    for mark in found:
        if mark.kind == "comment":
            in_comment, begins = True, mark.at + len(mark.sign)
        elif mark.kind == "quote":
            quote, begins = mark.sign, mark.at + len(mark.sign)
        elif mark.kind == "unquote":
            quote, begins = "", mark.at + len(mark.sign)
    return quote, in_comment, begins


def _open(brackets: list[_Bracket], found: Iterable[Mark], indent: str, in_string: bool = False) -> None:
    """Puts the brackets that a line opens on the stack, and takes off those that it closes."""
    quote = False
    for mark in found:
        if mark.kind == "comment":
            return
        if mark.kind in ("quote", "unquote"):
            quote = mark.kind == "quote"
        elif quote and not in_string:
            continue
        elif mark.kind == "open":
            brackets.append(_Bracket(mark.sign, indent))
        elif mark.kind == "close" and brackets and brackets[-1].sign == OPENER[mark.sign]:
            brackets.pop()


def _closing_quote(place: Place, quote: str) -> tuple[bool, str]:
    """(whether a string that is open at the cursor is closed after it, what stands before that on the line)."""
    rest = place.line_after.replace("\\" + quote, "")
    if quote in rest:
        return rest.count(quote) % 2 == 1, place.line_after.partition(quote)[0]
    below = next((line for line in following(place) if quote in line), "") if len(quote) == 3 else ""
    # where text follows on that line, the quote rather begins another string
    return bool(below) and not below.partition(quote)[2].strip(), ""


def _closers(place: Place, rest: str) -> list[str]:
    """The brackets that the rest of a line closes but doesn't open."""
    opened, closers, quote = [], [], False
    for mark in marks(place, rest):
        if mark.kind == "comment":
            break
        if mark.kind in ("quote", "unquote"):
            quote = mark.kind == "quote"
        elif mark.kind == "open" and not quote:
            opened.append(mark.sign)
        elif mark.kind == "close" and not quote:
            if opened:
                _close(opened, mark.sign)
            else:
                closers.append(mark.sign)
    return closers


def _match(brackets: list[_Bracket], own: int, closers: list[str]) -> None:
    """Finds which brackets the rest of the line closes. Of more open ones on the line the outer ones are closed: those
    inside were opened last and are still to be closed; unless their kinds say otherwise."""
    first = len(brackets) - own
    most = min(own, len(closers))
    outermost = brackets[first:first + most][::-1]
    innermost = brackets[::-1]
    fits = most and all(OPENER[sign] == bracket.sign for sign, bracket in zip(closers, outermost))
    for sign, bracket in zip(closers, outermost if fits and own > most else innermost):
        if OPENER[sign] != bracket.sign:
            break
        bracket.closed = True


def _match_below(place: Place, brackets: list[_Bracket]) -> None:
    """Finds the bracket that the next line closes, if it begins with a closing one."""
    line = next(iter(following(place)), "").expandtabs(8)
    sign = line.lstrip()[:1]
    if sign not in OPENER:
        return
    for bracket in reversed(brackets):
        if bracket.sign == OPENER[sign] and bracket.indent.expandtabs(8) == indentation(line):
            bracket.closed = True
            return
