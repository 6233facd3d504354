"""`/set`: the settings of a session's generations, read from and shown as text."""
from dataclasses import fields, replace

from gpt2_assist.errors import UsageError
from gpt2_assist.frontend.sampling import unescaped
from gpt2_assist.ipc.messages import Generation

NAMES = ("max_new_tokens", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "stop", "seed",
         "max_copied")
_DEFAULT = Generation()


def shown(settings: Generation) -> list[str]:
    """One line for each setting."""
    return [f"{name} = {_shown(name, getattr(settings, name))}" for name in NAMES]


def changed(settings: Generation, name: str, value: str | None) -> Generation:
    """The settings with one of them changed; None sets its default. Raises UsageError."""
    if name not in NAMES:
        raise UsageError(f"There is no setting {name!r}; there are {', '.join(NAMES)}.")
    if value is None:
        parsed = getattr(_DEFAULT, name)
    elif name == "stop":
        parsed = [unescaped(value)]
    else:
        kind = next(entry.type for entry in fields(Generation) if entry.name == name)
        try:
            parsed = float(value) if kind is float else int(value)
        except ValueError:
            raise UsageError(f"{name} must be a {'' if kind is float else 'whole '}number, not {value!r}.") from None
    new = replace(settings, **{name: parsed})
    new.validate()
    return new


def _shown(name: str, value: object) -> str:
    if value is None:
        return "a new one each time" if name == "seed" else "off"
    if isinstance(value, list):
        return " ".join(map(repr, value)) or "none"
    return str(value)
