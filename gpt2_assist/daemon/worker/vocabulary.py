"""From texts to token ids and back, by the customs of a worker's model: prompts, what ends them, what is refused."""
from copy import copy
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from gpt2_assist.daemon.worker.pinned import note_place, pinned_prompt
from gpt2_assist.daemon.worker.token_rules import Refused, RequestRules
from gpt2_assist.errors import UsageError
from gpt2_assist.ipc.messages import Generate
from gpt2_assist.model.card import Card
from gpt2_assist.text.banned import BannedPhrases
from gpt2_assist.text.healing import Healing, Respelling
from gpt2_assist.text.infill import Piece, infill_of, reserve
from gpt2_assist.text.opening import opening
from gpt2_assist.text.tokenizer import TextTokenizer

_MOST_CHARACTERS = 16
"""Of a text after the cursor, per token of the context: what is beyond is not even encoded."""
_TEXTS = 256
"""Texts around a cursor whose tokens are remembered: they stay as they are while somebody types."""

_LISTS = 2
"""Lists of banned phrases that are remembered: 10,000 take 30 MB and half a second, with 100 characters each
240 MB and three."""


class Vocabulary:
    """What a worker knows of its model's texts: the tokenizer and the card's customs."""

    def __init__(self, tokenizer: TextTokenizer, card: Card, copies: Path | None = None) -> None:
        """`copies`: where the index of the texts lies that the model was fine-tuned on, if it was."""
        self.tokenizer, self.card, self._copies = tokenizer, card, copies
        self._index = None
        self.infill = infill_of(card.infill, tokenizer)
        self._encoded = lru_cache(_TEXTS)(partial(tokenizer.encode, plain=True))
        tokens = tokenizer.ordinary_tokens()
        self.healing = Healing(tokens, tokenizer.encode)
        self.holding = lru_cache(_TEXTS)(partial(_holding, tokens))
        """From a text to the ids of the tokens that hold it."""
        self.banned = lru_cache(_LISTS)(partial(BannedPhrases, tokens))
        """From a tuple of phrases to what finds them."""

    def of(self, card: Card, copies: Path | None, tokenizer: TextTokenizer | None = None) -> "Vocabulary":
        """That of a model with the same tokenizer, or with its own."""
        if tokenizer:
            return Vocabulary(tokenizer, card, copies)
        other = copy(self)
        other.card, other._copies, other._index = card, copies, None
        other.infill = infill_of(card.infill, self.tokenizer)
        return other

    def prompt(self, text: str, heal: bool, begins: bool = True) -> tuple[list[int], bytes]:
        """Token ids to go on from, and the bytes of the prompt's end that new tokens must spell before all else.

        Before what `begins` a text stands what the card says: models are tuned with these very tokens. Where there are
        no ids, or healing took all back, the token for a text's beginning stands for them; a model without one keeps
        the prompt's first. Raises UsageError where there is nothing to go on from.
        """
        before, text = self._opened(text) if begins else ([], text)
        ids, unsettled = self.tokenizer.encode_unsettled(text)
        taken = self.healing.taken(ids, unsettled) if heal else 0
        begin = before or ([] if self.tokenizer.begin_of_text is None else [self.tokenizer.begin_of_text])
        if taken == len(ids) and not begin:
            if not ids:
                raise UsageError("This model has no token for the beginning of a text, so the prompt can't be empty.")
            taken -= 1
        kept = len(ids) - taken
        return [*before, *ids[:kept]] or begin, b"".join(map(self.tokenizer.token_bytes, ids[kept:]))

    def pinned_prompt(self, message: Generate, n_ctx: int) -> tuple[list[int], bytes, int]:
        """As `prompt`, with the memory before all else, and the note some paragraphs before the end; also how many
        characters at the text's end that holds. Raises UsageError where they leave the text too little room."""
        settings = message.settings
        before, text = self._opened(message.prompt) if settings.begins else ([], message.prompt)
        begin = before or ([] if self.tokenizer.begin_of_text is None else [self.tokenizer.begin_of_text])
        place = note_place(text, message.note_depth) if message.note else 0
        earlier = self.tokenizer.encode_unsettled(text[:place])[0] if place else []
        ids, unsettled = self.tokenizer.encode_unsettled(text[place:])
        taken = self.healing.taken(ids, unsettled) if settings.heal else 0
        kept = len(ids) - taken
        head = [*begin, *(self._encoded(f"{message.memory}\n") if message.memory else [])]
        note = self._encoded(f"{message.note}\n") if message.note else []
        kept_text = [*earlier, *ids[:kept]]
        prompt, start = pinned_prompt(kept_text, len(earlier), head, note, n_ctx,
                                      settings.max_new_tokens + settings.finish_within)
        spelling = b"".join(map(self.tokenizer.token_bytes, ids[kept:]))
        seen = self.characters([*kept_text[start:], *ids[kept:]]) if start else len(message.prompt)
        return prompt, spelling, min(seen, len(message.prompt))

    def characters(self, ids: list[int]) -> int:
        """Of the text that these tokens are."""
        return len(b"".join(map(self.tokenizer.token_bytes, ids)).decode("utf-8", "replace"))

    def _opened(self, text: str) -> tuple[list[int], str]:
        """Token ids of what the card puts before a text's beginning, and the text without those of its marks that it
        brings itself."""
        prefix = self.card.prompt_prefix
        added = opening(prefix, text)
        brought = prefix[len(added):]
        if not self.tokenizer.control.issuperset(self.tokenizer.encode_marks(brought)):
            brought = ""
        return self.tokenizer.encode_marks(added + brought), text[len(brought):]

    def infill_prompt(self, message: Generate, n_ctx: int) -> tuple[list[int], bytes]:
        """As `prompt`, between a prefix and a suffix. Raises UsageError where the model can't do that."""
        if self.infill is None:
            raise UsageError("The model can't fill in between a text and what follows it: it has no tokens for that. "
                             "`gpt2-assist finetune PATH --infill` teaches it to.")
        encode, settings = self._encoded, message.settings
        room = n_ctx - reserve(n_ctx, settings.max_new_tokens)
        ids, unsettled = self.tokenizer.encode_unsettled(message.prompt, plain=True)
        taken = self.healing.taken(ids, unsettled) if settings.heal else 0
        kept = len(ids) - taken
        after, *others = (encode(text[:_MOST_CHARACTERS * n_ctx])
                          for text in (message.suffix or "", *(text for _, text in message.beside)))
        names = [encode(f"{name}\n") if name else []
                 for name in (message.path, message.repository, *(path for path, _ in message.beside))]
        beside = [Piece(path, text) for path, text in zip(names[2:], others)]
        prompt = self.infill.prompt(ids[:kept], after, room, beside, *names[:2])
        return prompt, b"".join(map(self.tokenizer.token_bytes, ids[kept:]))

    def stop_strings(self, asked: list[str]) -> list[str]:
        return list(dict.fromkeys([*asked, *self.card.stop_strings]))

    def stop_tokens(self, asked: list[int], between: bool = False) -> frozenset[int]:
        """What ends a text; `between` a prefix and a suffix that is every control token."""
        ends = self.tokenizer.control if between else self.infill.file_ends if self.infill else ()
        return frozenset([*asked, *self.tokenizer.ends, *ends])

    def rules(self, spelling: bytes, stop_tokens: frozenset[int], most_copied: int | None) -> RequestRules | None:
        """The prompt's end must be spelled again; control tokens that end nothing are refused, and, if asked for, what
        would make a copied row too long. None where everything may come. Raises as `_copying`."""
        control = np.array(sorted(self.tokenizer.control - stop_tokens), np.int64)
        refused = None if most_copied is None else self._copying(most_copied)
        if len(control):
            copied, refused = refused, lambda new: control if copied is None else np.append(control, copied(new))
        if not spelling and refused is None:
            return None
        return RequestRules(self.healing, spelling, self._likely_spelling(spelling), refused)

    def _likely_spelling(self, spelling: bytes) -> list[int]:
        """Tokens that spell just these bytes as the tokenizer would; none where it would not."""
        try:
            ids = self.tokenizer.encode(spelling.decode())
        except UnicodeDecodeError:
            return []
        path, respelling = [], Respelling(self.healing, spelling)
        for id in ids:
            if respelling.allowed is None or id not in respelling.allowed:
                break
            path.append(id)
            if respelling.take(id):
                break
        return path if respelling.spelled else []

    def _copying(self, most: int) -> Refused:
        """The ids by which more than `most` new tokens in a row would stand in the texts of the fine-tuning. Raises
        UsageError where there are none, DataError where their index is damaged."""
        if self._copies is None:
            raise UsageError("Only models that were fine-tuned here know what they were trained on; this one can't be "
                             "kept from copying.")
        from gpt2_assist.originality.index import CopyIndex
        from gpt2_assist.originality.matcher import continuations
        if self._index is None:
            self._index = CopyIndex.load(self._copies)
        index, none = self._index, np.zeros(0, np.int64)
        return lambda new: continuations(index, new[-most:]) if len(new) >= most else none

    def shown(self, token: int) -> str:
        """A token by itself, for tables of log-probabilities."""
        return self.tokenizer.token_bytes(token).decode("utf-8", "replace")


def _holding(tokens: list[bytes], text: str) -> frozenset[int]:
    data = text.encode()
    return frozenset(id for id, token in enumerate(tokens) if data in token)
