"""What a user should know of a corpus before a training, in plain words."""
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gpt2_assist.corpus.documents import Document
from gpt2_assist.corpus.duplicates import Duplicates
from gpt2_assist.corpus.private import Private, Removed
from gpt2_assist.corpus.reading import Corpus

SMALL_PIECES = 0.6
"""Tokens per character above which a tokenizer doesn't fit: English has about 0.25, code 0.4."""
FEW_TOKENS = 2000
_KINDS_TOLD, _FILES_TOLD = 8, 5


@dataclass(frozen=True)
class CorpusReport:
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
    repaired: dict[str, int]
    found: dict[str, list[str]]
    """What files that are no plain text were found to be, and which files."""
    secret: list[str]
    """Files of secrets that the user named."""
    removed: Removed | None
    """What went because something private stood in it; None where nobody asked for that."""
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
        lines += [f"Read {files} as {what}." for what, files in _kinds(self.found)]
        if self.repaired:
            kinds = ", ".join(f"{count:,} in {name}" for name, count in sorted(self.repaired.items()))
            lines.append(f"Converted or mended, because not in sound UTF-8: {kinds}.")
        if self.characters:
            fits = "fits this text" if self.vocabulary_fits else \
                "splits this text into very small pieces; the model knows little of this language"
            lines.append(f"Tokens per character {self.tokens_per_character:.2f}: the tokenizer of {model} {fits}.")
        if self.tokens < FEW_TOKENS:
            lines.append(f"This is very little text: with fewer than {FEW_TOKENS:,} tokens the model will learn it by "
                         "heart rather than learn from it.")
        if self.removed:
            counts = [_counted(self.removed.lines, "line"), _counted(self.removed.documents, "whole document")]
            went = [said for said in counts if not said.startswith("0 ")]
            lines.append(f"Left out because of something private in it: {' and '.join(went) or 'nothing'}.")
        if self.secret:
            lines.append(f"Warning: {', '.join(self.secret[:_FILES_TOLD])}{', …' * (len(self.secret) > _FILES_TOLD)}: "
                         f"{'files' if len(self.secret) > 1 else 'a file'} whose name is one of secrets, read because "
                         "you named it.")
        found = []
        if self.private.secrets:
            found.append(_counted(self.private.secrets, "likely password or key", "likely passwords or keys"))
        if self.private.emails:
            found.append(_counted(self.private.emails, "e-mail address", "e-mail addresses"))
        if found:
            lines.append(f"Warning: the text holds {' and '.join(found)}; the model may repeat such things to anybody "
                         "who uses it, and --without-private leaves them out. Among them:")
            lines += [f"  {example}" for example in self.private.examples]
        return lines


def make_report(corpus: Corpus, documents: Sequence[Document], duplicates: Duplicates, private: Private,
                count_tokens: Callable[[str], int], removed: Removed | None = None) -> CorpusReport:
    """The numbers of a corpus as it was read, and of the documents that are left of it without duplicates and what
    was `removed`."""
    characters = sum(len(document.text) for document in documents)
    tokens = sum(count_tokens(document.text) for document in documents)
    per_character = tokens / characters if characters else 0.0
    return CorpusReport(
        files=len({document.source for document in corpus.documents}), documents=len(documents),
        characters=characters, tokens=tokens, short=sum(document.short for document in documents),
        duplicates=duplicates, private=private, skipped=corpus.skipped, repaired=corpus.repaired,
        found=corpus.found, secret=corpus.secret, removed=removed,
        tokens_per_character=per_character, vocabulary_fits=per_character <= SMALL_PIECES)


def _kinds(found: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    """(what it is, which files), the most frequent first, and no more than somebody reads."""
    kinds = sorted(found.items(), key=lambda entry: -len(entry[1]))
    for what, files in kinds[:_KINDS_TOLD]:
        yield what, files[0] if len(files) == 1 else f"{len(files):,} files, {files[0]} among them,"
    rest = sum(len(files) for _, files in kinds[_KINDS_TOLD:])
    if rest:
        yield "other kinds", _counted(rest, "more file")


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _about(count: int, one: str) -> str:
    """As people say it: 1,234 tokens, 340 thousand tokens, 1.1 million tokens."""
    for size, word in ((10**9, "billion"), (10**6, "million"), (10**3, "thousand")):
        amount = count / size
        if amount >= (10 if word == "thousand" else 0.9995):
            return f"{amount:.{int(amount < 9.95)}f} {word} {one}s"
    return _counted(count, one)
