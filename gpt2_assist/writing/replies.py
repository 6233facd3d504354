"""Replies that grow at once: which of them the text goes over to, and the tokens that came so far."""


class Replies:
    """Those that were begun while none of them, or another, still grew are one group."""

    def __init__(self) -> None:
        self._group: list[int] = []
        self._growing: dict[int, list] = {}
        self._place = 0
        self.moved = False
        """Whether the text has gone over to one of the group."""

    def begin(self, number: int, place: int) -> None:
        """A reply more; `place` is where the text ends now."""
        if not self._growing:
            self._group, self._place, self.moved = [], place, False
        self._group.append(number)
        self._growing[number] = []

    @property
    def newest(self) -> int:
        """Of those that grow, the one begun last."""
        return next(reversed(self._growing))

    def keep_tokens(self, number: int, tokens: list) -> None:
        self._growing[number].extend(tokens)

    def end(self, number: int, kept: bool) -> list:
        """It grows no more; its tokens. One that isn't kept is out of the group."""
        if not kept:
            self._group.remove(number)
        return self._growing.pop(number)

    def leader(self, place: int) -> int | None:
        """The reply that the text, which ends at `place`, is to go over to; None where it has gone already or the
        user has gone elsewhere."""
        return self._group[0] if self._group and not self.moved and place == self._place else None
