"""Which tokens begin and end a text, as a model's own files say it: they aren't always called `<|endoftext|>`. And
which are control tokens, by which chats, files and the like are written down: no text of a person's or a model's holds
one."""
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gpt2_assist.files.text_file import read_json
from gpt2_assist.files.unreadable import not_json

if TYPE_CHECKING:  # `pull` knows the files by name without the library
    from tokenizers import Tokenizer

END_OF_TEXT = "<|endoftext|>"
START_OF_TEXT = "<|startoftext|>"
SEPARATORS = (END_OF_TEXT, "<|end_of_text|>")
"""They part the texts that a model learned from: where a chat model has one, it ends a text before the turn's end."""
TURN = "<|im_start|>"
"""Begins a turn of a chat, never a text, though chat models' files call it their beginning."""
TURN_ENDS = frozenset(("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<end_of_turn>"))
ENDS = frozenset((*SEPARATORS, *TURN_ENDS, "<EOT>", "<|return|>", "<|endofprompt|>", "<｜end▁of▁sentence｜>", "</s>"))
"""They end a text or a turn by their very name, whatever type a file gives them, as llama.cpp has it too."""
SPECIAL_TOKEN_FILES = ("generation_config.json", "tokenizer_config.json", "special_tokens_map.json")
"""Files besides config.json and the tokenizer's that may name them."""
_MARK = re.compile(r"<.*>|\[.*\]")
_SURE_MARK = re.compile(r"<\|.*\|>")


@dataclass(frozen=True)
class SpecialTokens:
    begin: int | None = None
    """Stands before a text; the first end where a model has no other."""
    ends: tuple[int, ...] = ()
    """Any of them ends a text; the first one parts texts in training."""
    control: frozenset[int] = frozenset()
    """All that are no text, these among them."""


def special_tokens(tokenizer: "Tokenizer", folder: Path | None = None) -> SpecialTokens:
    """What the files in a model's `folder` say, and else END_OF_TEXT, where the tokenizer has it.

    Tokens that are named there become special ones of the tokenizer. Raises ModelError where a file is damaged.
    """
    files = {name: _read(folder / name) for name in ("config.json", *SPECIAL_TOKEN_FILES)} if folder else {}
    begins, ends = (_said(tokenizer, files, kind) for kind in ("bos", "eos"))
    end = tokenizer.token_to_id(END_OF_TEXT)
    control = _control(tokenizer)
    named = [id for id in sorted(control) if tokenizer.id_to_token(id) in TURN_ENDS]
    ends = dict.fromkeys([*ends, *([] if end is None else [end]), *named])
    ends = tuple(sorted(ends, key=lambda id: tokenizer.id_to_token(id) in TURN_ENDS))
    begins = [id for id in begins if tokenizer.id_to_token(id) != TURN]
    return SpecialTokens((begins or list(ends) or [None])[0], ends, control)


def _control(tokenizer: "Tokenizer") -> frozenset[int]:
    """The special tokens, and what is added besides and can't be meant as text, which becomes special too."""
    added = tokenizer.get_added_tokens_decoder()
    marks = _MARK if tokenizer.token_to_id(TURN) is not None else _SURE_MARK
    tokenizer.add_special_tokens([token.content for token in added.values()
                                  if not token.special and marks.fullmatch(token.content)])
    return frozenset(id for id, token in tokenizer.get_added_tokens_decoder().items() if token.special)


def _said(tokenizer: "Tokenizer", files: dict[str, dict], kind: str) -> list[int]:
    """The ids that the files say to be tokens of the kind, bos or eos, the likeliest first."""
    names = [_content(files[name].get(f"{kind}_token")) for name in SPECIAL_TOKEN_FILES if name in files]
    named = {name: id for name in names if name and (id := tokenizer.token_to_id(name)) is not None}
    tokenizer.add_special_tokens(list(named))
    ids = [_ids(tokenizer, files.get(name, {}).get(f"{kind}_token_id"))
           for name in ("generation_config.json", "config.json")]
    return [*ids[0], *named.values(), *ids[1]]


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
