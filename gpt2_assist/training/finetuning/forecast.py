"""What a training will take, before it begins."""
from dataclasses import dataclass

from gpt2_assist.training.finetuning.settings import FULL, FinetuneSettings


@dataclass(frozen=True)
class Forecast:
    settings: FinetuneSettings
    parameters: int
    trained: int
    tokens: int
    """Of the training text."""
    needed: int
    """Bytes at the peak, about."""
    available: int
    tokens_per_s: float
    seconds: float
    """To the end, with measuring, saving and samples, if nothing ends it sooner."""
    disk: int
    """Bytes that the run takes there at most."""
    free: int
    """Bytes of the disk."""

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
            *(["Half of the text is cut at random, to teach filling in."] if settings.infill else []),
            f"Learning rate: up to {settings.rate:.2g} after {settings.warmup} step"
            f"{'s' * (settings.warmup > 1)}, then down by a cosine.",
            f"Memory: about {self.needed / 1e9:.1f} GB of the {self.available / 1e9:.1f} GB that are there"
            + (" — it may not fit; --method lora or a smaller model needs less." if self.needed > self.available
               else "."),
            f"Disk: about {size(self.disk)} of the {size(self.free)} that are free.",
            f"Speed: {self.tokens_per_s:,.0f} tokens a second; {duration(self.seconds)} at most, with measuring, "
            "saving and samples."]


def duration(seconds: float) -> str:
    """In words: 40 s, 12 min, 3 h 20 min, 4 days."""
    if seconds < 89.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes < 72 * 60 else f"{minutes / 60 / 24:.0f} days"


def size(count: int) -> str:
    """Bytes in words: 40 MB, 1.2 GB."""
    return f"{count / 1e6:.0f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"
