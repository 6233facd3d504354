"""Whether a step is quicker with all threads or with one: where other programs hold the cores, threads that wait for
each other lose more than they gain. Which it is changes no result."""

_NEW = 1 / 4
_CLEARLY = 0.9
"""The other way must take less than that share of the present one's time to be taken."""
_OFTEN, _SELDOM = 16, 512
"""Steps between two trials of the other way."""
_SLOW = 1.4
"""Times the best seen: then something has changed, and a trial is worth while."""


class Pace:
    """Hears how long each step of one row took, and says how the next one is to be run."""

    def __init__(self) -> None:
        self.alone = False
        self._seconds: dict[bool, float] = {}  # by way, the latest steps' mean
        self._best: dict[bool, float] = {}
        self._until_trial = self._interval = _OFTEN

    def next_alone(self) -> bool:
        """Whether one thread shall run the next step: as before, or the other way for once."""
        self._until_trial -= 1
        return self.alone != (self._until_trial <= 0)

    def measured(self, alone: bool, seconds: float) -> None:
        known = self._seconds.get(alone, seconds)
        self._seconds[alone] = known + (seconds - known) * (1.0 if alone != self.alone else _NEW)
        self._best[alone] = min(seconds, self._best.get(alone, seconds))
        if alone != self.alone:
            if self._seconds[alone] < _CLEARLY * self._seconds[self.alone]:
                self.alone, self._interval = alone, _OFTEN
            else:
                self._interval = min(2 * self._interval, _SELDOM)
            self._until_trial = self._interval
        elif self._seconds[alone] > _SLOW * self._best[alone]:
            self._interval = _OFTEN
            self._until_trial = min(self._until_trial, _OFTEN)
