"""The golden cases: one TOML file per filter, of tables `[[case]]` with

- `name`; `before`, `after` and every other entry of Place; `prose` follows from `language` unless it is given;
- `text`, or `tokens`, each with its probability;
- `expect`: what is shown of it when no more comes; and, where `ended` is given, what is shown while more may come, and
  whether it is known to be all;
- `reason`: why nothing is.
"""
import importlib
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, fields
from math import log
from pathlib import Path

from gpt2_assist.completion.filters.chain import filtered
from gpt2_assist.completion.filters.draft import Draft, Place
from gpt2_assist.completion.languages import PROSE

FOLDER = Path(__file__).parent
_PLACE = {entry.name for entry in fields(Place)}
_OTHERS = {"name", "text", "tokens", "expect", "ended", "reason"}


@dataclass(frozen=True)
class Case:
    filter: str
    name: str
    place: Place
    text: str
    tokens: tuple[tuple[int, float], ...]
    expect: str
    ended: bool | None
    reason: str

    @property
    def id(self) -> str:
        return f"{self.filter}: {self.name}"


def names() -> list[str]:
    return sorted(file.stem for file in FOLDER.glob("*.toml"))


def filter_named(name: str) -> Callable[[Place, Draft], Draft]:
    return filtered if name == "chain" else importlib.import_module(f"gpt2_assist.completion.filters.{name}").apply


def cut_into_tokens(text: str) -> list[str]:
    """About as GPT-2's tokenizer does it: words with the space before them, signs, white space."""
    return re.findall(r" ?\w{1,7}| ?[^\w\s]{1,2}|\s+(?!\S)|\s", text)


def _cases(name: str) -> list[Case]:
    with open(FOLDER / f"{name}.toml", "rb") as file:
        return [_case(name, entries) for entries in tomllib.load(file)["case"]]


def _case(name: str, entries: dict) -> Case:
    unknown = set(entries) - _PLACE - _OTHERS
    assert not unknown, f"{name}: {entries['name']}: {unknown}"
    place = {key: value for key, value in entries.items() if key in _PLACE}
    language = place.get("language", "python")
    tokens, text = [], entries.get("text", "")
    for piece, chance in entries.get("tokens", ()):
        text += piece
        tokens.append((len(text), log(chance)))
    place = {"before": "", "after": "", "language": language, "prose": language in PROSE} | place
    return Case(name, entries["name"], Place(**place), text, tuple(tokens), entries["expect"], entries.get("ended"),
                entries.get("reason", ""))


ALL = [case for name in names() for case in _cases(name)]
