"""Runs: fine-tunings by name, each with all that belongs to it in one folder. Imports no torch.

    run.json          what was asked for, the base, how far it is
    tokenizer.json    of the base
    data/             the tokens of training and validation
    checkpoints/      the last two states of the training, from which it goes on
    base/             the base, where it would not stay as it is: another run's
    models/step-N/    the best so far, as every front end loads it; with LoRA the adapter alone, with peft's files and
                      names. `best.json` names the step
    copies/           where the training text says what
    curve.jsonl, curve.png, samples.txt
"""
import json
import os
import re
import shutil
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from gpt2_assist import config
from gpt2_assist.errors import DataError, ModelError, StorageError, UsageError
from gpt2_assist.files.modes import make_private
from gpt2_assist.files.text_file import read_json
from gpt2_assist.files.whole_file import whole_file

DEFAULT = "run1"
RUN_FILE, BEST_FILE = "run.json", "best.json"
ADAPTER_CONFIG = "adapter_config.json"
"""peft's name of the file that makes a folder an adapter's."""
SAMPLES_AT = "════ step {} ════"
"""The line before a sample in samples.txt."""
FORMAT = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


@dataclass
class RunRecord:
    """What run.json says: what was asked for, and what came of it so far. A default is what it means that a run of an
    earlier version doesn't say it."""

    base: str = ""
    """The name of the model that is trained further."""
    base_path: str = ""
    """The folder in which that was then."""
    paths: list = field(default_factory=list)
    """Of the texts, as they were given."""
    places: list | None = None
    """The same from the root on."""
    column: str | None = None
    validation: float = 0.1
    """Share of the text that is held out."""
    keep_duplicates: bool = False
    without_private: bool = False
    settings: dict = field(default_factory=dict)
    """training.finetuning.settings.FinetuneSettings, of which clients need few."""
    prompts: list = field(default_factory=list)
    """Of the samples."""
    short: bool = False
    """Whether most texts are short ones, each with marks around it."""
    sample_every: int = 0
    sample_tokens: int = 60
    documents: int = 0
    tokens: int = 0
    """Of the text that is learned from."""
    held_out: str = ""
    """What the losses are measured on, in words."""
    sample_before: str = ""
    """What the base wrote."""
    ready: bool = False
    """Whether the texts have been read."""
    saved: bool | None = None
    """Whether a state of the training was ever saved, where that is known."""
    slim: bool = False
    """Whether the saved states were dropped."""

    @classmethod
    def from_json(cls, entries: dict) -> "RunRecord":
        """Raises TypeError where an entry is of another kind. What this version doesn't know is left out."""
        kinds: dict[str, Any] = {entry.name: entry.type for entry in fields(cls)}
        record = cls(**{name: value for name, value in entries.items() if name in kinds})
        for name, kind in kinds.items():
            if not isinstance(getattr(record, name), (int, float) if kind is float else kind):
                raise TypeError(f"{name} is no {kind}")
        return record


@dataclass(frozen=True)
class Run:
    name: str
    folder: Path

    @property
    def tokenizer(self) -> Path:
        return self.folder / "tokenizer.json"

    def record(self) -> RunRecord:
        """What run.json says. Raises DataError where it is damaged or of another version."""
        entries = _read(self.folder / RUN_FILE)
        try:
            if entries.get("format") == FORMAT:
                return RunRecord.from_json(entries)
        except TypeError:
            pass
        raise DataError(f"The run {self.name} is damaged or of another version: see {self.folder / RUN_FILE}.")

    def write_record(self, record: RunRecord) -> None:
        _write(self.folder / RUN_FILE, {"format": FORMAT, **asdict(record)})

    def best(self) -> dict:
        """{"step", "loss", "before"} of the best model so far, with "infill" and "infill_before" where it was taught to
        fill in; empty where there is none yet."""
        return _read(self.folder / BEST_FILE)

    def write_best(self, best: dict) -> None:
        _write(self.folder / BEST_FILE, best)

    def model_of(self, step: int) -> Path:
        """Where the model of a step lies, if there is one."""
        return self.folder / "models" / f"step-{step}"

    def model(self) -> Path | None:
        """The folder of the best model or adapter so far."""
        there = [path for path in self.folder.glob("models/step-*")
                 if any((path / name).is_file() for name in ("config.json", ADAPTER_CONFIG))]
        steps = [int(path.name.removeprefix("step-")) for path in there
                 if path.name.removeprefix("step-").isdecimal()]  # no copies that a file manager made
        best = self.best().get("step")
        return self.model_of(best if best in steps else max(steps)) if steps else None

    def states(self) -> list[Path]:
        """The saved states of its training, the last one last."""
        return sorted((self.folder / "checkpoints").glob("step-*.safetensors"))

    @property
    def saved_step(self) -> int:
        """Of the last saved state; 0 where there is none."""
        names = [path.stem.removeprefix("step-") for path in self.states()]
        return int(names[-1]) if names and names[-1].isdecimal() else 0

    def base(self) -> str:
        """The folder or the name by which the store finds what it was trained from. Raises DataError as `record`."""
        own, record = self.folder / "base", self.record()
        at = own if (own / "config.json").is_file() else Path(record.base_path)
        return str(at) if (at / "config.json").is_file() else record.base

    def curve(self) -> list[dict]:
        """An entry per report: "step", "loss" and, where it was measured, "validation", "general" and
        "infill"."""
        try:
            lines = (self.folder / "curve.jsonl").read_text(encoding="utf-8").splitlines()
            return [json.loads(line) for line in lines]
        except FileNotFoundError:
            return []
        except (OSError, ValueError):
            raise DataError(f"The curve of the run {self.name} is damaged.") from None

    def last_validation(self) -> float | None:
        """The last validation loss, nats a token; None where nothing was measured."""
        measured = [entry["validation"] for entry in self.curve() if "validation" in entry]
        return measured[-1] if measured else None

    def last_samples(self) -> list[str]:
        """Those of the last step that has any. Raises OSError where they can't be read."""
        path = self.folder / "samples.txt"
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        parts = re.split("^" + SAMPLES_AT.format(r"(\d+)") + "\n", text, flags=re.MULTILINE)
        return [sample.rstrip("\n") for step, sample in zip(parts[1::2], parts[2::2]) if step == parts[-2]]

    @property
    def size_bytes(self) -> int:
        size = 0
        for folder, _, names in os.walk(self.folder):
            for name in names:
                with suppress(OSError):  # a training takes old files away
                    size += os.stat(os.path.join(folder, name)).st_size
        return size


def runs_folder() -> Path:
    return config.home() / "runs"


def list_runs() -> list[Run]:
    """By name; what is being unpacked or removed is none."""
    parent = runs_folder()
    if not parent.is_dir():
        return []
    return [Run(path.name, path) for path in sorted(parent.iterdir())
            if _NAME.fullmatch(path.name) and (path / RUN_FILE).is_file()]


def has_run(name: str) -> bool:
    return bool(_NAME.fullmatch(name)) and (runs_folder() / name / RUN_FILE).is_file()


def find_run(name: str) -> Run:
    """Raises DataError where there is none of that name."""
    if not has_run(name):
        there = ", ".join(run.name for run in list_runs()) or "none"
        raise DataError(f"There is no run {name[:100]!r}; the runs here are: {there}.")
    return Run(name, runs_folder() / name)


def new_run(name: str, record: RunRecord) -> Run:
    """An empty run. Raises UsageError where the name is none or taken, StorageError where the disk refuses."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} can't name a run: use letters, digits, dots, dashes and underscores.")
    if name == config.AUTO:
        raise UsageError(f"{name} can't name a run, because it means the best model that is there.")
    if any((parent / name / "config.json").is_file() for parent in (config.BUNDLED_MODELS, config.models())):
        raise UsageError(f"There is a model {name}; give the run another name with --run.")
    if has_run(name):
        raise UsageError(f"There is already a run {name}: --resume goes on with it, --overwrite replaces it, and "
                         "--run NAME gives another name.")
    run = Run(name, runs_folder() / name)
    try:
        shutil.rmtree(run.folder, ignore_errors=True)
        run.folder.mkdir(parents=True)
        run.write_record(record)
    except OSError as error:
        raise StorageError(f"The run {name} can't be written to {runs_folder()}: {error.strerror or error}.") from None
    return run


@contextmanager
def locked(run: Run) -> Generator[None]:
    """Nobody else trains the run or removes it meanwhile. Raises UsageError where somebody does."""
    from filelock import FileLock, Timeout  # not above: front ends start without it
    lock = FileLock(run.folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(f"The run {run.name} is being trained by another process on {socket.gethostname()}.") from None
    try:
        yield
    finally:
        lock.release()


def remove_run(name: str) -> None:
    """It is gone from the list at once, whatever interrupts the deletion. Raises DataError where there is none,
    UsageError where it is being trained."""
    run = find_run(name)
    removed = runs_folder() / f".removed-{name}-{os.getpid()}"
    try:
        with locked(run):
            pass  # not while it is renamed: Windows keeps what is open where it is
        run.folder.rename(removed)
        for leftover in runs_folder().glob(".removed-*"):
            shutil.rmtree(leftover)
    except OSError as error:
        raise StorageError(f"The run {name} can't be removed: {error}.") from None


def slim_run(name: str) -> int:
    """Drops what only further training needs, the saved states and all models but the best; the bytes that were freed.
    Raises DataError where there is no run or it has no model yet, UsageError where it is being trained."""
    run = find_run(name)
    best = run.model()
    if best is None:
        raise DataError(f"The run {name} has no model yet: its saved states are all that it has.")
    before = run.size_bytes
    try:
        with locked(run):
            run.write_record(replace(run.record(), saved=True, slim=True))
            gone = [run.folder / "checkpoints", *(path for path in run.folder.glob("models/*step-*") if path != best)]
            for place in gone:
                shutil.rmtree(place, ignore_errors=not place.exists())
    except OSError as error:
        raise StorageError(f"The run {name} can't be made smaller: {error}.") from None
    return max(0, before - run.size_bytes)


def runs_on(name: str, folder: Path) -> tuple[list[str], list[str]]:
    """The runs that need the model `name` in this folder: (adapters, which can't write without it; others, which can't
    go on training without it)."""
    adapters, others = [], []
    for run in list_runs():
        try:
            base, best = run.base(), run.model()
            lora = run.record().settings["method"] == "lora"
        except (DataError, KeyError):  # damaged: it stands on nothing any more
            continue
        if base == name or Path(base).resolve() == folder.resolve():
            if lora and best:
                adapters.append(run.name)
            elif run.states() or not best:
                others.append(run.name)
    return adapters, others


def pack_run(name: str, archive: Path, checkpoints: bool = False) -> None:
    """Puts a run into one .tar.gz; its checkpoints, with which it could be trained further, only if wanted."""
    import tarfile  # not above: front ends start without them

    from gpt2_assist.files.output_file import OutputFile
    run = find_run(name)

    def wanted(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        parts = Path(entry.name).parts
        left_out = len(parts) > 1 and parts[1] == "checkpoints" and not checkpoints
        return None if left_out or parts[-1].startswith(".") or parts[-1].startswith("prepared-") else entry
    with OutputFile(archive).open() as file, tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as tar:
        tar.add(run.folder, arcname=name, filter=wanted)


def unpack_run(archive: Path, name: str | None = None) -> Run:
    """Makes a run of what pack_run wrote; nothing of it may lie outside its one folder.

    Raises DataError where the archive is damaged or no run's, UsageError where the name is taken.
    """
    import tarfile
    temporary = runs_folder() / f".new-{os.getpid()}"
    try:
        with tarfile.open(archive, "r:gz") as tar:
            members = tar.getmembers()
            tops = {Path(member.name).parts[0] for member in members if Path(member.name).parts}
            if len(tops) != 1 or not all(_inside(member) for member in members):
                raise DataError(f"The archive {archive} is no run: it has files outside one folder.")
            top = tops.pop()
            wanted = name or top
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            tar.extractall(temporary, filter="data")
            make_private(temporary)
        if not (temporary / top / RUN_FILE).is_file():
            raise DataError(f"The archive {archive} is no run: it has no {RUN_FILE}.")
        run = new_run(wanted, RunRecord())
        shutil.rmtree(run.folder)
        (temporary / top).rename(run.folder)
        return run
    except (tarfile.TarError, EOFError, FileNotFoundError) as error:
        raise DataError(f"The archive {archive} can't be read: {error}.") from None
    except OSError as error:
        raise StorageError(f"The archive {archive} can't be unpacked: {error.strerror or error}.") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _inside(member) -> bool:
    path = Path(member.name)
    return (member.isfile() or member.isdir()) and not path.is_absolute() and ".." not in path.parts


def _read(path: Path) -> dict:
    try:
        found = read_json(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        raise DataError(f"{path} is damaged.") from None
    return found if isinstance(found, dict) else {}


def _write(path: Path, entries: dict) -> None:
    with whole_file(path) as file:
        file.write((json.dumps(entries, indent=2, ensure_ascii=False) + "\n").encode(errors="backslashreplace"))


def run_model(name: str) -> Path | None:
    """The best model of the run `name`, if there is such a run. Raises ModelError where it has none yet."""
    if not has_run(name):
        return None
    path = find_run(name).model()
    if path is None:
        raise ModelError(f"The run {name} has no model yet: it has to be trained for a while first.")
    return path


def copies_of(model: Path) -> Path | None:
    """Where the index of the texts lies on which the model or adapter in this folder was fine-tuned; None for others.
    """
    copies = Path(model).resolve().parent.parent / "copies"
    return copies if (copies / "index.json").is_file() and (copies.parent / RUN_FILE).is_file() else None
