"""Where a session's text has ended, one step after another: what undo and redo go along."""

MOST_STEPS = 1000


class Journal:
    """A list of passages' numbers and a place in it, which is where the text ends now."""

    def __init__(self, places: list[int], step: int) -> None:
        """Places that make no sense (an edited file) are those of a journal that has only just begun."""
        sound = places and 0 <= step < len(places)
        self.places, self.step = (list(places), step) if sound else ([0], 0)

    @property
    def here(self) -> int:
        return self.places[self.step]

    def move(self, number: int) -> None:
        """A step on; what was undone before it can't be redone any more."""
        if number == self.here:
            return
        self.places[self.step + 1:] = [number]
        del self.places[:-MOST_STEPS]
        self.step = len(self.places) - 1

    def back(self, before: int | None) -> bool:
        """A step back; where the journal begins, to `before` (the passage's parent, None where it has none)."""
        if self.step:
            self.step -= 1
            return True
        if before is None:
            return False
        self.places.insert(0, before)
        del self.places[MOST_STEPS:]
        return True

    def forward(self, after: int | None) -> bool:
        """A step that was undone; where the journal ends, to `after` (the chosen child, None where there is none)."""
        if self.step + 1 < len(self.places):
            self.step += 1
            return True
        if after is None:
            return False
        self.move(after)
        return True
