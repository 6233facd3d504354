"""`gpt2-assist finetune`: from the user's own texts to a run, and on with it after whatever ended it."""
import json
import os
import shutil
import socket
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import torch
from filelock import FileLock, Timeout

from gpt2_assist import config as places
from gpt2_assist.corpus.documents import END, START, Document
from gpt2_assist.corpus.duplicates import Duplicates, without_duplicates
from gpt2_assist.corpus.private import find_private
from gpt2_assist.corpus.reading import read_corpus
from gpt2_assist.corpus.report import Report as CorpusReport
from gpt2_assist.corpus.report import make_report
from gpt2_assist.errors import DataError, ModelError, StorageError, UsageError
from gpt2_assist.model.card import Card, read_card
from gpt2_assist.model.sizes import GPT2Config, read_config
from gpt2_assist.model.store import ModelFolder, find_model
from gpt2_assist.model.weights import load_model, load_weights
from gpt2_assist.model.whole_file import whole_file
from gpt2_assist.runs import DEFAULT, Run, find_run, has_run, new_run, remove_run
from gpt2_assist.text.tokenizer import TextTokenizer
from gpt2_assist.training.copies import build_copies
from gpt2_assist.training.curves import draw_curve
from gpt2_assist.training.export import export_model
from gpt2_assist.training.lora import adapter_tensors, add_adapter, merged, read_adapter, write_adapter
from gpt2_assist.training.plan import Plan, make_plan
from gpt2_assist.training.settings import FULL, LORA, Settings, settled
from gpt2_assist.training.texts import (
    Text,
    check_size,
    decoder,
    encoded,
    general_text,
    read_text,
    split,
    write_text,
)
from gpt2_assist.training.tuning import Report, Tuning
from gpt2_assist.training.writing import write

_GENERAL = Path(places.__file__).parent / "daemon" / "calibration.txt"
_PROBE_STEPS = 3


@dataclass(frozen=True)
class Request:
    """What the user asks for."""

    paths: tuple[str, ...] = ()
    model: str = ""
    run: str = DEFAULT
    settings: Settings = field(default_factory=Settings)
    column: str | None = None
    validation: float = 0.1
    """Share of the text that is held out."""
    keep_duplicates: bool = False
    prompts: tuple[str, ...] = ()
    """Of the samples; none: the beginning of a text, and of one that was held out."""
    sample_every: int = 0
    """Steps; 0 is at every fourth validation."""
    sample_tokens: int = 60
    save_every: int = 0
    """Steps; 0 is about every minute. The state is also saved at each validation."""
    threads: int = 0
    device: str = "cpu"
    overwrite: bool = False
    serve: bool = False
    """Whether an adapter's best is also made a model while training goes on."""


class Show(Protocol):
    """Who shows what happens."""

    def say(self, line: str) -> None: ...
    def goes_on(self, step: int, validations: list[float]) -> None: ...
    def corpus(self, report: CorpusReport) -> None: ...
    def plan(self, plan: Plan) -> None: ...
    def step(self, report: Report) -> None: ...
    def sample(self, step: int, prompt: str, text: str) -> None: ...


@dataclass(frozen=True)
class Result:
    run: Run
    finished: bool
    """False: it was stopped, and --resume goes on."""
    before: dict
    """Losses before the first step: "validation" and "general"."""
    best: dict
    """{"step", "loss"}; empty if nothing was measured yet."""


@dataclass(frozen=True)
class _Base:
    folder: ModelFolder
    config: GPT2Config
    tokenizer: TextTokenizer

    @classmethod
    def of(cls, folder: ModelFolder) -> "_Base":
        tokenizer = TextTokenizer.from_folder(folder.path)
        if tokenizer.end_of_text is None:
            raise ModelError(f"The model {folder.name} has no token for a text's end, so it can't be fine-tuned.")
        return cls(folder, read_config(folder.path), tokenizer)


def check(request: Request) -> CorpusReport:
    """What is in the texts. Raises DataError where they can't be read, ModelError where there is no such model."""
    base = _Base.of(find_model(request.model))
    return _read(request, base)[1]


def plan(request: Request, show: Show) -> Plan:
    """What a training would be like, after a few steps that change nothing."""
    base = _Base.of(find_model(request.model))
    documents, report = _read(request, base)
    show.corpus(report)
    train, validation = _texts(documents, request, base)
    settings = settled(request.settings, base.config, train.tokens, request.device)
    model = _model(base.folder.path, settings, request.device)
    tuning = _tuning(model, train, validation, None, settings, request, Path())
    return make_plan(base.config, settings, train.tokens, _threads(request), tuning.probe(_PROBE_STEPS))


def finetune(request: Request, show: Show, stop: Callable[[], bool] = lambda: False) -> Result:
    """Makes a new run and trains it. Raises DataError, ModelError, UsageError or StorageError with a sentence."""
    base = _Base.of(find_model(request.model))
    documents, report = _read(request, base)
    show.corpus(report)
    train, validation = _texts(documents, request, base)
    settings = settled(request.settings, base.config, train.tokens, request.device)
    if request.overwrite and has_run(request.run) and not _rank():
        with _alone(find_run(request.run)):
            pass
        remove_run(request.run)
    short = sum(document.short for document in documents) * 2 > len(documents)
    prompts = request.prompts or _prompts(base.tokenizer, validation, short)
    state = {"base": base.folder.name, "base_path": str(base.folder.path), "paths": list(request.paths),
             "settings": settings.to_json(), "prompts": list(prompts), "short": short,
             "sample_every": request.sample_every or 4 * settings.validate_every,
             "sample_tokens": request.sample_tokens, "documents": report.documents, "tokens": train.tokens,
             "serve": request.serve}
    if _rank():
        return _train(Run(request.run, Path()), state, base, train, validation, request, show, stop)
    run = new_run(request.run, {**state, "ready": False})
    with _alone(run), _writing(run):
        base.tokenizer.inner.save(str(run.tokenizer))
        write_text(run.folder / "data", "train", train)
        write_text(run.folder / "data", "validation", validation)
        build_copies(run.folder / "copies", base.tokenizer, documents, show.say)
        run.write_state({**state, "ready": True})
        return _train(run, state, base, train, validation, request, show, stop)


def resume(request: Request, show: Show, stop: Callable[[], bool] = lambda: False) -> Result:
    """Goes on with a run as it was begun; only threads, device and a larger number of steps are the request's."""
    run = find_run(request.run)
    state = run.state()
    if not state.get("ready"):
        raise DataError(f"The run {run.name} was interrupted before its texts were read; begin again with --overwrite.")
    base = _Base.of(find_model(state["base_path"]))
    if request.settings.steps:
        state["settings"]["steps"] = request.settings.steps
    with _alone(run), _writing(run):
        train, validation = (read_text(run.folder / "data", name) for name in ("train", "validation"))
        return _train(run, state, base, train, validation, request, show, stop)


def _train(run: Run, state: dict, base: _Base, train: Text, validation: Text, request: Request, show: Show,
           stop: Callable[[], bool]) -> Result:
    settings = Settings.from_json(state["settings"])
    model = _model(base.folder.path, settings, request.device)
    general = general_text(_GENERAL, base.tokenizer.inner, base.config.vocab_size)
    tuning = _tuning(model, train, validation, general, settings, request, run.folder / "checkpoints")
    again = tuning.resume(show.say)
    keeper = _Keeper(run, state, base, tuning, show)
    if not _rank():
        keeper.forget_after(tuning.state.step)
    if again:
        show.goes_on(tuning.state.step, [entry["validation"] for entry in run.curve() if "validation" in entry])
    else:
        show.plan(make_plan(base.config, settings, train.tokens, _threads(request), tuning.probe(_PROBE_STEPS)))
    for report in tuning.steps(stop):
        if not _rank():
            keeper.take(report)
        show.step(report)
    if not _rank():
        keeper.close()
    return Result(run, tuning.ended, tuning.state.first,
                  {} if tuning.state.known_best is None else
                  {"step": tuning.state.best_step, "loss": tuning.state.best_loss})


class _Keeper:
    """Puts into the run's folder what a training brings."""

    def __init__(self, run: Run, state: dict, base: _Base, tuning: Tuning, show: Show) -> None:
        self._run, self._state, self._base, self._tuning, self._show = run, state, base, tuning, show

    def forget_after(self, step: int) -> None:
        """Of a training that was killed, drops what came after the state from which it goes on."""
        path = self._run.folder / "curve.jsonl"
        kept = []
        if path.is_file():
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    if json.loads(line)["step"] <= step:
                        kept.append(line + "\n")
                except (ValueError, KeyError, TypeError):
                    break  # cut off in the middle
            with whole_file(path) as file:
                file.write("".join(kept).encode())

    def take(self, report: Report) -> None:
        entry = {"step": report.step, "loss": round(report.loss, 5), "tokens_per_s": round(report.tokens_per_s, 1)}
        for name in ("validation", "general"):
            value = getattr(report, name)
            if value is not None:
                entry[name] = round(value, 5)
        with open(self._run.folder / "curve.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        if report.best:
            self._keep_best(report)
        if report.step % self._state["sample_every"] == 0 or report.step == report.steps:
            self._sample(report.step)

    def close(self) -> None:
        """A model of the best adapter, and the picture of the curve."""
        best = self._run.best()
        if self._tuning.settings.method == LORA and best and not self._run.model_of(best["step"]).is_dir():
            self._merge()
        draw_curve(self._run)

    def _keep_best(self, report: Report) -> None:
        best = {"step": report.step, "loss": report.validation, "before": self._tuning.state.first["validation"]}
        model, settings = self._tuning.model, self._tuning.settings
        if settings.method == FULL:
            self._export(report.step, dict(model.state_dict()))
            self._run.write_best(best)
        else:
            fresh, old = self._run.folder / ".adapter", self._run.folder / "adapter"
            write_adapter(fresh, adapter_tensors(model), settings.lora, str(self._base.folder.path))
            shutil.rmtree(old, ignore_errors=True)
            fresh.rename(old)
            self._run.write_best(best)
            if self._state["serve"]:
                self._merge()

    def _merge(self) -> None:
        shape, adapter = read_adapter(self._run.folder / "adapter")
        _, weights = load_weights(self._base.folder.path)
        self._export(self._run.best()["step"], merged(weights, shape, adapter, kind=torch.bfloat16))

    def _export(self, step: int, weights: dict[str, torch.Tensor]) -> None:
        """Makes the model of a step; the ones before it go, though who has loaded one keeps it."""
        place = self._run.model_of(step)
        models, fresh = place.parent, place.with_name(f".step-{step}")
        shutil.rmtree(fresh, ignore_errors=True)
        export_model(self._base.config, weights, self._run.tokenizer, self._card(step), fresh)
        shutil.rmtree(place, ignore_errors=True)
        fresh.rename(place)
        for old in models.glob("step-*"):
            if old != place:
                shutil.rmtree(old, ignore_errors=True)

    def _card(self, step: int) -> Card:
        base = read_card(self._base.folder.path)
        names = ", ".join(Path(path).name or path for path in self._state["paths"])
        return replace(
            base, origin=f"fine-tuned from {self._base.folder.name} by gpt2-assist finetune, run {self._run.name}, "
                         f"step {step}",
            data=f"{base.data}; then {self._state['documents']} documents of {names}",
            prompt_prefix=END + START if self._state["short"] else base.prompt_prefix,
            stop_strings=[START] if self._state["short"] else base.stop_strings, hashes={},
            figures={"tokens": self._state["tokens"], "base_validation": self._tuning.state.first["validation"],
                     "validation": self._tuning.state.known_best})

    def _sample(self, step: int) -> None:
        tokenizer, model = self._base.tokenizer, self._tuning.model
        kind = torch.bfloat16 if self._tuning.settings.precision == "bf16" else torch.float32
        with open(self._run.folder / "samples.txt", "a", encoding="utf-8") as file:
            for number, prompt in enumerate(self._state["prompts"]):
                before = (START if self._state["short"] else "") + prompt
                ids = [tokenizer.end_of_text, *tokenizer.encode(before)]
                text = tokenizer.decode(write(model, ids, self._state["sample_tokens"], number, tokenizer.end_of_text,
                                              kind))
                file.write(f"--- step {step}\n{prompt}{text}\n")
                self._show.sample(step, prompt, text)


def _read(request: Request, base: _Base) -> tuple[list[Document], CorpusReport]:
    corpus = read_corpus(request.paths, request.column, decoder(base.tokenizer.inner, base.config.vocab_size))
    documents, duplicates = corpus.documents, Duplicates(0, 0)
    if not request.keep_duplicates:
        documents, duplicates = without_duplicates(documents)
    report = make_report(corpus, documents, duplicates, find_private(documents),
                         lambda text: len(base.tokenizer.inner.encode(text, add_special_tokens=False).ids))
    return documents, report


def _texts(documents: Sequence[Document], request: Request, base: _Base) -> tuple[Text, Text]:
    if not 0 < request.validation < 0.9:
        raise UsageError(f"The share for validation must be between 0 and 0.9, not {request.validation:g}.")
    parts = split(documents, request.validation)
    train, validation = (encoded(base.tokenizer.inner, part, base.config.vocab_size) for part in parts)
    check_size(train, validation)
    return train, validation


def _prompts(tokenizer: TextTokenizer, validation: Text, short: bool) -> tuple[str, ...]:
    if short:
        return ("", "", "")
    beginning = tokenizer.decode([int(token) for token in validation.documents()[0][:12]])
    return ("", beginning)


def _model(folder: Path, settings: Settings, device: str) -> torch.nn.Module:
    model = load_model(folder)
    if settings.method == LORA:
        if settings.precision == "bf16":  # in which the products run anyway
            for parameter in model.parameters():
                if parameter.dim() == 2 and parameter is not model.wpe.weight:
                    parameter.data = parameter.data.to(torch.bfloat16)
        add_adapter(model, settings.lora, settings.seed)
    else:
        for parameter in model.parameters():  # they are mapped from the base's file
            parameter.data = parameter.data.clone()
            parameter.requires_grad_(True)
    return model.to(device)


def _tuning(model: torch.nn.Module, train: Text, validation: Text, general: Text | None, settings: Settings,
            request: Request, checkpoints: Path) -> Tuning:
    return Tuning(model, (train.stream, train.starts), (validation.stream, validation.starts),
                  (general.stream, general.starts) if general else None, settings,
                  _threads(request), checkpoints, request.save_every)


def _threads(request: Request) -> int:
    return request.threads or os.cpu_count() or 1


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))


@contextmanager
def _alone(run: Run):
    """Nobody else trains the run meanwhile. Raises UsageError where somebody does. Of several processes that train it
    together the first one sees to that."""
    if _rank():
        yield
        return
    lock = FileLock(run.folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(f"The run {run.name} is being trained by another process on {socket.gethostname()}.") from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _writing(run: Run):
    """What the disk says becomes a StorageError."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"The run {run.name} can't be written to {run.folder}: {error.strerror or error}; what was "
                           "saved is there, and --resume goes on from it.") from None
