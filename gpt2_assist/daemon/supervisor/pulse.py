"""Whether a worker gets on. The supervisor asks at every beat; what is judged are the worker's answers, the steps that
it counts in them and the processor time that it takes.

Beats are counted, not seconds: while the machine sleeps, or is too busy for the supervisor too, there are none.
"""
BEATS = 20
"""Without a sign of life, after which a worker is lost. Processor time is such a sign: what the interpreter can't
interrupt, as the tokenizer at a very long text, leaves the questions unanswered for seconds."""
STUCK_BEATS = 12 * BEATS
"""With signs of life, but without a step, after which it is lost too."""
_UNANSWERED = 0.1
"""What a beat counts there that got no answer: what loops for ever mostly answers, unlike the tokenizer."""
TOLD_AFTER, TOLD_STUCK = 2, BEATS
"""The same until it is said that it stands still."""
_ALIVE_S, _LOADING_S = 0.01, 0.1
"""Processor time that shows life, and that shows that a load gets on, which counts no steps; answers take less."""


class Pulse:
    """Of one worker, from its start on."""

    def __init__(self) -> None:
        self.asked = False
        """Whether a question is open."""
        self._silent, self._stuck = 0, 0.0
        self._steps: int | None = None
        self._got_on = False
        self._alive_at = self._got_on_at = 0.0

    @property
    def standing(self) -> bool:
        """Whether it stands still, as far as one can tell by now."""
        return self._silent >= TOLD_AFTER or self._stuck >= TOLD_STUCK

    @property
    def lost(self) -> bool:
        return self._silent >= BEATS or self._stuck >= STUCK_BEATS

    def answer(self, steps: int) -> None:
        """Hears how many steps it has made."""
        self.heard()
        self.asked = False
        self._got_on |= steps != self._steps
        self._steps = steps

    def heard(self) -> None:
        """Hears anything of it."""
        self._silent = 0

    def stopped(self, seconds: float) -> None:
        """The system says that it has stopped it, after so much processor time: there is nothing to wait for."""
        self._silent = max(self._silent, TOLD_AFTER)
        self._alive_at = seconds

    def beat(self, working: bool, loading: bool, seconds: float) -> None:
        """Judges the time since the last beat. `seconds`: the processor time that it has taken since its start."""
        alive = not self.asked or seconds - self._alive_at >= _ALIVE_S
        got_on = self._got_on or not working or loading and seconds - self._got_on_at >= _LOADING_S
        self._silent = 0 if alive else self._silent + 1
        self._stuck = 0.0 if got_on else self._stuck + (_UNANSWERED if self.asked else 1.0)
        if alive:
            self._alive_at = seconds
        if got_on:
            self._got_on_at = seconds
        self._got_on = False
