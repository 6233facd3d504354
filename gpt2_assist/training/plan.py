"""What a training will take, before it begins."""
from dataclasses import dataclass

from gpt2_assist.model.sizes import GPT2Config, parameter_count
from gpt2_assist.training.memory import needed_bytes, trained_parameters
from gpt2_assist.training.settings import FULL, Settings


@dataclass(frozen=True)
class Plan:
    settings: Settings
    parameters: int
    trained: int
    tokens: int
    """Of the training text."""
    needed: int
    """Bytes at the peak, about."""
    available: int
    tokens_per_s: float

    @property
    def seconds(self) -> float:
        """Until the last step, if nothing ends it sooner."""
        return self.settings.steps * self.settings.batch_tokens / max(1e-9, self.tokens_per_s)

    def lines(self) -> list[str]:
        """For people."""
        settings = self.settings
        what = ("all" if settings.method == FULL else f"an adapter of rank {settings.rank},") + (
            f" {self.trained / 1e6:.1f} of {self.parameters / 1e6:.0f} million parameters")
        passes = settings.steps * settings.batch_tokens / max(1, self.tokens)
        rows = f"{settings.rows} × {settings.context} tokens a step"
        if settings.micro_rows < settings.rows:
            rows += f", {settings.micro_rows} row(s) at once"
        return [
            f"Method: {settings.method}: {what}; {settings.precision}"
            + (", activations computed twice" if settings.recompute else "") + ".",
            f"Steps: {settings.steps} of {rows}: {passes:.1f} times through the text, or fewer by early stopping.",
            f"Learning rate: up to {settings.rate:.2g} after {settings.warmup} steps, then down by a cosine.",
            f"Memory: about {self.needed / 1e9:.1f} GB of the {self.available / 1e9:.1f} GB that are there"
            + (" — it may not fit; --method lora or a smaller model needs less." if self.needed > self.available
               else "."),
            f"Speed: {self.tokens_per_s:,.0f} tokens a second, so {duration(self.seconds)} at most."]


def make_plan(config: GPT2Config, settings: Settings, tokens: int, threads: int, there: int,
              tokens_per_s: float) -> Plan:
    """`there`: bytes of memory before the model was loaded."""
    return Plan(settings, parameter_count(config), trained_parameters(config, settings), tokens,
                needed_bytes(config, settings, threads), there, tokens_per_s)


def duration(seconds: float) -> str:
    """In words: 40 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
