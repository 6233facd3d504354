"""A session's tree in a list: each passage under that which it follows."""
import difflib
import re
from dataclasses import dataclass

from gpt2_assist.repl.face import Part
from gpt2_assist.text.common import common_start
from gpt2_assist.writing.passage import Passage
from gpt2_assist.writing.session import Session

_DEEPEST = 20
"""Columns of indentation at most, by two."""
_LONGEST_DIFFERENCE = 20_000
"""Characters of two texts that are compared word by word."""
_WORD = re.compile(r"\s*\S+|\s+")


@dataclass(frozen=True)
class Row:
    passage: Passage
    depth: int
    """How many branchings lie above it: a line goes on in one column as long as nothing branches."""
    here: bool
    """Whether it is part of the text now."""

    def parts(self) -> list[Part]:
        sign = "•" if self.here else " "
        marked = f"[{self.passage.bookmark}] " if self.passage.bookmark else ""
        indent = "  " * min(self.depth, _DEEPEST)
        words = " ".join(self.passage.text[:400].split())
        return [("strong" if self.here else "note", f"{sign}{self.passage.number:4} {indent}{marked}"),
                (self.passage.author, words)]


def tree_rows(session: Session) -> list[Row]:
    """All passages that aren't hidden."""
    here = {passage.number for passage in session.path}
    rows: list[Row] = []
    waiting = [(passage, 0) for passage in reversed(session.children(0))]
    while waiting:
        passage, depth = waiting.pop()
        rows.append(Row(passage, depth, passage.number in here))
        children = session.children(passage.number)
        waiting += [(child, depth + (len(children) > 1)) for child in reversed(children)]
    return rows


def difference(session: Session, number: int) -> list[Part]:
    """How the text through a passage differs from the text now, from where they part."""
    now, other = session.text, session.text_at(number)
    same = common_start(now, other)
    same = max(now.rfind("\n", 0, same) + 1, same - 400)
    left, right = now[same:same + _LONGEST_DIFFERENCE], other[same:same + _LONGEST_DIFFERENCE]
    before, after = _WORD.findall(left), _WORD.findall(right)
    parts: list[Part] = []
    for kind, i, j, k, m in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            parts.append(("", "".join(before[i:j])))
            continue
        parts += [("removed", "".join(before[i:j])), ("added", "".join(after[k:m]))]
    return [(style, text) for style, text in parts if text]
