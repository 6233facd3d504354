"""The index of what a run's texts say, for asking later whether something is copied from them."""
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from gpt2_assist.corpus.documents import Document
from gpt2_assist.text.tokenizer import TextTokenizer

_AT_ONCE = 256


def build_copies(folder: Path, tokenizer: TextTokenizer, documents: Sequence[Document],
                 say: Callable[[str], None]) -> None:
    """Raises StorageError where the disk refuses."""
    from gpt2_assist.originality.index import CopyIndex
    tokens, lines = [], []
    for first in range(0, len(documents), _AT_ONCE):
        part = documents[first:first + _AT_ONCE]
        for document, encoding in zip(part, tokenizer.encode_all([document.text for document in part])):
            tokens.append(np.array(encoding.ids, np.uint32))
            ends = np.array([place for place, mark in enumerate(document.text)
                             if mark == "\n" and not document.one_line], np.int64)
            begins = np.array([begin for begin, _ in encoding.offsets], np.int64)
            lines.append(np.searchsorted(ends, begins))
    say(f"Indexing {sum(map(len, tokens)):,} tokens, to know later what is copied from them.")
    CopyIndex.build(tokens, [(document.source, document.line) for document in documents], lines).save(folder)
