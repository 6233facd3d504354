"""How long the rest of a training takes: its steps, and all that comes between them."""
import time
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from statistics import median

from gpt2_assist.training.finetuning.settings import FinetuneSettings

STEP, VALIDATION, STATE, MODEL, SAMPLES = "step", "validation", "state", "model", "samples"
"""Kinds of work: a step; measuring the losses; saving the state; keeping the best model; writing samples."""
SAVE_EVERY_S = 60.0
_LAST = 15


class Estimate:
    """Of each kind of work the median of the last few times counts, before there are any a guess: a time in which the
    machine slept or was busy changes little."""

    def __init__(self, settings: FinetuneSettings, save_every: int = 0, sample_every: int = 0) -> None:
        """`save_every` and `sample_every` are steps; 0 is every minute, and never."""
        self._settings, self._save_every, self.sample_every = settings, save_every, sample_every
        self._guesses: dict[str, float] = {}
        self._times: dict[str, deque[float]] = {}

    def guess(self, kind: str, seconds: float) -> None:
        self._guesses[kind] = seconds

    def took(self, kind: str, seconds: float) -> None:
        self._times.setdefault(kind, deque(maxlen=_LAST)).append(seconds)

    @contextmanager
    def timed(self, kind: str) -> Generator[None]:
        """The block is work of that kind."""
        began = time.monotonic()
        yield
        self.took(kind, time.monotonic() - began)

    def one(self, kind: str) -> float:
        """Seconds that it takes; 0 where nothing is known of it."""
        return median(self._times[kind]) if kind in self._times else self._guesses.get(kind, 0.0)

    def left(self, step: int) -> float:
        """Seconds behind a step, if nothing ends the training sooner and every validation is the best so far."""
        steps = self._settings.steps - step
        validations, samples = self._due(step, self._settings.validate_every), self._due(step, self.sample_every)
        seconds = (steps * self.one(STEP) + samples * self.one(SAMPLES)
                   + validations * (self.one(VALIDATION) + self.one(STATE) + self.one(MODEL)))
        saves = steps // self._save_every if self._save_every else int(seconds / SAVE_EVERY_S)
        return seconds + max(0, saves - validations) * self.one(STATE)

    def _due(self, step: int, every: int) -> int:
        """How often something falls due behind a step that does so every so many steps, and at the last one."""
        steps = self._settings.steps
        if not every or step >= steps:
            return 0
        return steps // every - step // every + bool(steps % every)
