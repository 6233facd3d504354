"""The training loop: steps, schedule, validation, checkpoints. It knows no corpus and prints nothing itself."""
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gpt2_assist.model.transformer import Transformer
from gpt2_assist.training.checkpoint import load_checkpoint, renamed, save_checkpoint
from gpt2_assist.training.gradients import ParallelGradients
from gpt2_assist.training.pretraining.optimizer import Optimizer
from gpt2_assist.training.pretraining.recipe import Schedule
from gpt2_assist.training.rows import Rows, plain_rows
from gpt2_assist.training.token_stream import Batches


@dataclass(frozen=True)
class PretrainReport:
    """What one step did."""

    step: int
    tokens: int
    """Tokens seen since the training's beginning."""
    loss: float
    """Nats per token, on the step's own batch before its update."""
    seconds: float
    """Training time since the beginning, without the time between a kill and the resumption."""
    progress: float
    """0 … 1, by tokens or by the clock, whichever is further."""


def rate_share(step: int, progress: float, schedule: Schedule) -> float:
    """The learning rate as a share of its peak: linear warm-up, then half a cosine over the progress."""
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    warm = min(1.0, (step + 1) / max(1, schedule.warmup_steps))
    return warm * (schedule.final_share + (1 - schedule.final_share) * cosine)


class Training:
    """Trains `model` on `stream`; `steps()` runs it and yields a report after each step."""

    def __init__(self, model: Transformer, stream: np.ndarray, schedule: Schedule, checkpoint: Path,
                 threads: int, kind: torch.dtype) -> None:
        self.model, self._schedule, self._checkpoint = model, schedule, checkpoint
        self._batches = Batches(stream, model.config.n_ctx, schedule.batch_tokens, schedule.seed)
        parameters = dict(model.named_parameters())
        matrices = {name for name, p in parameters.items() if name.startswith("layers.") and p.dim() == 2}
        self._optimizer = Optimizer(parameters, matrices, schedule.matrix_rate, schedule.other_rate)
        self._gradients = ParallelGradients(model, threads, kind)
        self.step, self.seconds = 0, 0.0
        if checkpoint.exists():
            self._resume()

    @property
    def tokens(self) -> int:
        """Tokens seen since the training's beginning."""
        return self.step * self._batches.tokens

    @property
    def progress(self) -> float:
        by_tokens = self.tokens / self._schedule.tokens
        by_clock = self.seconds / (60 * self._schedule.max_minutes) if self._schedule.max_minutes else 0.0
        return max(by_tokens, by_clock)

    def steps(self, stop: Callable[[], bool] = lambda: False) -> Iterator[PretrainReport]:
        """Trains to the end or until `stop()`; saves at the schedule's intervals and at the end."""
        saved = time.monotonic()
        while self.progress < 1 and not stop():
            began = time.monotonic()
            progress = self.progress
            loss = self._gradients.accumulate(self._batch(progress))
            self._optimizer.step(rate_share(self.step, progress, self._schedule))
            self.step += 1
            self.seconds += time.monotonic() - began
            if time.monotonic() - saved > 60 * self._schedule.save_minutes:
                self.save()
                saved = time.monotonic()
            yield PretrainReport(self.step, self.tokens, loss, self.seconds, self.progress)
        self.save()

    def _batch(self, progress: float) -> Rows:
        whole = self.model.config.n_ctx
        sequence = whole if progress >= self._schedule.long_from else min(self._schedule.short_sequence, whole)
        ids, targets = self._batches.at(self.step, sequence)
        # Half of the short sequences stand at a random place, so that every position is learned from the start.
        dice = np.random.default_rng((self._schedule.seed, 7, self.step))
        offsets = dice.integers(0, whole - sequence + 1, len(ids)) * (dice.random(len(ids)) < 0.5)
        return plain_rows(ids, targets, offsets)

    def save(self) -> None:
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors.update({f"optimizer.{name}": value for name, value in self._optimizer.state().items()})
        save_checkpoint(self._checkpoint, tensors, {"step": self.step, "seconds": self.seconds})

    def _resume(self) -> None:
        tensors, progress = load_checkpoint(self._checkpoint)
        tensors = renamed(tensors, self.model.config)
        self.model.load_state_dict({name.removeprefix("model."): value for name, value in tensors.items()
                                    if name.startswith("model.")})
        self._optimizer.load({name.removeprefix("optimizer."): value for name, value in tensors.items()
                              if name.startswith("optimizer.")})
        self.step, self.seconds = progress["step"], progress["seconds"]
