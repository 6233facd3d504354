"""The passages of a session in memory, with their children and the path from the beginning to any of them."""
from collections.abc import Iterable

from gpt2_assist.writing.passage import Passage


class PassageTree:
    """Numbers are given in order and never twice while the tree lives."""

    def __init__(self, passages: Iterable[Passage] = (), chosen: int = 0) -> None:
        """`chosen` is the child of the beginning, which itself is no passage of anybody's."""
        self.root = Passage(0, 0, "user", "", created=0.0, chosen=chosen)
        self._passages = {0: self.root}
        self._children: dict[int, list[int]] = {}
        for passage in passages:
            self._put(passage)
        self._next = max(self._passages) + 1

    def __len__(self) -> int:
        return len(self._passages) - 1

    def __contains__(self, number: int) -> bool:
        return number in self._passages

    def __getitem__(self, number: int) -> Passage:
        return self._passages[number]

    def all(self) -> list[Passage]:
        """Every passage but the beginning, in order of making."""
        return [self._passages[number] for number in sorted(self._passages) if number]

    def add(self, parent: int, author: str, text: str, how: str = "{}", **more) -> Passage:
        """A new passage after `parent`; `more` are other fields of it."""
        passage = Passage(self._next, parent, author, text, how, **more)
        self._next += 1
        self._put(passage)
        return passage

    def drop(self, number: int) -> None:
        """Takes out a passage that has no children."""
        passage = self._passages.pop(number)
        self._children[passage.parent].remove(number)

    def children(self, number: int) -> list[Passage]:
        """In order of making, hidden ones too."""
        return [self._passages[child] for child in self._children.get(number, ())]

    def path(self, number: int) -> list[Passage]:
        """From the first passage down to this one; empty for the beginning."""
        passages = []
        while number:
            passages.append(self._passages[number])
            number = passages[-1].parent
        return passages[::-1]

    def onward(self, number: int) -> int:
        """The child by which the text went on last, or the youngest that isn't hidden; 0 where there is none."""
        chosen = self._passages[number].chosen
        if chosen in self._passages and chosen and not self._passages[chosen].hidden:
            return chosen
        return max((child.number for child in self.children(number) if child.text and not child.hidden),
                   default=0)

    def leaf(self, number: int) -> int:
        """Where the text ends that went on from here last."""
        while child := self.onward(number):
            number = child
        return number

    def _put(self, passage: Passage) -> None:
        self._passages[passage.number] = passage
        self._children.setdefault(passage.parent, []).append(passage.number)
