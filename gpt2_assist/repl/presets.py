"""Settings by a name: some that come with us, and the user's own in a file of the home folder."""
import json
from dataclasses import replace

from gpt2_assist import config
from gpt2_assist.errors import AssistError, StorageError, UsageError
from gpt2_assist.files.text_file import read_text
from gpt2_assist.files.whole_file import whole_file
from gpt2_assist.ipc.messages import Generation

OURS: dict[str, dict] = {
    "balanced": {},
    "careful": {"temperature": 0.5, "top_p": 0.9},
    "free": {"temperature": 1.0, "top_k": 0, "min_p": 0.05},
    "no-loops": {"temperature": 0.8, "top_k": 0, "min_p": 0.03, "dry_multiplier": 0.8},
    "surprising": {"temperature": 1.0, "top_k": 0, "min_p": 0.02, "xtc_probability": 0.5},
}


def read() -> dict[str, dict]:
    """All presets by name. Raises UsageError where the user's file makes no sense."""
    path = config.home() / "presets.json"
    try:
        own = json.loads(read_text(path))
        for settings in own.values():
            replace(Generation(), **settings).validate()
    except FileNotFoundError:
        own = {}
    except (OSError, ValueError, TypeError, AttributeError, AssistError) as error:
        raise UsageError(f"The presets in {path} can't be read: {error}") from None
    return {**OURS, **own}


def save(name: str, settings: dict) -> None:
    """Keeps settings by a name of the user's. Raises UsageError, StorageError."""
    own = {known: kept for known, kept in read().items() if OURS.get(known) != kept}
    path = config.home() / "presets.json"
    try:
        with whole_file(path) as file:
            file.write(json.dumps({**own, name: settings}, indent=2, ensure_ascii=False).encode())
    except OSError as error:
        raise StorageError(f"The presets can't be written to {path}: {error.strerror or error}.") from None


def words(settings: dict) -> str:
    """Settings in a line."""
    return ", ".join(f"{name} {value}" for name, value in settings.items()) or "the defaults"
