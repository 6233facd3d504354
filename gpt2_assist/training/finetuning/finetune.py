"""`gpt2-assist finetune`: from the user's own texts to a run, and on with it after whatever ended it."""
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from gpt2_assist.corpus.documents import Document
from gpt2_assist.corpus.duplicates import Duplicates, without_duplicates
from gpt2_assist.corpus.private import find_private, without_private
from gpt2_assist.corpus.reading import read_corpus
from gpt2_assist.corpus.report import CorpusReport, make_report
from gpt2_assist.errors import DataError, ModelError, StorageError, UsageError
from gpt2_assist.loading import calibration
from gpt2_assist.model.hub_files import write_tokenizer
from gpt2_assist.model.store import find_model
from gpt2_assist.model.transformer import Transformer
from gpt2_assist.runs import DEFAULT, Run, RunRecord, find_run, has_run, locked, new_run, remove_run
from gpt2_assist.text.tokenizer import TextTokenizer
from gpt2_assist.training.finetuning.base import Base
from gpt2_assist.training.finetuning.copies import build_copies
from gpt2_assist.training.finetuning.disk import (
    bytes_per_s,
    check_disk,
    free_on_disk,
    model_bytes,
    needed_on_disk,
    state_bytes,
)
from gpt2_assist.training.finetuning.estimate import MODEL, SAMPLES, STATE, VALIDATION
from gpt2_assist.training.finetuning.forecast import Forecast
from gpt2_assist.training.finetuning.infill_pieces import Cutting
from gpt2_assist.training.finetuning.keeping import Keeper, sample_prompt
from gpt2_assist.training.finetuning.memory import available_bytes, fitting, needed_bytes, trained_parameters
from gpt2_assist.training.finetuning.parallel import ProcessGroup, take_device
from gpt2_assist.training.finetuning.resuming import check_given, check_steps, places_of
from gpt2_assist.training.finetuning.settings import FinetuneSettings, check_ranges, settled
from gpt2_assist.training.finetuning.showing import Show
from gpt2_assist.training.finetuning.split import Split, split
from gpt2_assist.training.finetuning.texts import (
    check_size,
    decoder,
    encoded,
    general_text,
    read_text,
    write_text,
)
from gpt2_assist.training.finetuning.tuning import Tuning, enough_memory
from gpt2_assist.training.finetuning.writing import trial
from gpt2_assist.training.rows import Text

_PROBE_STEPS = 3


@dataclass(frozen=True)
class FinetuneRequest:
    """What the user asks for."""

    paths: tuple[str, ...] = ()
    model: str = ""
    run: str = DEFAULT
    settings: FinetuneSettings = field(default_factory=FinetuneSettings)
    column: str | None = None
    validation: float = 0.1
    """Share of the text that is held out."""
    keep_duplicates: bool = False
    without_private: bool = False
    """Whether what the report warns of is left out."""
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
    shard: bool = False
    """Whether each of several processes keeps a part of the model only."""
    given: Mapping[str, tuple[str, object]] = field(default_factory=dict)
    """By the names that they have here or in FinetuneSettings, what the user gave: what it was called, its value."""


@dataclass(frozen=True)
class Result:
    run: Run
    finished: bool
    """False: it was stopped, and --resume goes on."""
    before: dict
    """Losses before the first step: "validation", "general" and "infill"."""
    best: dict
    """{"step", "loss", "infill"}, of the model as it was (step 0) until it is bettered; empty if nothing was measured
    yet."""
    step: int = 0
    """The last one."""
    last: float | None = None
    """The last validation loss."""
    held_out: str = ""
    """What the losses were measured on, in words."""
    samples: tuple[str, str, str] | tuple[()] = ()
    """A prompt, and what went on from it before the first step and in the end."""


def check(request: FinetuneRequest) -> list[str]:
    """What is in the texts and what of them would be held out, in words. Raises DataError where they can't be read,
    ModelError where there is no such model."""
    documents, report = _read(request, Base.of(find_model(request.model)))
    return [*report.lines(request.model), _split(documents, request).line()]


@enough_memory()
def plan(request: FinetuneRequest, show: Show) -> Forecast:
    """What a training would be like, after a few steps that change nothing."""
    base = Base.of(find_model(request.model), request.settings.infill)
    documents, report = _read(request, base)
    show.corpus(report)
    parts = _split(documents, request)
    show.say(parts.line())
    train, validation = _texts(parts, base)
    settings = _settings(request, base, train)
    there = available_bytes(request.device)
    model = base.tunable(settings, request.device)
    tuning = _tuning(base, model, train, validation, None, settings, request, Path())
    record = _record(request, base, documents, parts, settings, train, validation)
    return _plan(record, base, tuning, train, validation, request, there)[0]


def finetune(request: FinetuneRequest, show: Show, stop: Callable[[], bool] = lambda: False) -> Result:
    """Makes a new run and trains it. Raises DataError, ModelError, UsageError or StorageError with a sentence."""
    base = Base.of(find_model(request.model), request.settings.infill)
    replaced = request.overwrite and has_run(request.run)
    old = find_run(request.run).folder.resolve() if replaced else None
    if old and any(place.resolve().is_relative_to(old) for place in (base.folder.path, base.folder.own)):
        raise UsageError(f"A run can't be replaced by one that begins with it: give the new one another name than "
                         f"{request.run} with --run.")
    documents, report = _read(request, base)
    show.corpus(report)
    parts = _split(documents, request)
    show.say(parts.line())
    train, validation = _texts(parts, base)
    settings = _settings(request, base, train)
    if not _rank():
        check_disk(_disk(base, settings, train, validation),
                   free_on_disk() + (find_run(request.run).size_bytes if replaced else 0))
    if replaced and not _rank():
        remove_run(request.run)
    record = _record(request, base, documents, parts, settings, train, validation)
    if _rank():
        return _train(Run(request.run, Path()), record, base, train, validation, request, show, stop, begun=False)
    run = new_run(request.run, record)
    with _alone(run), _writing(run):
        with _ready_or_gone(run):
            write_tokenizer(base.tokenizer, run.folder)
            base = base.kept_for(run)
            write_text(run.folder / "data", "train", train)
            write_text(run.folder / "data", "validation", validation)
            build_copies(run.folder / "copies", base.tokenizer, parts.training, show.say)
            record.ready = True
            run.write_record(record)
        return _train(run, record, base, train, validation, request, show, stop, begun=False)


def _record(request: FinetuneRequest, base: Base, documents: Sequence[Document], parts: Split,
            settings: FinetuneSettings, train: Text, validation: Text) -> RunRecord:
    """What run.json says of a run that begins."""
    short = sum(document.short for document in documents) * 2 > len(documents)
    prompts = request.prompts or _prompts(base.tokenizer, validation, short)
    return RunRecord(
        base=base.folder.name, base_path=str(base.folder.path), paths=list(request.paths),
        places=places_of(request.paths), column=request.column, validation=request.validation,
        keep_duplicates=request.keep_duplicates, without_private=request.without_private, settings=settings.to_json(),
        prompts=list(prompts), short=short, sample_every=request.sample_every or 4 * settings.validate_every,
        sample_tokens=request.sample_tokens, documents=len(documents), tokens=train.tokens, held_out=parts.line(),
        saved=False)


def resume(request: FinetuneRequest, show: Show, stop: Callable[[], bool] = lambda: False) -> Result:
    """Goes on with a run as it was begun; threads, device and more steps or patience may be the request's. Raises
    UsageError where it asks for something else, and as `finetune`."""
    run, asked = find_run(request.run), request.settings
    record = run.record()
    record.settings = FinetuneSettings.from_json(record.settings).to_json()
    check_given(run, record, request.given)
    if not record.ready:
        raise DataError(f"The run {run.name} was interrupted before its texts were read; begin again with --overwrite.")
    check_steps(run, asked.steps)
    if run.saved_step and run.saved_step >= (asked.steps or record.settings["steps"]):
        return _finished(run, record, show)
    _check_goes_on(run, record)
    base = Base.of(find_model(run.base()), record.settings["infill"])
    check_ranges(asked, base.config.n_ctx)
    changed = {name: getattr(asked, name) for name in ("steps", "patience") if name in request.given}
    record.settings.update({name: value for name, value in changed.items() if name != "steps" or value})
    with _alone(run), _writing(run):
        train, validation = (read_text(run.folder / "data", name) for name in ("train", "validation"))
        settings = FinetuneSettings.from_json(record.settings)
        if not _rank():
            check_disk(_disk(base, settings, train, validation), free_on_disk() + run.size_bytes)
        return _train(run, record, base, train, validation, request, show, stop)


def _finished(run: Run, record: RunRecord, show: Show) -> Result:
    """What came of a run that has all its steps."""
    show.say(f"The run {run.name} is finished: it has {run.saved_step} steps. More of them: `gpt2-assist finetune "
             f"--resume --run {run.name} --steps {2 * run.saved_step}`.")
    best = run.best()
    before = {"validation": best.get("before"), "infill": best.get("infill_before")}
    return Result(run, True, before, {key: best[key] for key in ("step", "loss", "infill") if key in best},
                  run.saved_step, run.last_validation(), record.held_out)


@enough_memory()
def _train(run: Run, record: RunRecord, base: Base, train: Text, validation: Text, request: FinetuneRequest, show: Show,
           stop: Callable[[], bool], begun: bool = True) -> Result:
    settings = FinetuneSettings.from_json(record.settings)
    take_device(request.device)
    there = available_bytes(request.device)
    model = base.tunable(settings, "cpu" if request.shard else request.device)  # whole it might not fit there
    general = general_text(calibration.TEXT, base.tokenizer, base.config.vocab_size)
    tuning = _tuning(base, model, train, validation, general, settings, request, run.folder / "checkpoints")
    again = begun and tuning.resume(show.say)
    if begun and not again:
        _check_goes_on(run, record)
    if begun and not _rank():
        run.write_record(record)  # other steps or patience: only once it does go on
    tuning.estimate.sample_every = record.sample_every
    keeper = Keeper(run, record, base, tuning, show, _threads(request))
    if not _rank():
        keeper.forget_after(tuning.state.step)
    if again and tuning.ended:
        show.say(f"The run {run.name} ended at step {tuning.state.step}, after {tuning.state.bad} validations without "
                 f"a better one; --patience {2 * tuning.state.bad} lets it go on.")
    elif again:
        show.goes_on(tuning.state.step, [entry["validation"] for entry in run.curve() if "validation" in entry])
    else:
        planned, record.sample_before = _plan(record, base, tuning, train, validation, request, there)
        show.plan(planned)
        if not _rank():
            run.write_record(record)
    for report in tuning.steps(stop):
        model = tuning.whole_model() if keeper.wants_model(report) else None
        if not _rank():
            keeper.take(report, model)
        show.step(report)
    if not _rank():
        keeper.close(tuning.ended)
    best, known = {}, tuning.state.best_validation
    if known is not None:
        best = {**tuning.state.best_measured, "step": tuning.state.best_step, "loss": known}
    before, after = record.sample_before, ""
    if before and tuning.ended and tuning.state.best_step and not _rank():
        after = keeper.last_sample()
    return Result(run, tuning.ended, tuning.state.first, best, tuning.state.step, run.last_validation(),
                  record.held_out, (record.prompts[0], before, after) if after else ())


def _plan(record: RunRecord, base: Base, tuning: Tuning, train: Text, validation: Text, request: FinetuneRequest,
          there: int) -> tuple[Forecast, str]:
    """After a few steps that change nothing, a text and a few bytes; and the text. `there`: bytes of memory before the
    model was loaded."""
    settings, estimate, disk = tuning.settings, tuning.estimate, bytes_per_s()
    tokenizer, new = base.tokenizer, []
    estimate.sample_every = record.sample_every
    speed = tuning.probe(_PROBE_STEPS)
    estimate.guess(STATE, state_bytes(base.config, settings) / disk)
    estimate.guess(MODEL, model_bytes(base.config, settings) / disk)
    with suppress(ModelError, MemoryError):  # what can't write can be trained
        prompt = sample_prompt(tokenizer, record.short, record.prompts[0])
        new, seconds = trial(tuning.whole_model(), settings, _threads(request), prompt, record.sample_tokens,
                             tokenizer.end_of_text, len(record.prompts))
        estimate.guess(SAMPLES, seconds)
    plan = Forecast(settings, base.config.parameters(), trained_parameters(base.config, settings), train.tokens,
                needed_bytes(base.config, settings, _threads(request)), there, speed,
                estimate.left(0) + estimate.one(VALIDATION),
                _disk(base, settings, train, validation), free_on_disk())
    return plan, tokenizer.decode(new)


def _disk(base: Base, settings: FinetuneSettings, train: Text, validation: Text) -> int:
    """Bytes that a run takes at the most."""
    own = sum(path.stat().st_size for path in base.folder.path.glob("*.safetensors")) if base.folder.adapter else 0
    return needed_on_disk(base.config, settings, train.tokens + validation.tokens, own)


def _read(request: FinetuneRequest, base: Base) -> tuple[list[Document], CorpusReport]:
    corpus = read_corpus(request.paths, request.column, decoder(base.tokenizer.inner, base.config.vocab_size))
    documents, duplicates, removed = corpus.documents, Duplicates(0, 0), None
    if request.without_private:
        documents, removed = without_private(documents)
        if not documents:
            raise DataError("Nothing is left of these texts without what is private in them.")
    if not request.keep_duplicates:
        documents, duplicates = without_duplicates(documents)
    report = make_report(corpus, documents, duplicates, find_private(documents),
                         lambda text: len(base.tokenizer.encode(text)), removed)
    return documents, report


def _split(documents: Sequence[Document], request: FinetuneRequest) -> Split:
    if not 0 < request.validation < 0.9:
        raise UsageError(f"The share for validation must be between 0 and 0.9, not {request.validation:g}.")
    return split(documents, request.validation)


def _texts(parts: Split, base: Base) -> tuple[Text, Text]:
    """The tokens of training and validation."""
    train, validation = (encoded(base.tokenizer, part, base.config.vocab_size)
                         for part in (parts.training, parts.validation))
    check_size(train, validation)
    return train, validation


def _check_goes_on(run: Run, record: RunRecord) -> None:
    """Raises DataError where states were saved and none is left: a training that began anew would replace what was
    trained."""
    checkpoints = run.folder / "checkpoints"
    saved = run.model() is not None if record.saved is None else record.saved
    if not saved or any(checkpoints.glob("step-*.safetensors")):
        return
    if any(checkpoints.glob("*.damaged")):
        what = f"the saved states of its training in {checkpoints} are damaged"
    elif record.slim:
        what = "`runs slim` dropped the saved states of its training"
    else:
        what = "it came without the saved states of its training (`runs pack --checkpoints` puts them in)"
    raise DataError(f"The run {run.name} can't be gone on with: {what}. `gpt2-assist finetune PATH --from {run.name} "
                    "--run NAME` trains its model further as a new run.")


def _prompts(tokenizer: TextTokenizer, validation: Text, short: bool) -> tuple[str, ...]:
    if short:
        return ("", "", "")
    beginning = tokenizer.decode([int(token) for token in validation.documents()[0][:12]])
    return (beginning, "")


def _tuning(base: Base, model: Transformer, train: Text, validation: Text, general: Text | None,
            settings: FinetuneSettings, request: FinetuneRequest, checkpoints: Path) -> Tuning:
    cutting = Cutting.of(base.tokenizer, base.lesson.infill) if base.lesson else None
    return Tuning(model, train, validation, general, settings, _threads(request), checkpoints, request.save_every,
                  request.shard, cutting)


def _settings(request: FinetuneRequest, base: Base, train: Text) -> FinetuneSettings:
    """The request's, with nothing left open."""
    settings = settled(request.settings, base.config, train.tokens, request.device)
    take_device(request.device)
    there = available_bytes(request.device) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return fitting(settings, request.settings, base.config, _threads(request), int(ProcessGroup().least(there)))


def _threads(request: FinetuneRequest) -> int:
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
    with locked(run):
        yield


@contextmanager
def _ready_or_gone(run: Run):
    """What is interrupted before there is anything to go on from leaves no run."""
    try:
        yield
    except BaseException as error:
        shutil.rmtree(run.folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise StorageError(f"The run {run.name} can't be written to {run.folder}: {error.strerror or error}.") \
                from None
        raise


@contextmanager
def _writing(run: Run):
    """What the disk says becomes a StorageError."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"The run {run.name} can't be written to {run.folder}: {error.strerror or error}; what was "
                           "saved is there, and --resume goes on from it.") from None
