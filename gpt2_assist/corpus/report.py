"""What a user should know of a corpus before a training, in plain words."""
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gpt2_assist.corpus.documents import Document
from gpt2_assist.corpus.duplicates import Duplicates
from gpt2_assist.corpus.private import Private
from gpt2_assist.corpus.reading import Corpus

SMALL_PIECES = 0.6
"""Tokens per character above which a tokenizer doesn't fit: English has about 0.25, code 0.4."""
FEW_TOKENS = 2000


@dataclass(frozen=True)
class Report:
    """The numbers of a corpus."""

    files: int
    documents: int
    characters: int
    tokens: int
    short: int
    """Documents that are short texts."""
    duplicates: Duplicates
    private: Private
    skipped: dict[str, int]
    repaired: int
    tokens_per_character: float
    vocabulary_fits: bool

    def lines(self, model: str) -> list[str]:
        """The report for somebody who fine-tunes `model`: sentences, and places after those that warn of private
        things."""
        short = f" ({self.short:,} of them short texts)" if self.short else ""
        lines = [f"{_counted(self.files, 'file')}, {_counted(self.documents, 'document')}{short}, "
                 f"{_about(self.characters, 'character')}, {_about(self.tokens, 'token')}."]
        left_out = [f"{count:,} {reason}" for reason, count in sorted(self.skipped.items())]
        kinds = {"exact": self.duplicates.exact, "near": self.duplicates.near}
        copies = [f"{count:,} {kind}" for kind, count in kinds.items() if count]
        if copies:
            one = sum(kinds.values()) == 1
            left_out.append(f"{' and '.join(copies)} {'duplicate' if one else 'duplicates'}")
        if left_out:
            lines.append(f"Left out: {', '.join(left_out)}.")
        if self.repaired:
            lines.append(f"Converted or mended, because not in sound UTF-8: {_counted(self.repaired, 'file')}.")
        if self.characters:
            fits = "fits this text" if self.vocabulary_fits else \
                "splits this text into very small pieces; the model knows little of this language"
            lines.append(f"Tokens per character {self.tokens_per_character:.2f}: the tokenizer of {model} {fits}.")
        if self.tokens < FEW_TOKENS:
            lines.append(f"This is very little text: with fewer than {FEW_TOKENS:,} tokens the model will learn it by "
                         "heart rather than learn from it.")
        found = []
        if self.private.secrets:
            found.append(_counted(self.private.secrets, "likely password or key", "likely passwords or keys"))
        if self.private.emails:
            found.append(_counted(self.private.emails, "e-mail address", "e-mail addresses"))
        if found:
            lines.append(f"Warning: the text holds {' and '.join(found)}; the model may repeat such things to anybody "
                         "who uses it. Among them:")
            lines += [f"  {example}" for example in self.private.examples]
        return lines


def make_report(corpus: Corpus, documents: Sequence[Document], duplicates: Duplicates, private: Private,
                count_tokens: Callable[[str], int]) -> Report:
    """The numbers of a corpus as it was read, and of the documents that are left of it without duplicates."""
    characters = sum(len(document.text) for document in documents)
    tokens = sum(count_tokens(document.text) for document in documents)
    per_character = tokens / characters if characters else 0.0
    return Report(
        files=len({document.source for document in corpus.documents}), documents=len(documents),
        characters=characters, tokens=tokens, short=sum(document.short for document in documents),
        duplicates=duplicates, private=private, skipped=corpus.skipped, repaired=corpus.repaired,
        tokens_per_character=per_character, vocabulary_fits=per_character <= SMALL_PIECES)


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _about(count: int, one: str) -> str:
    """As people say it: 1,234 tokens, 340 thousand tokens, 1.1 million tokens."""
    for size, word in ((10**9, "billion"), (10**6, "million"), (10**3, "thousand")):
        amount = count / size
        if amount >= (10 if word == "thousand" else 0.9995):
            return f"{amount:.{int(amount < 9.95)}f} {word} {one}s"
    return _counted(count, one)
