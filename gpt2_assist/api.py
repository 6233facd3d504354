"""For notebooks and programs: the calls that gpt-2-simple's users know, with their names where they mean the same."""
import html
from collections.abc import Callable, Iterable, Sequence
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

from gpt2_assist.arguments import checked, meant
from gpt2_assist.errors import UsageError
from gpt2_assist.files.modes import as_asked
from gpt2_assist.files.output_file import OutputFile
from gpt2_assist.frontend.output import SEPARATOR
from gpt2_assist.frontend.sampling import new_seed
from gpt2_assist.ipc.messages import MAX_SAMPLES, Generation
from gpt2_assist.privacy import private

LATEST, FRESH = "latest", "fresh"
_SAMPLE_LENGTH = 60
_SIZES = {"124M": "gpt2", "355M": "gpt2-medium", "774M": "gpt2-large", "1558M": "gpt2-xl"}
"""gpt-2-simple's names of the models, and ours."""
_SAID_OTHERWISE = ("max_new_tokens", "temperature", "top_k", "top_p", "stop", "seed", "n", "echo")
"""Settings of messages.Generation for which generate has names of its own."""


class Samples(list):
    """Texts, shown one below the other in a notebook and by print."""

    def __str__(self) -> str:
        return f"\n{SEPARATOR}\n".join(self)

    def _repr_html_(self) -> str:
        return "<hr>".join(f"<pre style='white-space: pre-wrap'>{html.escape(text)}</pre>" for text in self)


class Trained:
    """What came of a fine-tuning; a notebook shows its curve."""

    def __init__(self, result) -> None:
        self.run_name: str = result.run.name
        self.folder: Path = result.run.folder
        self.finished: bool = result.finished
        self.before: float | None = result.before.get("validation")
        """Validation loss before the first step, nats a token."""
        self.best: float | None = result.best.get("loss")
        self.best_step: int | None = result.best.get("step")

    def __repr__(self) -> str:
        return f"Trained({self.run_name!r}, finished={self.finished}, before={self.before}, best={self.best})"

    def _repr_png_(self) -> bytes | None:
        curve = self.folder / "curve.png"
        return curve.read_bytes() if curve.is_file() else None


@checked
def finetune(dataset: Sequence[str | Path] = (), model_name: str | Path = "", run_name: str = "run1",
             steps: int = 0, restore_from: str = FRESH, overwrite: bool = False, learning_rate: float = 0.0,
             batch_size: int = 0, sample_every: int = 0, sample_length: int = _SAMPLE_LENGTH, save_every: int = 0,
             prompts: Sequence[str] = (), column: str | None = None, method: str = "",
             callback: Callable | None = None, quiet: bool = False, without_private: bool = False,
             **settings: object) -> Trained:
    """Teaches a model your texts: files, folders, tables; see `gpt2-assist finetune --help`.

    `restore_from="latest"` goes on with a run that was stopped; steps, patience and how often it is saved may be other
    ones then, and what else is given must be as the run has it. `batch_size` is rows per step. `callback` hears each
    step's training.finetuning.tuning.StepReport and ends the training, saved, by returning False or by raising, which
    is raised again then. What is 0 or empty is chosen for the model and the machine; `settings` are further ones of
    training.finetuning.settings.FinetuneSettings. Raises AssistError.
    """
    from gpt2_assist.config import read_settings
    from gpt2_assist.console.terminal import on_interrupt
    from gpt2_assist.frontend.notebook_display import NotebookDisplay, in_notebook
    from gpt2_assist.frontend.training_display import Display
    from gpt2_assist.model.store import resolved
    from gpt2_assist.training.finetuning import finetune as training
    from gpt2_assist.training.finetuning.settings import FinetuneSettings
    from gpt2_assist.training.finetuning.tuning import StepReport
    if restore_from not in (FRESH, LATEST):
        raise UsageError(f"restore_from must be {FRESH!r} or {LATEST!r}, not {restore_from!r}.")
    for name, value in (("steps", steps), ("learning_rate", learning_rate), ("batch_size", batch_size),
                        ("sample_every", sample_every), ("sample_length", sample_length), ("save_every", save_every)):
        if not value >= 0:
            raise UsageError(f"{name} must be 0 or more, not {value}.")
    further = _settings(settings, [entry for entry in fields(FinetuneSettings) if entry.name != "rate"])
    context = further.get("context") or 512
    asked: dict[str, Any] = {"batch_tokens": batch_size * context, **further}
    chosen = FinetuneSettings(method=method, steps=steps, rate=learning_rate, **asked)
    request = training.FinetuneRequest(
        tuple(map(str, dataset)), resolved(str(model_name) or read_settings().model), run_name, chosen, column,
        without_private=without_private, prompts=tuple(prompts),
        sample_every=sample_every, sample_tokens=sample_length, save_every=save_every, overwrite=overwrite,
        given={name: (called, value) for name, called, value in (
            ("paths", "dataset", list(map(str, dataset))), ("model", "model_name", str(model_name)),
            ("steps", "steps", steps), ("rate", "learning_rate", learning_rate),
            ("batch_tokens", "batch_size", batch_size * context), ("sample_every", "sample_every", sample_every),
            ("sample_tokens", "sample_length", sample_length if sample_length != _SAMPLE_LENGTH else 0),
            ("prompts", "prompts", prompts), ("column", "column", column), ("method", "method", method),
            ("without_private", "without_private", without_private)) if value}
        | {name: (name, value) for name, value in further.items()})
    stopped: list[bool] = []
    raised: list[Exception] = []

    def hear(report: StepReport) -> None:
        try:
            with as_asked():
                if callback is not None and callback(report) is False:
                    stopped.append(True)
        except Exception as error:  # not as it comes: an error of the caller's is none of the run's
            raised.append(error)
            stopped.append(True)

    def stop() -> None:
        if not show.training:  # there is nothing to be saved
            raise KeyboardInterrupt
        stopped.append(True)
        show.stopping()
    with private(), on_interrupt(stop):
        show = (NotebookDisplay if in_notebook() else Display)(request.model, quiet)
        show.hear = hear
        work = training.resume if restore_from == LATEST else training.finetune
        result = work(request, show, lambda: bool(stopped))
        show.end(result)
    if raised:
        raise raised[0]
    return Trained(result)


@checked
def generate(run_name: str = "run1", model_name: str | Path = "", prefix: str = "", nsamples: int = 1,
             batch_size: int = 8, length: int = 128, temperature: float = 0.8, top_k: int = 40, top_p: float = 1.0,
             truncate: str | None = None, include_prefix: bool = True, destination_path: str | Path | None = None,
             seed: int | None = None, unique: bool = False, stop: Sequence[str] = (), suffix: str | None = None,
             **settings: object) -> Samples:
    """Texts from a run, or from the model `model_name`, by the daemon, which is started if need be.

    `length` is new tokens at most; `destination_path` gets the texts too, with a line between; `unique` leaves out what
    came before or stands in the training texts; `suffix` is what follows: a model that was taught to fill in writes
    what fits between `prefix` and it; `settings` are further ones of messages.Generation. Raises AssistError with a
    sentence.
    """
    from gpt2_assist.config import read_settings
    from gpt2_assist.frontend.copied import Copied, Known
    from gpt2_assist.frontend.samples import SeriesRequest, generate_series, generate_unique
    from gpt2_assist.ipc.client import Client
    further = _settings(settings, [entry for entry in fields(Generation) if entry.name not in _SAID_OTHERWISE])
    defaults = read_settings()
    generation = Generation(
        max_new_tokens=length, temperature=temperature, top_k=top_k, top_p=top_p or 1.0,
        stop=[*stop, *([] if truncate is None else [truncate])], seed=new_seed() if seed is None else seed, **further)
    try:
        generation.validate()
    except UsageError as error:
        raise UsageError(str(error).replace("max_new_tokens", "length")) from None
    for name, value in (("nsamples", nsamples), ("batch_size", batch_size)):
        if value < 1:
            raise UsageError(f"{name} must be a whole number from 1 on, not {value!r}.")
    file = None if destination_path is None else OutputFile(destination_path)
    model = str(model_name) or run_name
    request = SeriesRequest(model, prefix, generation, defaults.precision, defaults.device, suffix)
    size = min(batch_size, MAX_SAMPLES)
    texts = Samples()

    def done(sample) -> None:
        texts.append((prefix if include_prefix else "") + sample.text)

    def part(sample, chunk) -> None:
        """Whole texts are what is wanted."""
    with private(), Client.connect("api") as client:
        if unique:
            generate_unique(client, request, nsamples, size, Known(Copied.of(model)).is_known, part, done)
        else:
            generate_series(client, request, nsamples, size, part, done)
    if file:
        file.write((f"\n{SEPARATOR}\n".join(texts) + "\n").encode())
    return texts


@checked
def generate_to_file(destination_path: str | Path, **settings: object) -> None:
    """As generate, to a file."""
    generate(destination_path=destination_path, **settings)


@checked
def how_original(text: str, run_name: str = "run1", n: int = 8):
    """How much of a text is copied from a run's training texts: an originality.report.Originality."""
    from gpt2_assist.frontend.copied import report_on
    if n < 1:
        raise UsageError(f"n must be a whole number from 1 on, not {n}.")
    with private():
        return report_on(text, run_name, n)


@checked
def download_gpt2(model_name: str = "124M") -> None:
    """Fetches a model into the store, where the other calls find it by its name: one of gpt-2-simple's sizes, or what
    `gpt2-assist pull` takes."""
    from gpt2_assist.model.pulling import pull
    with private():
        pull(_SIZES.get(model_name, model_name), None, _unheard, _unheard)


def _unheard(done: int, total: int) -> None:
    """Progress that nobody asked for."""


def _settings(given: dict, known: Iterable[Field]) -> dict[str, Any]:
    """Further settings as their dataclass wants them. Raises UsageError."""
    kinds = {entry.name: entry for entry in known}
    unknown = sorted(set(given) - set(kinds))
    if unknown:
        raise UsageError(f"There is no setting {unknown[0]}; the settings are: {', '.join(sorted(kinds))}.")
    return {name: meant(name, value, kinds[name].type) for name, value in given.items()
            if value is not None}
