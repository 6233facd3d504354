"""What a fine-tuning is asked for, and the rest of it chosen for the model and the machine."""
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from gpt2_assist.architectures import roles_of
from gpt2_assist.architectures.description import MATRICES, Decoder
from gpt2_assist.errors import DataError, UsageError
from gpt2_assist.model.adapter import LoraShape

FULL, LORA = "full", "lora"
_FULL_UP_TO = 60_000_000
"""Parameters of models that are trained whole by default on a CPU: larger ones learn as well through an adapter, in
less time and a fraction of the memory."""
_PASSES = 4
"""Over the training text, if nobody says otherwise; early stopping ends it sooner."""
_MOST_STEPS = 20_000
_LARGEST_RATE = 0.1
"""Chosen for a model of whatever width."""
_CONTEXT, _LEARNED_CONTEXT = 512, 1024
"""Tokens in a row. Learned positions that no row reaches are left behind by all that changes around them: after a
training in rows of 512, mini's loss on a held-out play fell by a nat at first and rose by half a one at its end."""
_BATCH, _SMALL_BATCH = 4096, 1024
"""Tokens a step. A CPU reads some hundred tokens a second with models that aren't trained whole there: with fewer of
them in a step these learn more from the same reading."""


@dataclass(frozen=True)
class FinetuneSettings:
    """Everything that decides what a training computes; 0 and "" are chosen by `settled`."""

    method: str = ""
    """full or lora."""
    rank: int = 8
    alpha: float = 16.0
    targets: tuple[str, ...] = MATRICES
    steps: int = 0
    context: int = 0
    """Tokens in a row."""
    batch_tokens: int = 0
    """Tokens per step, as rows × context."""
    micro_rows: int = 0
    """Rows whose gradients are computed at once; it changes no result but by rounding."""
    rate: float = 0.0
    """Peak learning rate."""
    warmup: int = 0
    """Steps until the peak."""
    decay: float = 0.01
    clip: float = 1.0
    """Largest norm of the gradient; 0 is off."""
    precision: str = "bf16"
    """Of products: bf16 or fp32. Weights that are trained are fp32."""
    recompute: bool = False
    """Gradient checkpointing."""
    validate_every: int = 0
    patience: int = 4
    """Validations without a better one after which training ends; 0 is never."""
    seed: int = 1
    infill: bool = False
    """Whether half of the text is cut, so that the model learns to fill in."""

    @property
    def lora(self) -> LoraShape:
        return LoraShape(self.rank, self.alpha, self.targets)

    @property
    def rows(self) -> int:
        """Rows per step."""
        return max(1, self.batch_tokens // self.context)

    def to_json(self) -> dict:
        return asdict(self)

    @classmethod
    def from_json(cls, entries: dict) -> "FinetuneSettings":
        known = {entry.name for entry in fields(cls)}
        stated: dict[str, Any] = {"infill": False, **entries}  # runs of earlier versions don't say it
        if set(stated) != known:
            raise DataError("The run was made by another version of this program and can't be gone on with.")
        stated["targets"] = roles_of(stated["targets"])
        return cls(**stated)


def check_ranges(asked: FinetuneSettings, n_ctx: int) -> None:
    """Raises UsageError on numbers that make no sense for a model with such a window."""
    for name, low, high in (("steps", 0, 10_000_000), ("context", 0, n_ctx), ("batch_tokens", 0, 1 << 22),
                            ("micro_rows", 0, 1 << 16), ("rate", 0, 1), ("warmup", 0, 1_000_000), ("decay", 0, 1),
                            ("clip", 0, 1e6), ("validate_every", 0, 1_000_000), ("patience", 0, 1_000_000),
                            ("seed", 0, (1 << 31) - 1)):
        if not low <= getattr(asked, name) <= high:
            raise UsageError(f"The setting {name.replace('_', ' ')} must be between {low} and {high:g}, "
                             f"not {getattr(asked, name)}.")


def settled(asked: FinetuneSettings, config: Decoder, tokens: int, device: str) -> FinetuneSettings:
    """The settings with nothing left open, for a model and so many tokens of training text.

    Raises UsageError on values that make no sense.
    """
    check_ranges(asked, config.n_ctx)
    if asked.method not in ("", FULL, LORA):
        raise UsageError(f"The method must be full or lora, not {asked.method!r}.")
    if asked.precision not in ("bf16", "fp32"):
        raise UsageError(f"The precision of training must be bf16 or fp32, not {asked.precision!r}.")
    asked.lora  # noqa: B018 its own errors
    size = config.parameters()
    method = asked.method or (FULL if size <= _FULL_UP_TO or device != "cpu" and size < 400_000_000 else LORA)
    context = asked.context or min(config.n_ctx, _LEARNED_CONTEXT if method == FULL and config.positions == "learned"
                                   else _CONTEXT)
    batch = asked.batch_tokens or (_SMALL_BATCH if size > _FULL_UP_TO and device == "cpu" else _BATCH)
    rows = max(1, batch // context)
    per_pass = max(1, tokens // (rows * context))
    steps = asked.steps or min(_MOST_STEPS, max(30, _PASSES * per_pass))
    return replace(
        asked, method=method, context=context, batch_tokens=rows * context, steps=steps,
        micro_rows=min(rows, asked.micro_rows or rows), rate=asked.rate or _rate(method, config),
        warmup=asked.warmup or max(1, min(100, steps // 20)),
        validate_every=asked.validate_every or max(5 * max(1, min(4, _BATCH // batch)), min(500, steps // 16)))


def _rate(method: str, config: Decoder) -> float:
    """The field's 3e-5 (full) and 2e-4 (LoRA) are for GPT-2's own sizes and for Llama's of some billions; narrow models
    take much larger steps: the bundled one learned most at about 1e-3 and 5e-3, SmolLM2-135M by LoRA at 1e-3."""
    if method == LORA and config.norm == "rms":
        rate = max(2e-4, 1e-3 * 576 / config.n_embd)
    else:
        rate = (3e-5 if method == FULL else 2e-4) * max(1.0, (768 / config.n_embd) ** 3)
    return min(_LARGEST_RATE, float(f"{rate:.3g}"))  # as it is shown, so that it can be given again
