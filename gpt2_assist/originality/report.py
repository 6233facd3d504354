"""How much of a text was copied from the training data, as numbers and in plain words."""
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gpt2_assist.originality.index import CopyIndex
from gpt2_assist.originality.likeness import SHORT_TOKENS, ShortTexts, short_documents
from gpt2_assist.originality.matcher import matches
from gpt2_assist.terminal import visible

SPAN_TOKENS = 8
"""Shorter spans are common words that everybody uses."""
_QUOTED = 160
"""Characters of a quotation at most."""
_SPANS_TOLD = 10

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
    near: Near | None
    """For a text of at most 64 tokens, where the training data has such documents."""

    def lines(self) -> list[str]:
        """The findings as sentences for people, safe to show."""
        if not self.tokens:
            return ["The text is empty."]
        if self.tokens >= self.n:
            share = _percent(self.copied_share)
            said = [f"{share} of the text's runs of {_tokens(self.n)} stand in the training data."]
        else:
            whether = "stands" if self.copied_share else "does not stand"
            said = [f"The text, {_tokens(self.tokens)}, {whether} in the training data as a whole."]
        if self.longest:
            said.append(f"The longest copied piece has {_tokens(self.longest)} ({self.longest_source}, line "
                        f"{self.longest_line}): {_quoted(self.longest_text)}")
        else:
            said.append("Nothing of it stands in the training data.")
        if len(self.spans) > 1:
            said += [f"Copied: tokens {start + 1} to {end} ({path}, line {line})."
                     for start, end, path, line in self.spans[:_SPANS_TOLD]]
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
    best = int(lengths.argmax()) if len(ids) else 0
    longest = int(lengths[best]) if len(ids) else 0
    source, line = index.place(int(places[best])) if longest else (None, None)
    return Originality(n, len(ids), float(grams.mean()) if len(grams) else 0.0, longest,
                       decode(ids[best + 1 - longest:best + 1].tolist()) if longest else "", source, line, spans,
                       _near(index, ids, decode, shorts))


def _near(index: CopyIndex, ids: np.ndarray, decode: Callable[[list[int]], str], shorts: Shorts | None) -> Near | None:
    if not 0 < len(ids) <= SHORT_TOKENS:
        return None
    texts, numbers = shorts or short_documents(index, decode)
    found = texts.nearest(decode(ids.tolist()))
    if found is None:
        return None
    path, line = index.place(int(index.documents[numbers[found[0]], 0]))
    return Near(texts.texts[found[0]], path, line, found[1])


def _tokens(count: int) -> str:
    return f"{count} token" + "s" * (count != 1)


def _percent(share: float) -> str:
    """Rounded, but never to all or nothing where it is neither."""
    if 0 < share < 0.01:
        return "Less than 1 %"
    return f"{min(round(100 * share), 99) if share < 1 else 100} %"


def _quoted(text: str) -> str:
    flat = " ".join(text.split())
    return f"“{flat if len(flat) <= _QUOTED else flat[:_QUOTED].rstrip() + '…'}”"
