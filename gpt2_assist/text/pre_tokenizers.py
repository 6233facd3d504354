"""Pre-tokenisers of byte-level BPE, which cut a text into the words within which bytes are joined, by GGUF's names."""
import json
from dataclasses import dataclass

from tokenizers import Regex, Tokenizer
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence, Split
from tokenizers.pre_tokenizers import PreTokenizer as Library

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_DIGIT = r"\p{N}"
_GPT4 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|", r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
         r"|\s+(?!\S)|\s+")
_SEED = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+"
         r"|\s+(?!\S)|\s+")


@dataclass(frozen=True)
class PreTokenizer:
    names: tuple[str, ...]
    """GGUF's, that which we write first."""
    patterns: tuple[str, ...]
    """What one matches stands alone; the next one cuts what is between and within."""
    takes_words_whole: bool = False
    """Whether a word that is a token is always that token, whatever its bytes would be joined to."""
    begins_texts: bool = False
    """Whether texts begin with the beginning token where a file doesn't say."""

    def build(self) -> Library:
        row: list[Library] = [Digits(individual_digits=True) if pattern == _DIGIT else Split(Regex(pattern), "isolated")
               for pattern in self.patterns if pattern != _GPT2]
        row.append(ByteLevel(add_prefix_space=False, use_regex=_GPT2 in self.patterns))
        return row[0] if len(row) == 1 else Sequence(row)


KNOWN = (
    PreTokenizer(("gpt-2", "phi-2", "olmo", "mpt", "jais", "trillion", "gigachat", "a.x-4.0", "mellum", "exaone4"),
                 (_GPT2,)),
    PreTokenizer(("smollm", "starcoder", "refact", "codeshell", "command-r", "exaone", "minerva-7b", "mellum2"),
                 (_DIGIT, _GPT2)),
    PreTokenizer(("qwen2", "deepseek-r1-qwen", "megrez", "stablelm2", "hunyuan", "solar-open", "kormo", "grok-2"),
                 (r"\p{N}".join(_GPT4),)),
    PreTokenizer(("llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"),
                 (r"\p{N}{1,3}".join(_GPT4),), takes_words_whole=True, begins_texts=True),
    PreTokenizer(("dbrx", "smaug-bpe", "glm4", "chatglm-bpe"), (r"\p{N}{1,3}".join(_GPT4),)),
    PreTokenizer(("deepseek-coder",), (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", _DIGIT)),
    PreTokenizer(("seed-coder",), (_SEED,)),
)


def by_name(name: object) -> PreTokenizer | None:
    """The one that GGUF calls so, if it is known."""
    return next((known for known in KNOWN if name in known.names), None)


def used_by(tokenizer: Tokenizer) -> PreTokenizer | None:
    """What a tokenizer cuts its texts with, if it is known."""
    stated = json.loads(tokenizer.to_str())
    patterns, whole = _patterns(stated["pre_tokenizer"]), bool(stated["model"].get("ignore_merges"))
    return next((known for known in KNOWN if (known.patterns, known.takes_words_whole) == (patterns, whole)), None)


def _patterns(stated: dict | None) -> tuple[str, ...] | None:
    """The row of patterns that a tokenizer.json states; None where it does something else besides."""
    if stated is None:
        return ()
    if stated["type"] == "Sequence":
        rows = [_patterns(inner) for inner in stated["pretokenizers"]]
        known = [row for row in rows if row is not None]
        return tuple(pattern for row in known for pattern in row) if len(known) == len(rows) else None
    if stated["type"] == "Digits" and stated["individual_digits"]:
        return (_DIGIT,)
    if stated["type"] == "ByteLevel" and not stated["add_prefix_space"]:
        return (_GPT2,) if stated.get("use_regex", True) else ()
    if stated["type"] == "Split" and stated["behavior"] == "Isolated" and not stated.get("invert"):
        return (stated["pattern"].get("Regex"),)
    return None
