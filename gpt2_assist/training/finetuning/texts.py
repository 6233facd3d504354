"""From documents to the streams of tokens on which a model is trained and measured."""
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from gpt2_assist.corpus.documents import START, Document
from gpt2_assist.errors import DataError
from gpt2_assist.text.tokenizer import TextTokenizer
from gpt2_assist.training.rows import Text
from gpt2_assist.training.token_stream import write_stream

_LEAST_TOKENS = 200
_AT_ONCE = 256


def encoded(tokenizer: TextTokenizer, documents: Sequence[Document], vocab_size: int) -> Text:
    """The model's end of text parts documents, and short ones begin with START."""
    separator, start = tokenizer.end_of_text, tokenizer.encode(START)  # by itself, as a prompt gives it
    kind = np.uint16 if vocab_size <= 1 << 16 else np.uint32
    pieces, starts, count = [np.zeros(0, kind)], [0], 0
    for first in range(0, len(documents), _AT_ONCE):
        part = documents[first:first + _AT_ONCE]
        for document, encoding in zip(part, tokenizer.encode_all([document.text for document in part])):
            marks = start if document.short else []
            pieces.append(np.array([separator, *marks, *encoding.ids, separator], kind))
            count += len(pieces[-1])
            starts.append(count)
    given = np.array([len(start) if document.short else 0 for document in documents], np.int64)
    return Text(np.concatenate(pieces), np.array(starts, np.int64), given if given.any() else None)


def check_size(training: Text, validation: Text) -> None:
    """Raises DataError where there is too little to learn from or to measure by."""
    if training.tokens < _LEAST_TOKENS or validation.tokens < 8:
        raise DataError(f"There is too little text to learn from: {training.tokens} tokens, and {_LEAST_TOKENS} are "
                        "the least.")


def write_text(folder: Path, name: str, text: Text) -> None:
    """Raises OSError where the disk refuses."""
    folder.mkdir(parents=True, exist_ok=True)
    write_stream(folder / f"{name}.npy", text.stream)
    write_stream(folder / f"{name}-starts.npy", text.starts)
    if text.given is not None:
        write_stream(folder / f"{name}-given.npy", text.given)


def read_text(folder: Path, name: str) -> Text:
    """Raises DataError where the files are missing or damaged."""
    try:
        given = folder / f"{name}-given.npy"
        text = Text(np.load(folder / f"{name}.npy", mmap_mode="r"), np.load(folder / f"{name}-starts.npy"),
                    np.load(given) if given.is_file() else None)
        if text.starts[-1] != len(text.stream) or text.given is not None and len(text.given) + 1 != len(text.starts):
            raise ValueError
        return text
    except (OSError, ValueError, IndexError):
        raise DataError(f"The run's data in {folder} are missing or damaged; train it anew with --overwrite.") from None


def decoder(tokenizer: Tokenizer, vocab_size: int) -> Callable[[list[int]], str] | None:
    """What turns GPT-2's token ids into text; None for a model that has others."""
    return tokenizer.decode if vocab_size == 50257 else None


def general_text(path: Path, tokenizer: TextTokenizer, vocab_size: int) -> Text:
    """A text that comes with the program, by which one sees what a model forgets."""
    text = path.read_text(encoding="utf-8")
    return encoded(tokenizer, [Document(text, os.fspath(path))], vocab_size)
