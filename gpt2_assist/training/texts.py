"""From documents to the streams of tokens on which a model is trained and measured."""
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from gpt2_assist.corpus.documents import START, Document
from gpt2_assist.errors import DataError
from gpt2_assist.training.corpus import SEPARATOR
from gpt2_assist.training.packing import write_stream

_FEW = 20
"""Documents below which each gives its end to validation, instead of some being held out whole; short texts are always
held out whole."""
_LEAST_TOKENS = 200
_AT_ONCE = 256


@dataclass(frozen=True)
class Text:
    """Documents as tokens, each with the separator before and behind."""

    stream: np.ndarray
    """[n] of uint16 or uint32."""
    starts: np.ndarray
    """Where each document begins, and n; int64."""

    @property
    def tokens(self) -> int:
        return len(self.stream)

    def documents(self) -> list[np.ndarray]:
        """Views, without the separators."""
        return [self.stream[first + 1:end - 1] for first, end in zip(self.starts[:-1], self.starts[1:])]


def split(documents: Sequence[Document], share: float) -> tuple[list[Document], list[Document]]:
    """(training, validation). Of many documents some are held out, whole; of few, the end of each.

    Which ones depends on their content alone, so more data leave the choice as it was.
    """
    if len(documents) >= _FEW or all(document.short for document in documents):
        ranked = sorted(documents, key=lambda document: hashlib.sha256(document.text.encode()).digest())
        held = {id(document) for document in ranked[:min(len(ranked) - 1, max(1, round(share * len(ranked))))]}
        return ([document for document in documents if id(document) not in held],
                [document for document in documents if id(document) in held])
    training, validation = [], []
    for document in documents:
        at = _boundary(document.text, len(document.text) - int(share * len(document.text)))
        if document.short or not 0 < at < len(document.text):
            training.append(document)
            continue
        training.append(replace(document, text=document.text[:at]))
        validation.append(replace(document, text=document.text[at:], line=document.line_at(at)))
    return training, validation


def _boundary(text: str, near: int) -> int:
    """The end of a paragraph, a line or a word, the first that is not far behind `near`."""
    for mark in ("\n\n", "\n", " "):
        at = text.find(mark, near)
        if 0 <= at - near < 2000:
            return at + len(mark)
    return near


def encoded(tokenizer: Tokenizer, documents: Sequence[Document], vocab_size: int) -> Text:
    """Short texts begin with START; a document that spells the separator has it as a token."""
    separator = tokenizer.token_to_id(SEPARATOR)
    kind = np.uint16 if vocab_size <= 1 << 16 else np.uint32
    pieces, starts, count = [np.zeros(0, kind)], [0], 0
    for first in range(0, len(documents), _AT_ONCE):
        texts = [START + document.text if document.short else document.text
                 for document in documents[first:first + _AT_ONCE]]
        for encoding in tokenizer.encode_batch(texts, add_special_tokens=False):
            pieces.append(np.array([separator, *encoding.ids, separator], kind))
            count += len(pieces[-1])
            starts.append(count)
    return Text(np.concatenate(pieces), np.array(starts, np.int64))


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


def read_text(folder: Path, name: str) -> Text:
    """Raises DataError where the files are missing or damaged."""
    try:
        text = Text(np.load(folder / f"{name}.npy", mmap_mode="r"), np.load(folder / f"{name}-starts.npy"))
        if text.starts[-1] != len(text.stream):
            raise ValueError
        return text
    except (OSError, ValueError, IndexError):
        raise DataError(f"The run's data in {folder} are missing or damaged; train it anew with --overwrite.") from None


def decoder(tokenizer: Tokenizer, vocab_size: int) -> Callable[[list[int]], str] | None:
    """What turns GPT-2's token ids into text; None for a model that has others."""
    return tokenizer.decode if vocab_size == 50257 else None


def general_text(path: Path, tokenizer: Tokenizer, vocab_size: int) -> Text:
    """A text that comes with the program, by which one sees what a model forgets."""
    text = path.read_text(encoding="utf-8")
    return encoded(tokenizer, [Document(text, os.fspath(path))], vocab_size)
