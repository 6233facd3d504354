"""Texts out of JSON: lists of strings, of objects and of conversations, alone, inside of an object or line by line, and
encoded data sets."""
import io
import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gpt2_assist.corpus.chats import conversation
from gpt2_assist.corpus.documents import Document, Reading, UnreadableFile, clean
from gpt2_assist.corpus.fields import USUAL, named
from gpt2_assist.corpus.parting import parted

_TOGETHER = (("instruction", "input", "output"), ("prompt", "completion"), ("prompt", "response"),
             ("question", "answer"), ("question", "context", "answer"), ("input", "output"))
"""Fields that make one text, one below the other."""
_AROUND = frozenset((
    "data", "items", "records", "rows", "results", "examples", "texts", "documents", "entries", "notes", "posts",
    "articles", "list", "chats", "conversations", "comments", "quotes", "stories", "poems", "paragraphs", "train",
    "tweets", "reviews", "sentences", "pages", "memos", "journal"))
"""Names of lists of texts inside of objects."""
_CODE_BYTES = 1 << 16
"""What is no JSON, but called so, is a program's settings with comments if it is not longer."""
_ASSIGNED = re.compile(r"\A\s*window\.YTD\.[\w.]+\s*=\s*")
"""What Twitter's archives have in front of their JSON."""
_DEPTH = 4
"""How deep the list of texts may stand inside of objects."""


def json_text(text: str, source: str, column: str | None) -> Reading:
    """The texts of a .json file; one in which there are none is text as it stands.

    Raises UnreadableFile where it is damaged, or where nobody can say which field holds the texts.
    """
    try:
        value = json.loads(_ASSIGNED.sub("", text))
    except (ValueError, RecursionError) as error:
        return _of_lines_or_settings(text, source, column, error)
    if isinstance(value, dict) and isinstance(value.get("textContent"), str):  # Google Keep has a file for each note
        value = [value]
    found = conversation(value)
    if found is not None:
        return _documents([(found, 1)], source, "a chat")
    records = _records(value, _DEPTH)
    if records is None:
        return Reading(list(parted(text, source)), "JSON without texts of its own, taken as it stands")
    try:
        return _of_records([(record, 1) for record in records], source, column, "a list in JSON")
    except _NoTexts:
        return Reading(list(parted(text, source)), "JSON without texts of its own, taken as it stands")


def _of_lines_or_settings(text: str, source: str, column: str | None, error: Exception) -> Reading:
    first = next((line for line in text.split("\n") if line.strip()), "")
    if _is_json(first):
        return json_lines(text, source, column)
    if len(text) <= _CODE_BYTES:
        return Reading(list(parted(text, source)), "not quite JSON, taken as it stands")
    line = getattr(error, "lineno", 1)
    raise UnreadableFile(f"{source} is damaged: at line {line} it is no JSON.", "with broken JSON") from None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
        return True
    except (ValueError, RecursionError):
        return False


def json_lines(text: str, source: str, column: str | None) -> Reading:
    """The texts of lines that are each a string, an object with a text, or a conversation.

    A last line without an end, which somebody may just be writing, is passed over if it is broken. Raises
    UnreadableFile where another line is no JSON, or has no text.
    """
    records = []
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            records.append((json.loads(line), number))
        except (ValueError, RecursionError):
            if number == len(lines) > 1 and records:
                break
            raise UnreadableFile(f"Line {number} of {source} is no JSON.", "with broken JSON") from None
    try:
        return _of_records(records, source, column, "JSON lines", each_line=True)
    except _NoTexts as error:
        raise UnreadableFile(f"Line {error.line} of {source} has no text under {column or USUAL[0]}.",
                             "without the column") from None


class _NoTexts(Exception):
    """Records hold something else than texts; the first such stands in `line`."""

    def __init__(self, line: int) -> None:
        self.line = line


def _records(value: Any, depth: int) -> Sequence | None:
    """The list of texts or of objects that a file is, or that stands in it under a name that says so; None where there
    is none."""
    if isinstance(value, list):
        return value if any(isinstance(entry, (str, dict)) for entry in value) else None
    if not isinstance(value, dict) or not depth:
        return None
    inner = [found for name, entry in value.items() if isinstance(entry, (list, dict)) and entry
             and (len(value) == 1 or name.casefold() in _AROUND or _has_texts(entry))
             and (found := _records(entry, depth - 1)) is not None]
    return max(inner, key=len, default=None)


def _has_texts(value: Any) -> bool:
    return isinstance(value, list) and any(
        isinstance(entry, dict) and " " in str(entry.get(name) or "") for entry in value[:10] for name in USUAL[:5])


def _of_records(records: Sequence[tuple[Any, int]], source: str, column: str | None, what: str,
                each_line: bool = False) -> Reading:
    """Raises _NoTexts, or UnreadableFile where the texts' field isn't known."""
    records = [(_unwrapped(record), line) for record, line in records]
    objects = [record for record, _ in records if isinstance(record, dict) and record]
    if objects and column is None:
        talks = [(talk, line) for record, line in records if isinstance(record, dict) and record
                 and (talk := conversation(record)) is not None]
        if len(talks) == len(objects):
            return _documents(talks, source, f"{what} of chats")
    fields = _fields(objects, source, column, each_line)
    texts, empty = [], 0
    for record, line in records:
        value = _value(record, fields) if isinstance(record, dict) else record
        if _is_empty(value):
            empty += 1
        elif not isinstance(value, str):
            raise _NoTexts(line)
        else:
            texts.append((value, line))
    if records and not texts and objects and not any(set(fields) & set(record) for record in objects):
        raise _NoTexts(records[0][1])
    said = f"{what}, texts from {' and '.join(fields)}" if fields else f"{what} of texts"
    return _documents(texts, source, said + f", {empty} of them empty" * bool(empty))


def _unwrapped(record: Any) -> Any:
    """What alone stands in an object, as in {"tweet": {...}}."""
    if isinstance(record, dict) and len(record) == 1:
        inner = next(iter(record.values()))
        return inner if isinstance(inner, dict) and inner and conversation(record) is None else record
    return record


def _fields(objects: Sequence[dict], source: str, column: str | None, each_line: bool) -> tuple[str, ...]:
    """The names of what makes the text of an object."""
    if not objects:
        return ()
    names = list(dict.fromkeys(name for record in objects[:1000] for name in record))
    if column is not None:
        place = named(column, names)
        if place is not None:
            return (names[place],)
        if named(USUAL[0], names) is None or not each_line:
            raise UnreadableFile(f"{source} has no field {column}: it has {_listed(names)}.", "without the column")
    usual = next((names[place] for name in USUAL if (place := named(name, names)) is not None), None)
    together = next((group for group in _TOGETHER if set(group) <= set(names)), None)
    if usual:
        return (usual,)
    if together:
        return together
    texts = [name for name in names if any(isinstance(record.get(name), str) for record in objects[:1000])]
    wordy = [name for name in texts if any(" " in str(record.get(name, "")).strip() for record in objects[:1000])]
    if len(wordy) == 1:
        return wordy[0],
    if len(texts) == 1 and each_line:
        return texts[0],
    if each_line or not wordy:
        raise _NoTexts(next(number for number, _ in enumerate(objects, 1)))
    raise UnreadableFile(f"{source} has several texts in each entry ({_listed(wordy)}): choose one by its name with "
                         "--column.", "without the column")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(" ".join(name.split())[:40] for name in list(names)[:20])


def _value(record: dict, fields: Sequence[str]) -> Any:
    values = [record.get(field, record.get(USUAL[0])) for field in fields]
    if len(values) == 1:
        value = values[0]
        if isinstance(value, dict) and isinstance(value.get(USUAL[0]), str):
            return value[USUAL[0]]
        return "\n".join(value) if isinstance(value, list) and value and all(isinstance(part, str) for part in value) \
            else value
    return "\n\n".join(value for value in values if isinstance(value, str) and value.strip())


def _is_empty(value: Any) -> bool:
    return value is None or value != value or value in ("", [], {})  # pandas writes NaN for what is missing


def _documents(texts: Iterable[tuple[str, int]], source: str, found: str) -> Reading:
    cleaned = [(clean(text).strip("\n"), line) for text, line in texts]
    return Reading([Document(text, source, line, one_line=True) for text, line in cleaned if text.strip()], found)


def encoded(content: bytes, source: str, decode: Callable[[list[int]], str] | None) -> Reading:
    """The documents of an .npz file of arrays of token ids, as gpt-2-simple writes it.

    Raises UnreadableFile where it is broken, holds something else, or `decode` is None.
    """
    if decode is None:
        raise UnreadableFile(f"{source} holds token ids, and there is no tokenizer to read them.", "with token ids")
    import zipfile
    import zlib

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
    return Reading(documents)
