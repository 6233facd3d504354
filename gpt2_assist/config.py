"""The user's settings (one TOML file) and the folders in which everything lies."""
import os
from dataclasses import dataclass, fields
from pathlib import Path

from gpt2_assist.errors import UsageError
from gpt2_assist.text.valid import valid

BUNDLED_MODELS = Path(__file__).parent / "models"
BUNDLED_MODEL = "mini"
AUTO = "auto"
"""As a model's name: the best that is there, by the catalogue's order."""
_HOME, _RUNTIME, _CACHE = "GPT2_ASSIST_HOME", "GPT2_ASSIST_RUNTIME", "GPT2_ASSIST_CACHE"
_OFFLINE = "GPT2_ASSIST_OFFLINE"


@dataclass(frozen=True)
class Settings:
    """What `settings.toml` in the home folder may set."""

    model: str = AUTO
    precision: str = "auto"
    """int8, int4, bf16, fp32, or auto: what is fastest on the device without changing the text noticeably."""
    device: str = "auto"
    context: int = 2048
    """Tokens that a model sees at most; fewer where the model has fewer. What it costs grows with it."""
    cache_mb: int = 0
    """Memory for keys and values of earlier texts, in a worker; 0 is what suits model and machine."""
    threads: int = 0
    """Threads of a worker; 0 is one per core."""
    shrink_after_s: float = 60.0
    """A worker that was idle so long gives that memory back, but for the last text's."""
    replace_after_s: float = 10.0
    """A worker that stands still for so long, while somebody waits, is replaced by another one."""
    unload_after_s: float = 900.0
    """A worker that was idle so long ends and gives its memory back."""
    exit_after_s: float = 3600.0
    """A daemon without clients and workers ends after so long."""
    keys: str = "emacs"
    """The writing session's: emacs (and readline), or vi."""
    enter: str = "goes-on"
    """What Enter does there: goes-on has the model go on, paragraph begins one; Alt-Enter does the other."""
    offline: bool = False
    """The network is never used, also where the user says `pull`."""


DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16", "int8", "int4")
MOST_THREADS = 256
_LONGEST_S = 31_536_000
"""A year."""
_KINDS: dict[object, str] = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
_CHOICES = {"precision": PRECISIONS, "device": DEVICES, "keys": ("emacs", "vi"), "enter": ("goes-on", "paragraph")}
_RANGES = {"context": (16, 1 << 20), "cache_mb": (0, 1 << 20), "threads": (0, MOST_THREADS),
           "shrink_after_s": (0, _LONGEST_S), "replace_after_s": (0.1, _LONGEST_S), "unload_after_s": (0, _LONGEST_S),
           "exit_after_s": (0.1, _LONGEST_S)}


def home() -> Path:
    """Where models, runs, sessions and settings lie. Raises UsageError where nothing can."""
    folder = _given(_HOME)
    if not folder:
        from platformdirs import user_data_path  # only where it is needed: clients start within 100 ms
        folder = user_data_path("gpt2-assist").absolute()
    if valid(str(folder)) != str(folder):
        raise UsageError(f"The home folder {valid(str(folder))} has a name that is no UTF-8, so models can't be read "
                         f"there: set {_HOME} to another one.")
    return folder


def runtime() -> Path:
    """Where the daemon's socket, lock and log lie; of each home that was asked for another one."""
    given = _given(_RUNTIME)
    if given:
        return given
    name = "gpt2-assist"
    if os.environ.get(_HOME):
        import zlib
        name += f"-{zlib.crc32(os.fsencode(home())):08x}"
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(folder):
        return Path(folder) / name
    import tempfile  # not above: these two cost a client that answers at once a tenth of its time
    who = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    return Path(tempfile.gettempdir()).absolute() / f"{name}-{who}"


def cache() -> Path:
    """Where lies what can be made again for this machine: compiled kernels."""
    given = _given(_CACHE)
    if given:
        return given
    from platformdirs import user_cache_path
    return user_cache_path("gpt2-assist").absolute()


def environment() -> dict[str, str]:
    """The variables by which a process that works in another folder finds the same three."""
    return {_HOME: str(home()), _RUNTIME: str(runtime()), _CACHE: str(cache())}


def offline() -> str:
    """What forbids the network, in words; empty where nothing does. Raises UsageError as read_settings."""
    if os.environ.get(_OFFLINE, "0") not in ("", "0"):
        return f"{_OFFLINE}={os.environ[_OFFLINE]}"
    return f"`offline = true` in {home() / 'settings.toml'}" if read_settings().offline else ""


def _given(variable: str) -> Path | None:
    """The folder that an environment variable names, if it is set; a relative path begins at the present folder.

    Raises UsageError where it means none.
    """
    value = os.environ.get(variable)
    try:
        return Path(value).expanduser().absolute() if value else None
    except (OSError, RuntimeError) as error:
        raise UsageError(f"The variable {variable} is {value!r}, and no folder is found by it: {error}") from None


def models() -> Path:
    """Models that the user pulled or imported; the bundled one lies in BUNDLED_MODELS."""
    return home() / "models"


def sessions() -> Path:
    """The database of writing sessions."""
    return home() / "sessions.sqlite"


def read_settings() -> Settings:
    """The settings file's values over the defaults. Raises UsageError with the entry that is wrong."""
    import tomllib

    from gpt2_assist.files.text_file import read_text
    path = home() / "settings.toml"
    try:
        table = tomllib.loads(read_text(path))
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise UsageError(f"The settings file {path} can't be read: {error.strerror or error}.") from None
    except RecursionError:
        raise UsageError(f"The settings file {path} is nested too deeply.") from None
    except ValueError as error:  # no UTF-8, or no TOML
        raise UsageError(f"The settings file {path} can't be read: {error}.") from None
    known = {entry.name: entry.type for entry in fields(Settings)}
    for name, value in table.items():
        if name not in known:
            raise UsageError(f"The settings file {path} has an unknown entry: {name}. The entries are: "
                             f"{', '.join(known)}.")
        if known[name] is float and type(value) is int:
            table[name] = value = float(value)
        wanted = _KINDS[known[name]]
        right = type(value) is known[name]
        if name in _CHOICES:
            wanted, right = f"one of {', '.join(_CHOICES[name])}", right and value in _CHOICES[name]
        elif name in _RANGES:
            low, high = _RANGES[name]
            wanted, right = f"{wanted} from {low:g} to {high:,}", right and low <= value <= high
        if not right:
            raise UsageError(f"The entry {name} of {path} must be {wanted}, not {_shown(value)}.")
    return Settings(**table)


def _shown(value: object) -> str:
    words = repr(value)
    return words if len(words) <= 60 else f"{words[:59]}…"
