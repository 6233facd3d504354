"""Reads what the user gives as a corpus: files of several kinds, folders, patterns of names, standard input."""
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gpt2_assist.corpus.documents import Document, Reading, UnreadableFile
from gpt2_assist.corpus.finding import Finder, Found, shown
from gpt2_assist.corpus.formats import Choices, documents_in
from gpt2_assist.corpus.opening import opened
from gpt2_assist.errors import DataError
from gpt2_assist.free_memory import available_bytes

_LARGEST_FILE = 256 << 20
_LARGEST_OF_A_PROMPT = 64 << 20
_SHARE = 8
"""Bytes of memory that a byte of text may take while it is made into documents and tokens."""


@dataclass
class Corpus:
    """What was read, and what was not."""

    documents: list[Document]
    skipped: dict[str, int]
    """Files that were left out, by the reason in a few words."""
    repaired: dict[str, int]
    """Files that were not in sound UTF-8, by what they were in."""
    found: dict[str, list[str]] = field(default_factory=dict)
    """What files that are no plain text were found to be, and which files."""
    secret: list[str] = field(default_factory=list)
    """Files of secrets that the user named."""


def read_corpus(paths: Sequence[str], column: str | None = None, decode: Callable[[list[int]], str] | None = None,
                max_file_bytes: int = _LARGEST_FILE) -> Corpus:
    """The documents of all that `paths` stand for, in their order.

    Each path is a file, a folder, a pattern of names (where no such file exists), or "-" for standard input. Files
    that are found in folders and by patterns are left out, and counted, where they are ignored, hold secrets, are
    larger than `max_file_bytes` or no text; one that is named itself is read, or the error says why it can't be.
    `column` names the texts' column of tables and of JSON, `decode` turns token ids into text. Raises DataError where
    a path leads nowhere, a named file can't be read, or nothing at all is left.
    """
    finder, choices = Finder(max_file_bytes), Choices(column, decode)
    skipped, documents = finder.skipped, []
    repaired: Counter[str] = Counter()
    kinds: dict[str, list[str]] = defaultdict(list)
    for file in finder.files(paths):
        try:
            reading, encoding = _read(file, choices, max_file_bytes)
        except UnreadableFile as error:
            if file.named:
                raise
            skipped[error.reason] += 1
            continue
        documents += reading.documents
        if encoding:
            repaired[encoding] += 1
        if reading.found:
            kinds[reading.found].append(shown(file.path))
    if not documents:
        raise DataError(_nothing(paths, skipped))
    return Corpus(documents, dict(skipped), dict(repaired), dict(kinds), finder.secret)


def read_text(path: str, most_bytes: int) -> str:
    """The text of one file, or of standard input ("-"), as a prompt or the like: what is plain text as it stands, and
    of other kinds what `read_corpus` reads of it, with an empty line between documents.

    Raises DataError where there is no such file, it can't be read, or its text is longer than `most_bytes` in UTF-8.
    """
    source = shown(path)
    if os.path.isdir(path):
        raise DataError(f"{source} is a folder, and one file is wanted.")
    content, kind = opened(Found(os.path.expanduser(path), True), _LARGEST_OF_A_PROMPT)
    reading, _ = documents_in(content, kind, source, Choices(), whole=True)
    text = "\n\n".join(document.text for document in reading.documents)
    if len(text.encode()) > most_bytes:
        raise DataError(f"The text of {source} is longer than {most_bytes >> 20} MiB; give only its end.")
    return text


def _read(file: Found, choices: Choices, limit: int) -> tuple[Reading, str]:
    """(what a file gives, at least one document; the encoding in which it was).

    The limit is for what nobody named; for the rest it is what memory allows. Raises UnreadableFile.
    """
    source = shown(file.path)
    try:
        content, kind = opened(file, max(limit, available_bytes() // _SHARE) if file.named else limit)
        reading, encoding = documents_in(content, kind, source, choices)
    except MemoryError:
        raise UnreadableFile(f"{source} is too large for the memory that is free.", "too large") from None
    except RecursionError:
        raise UnreadableFile(f"{source} is nested too deep to be read.", "damaged") from None
    if not reading.documents:
        raise UnreadableFile(f"{source} is empty.", "empty")
    return reading, encoding


def _nothing(paths: Sequence[str], skipped: Counter[str]) -> str:
    places = ", ".join(map(shown, paths)) or "no path"
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(skipped.items()))
    hint = "; a file that you name itself is read even if git ignores it" if "ignored by .gitignore" in skipped else ""
    return f"There is nothing to read in {places}{': ' * bool(reasons)}{reasons}{hint}."
