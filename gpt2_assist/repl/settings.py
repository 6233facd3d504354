"""`/set`: the settings of a session's generations, read from and shown as text."""
from dataclasses import fields, replace

from gpt2_assist.errors import UsageError
from gpt2_assist.frontend.sampling import sampler_names, temperatures, unescaped
from gpt2_assist.ipc.messages import Generation

NAMES = ("max_new_tokens", "finish_within", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "stop",
         "seed", "max_copied", "dry_multiplier", "dry_base", "dry_allowed_length", "dry_breakers", "xtc_probability",
         "xtc_threshold", "typical_p", "top_n_sigma", "dynatemp_range", "dynatemp_exponent",
         "mirostat_tau", "mirostat_eta", "samplers")
DEFAULT = Generation(finish_within=48)
"""Where a session sets nothing: a reply ends with a sentence, if it can."""


def shown(settings: Generation) -> list[str]:
    """One line for each setting."""
    return [f"{name} = {_shown(name, _value(settings, name))}" for name in NAMES]


def changed(settings: Generation, name: str, value: str | None) -> Generation:
    """The settings with one of them changed; None sets its default. Raises UsageError."""
    if name not in NAMES:
        raise UsageError(f"There is no setting {name!r}; there are {', '.join(NAMES)}.")
    parsed = getattr(DEFAULT, name) if value is None else _parsed(name, value)
    if name == "temperature":
        several = isinstance(parsed, list)
        new = replace(settings, temperatures=parsed if several else [],
                      temperature=settings.temperature if several else parsed)
    else:
        new = replace(settings, **{name: parsed})
    new.validate()
    return new


def _parsed(name: str, value: str) -> object:
    """What was typed, as the setting wants it. Raises UsageError."""
    if name == "stop":
        return [unescaped(value)]
    if name == "dry_breakers":
        return [unescaped(part) for part in value.split()]
    if name == "samplers":
        return sampler_names(value)
    if name == "temperature":
        return temperatures(value)
    kind = next(entry.type for entry in fields(Generation) if entry.name == name)
    try:
        return float(value) if kind is float else int(value)
    except ValueError:
        raise UsageError(f"{name} must be a {'' if kind is float else 'whole '}number, not {value!r}.") from None


def _value(settings: Generation, name: str) -> object:
    if name == "temperature" and settings.temperatures:
        return ",".join(map(str, settings.temperatures))
    return ",".join(settings.samplers) if name == "samplers" else getattr(settings, name)


def _shown(name: str, value: object) -> str:
    if value is None:
        return "a new one each time" if name == "seed" else "off"
    if isinstance(value, list):
        return " ".join(map(repr, value)) or "none"
    return str(value)
