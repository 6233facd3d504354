"""The small files of a model's folder as hubs and other programs read them: sizes, the tokenizer, what ends a text."""
import json
from pathlib import Path

from gpt2_assist.architectures import architecture
from gpt2_assist.architectures.description import Decoder
from gpt2_assist.text.tokenizer import TextTokenizer


def write_config(config: Decoder, tokenizer: TextTokenizer, folder: Path) -> None:
    """config.json. Without the ids of a text's ends transformers would take GPT-2's own, and run past them.

    Raises OSError where the disk refuses.
    """
    ids = {"bos_token_id": tokenizer.begin_of_text, "eos_token_id": tokenizer.end_of_text}
    if len(tokenizer.ends) > 1:
        ids["eos_token_id"] = list(tokenizer.ends)
    _write(folder / "config.json", {**architecture(config.architecture).to_hub(config), **ids})


def write_tokenizer(tokenizer: TextTokenizer, folder: Path) -> None:
    """tokenizer.json and tokenizer_config.json. Raises OSError where the disk refuses."""
    (folder / "tokenizer.json").write_text(tokenizer.inner.to_str(pretty=True), encoding="utf-8")
    named = {"bos_token": tokenizer.begin_of_text, "eos_token": tokenizer.end_of_text}
    _write(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **{
        name: tokenizer.decode([id]) for name, id in named.items() if id is not None}})


def _write(path: Path, entries: dict) -> None:
    path.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
