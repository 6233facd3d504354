"""Pre-tokenisers of byte-level BPE, which cut a text into the words within which bytes are joined, by GGUF's names.

Each is a row of patterns: what one matches stands alone, and the next ones cut what is between and within further.
"""
import json
from collections.abc import Sequence

from tokenizers import Regex, Tokenizer
from tokenizers.pre_tokenizers import ByteLevel, Digits, PreTokenizer, Split
from tokenizers.pre_tokenizers import Sequence as Row

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_DIGIT = r"\p{N}"
_WORDS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|", r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
_ROWS = {"gpt-2": (_GPT2,), "smollm": (_DIGIT, _GPT2), "qwen2": (r"\p{N}".join(_WORDS),),
         "llama-bpe": (r"\p{N}{1,3}".join(_WORDS),)}
"""The first name of each, which is the one that we write."""
_SAME = {
    "gpt-2": ("phi-2", "olmo", "mpt", "jais", "trillion", "gigachat", "a.x-4.0", "mellum", "exaone4"),
    "smollm": ("starcoder", "refact", "codeshell", "command-r", "exaone", "minerva-7b", "mellum2"),
    "qwen2": ("deepseek-r1-qwen", "megrez", "stablelm2", "hunyuan", "solar-open", "kormo", "grok-2"),
    "llama-bpe": ("llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "dbrx", "smaug-bpe",
                  "glm4", "chatglm-bpe"),
}
_FIRST = {name: first for first, names in _SAME.items() for name in (first, *names)}
_JOINED_WHOLE = ("llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2")
"""Those with which a word that is a token is that token, whatever its bytes would be joined to."""
_BEGUN = _JOINED_WHOLE
"""Those whose texts begin with their beginning token where the file doesn't say."""


def names() -> list[str]:
    """All that are known, sorted."""
    return sorted(_FIRST)


def pre_tokenizer(name: str) -> PreTokenizer:
    """By GGUF's name, one of `names`."""
    *cuts, last = _ROWS[_FIRST[name]]
    row: list[PreTokenizer] = [_cut(pattern) for pattern in cuts]
    if last != _GPT2:
        row.append(_cut(last))
    row.append(ByteLevel(add_prefix_space=False, use_regex=last == _GPT2))
    return row[0] if len(row) == 1 else Row(row)


def takes_words_whole(name: str) -> bool:
    """Whether a word that is a token is always that token."""
    return name in _JOINED_WHOLE


def begins_texts(name: str) -> bool:
    """Whether texts begin with the beginning token where a file doesn't say."""
    return name in _BEGUN


def name_of(tokenizer: Tokenizer) -> str | None:
    """GGUF's name for what a tokenizer cuts its texts with; None where it isn't known."""
    stated = json.loads(tokenizer.to_str())
    patterns = _patterns(stated["pre_tokenizer"])
    whole = bool(stated["model"].get("ignore_merges"))
    return next((name for name, row in _ROWS.items() if row == patterns and takes_words_whole(name) == whole),
                next((name for name, first in _FIRST.items()
                      if _ROWS[first] == patterns and takes_words_whole(name) == whole), None))


def _cut(pattern: str) -> PreTokenizer:
    return Digits(individual_digits=True) if pattern == _DIGIT else Split(Regex(pattern), "isolated")


def _patterns(stated: dict | None) -> tuple[str, ...] | None:
    """The row of patterns that a tokenizer.json states; None where it does something else besides."""
    if stated is None:
        return ()
    if stated["type"] == "Sequence":
        rows: Sequence = [_patterns(inner) for inner in stated["pretokenizers"]]
        return None if None in rows else sum(rows, ())
    if stated["type"] == "Digits" and stated["individual_digits"]:
        return (_DIGIT,)
    if stated["type"] == "ByteLevel" and not stated["add_prefix_space"]:
        return (_GPT2,) if stated.get("use_regex", True) else ()
    if stated["type"] == "Split" and stated["behavior"] == "Isolated" and not stated.get("invert"):
        return (stated["pattern"].get("Regex"),)
    return None
