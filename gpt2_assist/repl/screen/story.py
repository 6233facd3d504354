"""The story as it is shown: a session's passages, then the draft, then what is offered to follow it."""
from gpt2_assist.repl.screen.page_view import Styled
from gpt2_assist.writing.session import Session

STYLES = {"user": "class:user", "model": "class:model", "edit": "class:edit"}


class Story:
    """Joins what belongs together, and knows what hasn't changed since it was last asked."""

    def __init__(self) -> None:
        self._passages: list[tuple[int, int]] = []
        """Number and length of each passage that is in `_written`."""
        self._written = Styled("", (), ())

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
        self._written = Styled.of([(STYLES[passage.author], passage.text) for passage in path])
        return same
