"""Finds brackets, quotes and comments in a text, roughly as its language has them."""
import re
from collections.abc import Iterator
from dataclasses import dataclass

from gpt2_assist.completion.filters.draft import Place
from gpt2_assist.completion.languages import comment

OPENER = {")": "(", "]": "[", "}": "{"}
_SIGN = re.compile(r"[()\[\]{}\"'`\\\n#/%;-]")
_BACKTICKS = ("javascript", "typescript", "go", "vue", "svelte", "astro")
"""Beginnings of the ids of languages in which backticks are quotes, beside prose."""
_NO_COMMENTS = frozenset({"html", "xml", "svg", "handlebars", "css", "json", "vue", "svelte", "astro"})
"""In these a line's end can't be a comment, or `//` more often stands in an address."""
_TICKS = frozenset({
    "ada", "clojure", "commonlisp", "emacs-lisp", "fsharp", "haskell", "julia", "lisp", "matlab", "ocaml", "racket",
    "rust", "scala", "scheme", "systemverilog", "verilog", "vhdl"})
"""Languages in which an apostrophe is a quote around one character only."""
_PREFIX = re.compile(r"(?:^|\W)[bBfFuUrRL]{1,2}$")
_CHARACTER = re.compile(r"'(?:\\.|[^\\'\n])'")


@dataclass(frozen=True)
class Mark:
    at: int
    kind: str
    """open, close, quote, unquote, comment, line, or wait: what follows decides, and nothing follows yet."""
    sign: str
    """The bracket or the quote."""


def marks(place: Place, text: str, at: int = 0, quote: str = "", in_comment: bool = False,
          ended: bool = True) -> Iterator[Mark]:
    """The marks of `text` from `at` on, where `quote` is open or a comment is. Brackets come wherever they are, in
    strings and comments too."""
    words = place.prose or in_comment
    marker = "" if place.prose or place.language in _NO_COMMENTS else comment(place.language)
    while found := _SIGN.search(text, at):
        here, sign = found.start(), found[0]
        at = here + 1
        if sign == "\n":
            quote = quote if goes_over_lines(quote) else ""
            words = place.prose
            yield Mark(here, "line", sign)
        elif sign == "\\":
            at += text[at:at + 1] != "\n"
        elif sign in "([{":
            yield Mark(here, "open", sign)
        elif sign in OPENER:
            yield Mark(here, "close", sign)
        elif quote:
            if text.startswith(quote, here):
                at = here + len(quote)
                yield Mark(here, "unquote", quote)
                quote = ""
            elif quote.startswith(text[here:]) and not ended:
                yield Mark(here, "wait", sign)
                return
        elif sign in "\"'`":
            if sign == "'" and place.language in _TICKS and not words:
                literal = _CHARACTER.match(text, here)
                if literal:
                    at = literal.end()
                elif len(text) - here < 4 and "\n" not in text[here:] and not ended:
                    yield Mark(here, "wait", sign)
                    return
            elif _begins_string(place, text, here, sign, words):
                quote = sign * 3 if text.startswith(sign * 3, here) and sign != "`" and not words else sign
                at = here + len(quote)
                yield Mark(here, "quote", quote)
        elif marker and not words and text.startswith(marker, here):
            words = True
            at = here + len(marker)
            yield Mark(here, "comment", marker)


def goes_over_lines(quote: str) -> bool:
    """Whether a string with this quote may have several lines."""
    return quote == "`" or len(quote) == 3


def _begins_string(place: Place, text: str, at: int, sign: str, words: bool) -> bool:
    if sign == "'":
        before = text[max(0, at - 3):at]
        return not words and (not before or not before[-1].isalnum() or bool(_PREFIX.search(before)))
    return sign == '"' or words or place.language.startswith(_BACKTICKS)
