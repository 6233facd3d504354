"""A file's bytes as documents, by what its name and its beginning say that it is."""
import re
from collections.abc import Callable
from dataclasses import dataclass

from gpt2_assist.corpus.chats import exported_chat
from gpt2_assist.corpus.documents import Document, Reading, UnreadableFile
from gpt2_assist.corpus.encodings import UnknownEncoding, decoded
from gpt2_assist.corpus.mail import is_mail, mails
from gpt2_assist.corpus.notebooks import canvas, drawing, markdown, notebook, without_embedded
from gpt2_assist.corpus.papers import PAPERS, paper
from gpt2_assist.corpus.parting import parted
from gpt2_assist.corpus.records import encoded, json_lines, json_text
from gpt2_assist.corpus.tables import rows

_MAILS = frozenset((".eml", ".emlx", ".mbox", ".mht", ".mhtml"))
_ADVICE = {
    "save it as .docx": (".doc", ".dot", ".wps", ".wpd", ".pages"),
    "save it as CSV": (".xls", ".xlsx", ".xlsm", ".xlsb", ".ods", ".numbers"),
    "save it as PDF": (".ppt", ".pptx", ".odp", ".key", ".djvu", ".djv", ".xps", ".one"),
    "convert it to EPUB": (".mobi", ".azw", ".azw3", ".kfx", ".lit"),
    "export it as CSV or JSON lines": (
        ".parquet", ".arrow", ".feather", ".sqlite", ".sqlite3", ".db", ".mdb", ".pkl", ".pickle"),
    "export it as .eml or .mbox": (".msg", ".pst", ".ost"),
    "unpack it": (".zip", ".tar", ".tgz", ".txz", ".7z", ".rar", ".bz2", ".zst", ".tbz2", ".jex")}
_ADVICE_BY_SUFFIX = {suffix: advice for advice, suffixes in _ADVICE.items() for suffix in suffixes}
_PICTURES = frozenset((".svg", ".drawio", ".tldr", ".excalidrawlib"))
_POINTERS = frozenset((".gdoc", ".gsheet", ".gslides", ".gdraw", ".webloc", ".url", ".icloud", ".dvc"))
_LARGE_FILE = re.compile(rb"version https://git-lfs\.github\.com/spec/v\d\s|version https://hawser\.github\.com/spec/|"
                         rb"/annex/objects/[^\n]*\n?\Z")
_BEGINNINGS = ((b"%PDF-", ".pdf"), (b"{\\rtf", ".rtf"))
_OFFICE_BEFORE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_IN_ZIP = ((b"mimetypeapplication/epub+zip", ".epub"), (b"mimetypeapplication/vnd.oasis.opendocument.text", ".odt"),
           (b"word/", ".docx"), (b"xl/", ".xlsx"), (b"ppt/", ".pptx"))


@dataclass(frozen=True)
class Choices:
    """What the user says of files that need it."""

    column: str | None = None
    decode: Callable[[list[int]], str] | None = None
    """Turns token ids into text."""


def documents_in(content: bytes, kind: str, source: str, choices: Choices,
                 whole: bool = False) -> tuple[Reading, str]:
    """(what a file gives, the encoding in which it was; empty for sound UTF-8).

    `kind` is the file's suffix in small letters; with `whole` plain text stays one document, as it stands. Raises
    UnreadableFile.
    """
    if not content:
        return Reading([]), ""
    if _LARGE_FILE.match(content[:512]):
        raise UnreadableFile(f"{source} only points to a file that is kept elsewhere (Git LFS or the like): fetch it, "
                             "for instance with `git lfs pull`.", "that only point to a file (git lfs pull fetches it)")
    kind = _by_content(content, kind, source)
    if kind in _POINTERS:
        raise UnreadableFile(f"{source} only points to something that is kept elsewhere: fetch or export that.",
                             "that only point elsewhere")
    if kind in _PICTURES:
        raise UnreadableFile(f"{source} is a picture, not a text.", "pictures")
    if kind == ".npz":
        return encoded(content, source, choices.decode), ""
    try:
        if kind in PAPERS:
            return paper(kind, content, source), ""
        if kind in _MAILS or is_mail(content):
            return mails(content, source), ""
        read = decoded(content)
    except UnknownEncoding:
        raise UnreadableFile(f"{source} is text in an encoding that can't be told for certain: save it as UTF-8.",
                             "in an unknown encoding (save them as UTF-8)") from None
    if read is None:
        advice = _ADVICE_BY_SUFFIX.get(kind)
        raise UnreadableFile(f"{source} can't be read as it is: {advice}." if advice else f"{source} holds no text.",
                             f"{kind} ({advice})" if advice else "binary")
    return _of_text(read[0], kind, source, choices, whole), read[1]


def _by_content(content: bytes, kind: str, source: str) -> str:
    """The suffix that a file should have. Raises UnreadableFile where it is encrypted."""
    for beginning, suffix in _BEGINNINGS:
        if content.startswith(beginning):
            return suffix
    if content.startswith(_OFFICE_BEFORE):
        if kind in PAPERS:
            raise UnreadableFile(f"{source} is encrypted: save it without a password.", "encrypted")
        return kind if kind in _ADVICE_BY_SUFFIX else ".doc"
    if content.startswith(b"PK\3\4") and kind not in (".npz", *PAPERS, *_ADVICE_BY_SUFFIX):
        return next((suffix for sign, suffix in _IN_ZIP if sign in content[:4096]), kind)
    return kind


def _of_text(text: str, kind: str, source: str, choices: Choices, whole: bool) -> Reading:
    if kind in (".csv", ".tsv", ".tab"):
        return rows(text, source, choices.column, tabs=kind != ".csv")
    if kind in (".jsonl", ".ndjson", ".jsonlines"):
        return json_lines(text, source, choices.column)
    if kind == ".json" or text.startswith("window.YTD."):
        return json_text(text, source, choices.column)
    for suffix, read in ((".ipynb", notebook), (".canvas", canvas), (".excalidraw", drawing)):
        if kind == suffix:
            return read(text, source)
    text, embedded = without_embedded(text)
    found = ""
    if kind in (".md", ".markdown"):
        text, found = markdown(text)
    chat = exported_chat(text, source) if kind in (".txt", "") else None
    if chat:
        return chat
    documents = [Document(text, source)] if whole else list(parted(text, source))
    return Reading(documents, found or "text, without the pictures in it" * embedded)
