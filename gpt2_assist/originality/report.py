"""How much of a text was copied from the training data, as numbers and in plain words."""
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gpt2_assist.console.terminal import visible
from gpt2_assist.originality.index import CopyIndex
from gpt2_assist.originality.likeness import SHORT_TOKENS, ShortTexts, short_documents
from gpt2_assist.originality.matcher import matches

SPAN_TOKENS = 8
"""Shorter spans are common words that everybody uses."""
_QUOTED = 160
"""Characters of a quotation at most."""
_SPANS_TOLD = 10
_NO_SPACES = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Signs of scripts that put no spaces between words; each counts as one."""
_WORD = re.compile(rf"[{_NO_SPACES}]|[^\s{_NO_SPACES}]+")

Shorts = tuple[ShortTexts, np.ndarray]
"""What likeness.short_documents returns."""


@dataclass(frozen=True)
class Near:
    """The short text of the training data that is most like the text."""

    text: str
    path: str
    line: int
    likeness: float
    """1.0 for an exact copy, 0.0 where no run of four characters is shared."""


@dataclass(frozen=True)
class CopiedPiece:
    """A copied span as people see it."""

    text: str
    words: int
    line: int
    """Of the text that was measured, from 1, in which it begins."""


@dataclass(frozen=True)
class Originality:
    """What `measure` found."""

    n: int
    """Copied spans of fewer tokens don't count, unless the text itself is shorter."""
    tokens: int
    copied_share: float
    """The share, 0 to 1, of the text's runs of n tokens that stand in the training data; of a text with fewer tokens,
    1 where the whole text does and 0 where not."""
    longest: int
    """Tokens of the longest span of the text that stands in the training data."""
    longest_text: str
    longest_source: str | None
    """The file in which it stands; None where `longest` is 0."""
    longest_line: int | None
    spans: list[tuple[int, int, str, int]]
    """(start, end, path, line) of the copied spans of at least n tokens that can't be longer; they may overlap."""
    pieces: list[CopiedPiece]
    """What the first of the spans say."""
    words: int
    copied_words: int
    """Those within the spans, in whole or in part."""
    near: Near | None
    """For a text of at most 64 tokens, where the training data has such documents."""

    def lines(self) -> list[str]:
        """The findings as sentences for people, safe to show."""
        if not self.tokens:
            return ["The text is empty."]
        if self.tokens < self.n:
            whether = "stands" if self.copied_share else "does not stand"
            said = [f"The text, {_words(self.words)}, {whether} in the training texts as a whole."]
        elif self.copied_words:
            share = _percent(self.copied_words / self.words)
            said = [f"{self.copied_words:,} of the text's {_words(self.words)} ({share}) "
                    f"{'stands' if self.copied_words == 1 else 'stand'} so in the training texts."]
        else:
            said = ["Nothing of it is copied from the training texts, but for a few words in a row such as everybody "
                    "uses." if self.longest else "Nothing of it stands in the training texts."]
        if self.longest:
            size = _words(count_words(self.longest_text))
            said.append(f"The longest copied piece has {size} ({self.longest_source}, line {self.longest_line}): "
                        f"{_quoted(self.longest_text)}")
        if len(self.spans) > 1:
            said += [f"In line {piece.line}: {_words(piece.words)} as in {path}, line {line}: {_quoted(piece.text)}"
                     for piece, (_, _, path, line) in zip(self.pieces, self.spans)]
        if len(self.spans) > _SPANS_TOLD:
            said.append(f"There are {len(self.spans) - _SPANS_TOLD} more copied pieces.")
        if self.near and self.near.likeness == 1.0:
            said.append(f"It is a copy of a whole text ({self.near.path}, line {self.near.line}).")
        elif self.near and self.near.likeness:
            said.append(f"The most similar short text shares {_percent(self.near.likeness)} of its characters' runs "
                        f"({self.near.path}, line {self.near.line}): {_quoted(self.near.text)}")
        return [visible(line) for line in said]


def measure(index: CopyIndex, token_ids: Sequence[int] | np.ndarray, decode: Callable[[list[int]], str],
            n: int = SPAN_TOKENS, shorts: Shorts | None = None) -> Originality:
    """How original the text of `token_ids` is; `decode` makes text of ids.

    Who measures many texts gives `shorts`, which are `short_documents(index, decode)` once.
    """
    ids = np.array(token_ids, np.int64)
    lengths, places = matches(index, ids)
    least = min(n, len(ids))
    grams = lengths[least - 1:] >= least if len(ids) else np.zeros(0, bool)
    goes_on = np.append(lengths[1:] == lengths[:-1] + 1, False)[:len(ids)]
    spans = [(int(last + 1 - lengths[last]), int(last + 1), *index.place(int(places[last])))
             for last in np.flatnonzero((lengths >= least) & ~goes_on)]
    copied = np.zeros(len(ids), bool)
    for start, end, _, _ in spans:
        copied[start:end] = True
    words = count_words(decode(ids.tolist()))
    best = int(lengths.argmax()) if len(ids) else 0
    longest = int(lengths[best]) if len(ids) else 0
    source, line = index.place(int(places[best])) if longest else (None, None)
    return Originality(n, len(ids), float(grams.mean()) if len(grams) else 0.0, longest,
                       decode(ids[best + 1 - longest:best + 1].tolist()) if longest else "", source, line, spans,
                       [_piece(ids, start, end, decode) for start, end, _, _ in spans[:_SPANS_TOLD]],
                       words, min(words, _words_within(ids, copied, decode)), _near(index, ids, decode, shorts))


def _near(index: CopyIndex, ids: np.ndarray, decode: Callable[[list[int]], str], shorts: Shorts | None) -> Near | None:
    if not 0 < len(ids) <= SHORT_TOKENS:
        return None
    texts, numbers = shorts or short_documents(index, decode)
    found = texts.nearest(decode(ids.tolist()))
    if found is None:
        return None
    path, line = index.place(int(index.documents[numbers[found[0]], 0]))
    return Near(texts.texts[found[0]], path, line, found[1])


def count_words(text: str) -> int:
    return len(_WORD.findall(text))


def _piece(ids: np.ndarray, start: int, end: int, decode: Callable[[list[int]], str]) -> CopiedPiece:
    text = decode(ids[start:end].tolist())
    begin = len(text) - len(text.lstrip())
    return CopiedPiece(text.strip(), count_words(text), 1 + (decode(ids[:start].tolist()) + text[:begin]).count("\n"))


def _words_within(ids: np.ndarray, marked: np.ndarray, decode: Callable[[list[int]], str]) -> int:
    """Words of the text that have at least a token that is marked."""
    ends = np.flatnonzero(np.diff(marked, prepend=False, append=False))
    return sum(count_words(decode(ids[start:end].tolist())) for start, end in zip(ends[::2], ends[1::2]))


def _words(count: int) -> str:
    return f"{count:,} word" + "s" * (count != 1)


def _percent(share: float) -> str:
    """Rounded, but never to all or nothing where it is neither."""
    if 0 < share < 0.01:
        return "Less than 1 %"
    return f"{min(round(100 * share), 99) if share < 1 else 100} %"


def _quoted(text: str) -> str:
    flat = " ".join(text.split())
    return f"“{flat if len(flat) <= _QUOTED else flat[:_QUOTED].rstrip() + '…'}”"
