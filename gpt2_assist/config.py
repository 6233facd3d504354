"""The user's settings (one TOML file) and the folders in which everything lies."""
import os
from dataclasses import dataclass, fields
from pathlib import Path

from gpt2_assist.errors import UsageError

BUNDLED_MODELS = Path(__file__).parent / "models"
DEFAULT_MODEL = "mini"
_HOME, _RUNTIME, _CACHE = "GPT2_ASSIST_HOME", "GPT2_ASSIST_RUNTIME", "GPT2_ASSIST_CACHE"


@dataclass(frozen=True)
class Settings:
    """What `settings.toml` in the home folder may set."""

    model: str = DEFAULT_MODEL
    precision: str = "auto"
    """int8, int4, bf16, fp32, or auto: what is fastest on the device without changing the text noticeably."""
    device: str = "auto"
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


def home() -> Path:
    """Where models, runs, sessions and settings lie."""
    given = _given(_HOME)
    if given:
        return given
    from platformdirs import user_data_path  # only where it is needed: clients start within 100 ms
    return user_data_path("gpt2-assist").absolute()


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
    path = home() / "settings.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"The settings file {path} can't be read: {error}.") from None
    known = {entry.name: entry.type for entry in fields(Settings)}
    for name, value in table.items():
        if name not in known:
            raise UsageError(f"The settings file {path} has an unknown entry: {name}.")
        if known[name] is float and type(value) is int:
            table[name] = float(value)
        elif type(value) is not known[name]:
            raise UsageError(f"The entry {name} of {path} must be a {known[name].__name__}, not {value!r}.")
    return Settings(**table)
