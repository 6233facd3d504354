"""What somebody who waits for a training sees: one line that changes, and samples between."""
import shutil

from gpt2_assist.streams import Telling
from gpt2_assist.terminal import visible
from gpt2_assist.training.curves import sparkline
from gpt2_assist.training.finetune import Result
from gpt2_assist.training.outcome import outcome
from gpt2_assist.training.plan import Plan, duration
from gpt2_assist.training.tuning import Report

_SMOOTH = 0.9


class Display:
    """On a terminal the line of the present step changes in place; elsewhere a line is written at each validation."""

    def __init__(self, model: str, quiet: bool = False) -> None:
        """`model` is the base's name; `quiet`: nothing at all, for all but the first of several processes."""
        self._model, self._quiet = model, quiet
        self._out = Telling("the training")
        self._live = self._out.live
        self._line = ""
        self._loss = self._speed = self._seconds = 0.0
        self._validations: list[float] = []

    def say(self, line: str) -> None:
        if not self._quiet:
            self._clear()
            self._out.write(visible(line) + "\n")

    def goes_on(self, step: int, validations: list[float]) -> None:
        """A run that was stopped is taken up, with what was measured before."""
        self._validations = validations
        self.say(f"The run goes on at step {step}.")

    def corpus(self, report) -> None:
        for line in report.lines(self._model):
            self.say(line)

    def plan(self, plan: Plan) -> None:
        for line in plan.lines():
            self.say(line)

    def step(self, report: Report) -> None:
        if report.note:
            self.say(report.note)
        mix = _SMOOTH if self._loss else 0.0
        self._loss = mix * self._loss + (1 - mix) * report.loss
        self._speed = mix * self._speed + (1 - mix) * report.tokens_per_s
        self._seconds = report.seconds_left
        if report.validation is not None:
            self._validations.append(report.validation)
        line = (f"step {report.step}/{report.steps}  loss {self._loss:.3f}  {self._speed:,.0f} tok/s  "
                f"{duration(self._seconds)} left")
        if self._validations:
            line += f"  validation {self._validations[-1]:.3f} {sparkline(self._validations)}"
        if report.general is not None and not self._live:
            line += f"  general {report.general:.3f}"
        self._progress(line, report)

    def _progress(self, line: str, report: Report) -> None:
        """Shows the line of the present step."""
        if self._live:
            self._clear()
            if not self._quiet:
                self._line = line[:shutil.get_terminal_size().columns - 1]  # a wrapped one could not be taken back
                self._out.write(self._line)
        elif report.validation is not None:
            self.say(line + ("  best so far" if report.best else ""))

    def sample(self, step: int, prompt: str, text: str) -> None:
        self.say(f"--- at step {step}\n{visible(prompt)}{visible(text)}\n---")

    def end(self, result: Result) -> None:
        """What came of it, and what to do next."""
        for line in outcome(result) if not self._quiet else []:
            self.say(line)

    def _clear(self) -> None:
        if self._line:
            self._out.write("\r" + " " * len(self._line) + "\r")
            self._line = ""
