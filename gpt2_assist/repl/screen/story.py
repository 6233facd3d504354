"""The story as it is shown: a session's passages, then the draft, then what is offered to follow it."""
from gpt2_assist.repl.screen.page_view import Styled
from gpt2_assist.writing.passage import Passage
from gpt2_assist.writing.session import Session

STYLES = {"user": "class:user", "model": "class:model", "edit": "class:edit"}


class Story:
    """Joins what belongs together, and knows what hasn't changed since it was last asked."""

    def __init__(self) -> None:
        self._passages: list[tuple[int, int]] = []
        """Number and length of each passage that is in `_written`."""
        self._written = Styled("", (), ())
        self._copied: dict[int, list[tuple[int, int]]] = {}
        """By passage, which of its characters are copied from the texts that the model learned from."""
        self._came: dict[int, int] = {}
        """By passage, of how many characters that is known."""

    def came(self, number: int, text: str, copied: bool) -> None:
        """The next words of a reply, and whether they are copied."""
        start = self._came.get(number, 0)
        self._came[number] = start + len(text)
        if copied:
            self._copied.setdefault(number, []).append((start, start + len(text)))
            self._passages = []  # its style is another one now

    def picture(self, session: Session, draft: list[tuple[str, str]], offer: str) -> tuple[Styled, int]:
        """All of it, and how many characters of it are as they were at the last call."""
        same = self._read(session)
        texts = [*draft, ("offer", offer)]
        starts, styles, length = list(self._written.starts), list(self._written.styles), len(self._written.text)
        for author, text in texts:
            if text:
                starts.append(length)
                styles.append(STYLES.get(author, "class:offer"))
                length += len(text)
        return Styled(self._written.text + "".join(text for _, text in texts), starts, styles), same

    def _read(self, session: Session) -> int:
        path = session.path
        now = [(passage.number, len(passage.text)) for passage in path]
        if now == self._passages:
            return len(self._written.text)
        same = 0
        for before, after in zip(self._passages, now):
            if before[0] != after[0]:
                break
            same += min(before[1], after[1])
            if before != after:
                break
        self._passages = now
        self._written = Styled.of([part for passage in path for part in self._parts(passage)])
        return same

    def _parts(self, passage: Passage) -> list[tuple[str, str]]:
        style, at, parts = STYLES[passage.author], 0, []
        for start, end in self._copied.get(passage.number, ()):
            parts += [(style, passage.text[at:start]), (f"{style} class:copied", passage.text[start:end])]
            at = end
        return [*parts, (style, passage.text[at:])]
