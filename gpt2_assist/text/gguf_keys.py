"""The keys by which a GGUF file describes a tokenizer; text/gguf_tokens.py reads them."""
import json
import re
from collections.abc import Mapping

from gpt2_assist.errors import ModelError
from gpt2_assist.text.gguf_tokens import CONTROL, INFILL, KEY, ORDINARY, UNUSED, USER_DEFINED
from gpt2_assist.text.infill import infill_of
from gpt2_assist.text.pre_tokenizers import used_by
from gpt2_assist.text.tokenizer import TextTokenizer

_GO = re.compile(r"\{\{-? *(\.|if |range |end\b|with |else\b)")
"""Of templates in Ollama's language, which no other program understands."""


def gguf_keys(tokens_of: TextTokenizer, size: int, prompt_prefix: str = "", chat_template: str = "",
              infill: Mapping[str, object] | None = None) -> dict[str, object]:
    """The keys of a model with a vocabulary of `size`, whose tokenizer may be smaller: the ids that it lacks get
    placeholders, as padded vocabularies have them. The rest is what the model's card says.

    Raises ModelError where GGUF can't say what the tokenizer does.
    """
    words = used_by(tokens_of.inner)
    if words is None:
        raise ModelError("GGUF files can't say how the model's tokenizer cuts texts into words.")
    ids = {"bos": tokens_of.begin_of_text, **dict(zip(("eos", "eot", "eom"), tokens_of.ends)),
           **_infill_ids(infill or {}, tokens_of)}
    stated = json.loads(tokens_of.inner.to_str())
    tokens, types = [f"[PAD{id}]" for id in range(size)], [UNUSED] * size
    for text, id in stated["model"]["vocab"].items():
        tokens[id], types[id] = text, ORDINARY
    for added in stated["added_tokens"]:
        tokens[added["id"]] = added["content"]
        types[added["id"]] = CONTROL if added["special"] else USER_DEFINED
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in stated["model"]["merges"]]
    begin = "" if tokens_of.begin_of_text is None else tokens[tokens_of.begin_of_text]
    keys = {"model": "gpt2", "pre": words.names[0], "tokens": tokens, "token_type": types, "merges": merges,
            "add_bos_token": bool(begin) and prompt_prefix == begin,
            **{f"{kind}_token_id": id for kind, id in ids.items() if id is not None}}
    template = {"tokenizer.chat_template": chat_template} if chat_template and not _GO.search(chat_template) else {}
    return {**{KEY + name: value for name, value in keys.items()}, **template}


def _infill_ids(entries: Mapping[str, object], tokens_of: TextTokenizer) -> dict[str, int | None]:
    infill = infill_of(entries, tokens_of)
    return {kind: getattr(infill, entry) for entry, kind in INFILL.items()} if infill else {}
