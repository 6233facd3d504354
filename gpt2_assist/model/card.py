"""The model card: the JSON beside the weights that says where they come from and how to talk to them."""
import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from gpt2_assist.errors import ModelError
from gpt2_assist.files.text_file import read_json
from gpt2_assist.files.unreadable import not_json
from gpt2_assist.files.whole_file import whole_file
from gpt2_assist.text.infill import wrong_entry

CARD_FILE = "card.json"


@dataclass(frozen=True)
class Card:
    origin: str = "unknown"
    """A repository of the hub with its revision, a file that was imported, or a recipe."""
    licence: str = "unknown"
    data: str = "unknown"
    """What the model was trained on."""
    tokenizer: str = "byte-level BPE"
    stop_strings: list = field(default_factory=list)
    """Strings that end every generation of this model, besides the request's own."""
    prompt_prefix: str = ""
    """What stands before every prompt; models tuned with separators spelled in ordinary tokens want one."""
    hashes: dict = field(default_factory=dict)
    """SHA-256 by file name, in hexadecimal."""
    figures: dict = field(default_factory=dict)
    """Whatever else is known in numbers: tokens seen, bits per byte."""
    infill: dict = field(default_factory=dict)
    """The control tokens by which it fills in between a prefix and a suffix, and their order; see text/infill.py.
    Empty: what its tokenizer has of names that are known."""
    chat_template: str = ""
    """How a chat with the model is written down, in Jinja's language; nothing here chats."""


def read_card(folder: Path) -> Card:
    """The folder's card, a default one where there is none. Raises ModelError on a damaged one."""
    path = folder / CARD_FILE
    try:
        entries = read_json(path)
    except FileNotFoundError:
        return Card()
    except (OSError, ValueError) as error:
        raise not_json(path, error) from None
    if not isinstance(entries, dict):
        raise ModelError(f"The model card {path} is no JSON object.")
    known: dict[str, Any] = {entry.name: entry.type for entry in fields(Card)}
    for name, value in entries.items():
        if name not in known:
            raise ModelError(f"The model card {path} has an unknown entry: {name}.")
        if type(value) is not known[name]:
            raise ModelError(f"The entry {name} of the model card {path} must be a {known[name].__name__}.")
    if not all(isinstance(stop, str) and stop for stop in entries.get("stop_strings", [])):
        raise ModelError(f"The stop strings of the model card {path} must be texts that are not empty.")
    if wrong := wrong_entry(entries.get("infill", {})):
        raise ModelError(f"The infill entry of the model card {path} {wrong}.")
    return Card(**entries)


def write_card(folder: Path, card: Card) -> None:
    """Writes the card, which is the old or the new one, whole, whatever happens. Raises OSError on a refusing disk."""
    with whole_file(folder / CARD_FILE) as file:
        file.write((json.dumps(asdict(card), indent=2, ensure_ascii=False) + "\n").encode(errors="backslashreplace"))


def add_figures(folder: Path, name: str, figures: dict) -> None:
    """Puts `figures` under `name` among the card's figures. Raises ModelError and OSError as reading and writing do."""
    card = read_card(folder)
    write_card(folder, replace(card, figures={**card.figures, name: figures}))
