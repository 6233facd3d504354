"""The tokenizer that a GGUF file's keys describe, and what other files of a model say of its texts' ends."""
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders
from tokenizers.models import BPE

from gpt2_assist.errors import ModelError
from gpt2_assist.text.pre_tokenizers import PreTokenizer, by_name
from gpt2_assist.text.tokenizer import BYTE_ALPHABET

_OTHERS = {"llama": "SentencePiece (llama)", "bert": "WordPiece (bert)", "t5": "Unigram (t5)", "rwkv": "RWKV's (rwkv)"}
_UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED = 2, 3, 4, 5
"""GGUF's types of tokens that are no ordinary ones."""
_SEPARATORS = ("<|endoftext|>", "<|end_of_text|>")
"""They part the texts that a model learned from: where a chat model has one, it ends a text before the turn's end."""
_ENDS = frozenset((*_SEPARATORS, "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<end_of_turn>", "<EOT>",
                   "<|return|>", "<|endofprompt|>", "<｜end▁of▁sentence｜>", "</s>"))
"""Control tokens that end a text or a turn by their very name, as llama.cpp takes them too."""
_TURN = "<|im_start|>"
"""Begins a turn of a chat, never a text, though chat models' files call it their beginning."""
_KEY = "tokenizer.ggml."


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
        return self.tokenizer.id_to_token(id)


def gguf_tokens(keys: Mapping[str, object]) -> GGUFTokens:
    """Raises ModelError where the keys describe no byte-level BPE, or none that is known here."""
    words = _pre_tokenizer(keys)
    tokens = _texts(keys, "tokens")
    types = _types(keys, len(tokens))
    tokenizer = _tokenizer(tokens, types, _texts(keys, "merges"), words)
    there = {id for id in range(len(tokens)) if types[id] != _UNUSED and tokens[id]}
    begin, ends = _id(keys, "bos", there), _ends(keys, tokens, types, there)
    if begin is None or tokens[begin] == _TURN:
        begin = ends[0] if ends else None
    begun = keys.get(f"{_KEY}add_bos_token", words.begins_texts) is True
    template = keys.get("tokenizer.chat_template", "")
    return GGUFTokens(tokenizer, begin, ends, begun, template if isinstance(template, str) else "")


def _pre_tokenizer(keys: Mapping[str, object]) -> PreTokenizer:
    model = keys.get(f"{_KEY}model")
    if model != "gpt2":
        raise ModelError(f"The model's tokenizer is {_named(_OTHERS.get(str(model), model))}; only byte-level BPE "
                         "(gpt2) is known here." if model is not None else "The file holds no tokenizer.")
    name = keys.get(f"{_KEY}pre")
    if name in (None, "default") and keys.get("general.architecture") == "gpt2":
        name = "gpt-2"  # files from before the key was made
    if name is None:
        raise ModelError(f"The file doesn't say how texts are cut into words ({_KEY}pre).")
    known = by_name(name)
    if known is None:
        raise ModelError(f"The model's texts are cut into words in a way ({_KEY}pre = {_named(name)}) that isn't known "
                         "here.")
    return known


def _named(name: object) -> str:
    return repr(name)[:80] if not isinstance(name, str) else name[:80]


def _texts(keys: Mapping[str, object], name: str) -> list[str]:
    texts = keys.get(_KEY + name)
    if not isinstance(texts, list) or not texts and name == "tokens":
        if isinstance(texts, np.ndarray) and not len(texts):  # a list of nothing may be of any kind
            return []
        raise ModelError(f"The file's tokenizer has no {name}.")
    return texts


def _types(keys: Mapping[str, object], count: int) -> list[int]:
    types = keys.get(f"{_KEY}token_type")
    if types is None:
        return [1] * count
    if not isinstance(types, np.ndarray) or types.dtype.kind not in "iu" or len(types) != count:
        raise ModelError("The file's tokenizer has other types of tokens than tokens.")
    return types.tolist()


def _tokenizer(tokens: list[str], types: list[int], merges: list[str], words: PreTokenizer) -> Tokenizer:
    vocabulary: dict[str, int] = {}
    added: list[AddedToken] = []
    for id, (text, kind) in enumerate(zip(tokens, types)):
        if kind == _UNUSED or not text:
            continue
        if text in vocabulary:
            raise ModelError(f"The file's tokenizer has the token {text[:80]!r} twice.")
        vocabulary[text] = id
        if kind in (_UNKNOWN, _CONTROL, _USER_DEFINED) or not BYTE_ALPHABET.issuperset(text):
            added.append(AddedToken(text, special=kind in (_UNKNOWN, _CONTROL), normalized=False))
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
    named = {tokens[id]: id for id in sorted(there) if types[id] in (_CONTROL, _USER_DEFINED) and tokens[id] in _ENDS}
    stated = (_id(keys, kind, there) for kind in ("eos", "eot", "eom"))
    first = [named[name] for name in _SEPARATORS if name in named]
    return tuple(dict.fromkeys([*first, *(id for id in stated if id is not None), *named.values()]))


def _id(keys: Mapping[str, object], kind: str, there: set[int]) -> int | None:
    id = keys.get(f"{_KEY}{kind}_token_id")
    return id if type(id) is int and id in there else None


def _json(entries: dict) -> str:
    return json.dumps(entries, indent=2, ensure_ascii=False) + "\n"
