"""The tokenizer that a GGUF file's keys describe, and what else they say of a model's texts."""
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders
from tokenizers.models import BPE

from gpt2_assist.errors import ModelError
from gpt2_assist.text.infill import infill_of, wrong_entry
from gpt2_assist.text.pre_tokenizers import PreTokenizer, by_name
from gpt2_assist.text.special_tokens import ENDS, SEPARATORS, TURN
from gpt2_assist.text.tokenizer import BYTE_ALPHABET, TextTokenizer

_OTHERS = {"llama": "SentencePiece (llama)", "bert": "WordPiece (bert)", "t5": "Unigram (t5)", "rwkv": "RWKV's (rwkv)"}
ORDINARY, UNKNOWN, CONTROL, USER_DEFINED, UNUSED = 1, 2, 3, 4, 5
"""GGUF's types of tokens."""
KEY = "tokenizer.ggml."
INFILL = {"prefix": "fim_pre", "suffix": "fim_suf", "middle": "fim_mid", "file": "fim_sep", "repository": "fim_rep"}
"""GGUF's names for what a model card calls so."""


@dataclass(frozen=True)
class GGUFTokens:
    """A file's tokenizer."""

    tokenizer: Tokenizer
    begin: int | None
    """Stands before a text."""
    ends: tuple[int, ...]
    """Any of them ends a text; the first one parts texts."""
    begun: bool
    """Whether the model was taught with `begin` before each text."""
    chat_template: str
    infill: dict[str, str]
    """A model card's entry, where the file states tokens that aren't known by their names."""

    @property
    def prompt_prefix(self) -> str:
        return self._text(self.begin) if self.begun and self.begin is not None else ""

    def ids(self) -> dict[str, object]:
        """The entries of config.json and generation_config.json."""
        ids: dict[str, object] = {"bos_token_id": self.begin} if self.begin is not None else {}
        if self.ends:
            ids["eos_token_id"] = self.ends[0] if len(self.ends) == 1 else list(self.ends)
        return ids

    def files(self) -> dict[str, str]:
        """What to write beside the weights, by name."""
        named = {"bos_token": self.begin, "eos_token": self.ends[0] if self.ends else None}
        configuration = {"tokenizer_class": "PreTrainedTokenizerFast",
                         **{name: self._text(id) for name, id in named.items() if id is not None}}
        if self.chat_template:
            configuration["chat_template"] = self.chat_template
        files = {"tokenizer.json": self.tokenizer.to_str(pretty=True) + "\n",
                 "tokenizer_config.json": _json(configuration)}
        if ids := self.ids():
            files["generation_config.json"] = _json(ids)
        return files

    def _text(self, id: int) -> str:
        return self.tokenizer.id_to_token(id) or ""


def gguf_tokens(keys: Mapping[str, object], size: int) -> GGUFTokens:
    """Of a model with a vocabulary of `size`. Raises ModelError where the keys describe no byte-level BPE, none that is
    known here, or a larger one."""
    words = _pre_tokenizer(keys)
    tokens = _texts(keys, "tokens")
    if len(tokens) > size:
        raise ModelError(f"The file's tokenizer has {len(tokens)} entries, but its model knows only {size} tokens.")
    types = [CONTROL if text in ENDS else kind for text, kind in zip(tokens, _types(keys, len(tokens)))]
    tokenizer = _tokenizer(tokens, types, _texts(keys, "merges"), words)
    there = {id for id in range(len(tokens)) if types[id] != UNUSED and tokens[id]}
    begin, ends = _id(keys, "bos", there), _ends(keys, tokens, types, there)
    if begin is None or tokens[begin] == TURN:
        begin = ends[0] if ends else None
    begun = keys.get(f"{KEY}add_bos_token", words.begins_texts) is True
    template = keys.get("tokenizer.chat_template", "")
    return GGUFTokens(tokenizer, begin, ends, begun, template if isinstance(template, str) else "",
                      _infill(keys, tokenizer, there))


def _pre_tokenizer(keys: Mapping[str, object]) -> PreTokenizer:
    model = keys.get(f"{KEY}model")
    if model != "gpt2":
        raise ModelError(f"The model's tokenizer is {_named(_OTHERS.get(str(model), model))}; only byte-level BPE "
                         "(gpt2) is known here." if model is not None else "The file holds no tokenizer.")
    name = keys.get(f"{KEY}pre")
    if name in (None, "default") and keys.get("general.architecture") == "gpt2":
        name = "gpt-2"  # files from before the key was made
    if name is None:
        raise ModelError(f"The file doesn't say how texts are cut into words ({KEY}pre).")
    known = by_name(name)
    if known is None:
        raise ModelError(f"The model's texts are cut into words in a way ({KEY}pre = {_named(name)}) that isn't known "
                         "here.")
    return known


def _named(name: object) -> str:
    return repr(name)[:80] if not isinstance(name, str) else name[:80]


def _texts(keys: Mapping[str, object], name: str) -> list[str]:
    texts = keys.get(KEY + name)
    if not isinstance(texts, list) or not texts and name == "tokens":
        if isinstance(texts, np.ndarray) and not len(texts):  # a list of nothing may be of any kind
            return []
        raise ModelError(f"The file's tokenizer has no {name}.")
    return texts


def _types(keys: Mapping[str, object], count: int) -> list[int]:
    types = keys.get(f"{KEY}token_type")
    if types is None:
        return [ORDINARY] * count
    if not isinstance(types, np.ndarray) or types.dtype.kind not in "iu" or len(types) != count:
        raise ModelError("The file's tokenizer has other types of tokens than tokens.")
    return types.tolist()


def _tokenizer(tokens: list[str], types: list[int], merges: list[str], words: PreTokenizer) -> Tokenizer:
    vocabulary: dict[str, int] = {}
    added: list[AddedToken] = []
    for id, (text, kind) in enumerate(zip(tokens, types)):
        if kind == UNUSED or not text:
            continue
        if text in vocabulary:
            raise ModelError(f"The file's tokenizer has the token {text[:80]!r} twice.")
        vocabulary[text] = id
        if kind in (UNKNOWN, CONTROL, USER_DEFINED) or not BYTE_ALPHABET.issuperset(text):
            added.append(AddedToken(text, special=kind in (UNKNOWN, CONTROL), normalized=False))
    pairs = [_pair(merge, vocabulary) for merge in merges]
    try:
        tokenizer = Tokenizer(BPE(vocabulary, pairs, ignore_merges=words.takes_words_whole))
        tokenizer.pre_tokenizer = words.build()
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.add_tokens(added)
    except Exception as error:  # tokenizers raises bare Exceptions
        raise ModelError(f"The file's tokenizer is damaged: {str(error)[:80]}.") from None
    return tokenizer


def _pair(merge: str, vocabulary: dict[str, int]) -> tuple[str, str]:
    first, _, second = merge[1:].partition(" ")
    first = merge[:1] + first
    if first not in vocabulary or second not in vocabulary or first + second not in vocabulary:
        raise ModelError(f"The file's tokenizer joins {merge[:80]!r}, of which its vocabulary knows nothing.")
    return first, second


def _ends(keys: Mapping[str, object], tokens: list[str], types: list[int], there: set[int]) -> tuple[int, ...]:
    """What parts texts, what the file says, and what says so by its name, each once."""
    named = {tokens[id]: id for id in sorted(there) if tokens[id] in ENDS}
    stated = (_id(keys, kind, there) for kind in ("eos", "eot", "eom"))
    first = [named[name] for name in SEPARATORS if name in named]
    return tuple(dict.fromkeys([*first, *(id for id in stated if id is not None), *named.values()]))


def _id(keys: Mapping[str, object], kind: str, there: set[int]) -> int | None:
    id = keys.get(f"{KEY}{kind}_token_id")
    return id if type(id) is int and id in there else None


def _infill(keys: Mapping[str, object], tokenizer: Tokenizer, there: set[int]) -> dict[str, str]:
    named = {entry: name for entry, kind in INFILL.items()
             if (id := _id(keys, kind, there)) is not None and (name := tokenizer.id_to_token(id)) is not None}
    entries = {**named, "order": "PSM"}
    if wrong_entry(entries) or infill_of({}, TextTokenizer(tokenizer)):
        return {}
    return entries


def _json(entries: dict) -> str:
    return json.dumps(entries, indent=2, ensure_ascii=False) + "\n"
