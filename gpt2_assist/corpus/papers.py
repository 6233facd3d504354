"""Documents of other programs as text: PDF, EPUB, Word, LibreOffice, RTF, HTML and Evernote's notes, where the extra
`documents` is installed."""
import io
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gpt2_assist.corpus.documents import Document, Reading, UnreadableFile, clean
from gpt2_assist.corpus.encodings import UnknownEncoding
from gpt2_assist.corpus.markup import page_text, xml_text

if TYPE_CHECKING:
    import zipfile

EXTRA = "gpt2-assist[documents]"
_LARGEST_BYTES = 256 << 20
"""Of all that an archive holds when it is unpacked."""
_WORD = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"})
_PARTED_WORD = re.compile(r"(?<=[^\W\d_])-\n(?=[^\W\d_A-Z])")


def paper(kind: str, content: bytes, source: str) -> Reading:
    """The documents of a file whose suffix is one of PAPERS. Raises UnreadableFile, also where the extra is missing,
    and UnknownEncoding."""
    what, read = PAPERS[kind]
    try:
        texts = [text for text in map(str.strip, read(content, source)) if text]
    except ImportError:
        raise UnreadableFile(f"{source} is {what}: what reads such files is installed with {EXTRA}.",
                             f"that need {EXTRA}") from None
    except (UnreadableFile, UnknownEncoding):
        raise
    except Exception:  # what libraries raise on damaged files has no end
        raise UnreadableFile(f"{source} is no sound file of its kind ({what}), or it is damaged.", "damaged") from None
    return Reading([Document(text, source) for text in texts], f"{what}, its text")


def _pdf(content: bytes, source: str) -> Sequence[str]:
    import logging

    from pypdf import PdfReader
    from pypdf.errors import DependencyError, FileNotDecryptedError
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = PdfReader(io.BytesIO(content))
        pages = [clean(page.extract_text()).translate(_LIGATURES) for page in reader.pages]
    except (FileNotDecryptedError, DependencyError):
        raise UnreadableFile(f"{source} is encrypted: save it without a password.", "encrypted") from None
    if pages and not any(page.strip() for page in pages):
        raise UnreadableFile(f"{source} holds pictures of pages, no text: let a program for text recognition (OCR) "
                             "read it first.", "without text, but pictures of pages")
    return [_PARTED_WORD.sub("", "\n".join(_without_margins(pages)))]


def _without_margins(pages: Sequence[str]) -> list[str]:
    """Pages without the first and the last line where that comes again on most of them, but for numbers."""
    split = [page.strip("\n").split("\n") for page in pages]
    if len(pages) >= 4:
        headers, footers = (_frequent([lines[place] for lines in split]) for place in (0, -1))
        split = [lines[_numberless(lines[0]) in headers:len(lines) - (_numberless(lines[-1]) in footers)]
                 for lines in split]
    return ["\n".join(lines) for lines in split]


def _frequent(lines: Sequence[str]) -> set[str]:
    return {line for line, count in Counter(map(_numberless, lines)).items() if 2 * count > len(lines)}


def _numberless(line: str) -> str:
    return re.sub(r"\d+", "#", line.strip())


def _parts(content: bytes) -> "zipfile.ZipFile":
    """Raises ValueError where an archive unpacks to more than is sane."""
    import zipfile
    archive = zipfile.ZipFile(io.BytesIO(content))
    if sum(entry.file_size for entry in archive.infolist()) > _LARGEST_BYTES:
        raise ValueError("too large")
    return archive


def _docx(content: bytes, source: str) -> Sequence[str]:
    with _parts(content) as archive:
        names = [name for name in ("word/document.xml", "word/footnotes.xml", "word/endnotes.xml")
                 if name in archive.namelist() or name == "word/document.xml"]
        return ["\n".join(xml_text(archive.read(name), frozenset(("t",)), _WORD, {"p": "\n", "tc": "\t", "tr": "\n"},
                                   frozenset(("Fallback", "del", "moveFrom", "pPr", "rPr", "instrText")))
                          for name in names)]


def _odt(content: bytes, source: str) -> Sequence[str]:
    with _parts(content) as archive:
        if b"encryption-data" in archive.read("META-INF/manifest.xml"):
            raise UnreadableFile(f"{source} is encrypted: save it without a password.", "encrypted")
        return [xml_text(archive.read("content.xml"), frozenset(), {"tab": "\t", "line-break": "\n", "s": " "},
                         {"p": "\n", "h": "\n", "table-cell": "\t", "table-row": "\n"},
                         frozenset(("annotation", "tracked-changes", "note-citation", "automatic-styles",
                                    "font-face-decls", "sequence-decls", "object", "binary-data")))]


def _epub(content: bytes, source: str) -> Sequence[str]:
    """A text for each chapter, in the order in which one reads them."""
    from urllib.parse import unquote

    from lxml import etree
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, recover=True)

    def tree(name: str):
        return etree.fromstring(archive.read(name), parser)

    with _parts(content) as archive:
        if "META-INF/rights.xml" in archive.namelist():
            raise UnreadableFile(f"{source} is protected against copying and can't be read.", "encrypted")
        package = tree("META-INF/container.xml").xpath("string(//*[local-name()='rootfile']/@full-path)")
        book = tree(package)
        items = {item.get("id"): item for item in book.xpath("//*[local-name()='item']")}
        chosen = [items[entry.get("idref")] for entry in book.xpath("//*[local-name()='itemref']")
                  if entry.get("idref") in items and entry.get("linear") != "no"]
        hrefs = [item.get("href") for item in chosen if "nav" not in (item.get("properties") or "").split()]
        names = [posixpath.normpath(posixpath.join(posixpath.dirname(package), unquote(href))) for href in hrefs]
        return [page_text(archive.read(name)) for name in dict.fromkeys(names) if name in archive.namelist()]


def _fb2(content: bytes, source: str) -> Sequence[str]:
    return [xml_text(content, frozenset(), {}, dict.fromkeys(("p", "v", "title", "empty-line", "section"), "\n"),
                     frozenset(("binary", "description", "stylesheet")))]


def _html(content: bytes, source: str) -> Sequence[str]:
    return [page_text(content)]


def _rtf(content: bytes, source: str) -> Sequence[str]:
    from striprtf.striprtf import rtf_to_text
    return [clean(rtf_to_text(content.decode("latin-1"), errors="ignore"))]


def _enex(content: bytes, source: str) -> Sequence[str]:
    from lxml import etree
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True)
    texts = []
    for note in etree.fromstring(content, parser).iter("note"):
        title, body = (note.findtext(name) or "" for name in ("title", "content"))
        texts.append(f"{clean(title)}\n\n{page_text(body.encode())}")
    return texts


PAPERS: dict[str, tuple[str, Callable[[bytes, str], Sequence[str]]]] = {
    ".pdf": ("a PDF", _pdf), ".docx": ("a Word document", _docx), ".docm": ("a Word document", _docx),
    ".odt": ("a LibreOffice document", _odt), ".epub": ("a book (EPUB)", _epub),
    ".fb2": ("a book (FictionBook)", _fb2), ".rtf": ("a document in RTF", _rtf),
    ".html": ("a web page", _html), ".htm": ("a web page", _html), ".xhtml": ("a web page", _html),
    ".enex": ("notes of Evernote", _enex)}
"""(what it is, what reads it) by suffix."""
