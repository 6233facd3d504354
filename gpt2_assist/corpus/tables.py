"""Short texts out of tables, as spreadsheets write them."""
import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import islice

from gpt2_assist.corpus.documents import Document, Reading, UnreadableFile
from gpt2_assist.corpus.fields import USUAL, named

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_LONGEST_FIELD = (1 << 31) - 1
_LOOKED_AT = 500
"""Rows by which the delimiter is found."""
_TOLD = re.compile(r"\"?sep=(.)\"?\s*\n", re.IGNORECASE)
"""The first line by which Excel is told the delimiter."""
_NUMBER = re.compile(r"[\s$€£%+-]*\d[\d\s.,:/%€$-]*")
_LETTERS = re.compile(r"[^\W\d_]{2,}")
_LONGEST_NAME = 60
_HEADERS = frozenset((
    *USUAL, "title", "titles", "texts", "tweet", "tweets", "headline", "headlines", "name", "names", "quote", "quotes",
    "joke", "jokes", "poem", "poems", "lyrics", "sentence", "sentences", "line", "lines", "review", "reviews", "titel",
    "texte", "texto", "testo", "tekst", "titre", "título", "titolo", "tytuł", "überschrift", "schlagzeile", "satz",
    "nachricht", "kommentar", "beschreibung", "citation", "phrase", "frase", "текст", "название", "заголовок"))
"""Names of a single column that nobody means as a text."""


def rows(text: str, source: str, column: str | None, tabs: bool) -> Reading:
    """The short texts of a table: those of the column that has the name, or the number from 1, that `column` says, of
    the only one, of the one that is called "text" or the like, or of the only one that holds more than words.

    Commas, semicolons, tabs or bars stand between its columns, `tabs` where the file's name says so. Raises
    UnreadableFile where the table is broken, or the column isn't known.
    """
    told = _TOLD.match(text)
    delimiter = told[1] if told else "\t" if tabs else _delimiter(text, column)
    table = _table(text[told.end():] if told else text, source, delimiter, 2 if told else 1)
    if not table:
        return Reading([])
    width = len(table[0][1])
    shorter = [(line, row) for line, row in table if len(row) < width]
    longer = [(line, row) for line, row in table if any(cell.strip() for cell in row[width:])]
    uneven = (longer or shorter)[0] if longer or len(shorter) * 2 > len(table) else None
    if uneven:
        raise UnreadableFile(
            f"The table {source} is broken at line {uneven[0]}: it has {_columns(len(uneven[1]))} there and {width} at "
            f"its beginning; texts with {_DELIMITERS.get(delimiter, delimiter)} need quotes around them.",
            "with a broken table")
    names = [" ".join(name.split()) for name in table[0][1]]
    headed = _is_header(table) or (column is not None and named(column, names) is not None)
    place = _place(names, headed, source, column, [row for _, row in table[headed:]])
    documents = [Document(row[place].strip("\n"), source, line, short=True)
                 for line, row in table[headed:] if place < len(row) and row[place].strip()]
    uneven_rows = f"; {len(shorter)} of its rows are shorter than the first" if shorter else ""
    return Reading(documents, _found(names, headed, place, delimiter) + uneven_rows)


def _columns(count: int) -> str:
    return f"{count} column" + "s" * (count != 1)


def _delimiter(text: str, column: str | None) -> str:
    """What parts most columns in such a way that (nearly) all rows have as many as the first, or one that is called
    `column`; a comma by default."""
    fitting = {delimiter: _even_width(text, delimiter, column) for delimiter in _DELIMITERS}
    return max(fitting, key=fitting.__getitem__)


def _even_width(text: str, delimiter: str, column: str | None) -> int:
    """The columns of the first rows, if they are several and even; 0 otherwise."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    table: list[list[str]] = []
    try:
        table.extend(row for _, row in islice(_numbered(reader), _LOOKED_AT))
    except csv.Error:
        pass  # what is broken is said when the whole table is read
    width = len(table[0]) if table else 0
    if width < 2 or any(len(_without_empty_end(row)) > width for row in table):
        return 0
    known = column is not None and named(column, table[0]) is not None
    even = len(table) > 1 and 2 * sum(len(row) >= width for row in table) > len(table)
    return width if known or even else 0


def _without_empty_end(row: list[str]) -> list[str]:
    return row[:max((place + 1 for place, cell in enumerate(row) if cell.strip()), default=0)]


def _table(text: str, source: str, delimiter: str, line: int) -> list[tuple[int, list[str]]]:
    """The rows that aren't empty: (first line, fields). `line` is the first one's."""
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        return list(_numbered(reader, line))
    except csv.Error:
        if delimiter == "\t":  # many programs that write such tables know no quotes
            return list(_numbered(csv.reader(io.StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE),
                                  line))
        raise UnreadableFile(
            f"The table {source} is broken at line {reader.line_num + line - 1}: a quoted text must be closed, and "
            "quotes inside of it doubled.", "with a broken table") from None


def _numbered(reader, first: int = 1) -> Iterator[tuple[int, list[str]]]:
    line = first
    for row in reader:
        if any(field.strip() for field in row):
            yield line, row
        line = reader.line_num + first


def _is_header(table: Sequence[tuple[int, list[str]]]) -> bool:
    """Whether the first row names the columns: short words, all different, and no numbers; of a single column, a usual
    name, or one word over texts of many."""
    names = [name.strip() for name in table[0][1]]
    if any(_NUMBER.fullmatch(name) or len(name) > _LONGEST_NAME for name in names):
        return False
    if len(names) > 1:
        filled = [name for name in names if name]
        return len(set(filled)) == len(filled) and not any(name[-1] in ".!?" for name in filled)
    if names[0].casefold() in _HEADERS:
        return True
    lengths = [len(row[0].split()) for _, row in table[1:_LOOKED_AT]]
    usual = sorted(lengths)[len(lengths) // 2] if len(lengths) > 1 else 0
    return usual >= 3 and re.fullmatch(r"\w+", names[0]) is not None and lengths.count(1) * 20 <= len(lengths)


def _place(names: Sequence[str], headed: bool, source: str, column: str | None, table: Sequence[list[str]]) -> int:
    known = ", ".join(name[:40] or "(no name)" for name in names[:20])
    if column is not None:
        place = named(column, names) if headed else None
        if place is None and column.isdecimal() and 1 <= int(column) <= len(names):
            place = int(column) - 1
        if place is None:
            has = f"it has {known}" if headed else \
                f"its first row is no row of names; it has {_columns(len(names))}, and a number chooses one"
            raise UnreadableFile(f"The table {source} has no column {column}: {has}.", "without the column")
        return place
    if len(names) == 1:
        return 0
    usual = next((place for name in USUAL if headed and (place := named(name, names)) is not None), None)
    if usual is None:
        usual = _only_texts(table, len(names))
    if usual is None:
        raise UnreadableFile(
            f"The table {source} has several columns ({known}): choose one by its name with --column." if headed else
            f"The table {source} has {_columns(len(names))} and no row of names: choose one by its number, as in "
            "--column 2.", "without the column")
    return usual


def _only_texts(table: Sequence[list[str]], width: int) -> int | None:
    """The one column of which at least every second cell has several words; None where there are more, or none."""
    several = [sum(len(_LETTERS.findall(row[place])) > 1 for row in table[:_LOOKED_AT] if place < len(row))
               for place in range(width)]
    texts = [place for place, count in enumerate(several) if count and 2 * count >= min(len(table), _LOOKED_AT)]
    return texts[0] if len(texts) == 1 and not any(several[:texts[0]] + several[texts[0] + 1:]) else None


def _found(names: Sequence[str], headed: bool, place: int, delimiter: str) -> str:
    if len(names) == 1:
        return f"a table of one column, {names[0]} by its first row" if headed else \
            "a table of one column without a name"
    which = f"of {', '.join(name or '(no name)' for name in names[:8])}{', …' * (len(names) > 8)}" if headed else \
        "without names"
    chosen = names[place] if headed and names[place] else f"number {place + 1}"
    return (f"a table of {_columns(len(names))} parted by {_DELIMITERS.get(delimiter, repr(delimiter))} ({which}); "
            f"texts from {chosen}")
