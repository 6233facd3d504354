"""Byte-level BPE as GPT-2 has it: text to token ids, and each token's bytes.

Bytes, not text, are what a token stands for: a character may be cut between two tokens, so decoding one token at a
time must give bytes and leave the characters to text/stream.py.
"""
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from tokenizers import AddedToken, Encoding, Tokenizer, decoders, models, pre_tokenizers

from gpt2_assist.errors import ModelError
from gpt2_assist.files.text_file import read_json, read_text
from gpt2_assist.files.unreadable import stand_in
from gpt2_assist.text.known_beginnings import KnownBeginnings
from gpt2_assist.text.special_tokens import END_OF_TEXT, START_OF_TEXT, TURN_ENDS, SpecialTokens, special_tokens
from gpt2_assist.text.stream import TextStream

TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "merges.txt", "encoder.json", "vocab.bpe", "added_tokens.json")
"""Every file name that `from_folder` may read."""
_PAIRS = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))


def _byte_alphabet() -> dict[str, int]:
    """The character that stands for each byte in a vocabulary, as GPT-2 chose them.

    Printable bytes stand for themselves, the 68 others for the characters from U+0100 on, in order.
    """
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {**{chr(byte): byte for byte in printable}, **{chr(256 + k): byte for k, byte in enumerate(others)}}


_BYTE_OF = _byte_alphabet()
BYTE_ALPHABET = frozenset(_BYTE_OF)
"""The characters that tokens are made of, but for those that were added whole."""
_TO_LATIN_1 = {code: None for code in range(256)} | {ord(key): chr(byte) for key, byte in _BYTE_OF.items()}
"""Translates a token to the text whose Latin-1 code is its bytes, the fast way to the bytes of many tokens."""
_CONTRACTIONS = frozenset((b"'s", b"'d", b"'m", b"'t", b"'ll", b"'ve", b"'re"))
_BEGUN_CONTRACTIONS = frozenset((b"l", b"v", b"r"))


class TextTokenizer:
    """A model's tokenizer. `<|endoftext|>` in a text is encoded as the special token, as GPT-2's users expect, and so
    is what else begins texts or parts them; of other control tokens the letters."""

    def __init__(self, tokenizer: Tokenizer, special: SpecialTokens | None = None) -> None:
        """`special`: what begins and ends a text, where files say more of it than the tokenizer itself."""
        if not isinstance(tokenizer.model, models.BPE) or tokenizer.token_to_id("Ġ") is None:
            raise ModelError("The model's tokenizer is not a byte-level BPE, the only kind that GPT-2 has.")
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._special = {id: token.content.encode() for id, token in tokenizer.get_added_tokens_decoder().items()}
        self.vocab_size: int = tokenizer.get_vocab_size()
        self._beginnings, self._plain_beginnings = KnownBeginnings(), KnownBeginnings()
        special = special or special_tokens(tokenizer)
        self.begin_of_text, self.ends, self._control = special.begin, special.ends, special.control
        self.end_of_text: int | None = special.ends[0] if special.ends else None
        self._parting, self._hidden = self._matched()

    def _matched(self) -> tuple[re.Pattern, re.Pattern]:
        """Control tokens that a text can hold, and those whose names are only letters there."""
        parting = {END_OF_TEXT, START_OF_TEXT} | self._names(
            id for id in (self.begin_of_text, self.end_of_text) if id is not None)
        names = self._names(self._control)
        seen = (parting - TURN_ENDS) & names
        return _any_of(seen), _any_of(names - seen)

    def _names(self, ids: Iterable[int]) -> set[str]:
        return {name for id in ids if (name := self._tokenizer.id_to_token(id)) is not None}

    @property
    def control(self) -> frozenset[int]:
        """The ids of all control tokens: no text is made of them."""
        return self._control

    @property
    def prompt_prefix(self) -> str:
        """The control tokens that its files say to put before each text, as its model was taught; often none."""
        with_marks, ids = self._tokenizer.encode("a").ids, self._tokenizer.encode("a", add_special_tokens=False).ids
        before = with_marks[:with_marks.index(ids[0])] if ids[0] in with_marks else []
        return self.decode(before) if self._control.issuperset(before) else ""

    @classmethod
    def from_folder(cls, folder: Path) -> "TextTokenizer":
        """Reads tokenizer.json, or vocab.json and merges.txt, or encoder.json and vocab.bpe, the first that is there.

        Raises ModelError where there is none, or it is damaged or no byte-level BPE.
        """
        folder = Path(folder)
        try:
            if (folder / "tokenizer.json").is_file():
                tokenizer = Tokenizer.from_str(read_text(folder / "tokenizer.json"))
                return cls(tokenizer, special_tokens(tokenizer, folder))
            for vocabulary, merges in _PAIRS:
                if (folder / vocabulary).is_file() and (folder / merges).is_file():
                    tokenizer = _from_pair(folder, vocabulary, merges)
                    return cls(tokenizer, special_tokens(tokenizer, folder))
        except ModelError:
            raise
        except Exception as error:  # tokenizers raises bare Exceptions on files it can't read
            for path in map(folder.joinpath, TOKENIZER_FILES):
                if words := stand_in(path):
                    raise ModelError(f"{path} {words}.") from None
            raise ModelError(f"The tokenizer files in {folder} are damaged: {error}.") from None
        raise ModelError(f"{folder} holds no tokenizer: put the model's tokenizer.json there, "
                         "or vocab.json and merges.txt, or encoder.json and vocab.bpe.")

    @property
    def inner(self) -> Tokenizer:
        """The library's own, for many texts at once."""
        return self._tokenizer

    def encode(self, text: str, plain: bool = False) -> list[int]:
        """Token ids of `text`; `plain`: what looks like a special token is text too. Surrogates, which no UTF-8 can
        hold, count as U+FFFD."""
        return [id for piece in self._pieces(text, plain) for id in piece.ids]

    def encode_marks(self, text: str) -> list[int]:
        """Token ids of what a model card says, in which every control token is one."""
        return self._encoding(text).ids

    def encode_all(self, texts: Sequence[str]) -> list[Encoding]:
        """Many texts at once, each as `encode` has it, with the places of its tokens."""
        hidden = [bool(self._hidden.search(text)) for text in texts]
        others = iter(self._tokenizer.encode_batch([text for text, one in zip(texts, hidden) if not one],
                                                   add_special_tokens=False))
        return [Encoding.merge(self._pieces(text, False)) if one else next(others) for text, one in zip(texts, hidden)]

    def encode_unsettled(self, text: str, plain: bool = False) -> tuple[list[int], int]:
        """Token ids of `text` as `encode` gives them, and how many of the last would be others if more text followed in
        the same word.

        BPE joins bytes within a word only, so these are the tokens of the last word, where a word is what GPT-2's
        pattern cuts off: letters, digits or other signs with a space before them, or white space. All of these can
        grow: letters and digits by their like, "http:" to "http://", a space by the word behind it, a line's end by
        the next one or an indentation. Only a special token, with which no text grows together, and a whole
        contraction ("'s"), behind which the pattern always cuts, are settled. "they'r" counts back to its
        apostrophe, with which "e" would make a contraction of it.
        """
        beginnings = self._plain_beginnings if plain else self._beginnings
        known, rest = beginnings.split(text, lambda part: self.encode(part, plain))
        *before, encoding = self._pieces(rest, plain)
        known = known + [id for piece in before for id in piece.ids]
        ids = encoding.ids
        if not ids or ids[-1] in self._special:
            return known + ids, 0
        count = _last_word(encoding, len(ids))
        word = b"".join(map(self.token_bytes, ids[-count:])) if count <= 3 else b""
        if word in _CONTRACTIONS:
            return known + ids, 0
        if word in _BEGUN_CONTRACTIONS and count < len(ids):
            before = _last_word(encoding, len(ids) - count)
            if before == 1 and self.token_bytes(ids[-count - 1]) == b"'":
                count += 1
        return known + ids, count

    def has_token(self, name: str) -> bool:
        return self._tokenizer.token_to_id(name) is not None

    def id_of(self, name: str) -> int:
        """The id of a control token, which the vocabulary gets if it lacks it. From now on it is a special one: no text
        gives it where it is encoded plainly."""
        self._tokenizer.add_special_tokens([name])
        id = self._tokenizer.token_to_id(name)
        assert id is not None
        self._special[id] = name.encode()
        self._control |= {id}
        self._parting, self._hidden = self._matched()
        self.vocab_size = self._tokenizer.get_vocab_size()
        return id

    def _pieces(self, text: str, plain: bool) -> list[Encoding]:
        """The text's parts in order, as they are encoded: one, unless there are names of control tokens in it."""
        if plain or not self._hidden.search(text):
            return [self._encoding(text, plain)]
        parts = [part for part in self._parting.split(text) if part]
        return [self._encoding(part, not self._parting.fullmatch(part)) for part in parts]

    def _encoding(self, text: str, plain: bool = False) -> Encoding:
        try:
            text.encode()
        except UnicodeEncodeError:
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        self._tokenizer.encode_special_tokens = plain
        try:
            return self._tokenizer.encode(text, add_special_tokens=False)
        finally:
            self._tokenizer.encode_special_tokens = False

    def decode(self, ids: list[int]) -> str:
        """The text of `ids`, broken bytes inside as U+FFFD. Of a character that is cut off at the end nothing is left.
        """
        stream = TextStream([])
        return stream.feed(b"".join(map(self.token_bytes, ids))) + stream.finish()

    def token_bytes(self, id: int) -> bytes:
        """What one token stands for: often not whole characters. Empty for an id that no token has.

        Models whose vocabulary was padded to a round number can produce such ids.
        """
        special = self._special.get(id)
        if special is not None:
            return special
        token = self._tokenizer.id_to_token(id)
        return b"" if token is None else bytes(_BYTE_OF[character] for character in token)

    def ordinary_tokens(self) -> list[bytes]:
        """By id: what each token stands for; empty for special tokens and ids without one."""
        vocabulary = self._tokenizer.get_vocab(with_added_tokens=False)
        tokens = [b""] * (max(vocabulary.values()) + 1)
        for token, id in vocabulary.items():
            data = token.translate(_TO_LATIN_1).encode("latin-1", "ignore")
            if id not in self._special and len(data) == len(token):
                tokens[id] = data
        return tokens


def _any_of(names: Collection[str]) -> re.Pattern:
    """Finds one of the names, the longest; none of them where there are none."""
    longest_first = sorted(names, key=len, reverse=True)
    return re.compile(f"({'|'.join(map(re.escape, longest_first))})" if names else "((?!))")


def _last_word(encoding: Encoding, end: int) -> int:
    """How many of the first `end` tokens belong to the last word among them."""
    word, start = encoding.token_to_word(end - 1), end - 1
    while start and encoding.token_to_word(start - 1) == word:
        start -= 1
    return end - start


def _from_pair(folder: Path, vocabulary: str, merges: str) -> Tokenizer:
    lines = [line for line in read_text(folder / merges).splitlines() if line and not line.startswith("#version")]
    pairs = [(first, second) for first, second in (line.split(" ") for line in lines)]
    tokenizer = Tokenizer(models.BPE(read_json(folder / vocabulary), pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    added = {END_OF_TEXT: id} if (id := tokenizer.token_to_id(END_OF_TEXT)) is not None else {}
    if (folder / "added_tokens.json").is_file():
        added |= read_json(folder / "added_tokens.json")
    for token, id in sorted(added.items(), key=lambda entry: entry[1]):
        tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False)])
        if tokenizer.token_to_id(token) != id:
            raise ModelError(f"The tokenizer files in {folder} disagree about the id of {token}.")
    return tokenizer
