"""Prompts with text on both sides of the cursor, as tokens (Bavarian et al. 2022, "Efficient Training of Language
Models to Fill in the Middle").

A model that can do it was taught control tokens: one stands before what is before the cursor (P), one before what is
after it (S), one before what is to come between (M). They are put in by their ids; in the user's own texts nothing is
ever taken for one.

    PSM    <prefix> P <suffix> S <middle>
    SPM    <suffix> S <prefix> P <middle>
    both   <prefix> <suffix> S <middle> P     of models that learned PSM too, by the same tokens

What stands first changes least, so that the prefix cache serves most. Other files come first of all. Of a model that
knows both orders the suffix is put before the prefix, as with SPM: while somebody types it stays as it is, and a key
costs the tokens of the word that is being written, as without a suffix. With PSM a key costs the suffix anew. Where the
cursor goes elsewhere the suffix is another one, and all behind it is read again.

What doesn't fit is cut off, the prefix at its beginning and the suffix at its end, in steps of an eighth of the room,
so that the next key finds the same cut.
"""
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpt2_assist.errors import ModelError

if TYPE_CHECKING:  # cards are read without the library
    from gpt2_assist.text.tokenizer import TextTokenizer

ORDERS = ("PSM", "SPM", "both")
ENTRIES = {"prefix": str, "suffix": str, "middle": str, "order": str, "begin": str, "file": str, "repository": str,
           "ends": list}
"""What a model card may say under `infill`: names of tokens, and the order. `begin` stands before all else, `file`
before each file's path, `repository` before its name; `ends` end a text, besides all the others here."""
NEW = {"prefix": "<|fim_prefix|>", "suffix": "<|fim_suffix|>", "middle": "<|fim_middle|>"}
"""Names for tokens that a model gets anew."""
_QWEN = {**NEW, "order": "PSM", "file": "<|file_sep|>", "repository": "<|repo_name|>",
         "ends": ["<|fim_pad|>", "<|im_end|>"]}
_STARCODER = {"prefix": "<fim_prefix>", "suffix": "<fim_suffix>", "middle": "<fim_middle>", "order": "both",
              "file": "<file_sep>", "repository": "<repo_name>", "ends": ["<fim_pad>", "<filename>"]}
_CODE_LLAMA = {"prefix": "<PRE>", "suffix": "<SUF>", "middle": "<MID>", "order": "both", "ends": ["<EOT>"]}
_DEEPSEEK = {"prefix": "<｜fim▁begin｜>", "suffix": "<｜fim▁hole｜>", "middle": "<｜fim▁end｜>", "order": "PSM",
             "begin": "<｜begin▁of▁sentence｜>"}
_SEED = {"prefix": "<[fim-prefix]>", "suffix": "<[fim-suffix]>", "middle": "<[fim-middle]>", "order": "SPM"}
_KNOWN: tuple[dict[str, Any], ...] = (_QWEN, _STARCODER, _CODE_LLAMA, _DEEPSEEK, _SEED)
_CONTROL = re.compile(r"▁?<.*>|\[.*\]")
_STEPS, _LEAST_AFTER, _MOST_BESIDE = 8, 2, 2
"""Of the room for a prompt: in how many steps it is dealt, how many of them are the suffix's in any case, and how many
other files get at most."""


@dataclass(frozen=True)
class Piece:
    """A file's tokens."""

    path: Sequence[int]
    """Of its name, with the line's end behind it; may be empty."""
    text: Sequence[int] = ()


@dataclass(frozen=True)
class Infill:
    """A model's control tokens."""

    prefix: int
    suffix: int
    middle: int | None
    order: str
    begin: int | None = None
    file: int | None = None
    repository: int | None = None
    ends: frozenset[int] = frozenset()
    """All that ends what is filled in; none of them is ever shown."""

    @property
    def file_ends(self) -> frozenset[int]:
        """Those that end a text also where nothing is filled in: behind them another file begins, or nothing."""
        return self.ends - {self.prefix, self.suffix, self.middle, self.repository, self.begin}

    def prompt(self, before: Sequence[int], after: Sequence[int], room: int, beside: Sequence[Piece] = (),
               name: Sequence[int] = (), repository: Sequence[int] = ()) -> list[int]:
        """The ids to go on from, at most `room` of them where that is enough for the control tokens: what stands
        `before` and `after` the cursor in a file of this `name`, `beside` other pieces of its `repository`."""
        head = self._head(beside, name, repository, room)
        kept_before, kept_after = shares(len(before), len(after), max(0, room - len(head) - 3))
        before, after = before[len(before) - kept_before:], after[:kept_after]
        middle = [] if self.middle is None else [self.middle]
        if self.order == "PSM":
            return [*head, self.prefix, *before, self.suffix, *after, *middle]
        if self.order == "SPM":
            return [*head, self.suffix, *after, self.prefix, *before, *middle]
        return [*head, self.prefix, self.suffix, *after, *middle, *before]

    def sides(self, ids: Sequence[int]) -> tuple[list[int], list[int]]:
        """The tokens before and after the cursor in a `prompt`."""
        ids = list(ids)
        first, second = sorted((ids.index(self.prefix), ids.index(self.suffix)))
        end = len(ids) if self.middle is None else ids.index(self.middle)
        if self.order == "both":
            return ids[end + 1:], ids[second + 1:end]
        parts = ids[first + 1:second], ids[second + 1:end]
        return parts if self.order == "PSM" else parts[::-1]

    def _head(self, beside: Sequence[Piece], name: Sequence[int], repository: Sequence[int], room: int) -> list[int]:
        """What stands before the file. Of other pieces the first are kept, the last of them to its beginning."""
        mark = [] if self.file is None else [self.file]
        known = [self.repository, *repository] if repository and self.repository is not None else []
        others = [id for piece in beside for id in (*mark, *piece.path, *piece.text)]
        begin = [] if self.begin is None else [self.begin]
        own = [*mark, *name] if name and (mark or beside) else []
        return [*begin, *[*known, *others][:room // _STEPS * _MOST_BESIDE], *own[:room // _STEPS]]


def shares(before: int, after: int, room: int) -> tuple[int, int]:
    """How many of so many tokens before and after the cursor are kept in a room: all where they fit, else a quarter and
    what the prefix leaves of the suffix, and of the prefix the rest. Both change in steps while one of them grows."""
    if before + after <= room:
        return before, after
    step = max(1, room // _STEPS)
    kept_after = min(after, max(_LEAST_AFTER * step, room - _up(before, step)), room)
    over = before - (room - kept_after)
    return max(0, before - _up(over, step)) if over > 0 else before, kept_after


def reserve(n_ctx: int, new_tokens: int) -> int:
    """How much of a context is left for what is filled in, which can't move the window."""
    step = max(1, n_ctx // _STEPS)
    return min(max(step, _up(new_tokens, step)), n_ctx // 2)


def is_control(name: str) -> bool:
    """Whether a token looks like one that isn't text."""
    return bool(_CONTROL.fullmatch(name))


def infill_of(entries: Mapping[str, Any], tokenizer: "TextTokenizer") -> Infill | None:
    """What a card's `infill` says; where that is nothing, what the tokenizer has of names that are known. None: the
    model has no such tokens. Raises ModelError where the card names one that the tokenizer lacks."""
    if not entries:
        entries = next((known for known in _KNOWN if all(tokenizer.has_token(known[name]) for name in NEW)), {})
        if not entries:
            return None
        entries = {name: value for name, value in entries.items()
                   if name in ("order", "ends") or tokenizer.has_token(value)}
    return stated_infill(entries, tokenizer)


def stated_infill(entries: Mapping[str, Any], tokenizer: "TextTokenizer", anew: bool = False) -> Infill:
    """What a card's `infill` says, which is not empty. Raises ModelError where it names a token that the tokenizer
    lacks, unless that is to get them `anew`."""
    names = {key: name for key, name in entries.items() if key not in ("order", "ends")}
    wrong = [name for name in names.values() if not is_control(name) or not (anew or tokenizer.has_token(name))]
    if wrong:
        raise ModelError(f"The model card names {wrong[0]} for filling in, which is no control token of the model's "
                         "tokenizer.")
    ids = {key: tokenizer.id_of(name) for key, name in names.items()}
    ends = [tokenizer.id_of(name) for name in entries.get("ends", []) if tokenizer.has_token(name)]
    return Infill(ids["prefix"], ids["suffix"], ids.get("middle"), entries["order"], ids.get("begin"), ids.get("file"),
                  ids.get("repository"), frozenset([*ids.values(), *ends, *tokenizer.ends]))


def wrong_entry(entries: Mapping[str, Any]) -> str | None:
    """What is wrong with a card's `infill`, in a few words; None where nothing is."""
    for key, value in entries.items():
        if key not in ENTRIES:
            return f"has an unknown entry: {key}"
        if type(value) is not ENTRIES[key] or not value or key == "ends" and not all(
                isinstance(name, str) and name for name in value):
            return f"has an entry that makes no sense: {key}"
    if entries and not ("prefix" in entries and "suffix" in entries and entries.get("order") in ORDERS):
        return f"lacks prefix, suffix or an order ({', '.join(ORDERS)})"
    if entries.get("order") in ("PSM", "both") and "middle" not in entries:
        return f"lacks middle, which the order {entries['order']} needs"
    return None


def _up(count: int, step: int) -> int:
    return -(-count // step) * step
