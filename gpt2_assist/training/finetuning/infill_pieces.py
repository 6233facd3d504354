"""Teaching a model to fill in between two texts (Bavarian et al. 2022, "Efficient Training of Language Models to Fill
in the Middle"): half of what it reads is cut at two random characters and put in the order in which it will be asked.

The prompts are those of text/infill.py, with the word at the cursor left to what is filled in where healing will take
it back too.
"""
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from gpt2_assist.text.healing import Healing
from gpt2_assist.text.infill import NEW, Infill, infill_of, is_control, stated_infill
from gpt2_assist.text.tokenizer import TextTokenizer
from gpt2_assist.training.rows import GIVEN, Pieces, Text, packed

SHARE = 0.5
"""Of the pieces that are cut."""
MORE = 8
"""Tokens, at most, that a piece has more once it is cut."""
_LEAST = 3
"""Characters of a piece that can be cut."""
_ALIKE = 0.03
"""How far apart two rows of an embedding are at most, as a share of its rows' usual length, that were never trained:
what nothing told apart stayed what it was at first."""


@dataclass(frozen=True)
class Lesson:
    """By which tokens a model is taught to fill in."""

    entries: Mapping[str, object]
    """What its card will say of them."""
    infill: Infill
    new: tuple[int, ...] = ()
    """Those that mean nothing to the model yet: their rows of the embedding are made anew. None where it could fill in
    before."""

    @classmethod
    def of(cls, tokenizer: TextTokenizer, entries: Mapping[str, object], embedding: torch.Tensor) -> "Lesson":
        """`entries` are those of the model's card. A model that has no tokens for it takes control tokens that were
        never used, or gets others, which from now on are the tokenizer's too."""
        if known := infill_of(entries, tokenizer):
            return cls(entries, known)
        assert tokenizer.end_of_text is not None  # else base.py would have refused it
        names = _unused(tokenizer, embedding) or NEW.values()
        entries = {**dict(zip(NEW, names)), "order": "SPM",
                   "begin": tokenizer.inner.id_to_token(tokenizer.end_of_text)}
        infill = stated_infill(entries, tokenizer, anew=True)
        return cls(entries, infill, tuple(id for id in (infill.prefix, infill.suffix, infill.middle) if id is not None))

    def rows(self, embedding: torch.Tensor, seed: int) -> dict[int, torch.Tensor]:
        """First rows for the new tokens, float32, as if they were any tokens (Hewitt 2021, "Initializing New Word
        Embeddings for Pretrained Language Models")."""
        mean, spread = embedding.float().mean(0), embedding.float().std(0)
        generator = torch.Generator().manual_seed(seed)
        return {id: mean + spread * torch.randn(len(mean), generator=generator) for id in self.new}


def _unused(tokenizer: TextTokenizer, embedding: torch.Tensor) -> list[str]:
    """Three control tokens that the model was never trained with; none where there are fewer."""
    special = {id: token.content for id, token in tokenizer.inner.get_added_tokens_decoder().items()
               if token.special and id < len(embedding) and id not in (*tokenizer.ends, tokenizer.begin_of_text)
               and is_control(token.content)}
    rows = embedding[list(special)].float()
    near = torch.cdist(rows, rows) <= _ALIKE * embedding.float().norm(dim=1).median()
    most = max(near, key=torch.sum, default=near)
    alike = [name for name, there in zip(special.values(), most.tolist()) if there and "file" not in name]
    return alike[:len(NEW)] if len(alike) >= len(NEW) else []


@dataclass(frozen=True)
class Cutting:
    """Makes of a piece of a text what stands after and before two cursors in it, and what stands between."""

    tokenizer: TextTokenizer
    infill: Infill
    healing: Healing = field(compare=False)
    share: float = SHARE
    measured: bool = False
    """Whether only what is filled in counts, as where one measures how well that is foretold."""

    @classmethod
    def of(cls, tokenizer: TextTokenizer, infill: Infill) -> "Cutting":
        return cls(tokenizer, infill, Healing(tokenizer.ordinary_tokens(), tokenizer.encode))

    def cut(self, body: np.ndarray, room: int, dice: np.random.Generator) -> tuple[np.ndarray, np.ndarray] | None:
        """(ids, the target behind each), at most `room` of them, of a piece's tokens; None where it is too short.

        Control tokens are no targets: nobody is to write them.
        """
        text = self.tokenizer.decode(body.tolist()).lstrip("\ufffd")
        if len(text) < _LEAST:
            return None
        first, second = np.sort(dice.integers(0, len(text) + 1, 2)).tolist()
        before, middle = self._parted(text[:first], text[first:second])
        after = self.tokenizer.encode(text[second:], plain=True)
        over = max(0, len(before) + len(middle) + len(after) + 5 - (room + 1))  # 4 control tokens and the end
        after = after[:max(0, len(after) - over)]
        over = max(0, len(before) + len(middle) + len(after) + 5 - (room + 1))
        if over > len(before):
            return None
        prompt = self.infill.prompt(before[over:], after, 1 << 30)
        ids = np.array([*prompt, *middle, self.tokenizer.end_of_text], np.int64)
        targets = ids[1:].copy()
        targets[np.isin(targets, sorted(self.infill.ends - {self.tokenizer.end_of_text}))] = GIVEN
        if self.measured:
            targets[:len(prompt) - 1] = GIVEN
        return ids[:-1], targets

    def _parted(self, before: str, middle: str) -> tuple[list[int], list[int]]:
        """The tokens before the cursor that healing leaves, and those of what it takes back and what is to come."""
        ids, unsettled = self.tokenizer.encode_unsettled(before, plain=True)
        kept = len(ids) - self.healing.taken(ids, unsettled)
        try:
            word = b"".join(map(self.tokenizer.token_bytes, ids[kept:])).decode()
        except UnicodeDecodeError:
            kept, word = len(ids), ""
        return ids[:kept], self.tokenizer.encode(word + middle, plain=True)


class CutPieces(Pieces):
    """As Pieces, a share of them cut, each pass others and at other places: a function of the seed and the pass.

    What `rows` deals are the numbers of pieces in a pass, pass × pieces + piece.
    """

    def __init__(self, text: Text, context: int, seed: int, cutting: Cutting) -> None:
        super().__init__(text, context, seed)
        self._cutting = cutting
        first = np.isin(self._begins, text.starts)
        marks = np.zeros(len(text.starts) - 1, np.int64) if text.given is None else text.given
        self._lead = np.where(first, 1, 0)
        self._lead[first] += marks
        self._last = np.isin(self._begins + self._lengths + 1, text.starts)
        self._chosen: dict[int, np.ndarray] = {}

    def rows(self, epoch: int) -> list[list[int]]:
        if epoch != self._epoch:
            order = np.random.default_rng((self._seed, epoch)).permutation(len(self._lengths))
            self._epoch, self._order = epoch, self._dealt(order, epoch)
        return self._order

    def sample(self, tokens: int) -> list[list[int]]:
        whole = super().sample(tokens)
        return self._dealt(np.array([piece for row in whole for piece in row]), 0)

    def _dealt(self, order: np.ndarray, epoch: int) -> list[list[int]]:
        lengths = np.where(self._cut_in(epoch), np.minimum(self._context, self._lengths + MORE), self._lengths)
        count = len(lengths)
        return [[epoch * count + piece for piece in row] for row in packed(order, lengths, self._context)]

    def _cut_in(self, epoch: int) -> np.ndarray:
        """Which pieces are cut in a pass."""
        if epoch not in self._chosen:
            dice = np.random.default_rng((self._seed, epoch, 1))
            self._chosen = {**dict(list(self._chosen.items())[-1:]),
                            epoch: dice.random(len(self._lengths)) < self._cutting.share}
        return self._chosen[epoch]

    def _read(self, piece: int) -> tuple[np.ndarray, np.ndarray]:
        """As in a pass, whose number stands before the piece's."""
        epoch, piece = divmod(piece, len(self._lengths))
        if self._cut_in(epoch)[piece]:
            begin, end = int(self._begins[piece]), int(self._begins[piece] + self._lengths[piece]) + 1
            body = self._stream[begin + int(self._lead[piece]):end - int(self._last[piece])]
            room = min(self._context, end - begin - 1 + MORE)
            if found := self._cutting.cut(body, room, np.random.default_rng((self._seed, epoch, 2, piece))):
                return found
        return super()._read(piece)
