"""What the user may set for completions, as the editor sends it; docs/language-server.md has the table."""
import re
from dataclasses import dataclass, fields, replace
from typing import Any

_CAPITAL = re.compile("[A-Z]")
_RANGES = {"max_lines": (1, 100), "max_tokens": (1, 512), "confidence": (0, 1), "deadline_ms": (0, 10_000),
           "idle_ms": (0, 60_000), "alternatives": (1, 8), "max_file_kb": (1, 100_000)}


@dataclass(frozen=True)
class EditorSettings:
    enabled: bool = True
    model: str = ""
    disabled_languages: tuple[str, ...] = ()
    single_line: bool = False
    max_lines: int = 8
    max_tokens: int = 64
    prose_unit: str = "sentence"
    confidence: float = 0.25
    deadline_ms: int = 120
    idle_ms: int = 0
    alternatives: int = 3
    other_files: bool = True
    max_file_kb: int = 1024
    exclude: tuple[str, ...] = ()


def changed(settings: EditorSettings, wanted: Any) -> tuple[EditorSettings, list[str]]:
    """The settings with what an editor wants of them, and a sentence for each entry that makes no sense. Entries of
    other names are passed over: editors send what belongs to others too."""
    known = {entry.name: type(getattr(EditorSettings, entry.name)) for entry in fields(EditorSettings)}
    values, complaints = {}, []
    for key, value in (wanted.items() if isinstance(wanted, dict) else ()):
        name = _CAPITAL.sub(lambda match: "_" + match[0].lower(), key) if isinstance(key, str) else ""
        if name in known and value is not None:
            try:
                values[name] = _checked(name, value, known[name])
            except ValueError as error:
                complaints.append(f"The setting {key} of gpt2-assist {error}, not {value!r:.60}.")
    return replace(settings, **values), complaints


def _checked(name: str, value: Any, kind: type) -> Any:
    if kind is bool:
        if not isinstance(value, bool):
            raise ValueError("must be true or false")
    elif kind is tuple:
        if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
            raise ValueError("must be a list of texts")
        return tuple(value)
    elif kind is str:
        if not isinstance(value, str) or name == "prose_unit" and value not in ("sentence", "paragraph"):
            raise ValueError('must be "sentence" or "paragraph"' if name == "prose_unit" else "must be a text")
    else:
        low, high = _RANGES[name]
        right = isinstance(value, (int, float) if kind is float else int) and not isinstance(value, bool)
        if kind is int and isinstance(value, float) and value.is_integer():  # Lua's JSON knows no whole numbers
            value, right = int(value), True
        if not right or not low <= value <= high:
            raise ValueError(f"must be a number from {low} to {high}")
    return value
