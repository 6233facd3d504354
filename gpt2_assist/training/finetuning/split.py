"""What of a text is held out, to measure by."""
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gpt2_assist.corpus.documents import Document
from gpt2_assist.corpus.duplicates import normal

_MOST = 1 / 3
"""Of the documents that are small enough to be held out whole: most of each kind of text is learned from."""
_ENOUGH = 1 / 6
"""Of the share that is asked for; where whole documents give less, the largest one is cut."""
_FAR = 2000
"""Characters within which a paragraph, a line or a word should end for a cut."""
_NAMED = 3


@dataclass(frozen=True)
class Split:
    training: list[Document]
    validation: list[Document]
    cut: bool = False
    """Whether what is held out is the end of a document whose beginning is trained on."""

    def line(self) -> str:
        """What is held out, for people."""
        held, rest = (sum(len(document.text) for document in part) for part in (self.validation, self.training))
        share = f"{100 * held / max(1, held + rest):.0f} % of the text"
        if self.cut:
            return f"Held out to measure by: the end of {self.validation[0].source}, {share}."
        count = len(self.validation) + len(self.training)
        names = list(dict.fromkeys(document.source for document in self.validation))
        named = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
        return (f"Held out to measure by: {len(self.validation):,} of {count:,} documents, {share}"
                f"{f' ({named})' if len({document.source for document in self.training} | set(names)) > 1 else ''}.")


def split(documents: Sequence[Document], share: float) -> Split:
    """Holds out about a `share` of the text, in whole documents; where that can't be, the end of the largest one.

    The same text never stands on both sides: copies of one go together, and those of one that is cut are left out.
    Which documents are held out depends on their content, so what is added to a text leaves the choice much as it was.
    """
    alike: dict[bytes, list[Document]] = {}
    for document in documents:
        alike.setdefault(hashlib.sha256(normal(document.text).encode()).digest(), []).append(document)
    sizes = {digest: sum(len(document.text) for document in group) for digest, group in alike.items()}
    aim = share * sum(sizes.values())
    small = [digest for digest in sorted(alike) if sizes[digest] < 2 * aim]
    most = max(_MOST, share) * sum(sizes[digest] for digest in small)
    held, text = set(), 0
    for digest in small:
        if sizes[digest] < 2 * (aim - text) and text + sizes[digest] <= most:  # it brings the share nearer
            held.add(digest)
            text += sizes[digest]
    long = [document for document in documents if not document.short]
    if text < _ENOUGH * aim or not held:
        if long:
            giant = max(long, key=lambda document: len(document.text))
            copies = next(group for group in alike.values() if giant in group)
            return _cut([document for document in documents if document is giant or document not in copies], giant, aim)
        held = {min(alike, key=lambda digest: (sizes[digest], digest))} if len(alike) > 1 else set()
    out = {id(document) for digest in held for document in alike[digest]}
    return Split([document for document in documents if id(document) not in out],
                 [document for document in documents if id(document) in out])


def _cut(documents: Sequence[Document], giant: Document, aim: float) -> Split:
    size = len(giant.text.rstrip())
    at = _boundary(giant.text, size - int(min(aim, size / 2)), size)
    if not 0 < at < size:
        return Split(list(documents), [])
    return Split([replace(document, text=document.text[:at]) if document is giant else document
                  for document in documents],
                 [replace(giant, text=giant.text[at:], line=giant.line_at(at))], cut=True)


def _boundary(text: str, near: int, end: int) -> int:
    """The end of a paragraph, a line or a word, the first that is not far behind `near`."""
    for mark in ("\n\n", "\n", " "):
        at = text.find(mark, near, near + min(_FAR, (end - near) // 2))
        if at >= 0:
            return at + len(mark)
    return near
