"""Whose words are in the draft: what was accepted of the model's stays known as its own until it is changed."""

from gpt2_assist.text.common import common_end, common_start


class Origins:
    """Follows a text that somebody edits."""

    def __init__(self) -> None:
        self.text = ""
        self._models: list[tuple[int, int]] = []
        """Where the model's words stand, ascending."""

    def accept(self, text: str, start: int) -> None:
        """The text becomes this one, in which what begins at `start` and is new is the model's."""
        grown = len(text) - len(self.text)
        self._replace(start, start, grown)
        self._models = sorted([*self._models, (start, start + grown)])
        self.text = text

    def change(self, text: str) -> None:
        """The text becomes this one, by one change somewhere: what stands before and behind it stays whose it was."""
        before = common_start(text, self.text)
        after = common_end(text, self.text, min(len(text), len(self.text)) - before)
        self._replace(before, len(self.text) - after, len(text) - len(self.text))
        self.text = text

    def _replace(self, start: int, end: int, moved: int) -> None:
        """What stood between two places is somebody else's now, and what stands behind it has moved."""
        spans = []
        for begin, stop in self._models:
            spans += [(begin, min(stop, start)), (max(begin, end) + moved, stop + moved)]
        self._models = [(begin, stop) for begin, stop in spans if begin < stop]

    def parts(self) -> list[tuple[str, str]]:
        """(author, text) of the whole, in order; authors are user and model."""
        found, at = [], 0
        for start, stop in [*self._models, (len(self.text), len(self.text))]:
            found += [("user", self.text[at:start]), ("model", self.text[start:stop])]
            at = stop
        return [(author, text) for author, text in found if text]
