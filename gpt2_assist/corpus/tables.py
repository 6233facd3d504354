"""Documents out of files that hold many texts in a form: tables, JSON Lines, and encoded data sets."""
import csv
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Iterator

from gpt2_assist.corpus.documents import Document, UnreadableFile, clean
from gpt2_assist.corpus.parting import parted

USUAL_COLUMN = "text"
_LONGEST_FIELD = (1 << 31) - 1


def rows(text: str, source: str, column: str | None, tabs: bool) -> list[Document]:
    """The short texts of a table with commas, or with `tabs`, between its columns.

    A table of one column has a first row of names only if that row is `column` ("text" by default); one of several
    has it always, and `column` must be among them. Raises UnreadableFile where the table is broken, or the column
    isn't known.
    """
    table = _table(text, source, tabs)
    if not table:
        return []
    names = table[0][1]
    width = len(names)
    if width > 1 and column not in names:
        known = ", ".join(" ".join(name.split())[:40] for name in names[:20])
        raise UnreadableFile(
            f"The table {source} has several columns ({known}): choose one by its name." if column is None else
            f"The table {source} has no column {column}: it has {known}.", "without the column")
    uneven = next(((line, row) for line, row in table if len(row) != width), None)
    if uneven:
        raise UnreadableFile(
            f"The table {source} is broken at line {uneven[0]}: it has {len(uneven[1])} columns there and {width} at "
            "its beginning; texts with commas need quotes around them.", "with a broken table")
    place = names.index(column) if width > 1 else 0
    headed = width > 1 or names[0].strip() == (column or USUAL_COLUMN)
    return [Document(row[place].strip("\n"), source, line, short=True)
            for line, row in table[headed:] if row[place].strip()]


def _table(text: str, source: str, tabs: bool) -> list[tuple[int, list[str]]]:
    """The rows that aren't empty: (first line, fields)."""
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if tabs else ",", strict=True)
    try:
        return list(_numbered(reader))
    except csv.Error:
        if tabs:  # many programs that write such tables know no quotes
            return list(_numbered(csv.reader(io.StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)))
        raise UnreadableFile(
            f"The table {source} is broken at line {reader.line_num}: a quoted text must be closed, and quotes inside "
            "of it doubled.", "with a broken table") from None


def _numbered(reader) -> Iterator[tuple[int, list[str]]]:
    line = 1
    for row in reader:
        if any(field.strip() for field in row):
            yield line, row
        line = reader.line_num + 1


def json_lines(text: str, source: str, column: str | None) -> list[Document]:
    """The texts of lines that are each a string, or an object with one under `column` or "text".

    Raises UnreadableFile where a line is neither.
    """
    documents = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            raise UnreadableFile(f"Line {number} of {source} is no JSON.", "with broken JSON") from None
        if isinstance(value, dict):
            value = value.get(column if column in value else USUAL_COLUMN)
        if not isinstance(value, str):
            raise UnreadableFile(
                f"Line {number} of {source} has no text under {column or USUAL_COLUMN}.", "without the column")
        cleaned = clean(value).strip("\n")
        if cleaned.strip():
            documents.append(Document(cleaned, source, number, one_line=True))
    return documents


def encoded(content: bytes, source: str, decode: Callable[[list[int]], str] | None) -> list[Document]:
    """The documents of an .npz file of arrays of token ids, as gpt-2-simple writes it.

    Raises UnreadableFile where it is broken, holds something else, or `decode` is None.
    """
    if decode is None:
        raise UnreadableFile(f"{source} holds token ids, and there is no tokenizer to read them.", "with token ids")
    import numpy as np

    documents = []
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            for name in arrays.files:
                ids = arrays[name]
                if ids.dtype.kind not in "iu":
                    raise ValueError("no token ids")
                text = clean(decode(ids.ravel().tolist()))
                documents += parted(text, source, ends_anywhere=True, one_line=True)
    except (ValueError, TypeError, AttributeError, OSError, EOFError, KeyError, OverflowError, MemoryError, SyntaxError,
            NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error):
        raise UnreadableFile(f"{source} is no data set of token ids, or it is damaged.", "damaged") from None
    return documents
