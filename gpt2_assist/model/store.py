"""The local store: which models there are, by name. It knows folders and cards, not weights, and imports no torch."""
import os
import re
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gpt2_assist import config, runs
from gpt2_assist.errors import DataError, ModelError, StorageError, UsageError
from gpt2_assist.files.unreadable import unreadable
from gpt2_assist.files.whole_file import sync
from gpt2_assist.model.card import Card, read_card
from gpt2_assist.model.catalogue import Entry, read_catalogue
from gpt2_assist.text.valid import model_path

MOST_STRENGTH = 2.0
"""Of an adapter: twice what it learned."""
_READ = ("config.json", "model.safetensors", "model.safetensors.index.json", "tokenizer.json", "vocab.json")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


@dataclass(frozen=True)
class ModelFolder:
    """A model on this machine."""

    name: str
    """How the user names it: a store name, or the absolute path of a folder outside the store."""
    path: Path
    """Where its weights lie: with an adapter, those of its base."""
    card: Card
    bundled: bool = False
    adapter: Path | None = None
    """The folder of the adapter that the engine puts beside these weights, and how much of it."""
    strength: float = 1.0

    @property
    def own(self) -> Path:
        """Where that lies which is this model's alone."""
        return self.adapter or self.path

    @property
    def tokenizer(self) -> Path:
        """Where its tokenizer lies: that of an adapter which brings tokens of its own lies with it."""
        return self.own if (self.own / "tokenizer.json").is_file() else self.path

    @property
    def stamp(self) -> int:
        """Of the files that a worker reads."""
        return stamp(*(self.path / name for name in _READ))

    @property
    def size_bytes(self) -> int:
        """Of all its own files together."""
        return sum(size for _, size in self.files())

    def files(self) -> list[tuple[str, int]]:
        """(name, bytes) of each file, by name, but for those that vanish meanwhile: others may prepare weights."""
        there = []
        for entry in sorted(self.own.iterdir()):
            try:
                if entry.is_file():
                    there.append((entry.name, entry.stat().st_size))
            except FileNotFoundError:
                pass
        return there


def stamp(*places: Path) -> int:
    """When files or folders were made, as far as the file system tells: what is made anew is another one."""
    return hash(tuple(map(_made, places)))


def _made(place: Path) -> int:
    try:
        return place.stat().st_mtime_ns
    except OSError:  # it is not there, or has just gone
        return 0


def resolved(name: str) -> str:
    """`name`, where it isn't `auto`: the first of the catalogue's order that is there. Raises UsageError where the
    user's own catalogue makes no sense."""
    if name != config.AUTO:
        return name
    return next((known for known in read_catalogue().auto if is_stored(known)), config.BUNDLED_MODEL)


def missing_best() -> Entry | None:
    """What `auto` would mean if it was fetched; None where it is there, or can't be fetched."""
    entry = read_catalogue().wanted
    return None if entry is None or is_stored(entry.name) else entry


def better_to_be_had(name: str) -> str:
    """A sentence where `name` is `auto` and a better model can be fetched; else empty."""
    entry = missing_best() if name == config.AUTO and not config.offline() else None
    return f"A better model can be had: `gpt2-assist pull {entry.name}`, {entry.bytes / 1e6:.0f} MB." if entry else ""


def is_stored(name: str) -> bool:
    """Whether a model of that name is bundled or in the store."""
    return _stored(name) is not None


def find_model(name: str) -> ModelFolder:
    """The model that `name` means: a bundled one, one of the store, a run's best so far, or a folder. Of a run with an
    adapter, "run1@0.5" means half of it; `auto` means the best that is there.

    Raises ModelError if there is none or the system refuses to say so, UsageError where the strength is none.
    """
    try:
        return _found(resolved(name))
    except OSError as error:
        raise unreadable(Path(error.filename or name), error) from None


def _found(name: str) -> ModelFolder:
    stored = _stored(name)
    if stored:
        return _folder(stored)
    trained = _trained(name)
    if trained:
        return trained
    path = _existing(name)
    model_path(str(path))
    if path and (path / "config.json").is_file():
        return ModelFolder(str(path), path, read_card(path))
    if path and path.is_dir():
        raise ModelError(f"The folder {path} is no model: it has no config.json.")
    if path and path.suffix == ".gguf" and path.is_file():
        raise ModelError(f"{path} is a GGUF file; `gpt2-assist models import` makes a model of it.")
    if path and path.is_file():
        raise ModelError(f"{path} is a file; a model is named by its folder, as {path.parent}.")
    there = ", ".join([*sorted(_names()), *(run.name for run in runs.list_runs())]) or "none"
    fetching = f"pull {name}` fetches it" if name in read_catalogue().models else "pull` lists what can be fetched"
    raise ModelError(f"There is no model {name[:100]!r}; the models here are: {there}. `gpt2-assist {fetching}.")


def named_anywhere(name: str) -> str:
    """The name by which a process that works in another folder finds what `name` means here: of a folder its absolute
    path, and never `auto`."""
    name = resolved(name)
    with suppress(OSError):  # who looks for it will hear of that
        if _stored(name) or runs.has_run(name.rpartition("@")[0] or name):
            return name
    path = _existing(name)
    if path is None and (os.sep in name or name.startswith(("~", "."))):
        return os.path.abspath(os.path.expanduser(name))
    return str(path) if path else name


def _stored(name: str) -> Path | None:
    """Where the bundled model of that name lies, or the store's."""
    if not _NAME.fullmatch(name):
        return None
    return next((parent / name for parent in (config.BUNDLED_MODELS, config.models())
                 if (parent / name / "config.json").is_file()), None)


def _trained(name: str) -> ModelFolder | None:
    """The best of the run that `name` means, if it means one. Raises as find_model does."""
    run, marked, given = name.rpartition("@")
    if not marked:
        run, given = name, "1"
    folder = runs.run_model(run)
    if folder is None:
        return None
    adapted = (folder / runs.ADAPTER_CONFIG).is_file()
    if marked and not adapted:
        raise UsageError(f"The run {run} changed the whole model and has no adapter whose strength could be set.")
    try:
        strength = float(given)
    except ValueError:
        strength = -1.0
    if not 0 <= strength <= MOST_STRENGTH:
        raise UsageError(f"The strength of an adapter is a number from 0 to {MOST_STRENGTH:g}, as in {run}@0.5, not "
                         f"{given[:20]!r}.")
    if not adapted:
        return ModelFolder(name, folder, read_card(folder))
    wanted = runs.find_run(run).base()
    try:
        base = find_model(wanted)
    except ModelError:
        raise ModelError(f"The run {run} is an adapter of the model {wanted}, which is not here: `gpt2-assist pull` or "
                         "`models import` brings it.") from None
    return ModelFolder(name, base.path, read_card(folder) if strength else base.card, False, folder, strength)


def _existing(name: str) -> Path | None:
    """The absolute path that `name` means, if there is something; many names can't be paths at all."""
    try:
        return Path(name).expanduser().resolve(strict=True) if name else None
    except (OSError, ValueError, RuntimeError):
        return None


def list_models(refused: Callable[[ModelError], object] = lambda error: None) -> list[ModelFolder]:
    """The bundled models, then those of the store, then the best of each run, by name. Those whose cards can't be read
    are left out; `refused` hears why."""
    stored, trained = [], []
    for path in [path for parent in (config.BUNDLED_MODELS, config.models()) for path in _folders(parent)]:
        try:
            stored.append(_folder(path))
        except ModelError as error:
            refused(error)
    for run in runs.list_runs():
        with suppress(ModelError, DataError):  # without a model yet, or without its base
            trained.append(_trained(run.name))
    return stored + trained


def remove_model(name: str, needed_too: bool = False) -> None:
    """Deletes a model of the store. It is gone from the store at once, whatever interrupts the deletion.

    Raises ModelError where there is none of that name or it came with the program, UsageError where runs stand on it
    and `needed_too` doesn't say that it goes all the same.
    """
    if (config.BUNDLED_MODELS / name / "config.json").is_file() and _NAME.fullmatch(name):
        raise ModelError(f"The model {name} came with the program and can't be removed.")
    path = config.models() / name
    if not _NAME.fullmatch(name) or not path.is_dir():
        there = ", ".join(path.name for path in _folders(config.models())) or "none"
        raise ModelError(f"The store has no model {name!r} to remove; it holds: {there}.")
    adapters, others = runs.runs_on(name, path)
    if (adapters or others) and not needed_too:
        plain = f"; `gpt2-assist runs merge {adapters[0]}` makes a plain model of a run first" if adapters else ""
        raise UsageError(f"Runs stand on the model {name}: {_needing(adapters, others)}. --force removes it all the "
                         f"same{plain}.")
    removed = config.models() / f".removed-{name}-{os.getpid()}"
    try:
        path.rename(removed)
        for leftover in config.models().glob(".removed-*"):
            shutil.rmtree(leftover)
    except OSError as error:
        raise StorageError(f"The model {name} can't be removed: {error}.") from None


def _needing(adapters: list[str], others: list[str]) -> str:
    parts = [f"{', '.join(adapters)} can't write"] if adapters else []
    return " and ".join([*parts, *([f"{', '.join(others)} can't be resumed"] if others else [])]) + " without it"


def free_name(name: str) -> str:
    """`name` itself if a new model can take it. Raises UsageError if it is no name or already taken."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} can't name a model: use letters, digits, dots, dashes and underscores.")
    if name == config.AUTO:
        raise UsageError(f"{name} can't name a model, because it means the best that is there.")
    if name in _names() or runs.has_run(name):
        raise UsageError(f"There is already a model {name}; remove it first, or give another name with --name.")
    return name


@contextmanager
def new_model(name: str) -> Generator[Path]:
    """A folder to fill, which becomes the model `name` if the block ends without an error and vanishes otherwise.

    Raises UsageError if the name is taken, StorageError if the disk refuses.
    """
    free_name(name)
    folder = config.models() / f".new-{name}-{os.getpid()}"
    try:
        with writing(name):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        yield folder
        publish(folder, name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, name: str) -> None:
    """Makes a finished folder inside the store the model `name`, whole and synced, in one step."""
    with writing(name):
        for path in [*folder.iterdir(), folder]:
            sync(path)
        folder.rename(config.models() / free_name(name))
        sync(config.models())


@contextmanager
def writing(name: str) -> Generator[None]:
    """Turns what the disk says while the model `name` is being written into a StorageError."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"The model {name} can't be written to {config.models()}: "
                           f"{error.strerror or error}.") from None


def _folder(path: Path) -> ModelFolder:
    return ModelFolder(path.name, path, read_card(path), path.parent == config.BUNDLED_MODELS)


def _folders(parent: Path) -> list[Path]:
    """Whole models only: what is being made or removed has a name that begins with a dot."""
    try:
        return sorted(path for path in parent.iterdir()
                      if _NAME.fullmatch(path.name) and (path / "config.json").is_file())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unreadable(parent, error) from None


def _names() -> set[str]:
    return {path.name for parent in (config.BUNDLED_MODELS, config.models()) for path in _folders(parent)}
