"""Mail as text: the subject and what was written, without headers, attachments and what is quoted."""
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gpt2_assist.corpus.documents import Document, Reading, UnreadableFile, clean
from gpt2_assist.corpus.markup import page_text
from gpt2_assist.corpus.papers import EXTRA

if TYPE_CHECKING:
    from email.message import EmailMessage

_BETWEEN = re.compile(rb"(?:\A|(?<=\n)\r?\n)From [^\r\n]*\r?\n(?=[A-Za-z-]+:)")
_MBOX = re.compile(rb"\AFrom [^\r\n]*\r?\n[A-Za-z-]+:")
_TIMED_MBOX = re.compile(rb"\AFrom [^\r\n]*\d\d:\d\d[^\r\n]*\r?\n[A-Za-z-]+:")
_HEADERS = re.compile(
    rb"\A(?:Return-Path|Delivered-To|Received|X-[\w-]+|MIME-Version|Message-ID): [^\n]*\n(?:[\w-]+:|[ \t])",
    re.IGNORECASE)
_QUOTED = re.compile(r"^[ \t]*>.*\n?|^On [^\n]{5,120}(?:\n[^\n]{0,80})? wrote:\n(?=\s*^[ \t]*>)|"
                     r"^Am [^\n]{5,160} schrieb[^\n]*:\n(?=\s*^[ \t]*>)", re.MULTILINE)
_SIGNATURE = re.compile(r"^-- \n.*\Z", re.MULTILINE | re.DOTALL)


def is_mail(content: bytes) -> bool:
    """Whether a file without a telling name is a mail or a box of them, by how it begins."""
    return _TIMED_MBOX.match(content[:4096]) is not None or _HEADERS.match(content[:4096]) is not None


def mails(content: bytes, source: str) -> Reading:
    """A document for each mail of a file. Raises UnreadableFile where nothing can be read."""
    import email  # not above: it is large, and few corpora hold mail
    from email import policy

    documents, needing = [], 0
    for line, message in _messages(content):
        try:
            text = _written(email.message_from_bytes(message, policy=policy.default))
        except ImportError:
            needing += 1
            continue
        except Exception:  # whatever damaged headers and parts make the library raise
            continue
        if text.strip():
            documents.append(Document(text, source, line, one_line=True))
    if needing and not documents:
        raise UnreadableFile(f"{source} is mail in HTML: what reads it is installed with {EXTRA}.",
                             f"that need {EXTRA}")
    without = f" ({needing} in HTML left out, which need {EXTRA})" if needing else ""
    return Reading(documents, f"mail, without headers, attachments and quotations{without}")


def _messages(content: bytes) -> Iterator[tuple[int, bytes]]:
    """(the line in which it begins, a mail) of a file."""
    if not _MBOX.match(content):
        yield 1, re.sub(rb"\A\d+[ \t]*\n", b"", content)  # Apple's files begin with their length
        return
    marks = [*_BETWEEN.finditer(content)]
    line, counted = 1, 0
    for mark, after in zip(marks, [*marks[1:], None]):
        line, counted = line + content.count(b"\n", counted, mark.end()), mark.end()
        yield line, re.sub(rb"(?m)^>(>*From )", rb"\1", content[mark.end():after.start() if after else len(content)])


def _written(message: "EmailMessage") -> str:
    """Raises ImportError where it is HTML and nothing there reads it."""
    body = message.get_body(("plain", "html"))
    if body is None:
        return ""
    said = body.get_content()
    if body.get_content_subtype() == "html":
        said = page_text(said.encode("utf-8", "replace"))
    said = _SIGNATURE.sub("", _QUOTED.sub("", clean(said))).strip("\n")
    subject = clean(str(message["subject"] or "")).strip()
    return f"{subject}\n\n{said}".strip("\n") if said.strip() else ""
