"""Reads what the user gives as a corpus: files of several kinds, folders, patterns of names, standard input."""
import gzip
import lzma
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpt2_assist.corpus.documents import Document, UnreadableFile
from gpt2_assist.corpus.encodings import decoded
from gpt2_assist.corpus.finding import STANDARD_INPUT, Finder, Found, shown
from gpt2_assist.corpus.parting import parted
from gpt2_assist.corpus.tables import encoded, json_lines, rows
from gpt2_assist.errors import DataError

_UNPACKED = {".xz": lzma.open, ".gz": gzip.open}


@dataclass
class Corpus:
    """What was read, and what was not."""

    documents: list[Document]
    skipped: dict[str, int]
    """Files that were left out, by the reason in a few words."""
    repaired: int
    """Files that were not in UTF-8 or were damaged, and were mended."""


def read_corpus(paths: Sequence[str], column: str | None = None, decode: Callable[[list[int]], str] | None = None,
                max_file_bytes: int = 256 << 20) -> Corpus:
    """The documents of all that `paths` stand for, in their order.

    Each path is a file, a folder, a pattern of names (where no such file exists), or "-" for standard input. Files
    that are found in folders and by patterns are left out, and counted, where they are ignored, larger than
    `max_file_bytes` or no text; one that is named itself is read, or the error says why it can't be. `column` names
    the texts' column of tables and JSON Lines, `decode` turns token ids into text. Raises DataError where a path
    leads nowhere, a named file can't be read, or nothing at all is left.
    """
    finder = Finder(max_file_bytes)
    skipped, documents, repaired = finder.skipped, [], 0
    for file in finder.files(paths):
        try:
            found, mended = _documents(file, column, decode, max_file_bytes)
        except UnreadableFile as error:
            if file.named:
                raise
            skipped[error.reason] += 1
        else:
            documents += found
            repaired += mended
    if not documents:
        raise DataError(_nothing(paths, skipped))
    return Corpus(documents, dict(skipped), repaired)


def _documents(file: Found, column: str | None, decode: Callable[[list[int]], str] | None,
               limit: int) -> tuple[list[Document], bool]:
    """(a file's documents, at least one; whether its text was mended)."""
    source = shown(file.path)
    content, kind = _content(file, source, limit)
    text, mended = "", False
    if kind == ".npz":
        documents = encoded(content, source, decode)
    else:
        read = decoded(content)
        if read is None:
            raise UnreadableFile(f"{source} holds no text.", "binary")
        text, mended = read
        if kind in (".csv", ".tsv"):
            documents = rows(text, source, column, tabs=kind == ".tsv")
        elif kind in (".jsonl", ".ndjson"):
            documents = json_lines(text, source, column)
        else:
            documents = list(parted(text, source))
    if not documents:
        raise UnreadableFile(f"{source} is empty.", "empty")
    return documents, mended


def _content(file: Found, source: str, limit: int) -> tuple[bytes, str]:
    """(a file's unpacked bytes, its suffix without that of the packing). The limit is for what nobody named."""
    path = Path(file.path)
    kind = path.suffix.casefold()
    unpack = _UNPACKED.get(kind)
    try:
        if file.path == STANDARD_INPUT:
            return sys.stdin.buffer.read(), ""
        if unpack is None:
            return path.read_bytes(), kind
        with unpack(path) as stream:
            content = stream.read(-1 if file.named else limit + 1)
    except (lzma.LZMAError, EOFError, zlib.error, gzip.BadGzipFile):
        raise UnreadableFile(f"{source} is damaged: it can't be unpacked.", "damaged") from None
    except OSError as error:
        raise UnreadableFile(f"{source} can't be read: {error.strerror or error}.", "unreadable") from None
    if len(content) > limit and not file.named:
        raise UnreadableFile(f"{source} is too large.", "too large")
    return content, Path(path.stem).suffix.casefold()


def _nothing(paths: Sequence[str], skipped: Counter[str]) -> str:
    places = ", ".join(map(shown, paths)) or "no path"
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(skipped.items()))
    hint = "; a file that you name itself is read even if git ignores it" if "ignored by .gitignore" in skipped else ""
    return f"There is nothing to read in {places}{': ' * bool(reasons)}{reasons}{hint}."
