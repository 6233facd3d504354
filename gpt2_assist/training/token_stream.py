"""Packs documents into one stream of token ids on disk, and deals batches from it by step number alone."""
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from gpt2_assist.text.special_tokens import END_OF_TEXT

_DOCUMENTS_AT_ONCE = 64


def encode_documents(tokenizer: Tokenizer, documents: Iterable[str], limit: int) -> np.ndarray:
    """Token ids [n] of the documents, each followed by the separator, cut after `limit` tokens; uint16 or uint32.

    A document that spells the separator is several documents.
    """
    separator = tokenizer.token_to_id(END_OF_TEXT)
    kind = np.uint16 if tokenizer.get_vocab_size() <= 1 << 16 else np.uint32
    pieces, count, waiting = [], 0, []

    def flush() -> None:
        nonlocal count
        for encoding in tokenizer.encode_batch(waiting, add_special_tokens=False):
            pieces.append(np.array(encoding.ids + [separator], dtype=kind))
            count += len(pieces[-1])
        waiting.clear()

    for document in documents:
        waiting.append(document)
        if len(waiting) == _DOCUMENTS_AT_ONCE:
            flush()
            if count >= limit:
                break
    flush()
    return np.concatenate(pieces)[:limit] if pieces else np.zeros(0, kind)


def write_stream(path: Path, ids: np.ndarray) -> None:
    """Writes a token stream whole or not at all."""
    temporary = path.with_suffix(".part")
    with open(temporary, "wb") as file:
        np.save(file, ids)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


class Batches:
    """Deals the blocks of a token stream in a random order, each once per pass.

    The batch of a step is a function of the step and the seed, so a resumed training goes on with the very
    data that it would have seen, whatever the sequence length.
    """

    def __init__(self, stream: np.ndarray, block: int, batch_tokens: int, seed: int) -> None:
        self._stream, self._block, self._seed = stream, block, seed
        self._per_batch = max(1, batch_tokens // block)
        self._blocks = (len(stream) - 1) // block
        if self._blocks < 1:
            raise ValueError(f"a stream of {len(stream)} tokens has no block of {block}")

    @property
    def tokens(self) -> int:
        """Tokens in one batch."""
        return self._per_batch * self._block

    def at(self, step: int, sequence: int) -> tuple[np.ndarray, np.ndarray]:
        """(ids, targets), int64 [tokens / sequence, sequence], of a step; `sequence` must divide the block."""
        rows = []
        for index in range(step * self._per_batch, (step + 1) * self._per_batch):
            turn, place = divmod(index, self._blocks)
            start = int(self._order(turn)[place]) * self._block
            rows.append(self._stream[start:start + self._block + 1])
        block = np.stack(rows).astype(np.int64)
        return block[:, :-1].reshape(-1, sequence), block[:, 1:].reshape(-1, sequence)

    def _order(self, turn: int) -> np.ndarray:
        if getattr(self, "_turn", None) != turn:
            self._turn = turn
            self._permutation = np.random.default_rng((self._seed, turn)).permutation(self._blocks)
        return self._permutation
