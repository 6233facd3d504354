"""What somebody who waits for a training sees: one line that changes, and between what is to stay."""
import os
from collections.abc import Callable
from contextlib import suppress

from gpt2_assist.console.streams import Telling
from gpt2_assist.console.terminal import barred, columns_shown, tied, visible, wrapped
from gpt2_assist.training.finetuning.curves import sparkline
from gpt2_assist.training.finetuning.finetune import Result
from gpt2_assist.training.finetuning.forecast import Forecast, duration
from gpt2_assist.training.finetuning.outcome import outcome
from gpt2_assist.training.finetuning.tuning import StepReport

_SMOOTH = 0.9
_ECHO = 3
"""Columns that stay free behind the line that changes: what Ctrl-C leaves there must not begin another row."""


class Display:
    """On a terminal the line of the present step changes in place, and those of validations stay; elsewhere there are
    only these."""

    def __init__(self, model: str, quiet: bool = False, work: str = "the training") -> None:
        """`model` is the base's name; `quiet`: nothing at all, for all but the first of several processes; `work`: see
        Telling."""
        self._model, self._quiet = model, quiet
        self._out = Telling(work)
        self._live = self._out.live and os.environ.get("TERM") != "dumb"
        self._width = 0
        """Of the line that changes, while there is one."""
        self._loss = self._speed = 0.0
        self._validations: list[float] = []
        self.training = False
        """Whether there is something to be saved when it is stopped."""
        self.hear: Callable[[StepReport], None] | None = None
        """Hears of each step, once it is shown."""

    def say(self, line: str) -> None:
        if not self._quiet:
            self._clear()
            text = visible(line)
            self._out.write((wrapped(text, columns_shown()) if self._live else text) + "\n")

    def goes_on(self, step: int, validations: list[float]) -> None:
        """A run that was stopped is taken up, with what was measured before."""
        self._validations, self.training = validations, True
        self.say(f"The run goes on at step {step}.")

    def corpus(self, report) -> None:
        for line in report.lines(self._model):
            self.say(line)

    def plan(self, plan: Forecast) -> None:
        for line in plan.lines():
            self.say(line)
        self.training = True

    def step(self, report: StepReport) -> None:
        if report.note:
            self.say(report.note)
        mix = _SMOOTH if self._loss else 0.0
        self._loss = mix * self._loss + (1 - mix) * report.loss
        self._speed = mix * self._speed + (1 - mix) * report.tokens_per_s
        if report.validation is not None:
            self._validations.append(report.validation)
        self._progress(report)
        if self.hear:
            self.hear(report)

    def _progress(self, report: StepReport) -> None:
        """Shows where the training is."""
        parts = self._parts(report)
        if report.validation is not None:
            self._say_parts([*parts, *self._measured(report)])
        if self._live and not self._quiet:
            self._clear()
            line = _fitting(parts, columns_shown() - _ECHO)
            self._width = len(line)
            self._out.write(line)

    def _parts(self, report: StepReport) -> list[str]:
        """What is known at each step, the most important first."""
        return [f"step {report.step}/{report.steps}", f"loss {self._loss:.3f}", f"{duration(report.seconds_left)} left",
                f"{self._speed:,.0f} tok/s"]

    def _measured(self, report: StepReport) -> list[str]:
        """What is known after a validation."""
        parts = [f"validation {self._validations[-1]:.3f} {sparkline(self._validations)}"] if self._validations else []
        if report.general is not None:
            parts.append(f"general {report.general:.3f}")
        if report.infill is not None:
            parts.append(f"filled in {report.infill:.3f}")
        return parts + ["best so far"] * report.best

    def _say_parts(self, parts: list[str]) -> None:
        """A line that stays; where it is wrapped, parts stay whole."""
        self.say("  ".join(map(tied, parts) if self._live else parts))

    def sample(self, step: int, prompt: str, text: str) -> None:
        if not self._quiet:
            self.say(f"A sample at step {step}:")
            self._out.write(barred(visible(prompt + text), columns_shown() if self._live else None) + "\n")

    def stopping(self) -> None:
        """Says that it has been asked to stop. For a signal's handler: it may come in the middle of another word."""
        if self._live and not self._quiet:
            text = wrapped("Stopping after this step and saving; Ctrl-C again ends it at once.", columns_shown())
            with suppress(OSError):
                os.write(1, f"{self._blank()}{text}\n".encode("ascii"))
            self._width = 0

    def end(self, result: Result) -> None:
        """What came of it, and what to do next."""
        for line in outcome(result) if not self._quiet else []:
            self.say(line)

    def _clear(self) -> None:
        if self._width:
            self._out.write(self._blank())
            self._width = 0

    def _blank(self) -> str:
        """Takes the line that changes back, with what keys have left in it. Where the terminal has become narrower than
        the line, no one knows in which rows it stands: it stays."""
        columns = columns_shown()
        return "\n" if self._width >= columns else "\r" + " " * (columns - 1) + "\r"


def _fitting(parts: list[str], columns: int) -> str:
    """As many of the parts as have room; a part of a part would mislead."""
    line = ""
    for part in parts:
        longer = f"{line}  {part}" if line else part
        if len(longer) > columns:
            break
        line = longer
    return line
