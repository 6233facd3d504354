"""The fine-tuning loop: steps, validation, the best and the last state. It knows no corpus and shows nothing itself.

What a step does follows from the settings, the data and the state before it, and from nothing else, so that a training
in two pieces is the training in one, bit for bit on a CPU.
"""
import copy
import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from gpt2_assist.errors import DataError, UsageError
from gpt2_assist.model.transformer import Transformer
from gpt2_assist.training.checkpoint import load_checkpoint, renamed, save_checkpoint
from gpt2_assist.training.finetuning.estimate import SAVE_EVERY_S, STATE, STEP, VALIDATION, Estimate
from gpt2_assist.training.finetuning.infill_pieces import CutPieces, Cutting
from gpt2_assist.training.finetuning.memory import sharing
from gpt2_assist.training.finetuning.parallel import ProcessGroup, part_like, whole
from gpt2_assist.training.finetuning.settings import FULL, FinetuneSettings
from gpt2_assist.training.gradients import ParallelGradients
from gpt2_assist.training.rows import Pieces, Rows, Text

KEPT = 2
"""States on the disk: should the last be damaged, there is one before."""
_VALIDATION_TOKENS = 16_384
_LEAST_CONTEXT = 64
_PROBE_S = 10.0


@dataclass(frozen=True)
class StepReport:
    """What a step did."""

    step: int
    steps: int
    loss: float
    """Nats a token, on the step's own rows before its update."""
    tokens_per_s: float
    validation: float | None = None
    """On the validation text, where it was measured now."""
    general: float | None = None
    """On a general text, by which forgetting shows."""
    best: bool = False
    """Whether the validation is the best so far."""
    note: str = ""
    """What changed, for instance after a lack of memory."""
    seconds_left: float = 0.0
    """With all that comes between the steps, if nothing ends the training sooner."""
    infill: float | None = None
    """Of what is filled in, all pieces of the validation text being cut, where that is taught."""


@dataclass
class State:
    """Where a training is, besides its tensors."""

    step: int = 0
    epoch: int = 0
    row: int = 0
    """Of the pass, the next one to be dealt."""
    best_step: int = 0
    """0: the model as it was before the first step."""
    best_loss: float = math.inf
    """On the validation text; where filling in is taught, the mean of that and the loss of what is filled in."""
    best_measured: dict = field(default_factory=dict)
    """The losses at that step, as in `first`."""
    bad: int = 0
    """Validations since the best."""
    first: dict = field(default_factory=dict)
    """Losses before the first step: "validation", "general" and "infill"."""

    @property
    def best_validation(self) -> float | None:
        """The best's loss on the validation text; None before anything was measured."""
        return None if math.isinf(self.best_loss) else self.best_measured.get("validation", self.best_loss)


class Tuning:
    """Trains the parameters of `model` that are not frozen."""

    def __init__(self, model: Transformer, train: Text, validation: Text, general: Text | None,
                 settings: FinetuneSettings, threads: int, checkpoints: Path, save_every: int = 0, shard: bool = False,
                 cutting: Cutting | None = None) -> None:
        """`checkpoints` is a folder, to which a state goes after each validation and after `save_every` steps, or,
        with 0, after a minute. `shard`: where several processes train, each keeps a part of the model only.
        `cutting`: how pieces are cut, to teach filling in."""
        self.model, self.settings, self.state = model, settings, State()
        self._text, self._threads, self._folder = train, threads, checkpoints
        self._save_every, self._team, self._saved_step = save_every, ProcessGroup(), -1
        self.estimate = Estimate(settings, save_every)
        self._empty = copy.deepcopy(model).to("meta") if shard and self._team.size > 1 else None
        """With `shard`, a model for what all keep together."""
        if self._empty:
            self._team.share_out(model)
        self._parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        matrices = [p for p in self._parameters.values() if p.dim() >= 2]
        others = [p for p in self._parameters.values() if p.dim() < 2]
        decay = settings.decay if settings.method == FULL else 0.0
        groups = [{"params": group, "weight_decay": strength} for group, strength in ((matrices, decay), (others, 0.0))
                  if group]
        self._adam = torch.optim.AdamW(groups, lr=settings.rate, betas=(0.9, 0.95), fused=not self._empty)
        self._validation = Pieces(validation, settings.context, 0)  # as it was at first: losses are compared
        self._general = Pieces(general, settings.context, 0) if general else None
        self._cutting, self._filled = cutting, None
        if cutting:
            self._filled = CutPieces(validation, settings.context, 0, replace(cutting, share=1.0, measured=True))
        self._gradients, self._train = self._set_up()

    def _cut(self) -> None:
        """Sets up anew what depends on the settings."""
        self._gradients.close()
        self._gradients, self._train = self._set_up()

    def _set_up(self) -> tuple[ParallelGradients, Pieces]:
        """What depends on settings that a lack of memory may change."""
        settings = self.settings
        self.model.recompute = settings.recompute
        cpu = self.model.embedding.weight.device.type == "cpu"
        shared = sharing(self.model.config, settings, self._threads) if cpu and not self._empty else 1
        kind = torch.bfloat16 if settings.precision == "bf16" else torch.float32
        gradients = ParallelGradients(self.model, self._threads, kind, shared)
        if self._cutting:
            return gradients, CutPieces(self._text, settings.context, settings.seed, self._cutting)
        return gradients, Pieces(self._text, settings.context, settings.seed)

    def steps(self, stop: Callable[[], bool] = lambda: False) -> Iterator[StepReport]:
        """Trains to the end, early or not, or until `stop()`. The state is saved now and then and at the end."""
        state = self.state
        if not state.first:
            state.first = {"validation": self._measure(self._validation), "general": self._measure(self._general)}
            if self._filled:
                state.first["infill"] = self._measure(self._filled)
            state.best_loss, state.best_measured = judged(state.first), state.first  # until it is bettered
        saved = time.monotonic()
        while not self.ended and not self._team.any(stop()):
            note, began = "", time.monotonic()
            while True:
                try:
                    loss, count = self._step()
                    break
                except (MemoryError, RuntimeError) as error:
                    if not _is_lack_of_memory(error):
                        raise
                    if self._team.size > 1:  # the others go on: they can't be told to do it again
                        raise UsageError("One of the processes lacks memory; begin again with fewer --micro-rows.") \
                            from None
                    self._clear()
                    note = self._step_down()
            state.step += 1
            seconds = time.monotonic() - began
            self.estimate.took(STEP, seconds)
            due = state.step % self.settings.validate_every == 0 or state.step == self.settings.steps
            report = StepReport(state.step, self.settings.steps, loss, count / seconds, note=note)
            if due:
                with self.estimate.timed(VALIDATION):
                    report = self._validated(report)
            report = replace(report, seconds_left=self.estimate.left(state.step))
            yield report  # who hears it keeps the best model; killed before the state is saved, that comes again
            long = state.step % self._save_every == 0 if self._save_every else time.monotonic() - saved > SAVE_EVERY_S
            if due or self._team.any(long):
                with self.estimate.timed(STATE):
                    self.save()
                saved = time.monotonic()
        if self._saved_step != state.step:
            self.save()

    @property
    def ended(self) -> bool:
        patience = self.settings.patience
        return self.state.step >= self.settings.steps or bool(patience) and self.state.bad >= patience

    def probe(self, steps: int) -> float:
        """Tokens a second, of the portions of so many steps, or of some, that change nothing. The estimate knows then
        what a step and a measuring take."""
        team, settings, began, tokens = self._team, self.settings, time.monotonic(), 0
        portions = self._rows(settings.rows * team.size * (steps + 1), State())
        for first in range(0, len(portions), team.size):
            if first == team.size and not team.any(time.monotonic() - began > _PROBE_S):  # the first one warms up
                began, tokens = time.monotonic(), 0
            part = portions[first:first + team.size]
            self._accumulate(part)
            self._clear()
            tokens += sum(rows.tokens for rows in part)
            if team.any(time.monotonic() - began > _PROBE_S):
                break
        speed = tokens / (time.monotonic() - began)
        self.estimate.guess(STEP, settings.batch_tokens * team.size / speed)
        began = time.monotonic()
        self._gradients.loss(portions[0])
        measured = sum(min(text.tokens, _VALIDATION_TOKENS)
                       for text in (self._validation, self._general, self._filled) if text)
        self.estimate.guess(VALIDATION, (time.monotonic() - began) * measured / max(1, portions[0].tokens))
        return speed

    def save(self) -> None:
        """Raises OSError where the disk refuses. All processes must ask; the first one writes."""
        self._saved_step = self.state.step
        if self._team.rank and not self._empty:
            return
        tensors = {f"model.{name}": whole(p.detach()) for name, p in self._parameters.items()}
        for name, p in self._parameters.items():
            tensors |= {f"adam.{key}.{name}": whole(value) for key, value in self._adam.state.get(p, {}).items()}
        if self._team.rank:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        best = None if math.isinf(self.state.best_loss) else self.state.best_loss
        state = {**vars(self.state), "best_loss": best}
        save_checkpoint(self._folder / f"step-{self.state.step:08}.safetensors", tensors,
                        {"state": state, "settings": self.settings.to_json()})
        for old in self.saved()[:-KEPT]:
            old.unlink()

    def whole_model(self) -> Transformer:
        """The model as it is now, to be looked at; all processes must ask."""
        if not self._empty:
            return self.model
        model = copy.deepcopy(self._empty)
        model.load_state_dict({name: whole(value) for name, value in self.model.state_dict().items()}, assign=True)
        return model

    def saved(self) -> list[Path]:
        """The states on the disk, the last one last."""
        return sorted(self._folder.glob("step-*.safetensors"))

    def resume(self, warn: Callable[[str], None]) -> bool:
        """Goes on from the last state that is whole; False if there is none. Damaged ones are named to `warn`."""
        for path in reversed(self.saved()):
            try:
                tensors, progress = load_checkpoint(path)
                self._restore(renamed(tensors, self.model.config), progress)
                return True
            except (DataError, KeyError, TypeError, ValueError, RuntimeError):
                warn(f"The checkpoint {path} is damaged and set aside.")
                path.replace(path.with_suffix(".damaged"))
        return False

    @torch.no_grad()
    def _restore(self, tensors: dict[str, torch.Tensor], progress: dict) -> None:
        names = {f"model.{name}" for name in self._parameters}
        if {name for name in tensors if name.startswith("model.")} != names:
            raise DataError("other parameters")
        state = State(**progress["state"])
        state.best_loss = math.inf if state.best_loss is None else state.best_loss
        settings = FinetuneSettings.from_json(progress["settings"])
        for name, p in self._parameters.items():
            p.copy_(part_like(tensors[f"model.{name}"], p))
            keys = [key for key in ("step", "exp_avg", "exp_avg_sq") if f"adam.{key}.{name}" in tensors]
            self._adam.state[p] = {key: value if key == "step" else part_like(value, p)
                                   for key in keys for value in [tensors[f"adam.{key}.{name}"]]}
        if state.first:
            state.best_loss = min(state.best_loss, judged(state.first))
        self.state = state
        self.settings = replace(self.settings, context=settings.context, batch_tokens=settings.batch_tokens,
                                micro_rows=settings.micro_rows, recompute=settings.recompute)
        self._cut()

    def _step(self) -> tuple[float, int]:
        """(loss, tokens)."""
        ahead = replace(self.state)
        rows = self._rows(self.settings.rows * self._team.size, ahead)
        loss = self._accumulate(rows)
        if not self._empty:
            self._team.add(list(self._parameters.values()))
        if self.settings.clip:
            torch.nn.utils.clip_grad_norm_(self._parameters.values(), self.settings.clip)
        for group in self._adam.param_groups:
            group["lr"] = self.settings.rate * rate_share(self.state.step, self.settings)
        self._adam.step()
        self._clear()
        self.state.epoch, self.state.row = ahead.epoch, ahead.row
        return loss, sum(part.tokens for part in rows)

    def _rows(self, count: int, state: State) -> list[Rows]:
        """The next rows in portions of micro_rows; `state` goes on behind them."""
        dealt: list[list[int]] = []
        while len(dealt) < count:
            order = self._train.rows(state.epoch)
            part = order[state.row:state.row + count - len(dealt)]
            dealt += part
            state.row += len(part)
            if state.row >= len(order):
                state.epoch, state.row = state.epoch + 1, 0
        size = self.settings.micro_rows
        return [self._train.filled(dealt[first:first + size]) for first in range(0, count, size)]

    def _accumulate(self, portions: list[Rows]) -> float:
        """The mean loss of all portions; of several processes each computes some of them."""
        total, loss = max(1, sum(part.count for part in portions)), 0.0
        mine = portions[self._team.rank::self._team.size]
        for part in mine:
            share = part.count / total
            loss += self._gradients.accumulate(part, share) * share
        if self._empty and len(mine) < -(-len(portions) // self._team.size):
            self._gradients.accumulate(portions[0], 0.0)  # the others can't do their last one without this process
        return self._team.sum(loss)

    def _clear(self) -> None:
        for p in self._parameters.values():
            p.grad = None

    def _measure(self, pieces: Pieces | None) -> float | None:
        """The mean loss on a text, or on places all over it."""
        if pieces is None:
            return None
        total = count = 0
        order, size = pieces.sample(_VALIDATION_TOKENS), self.settings.micro_rows
        for first in range(0, len(order), size):
            rows = pieces.filled(order[first:first + size])
            total += self._gradients.loss(rows) * rows.count
            count += rows.count
        return total / max(1, count)

    def _validated(self, report: StepReport) -> StepReport:
        state = self.state
        measured = {"validation": self._measure(self._validation), "general": self._measure(self._general),
                    "infill": self._measure(self._filled)}
        loss = judged(measured)
        best = loss < state.best_loss
        if best:
            state.best_loss, state.best_step, state.bad, state.best_measured = loss, state.step, 0, measured
        else:
            state.bad += 1
        return replace(report, **measured, best=best)

    def _step_down(self) -> str:
        """Less memory from now on. Raises DataError where nothing is left to try."""
        now = self.settings
        if now.micro_rows > 1:
            now = replace(now, micro_rows=now.micro_rows // 2)
            note = f"memory was short: {now.micro_rows} row(s) at once from now on"
        elif not now.recompute:
            now, note = replace(now, recompute=True), "memory was short: activations are computed twice from now on"
        elif now.context > _LEAST_CONTEXT:
            now = replace(now, context=now.context // 2)
            self.state.row = 0
            note = f"memory was short: rows of {now.context} tokens from now on"
        else:
            raise DataError("There is not enough memory to train this model here; try --method lora or a smaller one.")
        self.settings = now
        self._cut()
        return note


def judged(measured: Mapping[str, float | None]) -> float:
    """The loss by which a model is better than another."""
    losses = [measured["validation"], measured.get("infill")]
    return sum(loss for loss in losses if loss is not None) / (len(losses) - losses.count(None))


def rate_share(step: int, settings: FinetuneSettings) -> float:
    """The learning rate of a step as a share of its peak: linear warm-up, then half a cosine to a tenth."""
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    through = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * through))


_LACK = ("allocate memory", "out of memory", "bad_alloc", "could not create a primitive", "could not create a memory")
"""What torch and oneDNN say of it."""


@contextmanager
def enough_memory() -> Generator[None]:
    """Turns a lack of memory that no smaller portion of work makes up for into a DataError."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_lack_of_memory(error):
            raise
        raise DataError("There is too little memory to train this model here: end some programs, or try --method lora, "
                        "a shorter --context or a smaller model.") from None


def _is_lack_of_memory(error: BaseException) -> bool:
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return any(part in str(error) for part in _LACK)
