"""What a step with so many rows costs on this machine, learned from the steps themselves."""

MOST_ROWS = 16
"""Rows of a step in which drafts are verified."""
_FIRST_GUESS = (1.0, 1.1, 1.3, 1.7, 2.6)
"""By class; replaced as soon as a step of a class was seen."""
_DOWN, _UP = 1 / 4, 1 / 32  # a slow step tells of the machine's other work, a quick one of what is possible


def _class(rows: int) -> int:
    """Steps of 1, 2, 3–4, 5–8 and 9–16 rows cost about the same each."""
    return min(max(rows - 1, 0).bit_length(), len(_FIRST_GUESS) - 1)


class StepCosts:
    def __init__(self) -> None:
        self._seconds: list[float | None] = [None] * len(_FIRST_GUESS)

    @property
    def one(self) -> float:
        """Seconds of a step with one row; 0 while unknown."""
        return self._seconds[0] or 0.0

    def measured(self, rows: int, seconds: float) -> None:
        """Hears of a step."""
        if rows > MOST_ROWS:
            return
        known = self._seconds[_class(rows)]
        if known is None:
            self._seconds[_class(rows)] = seconds
        else:
            self._seconds[_class(rows)] = known + (seconds - known) * (_DOWN if seconds < known else _UP)

    def table(self, rows: int) -> list[float]:
        """The costs of `rows`, `rows` + 1, … MOST_ROWS rows, in any unit."""
        one = self.one or 1.0
        times, least = [], 0.0
        for guess, seconds in zip(_FIRST_GUESS, self._seconds):
            least = max(least, seconds or one * guess)
            times.append(least)
        return [times[_class(count)] for count in range(rows, MOST_ROWS + 1)]
