"""Which tokens begin and end a text, as a model's own files say it: they aren't always called `<|endoftext|>`."""
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gpt2_assist.text_file import read_json
from gpt2_assist.unreadable import not_json

if TYPE_CHECKING:  # `pull` knows the files by name without the library
    from tokenizers import Tokenizer

END_OF_TEXT = "<|endoftext|>"
SPECIAL_TOKEN_FILES = ("generation_config.json", "tokenizer_config.json", "special_tokens_map.json")
"""Files besides config.json and the tokenizer's that may name them."""
_MARK = re.compile(r"<.*>|\[.*\]")


@dataclass(frozen=True)
class SpecialTokens:
    begin: int | None = None
    """Stands before a text; the first end where a model has no other."""
    ends: tuple[int, ...] = ()
    """Any of them ends a text; the first one parts texts in training."""


def special_tokens(tokenizer: "Tokenizer", folder: Path | None = None) -> SpecialTokens:
    """What the files in a model's `folder` say, and else END_OF_TEXT, where the tokenizer has it.

    Tokens that are named there become special ones of the tokenizer. Raises ModelError where a file is damaged.
    """
    files = {name: _read(folder / name) for name in ("config.json", *SPECIAL_TOKEN_FILES)} if folder else {}
    begins, ends = (_said(tokenizer, files, kind) for kind in ("bos", "eos"))
    end = tokenizer.token_to_id(END_OF_TEXT)
    ends = tuple(dict.fromkeys([*ends, *([] if end is None else [end])]))
    return SpecialTokens((begins or list(ends) or [None])[0], ends)


def _said(tokenizer: "Tokenizer", files: dict[str, dict], kind: str) -> list[int]:
    """The ids that the files say to be tokens of the kind, bos or eos, the likeliest first."""
    names = [_content(files[name].get(f"{kind}_token")) for name in SPECIAL_TOKEN_FILES if name in files]
    names = [name for name in names if name and tokenizer.token_to_id(name) is not None]
    tokenizer.add_special_tokens(names)
    ids = [_ids(tokenizer, files.get(name, {}).get(f"{kind}_token_id"))
           for name in ("generation_config.json", "config.json")]
    return [*ids[0], *map(tokenizer.token_to_id, names), *ids[1]]


def _ids(tokenizer: "Tokenizer", entry: object) -> list[int]:
    """The ids of an entry that are such tokens. Many a config.json still has GPT-2's own 50256, which in another
    vocabulary is some word or nothing at all."""
    special = {id for id, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    ids = entry if isinstance(entry, list) else [entry]
    return [id for id in ids if type(id) is int and id >= 0 and (
        id in special or _MARK.fullmatch(tokenizer.id_to_token(id) or ""))]


def _content(entry: object) -> str:
    """A token's text: by itself, or in an object that says more of it."""
    text = entry.get("content") if isinstance(entry, dict) else entry
    return text if isinstance(text, str) else ""


def _read(path: Path) -> dict:
    try:
        found = read_json(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise not_json(path, error) from None
    return found if isinstance(found, dict) else {}
