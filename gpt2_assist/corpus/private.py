"""Finds what a model should not learn by heart: e-mail addresses, passwords and keys."""
import math
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from gpt2_assist.corpus.documents import Document

_EXAMPLES = 5
_ADDRESS = re.compile(
    r"(?<![\w.+%@-])(?P<user>[\w.+%-]{1,64})@(?P<host>(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,8}[a-z]{2,24})(?![\w@])",
    re.IGNORECASE)
_EXAMPLE_HOST = re.compile(r"(?:^|\.)example(?:\.[a-z]+)?$", re.IGNORECASE)
_PRIVATE_KEY = "a private key"
_KEY_END = re.compile(r"-----END (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_KEY_LINES = re.compile(r"(?:\n[ \t]*(?:[\w+/=]{16,}|[\w-]+: [^\n]*|))*")
_LONGEST_KEY = 1 << 15
_SIGNS = (
    (_PRIVATE_KEY, "PRIVATE KEY", re.compile(r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")),
    ("a key of AWS", "A", re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("a token of GitHub", "g", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_\w{22,255})\b")),
    ("a token of GitLab", "glpat-", re.compile(r"\bglpat-[\w-]{20,255}")),
    ("a token of Hugging Face", "hf_", re.compile(r"\bhf_[A-Za-z0-9]{30,255}\b")),
    ("a web token", "eyJ", re.compile(r"\beyJ[\w-]{10,4096}\.eyJ[\w-]{10,4096}\.[\w-]{10,4096}")),
    ("a key of Google", "AIza", re.compile(r"\bAIza[\w-]{35}(?![\w-])")),
    ("a token of Slack", "xox", re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,255}")),
    ("an API key", "k-", re.compile(r"\b[sr]k-(?=[\w-]{0,200}\d)[\w-]{20,255}")),
)
"""(what it is, words without which there is none, its form)."""
_NAMED = re.compile(
    r"(?P<name>passwor[dt]|passwd|passphrase|pwd|key|token|secret)s?[\"']?[ \t]{0,8}(?:=>|:=|[:=])[ \t]{0,8}"
    r"(?:(?P<quote>[\"'])(?P<quoted>[^\"'\n]{1,512})(?P=quote)|(?P<bare>[^\s\"'`,;(){}\[\]<>$]{1,512})(?=[\s,;]|$))",
    re.IGNORECASE)
_KEYS = ("key", "token", "secret")
_ENTROPY = 3.2
"""Bits per character of a random key: 32 hexadecimal digits have about 3.6, names and words less than 3.2 or no
digits."""
_PLACEHOLDER = re.compile(
    r"[<>{}$%*]|\.\.\.|^/|^(.)\1*$|change.?me|example|sample|placeholder|pass(?:word|phrase)|your|dummy|test",
    re.IGNORECASE)


@dataclass(frozen=True)
class Removed:
    """What went because something private stood in it."""

    lines: int
    documents: int


@dataclass(frozen=True)
class Private:
    """How many private things were found, and where the first of them are."""

    emails: int
    secrets: int
    examples: tuple[str, ...]
    """A few as "FILE:LINE: what", never the thing itself; secrets come first."""


def find_private(documents: Iterable[Document]) -> Private:
    """Counts e-mail addresses and likely secrets, each place once. Secrets without a known form, and without a word
    like password or key in front, are not seen."""
    emails = secrets = 0
    secret_places: list[str] = []
    email_places: list[str] = []
    for document in documents:
        for position, _, what in _secrets(document.text):
            secrets += 1
            if len(secret_places) < _EXAMPLES:
                secret_places.append(f"{document.source}:{document.line_at(position)}: {what}")
        for position in _addresses(document.text):
            emails += 1
            if len(email_places) < _EXAMPLES:
                email_places.append(f"{document.source}:{document.line_at(position)}: an e-mail address")
    return Private(emails, secrets, tuple((secret_places + email_places)[:_EXAMPLES]))


def without_private(documents: Iterable[Document]) -> tuple[list[Document], Removed]:
    """(the documents without what `find_private` finds, what went): the line in which it stands becomes an empty one,
    of a private key the whole block, and a short text or what stands in one line of its file goes as a whole."""
    kept: list[Document] = []
    lines = whole = 0
    for document in documents:
        text, gone = _without(document.text)
        if gone and (document.short or document.one_line) or not text.strip():
            whole += 1
        else:
            lines += gone
            begin = len(text) - len(text.lstrip("\n"))
            kept.append(replace(document, text=text.strip("\n"), line=document.line + begin) if gone else document)
    return kept, Removed(lines, whole)


def _without(text: str) -> tuple[str, int]:
    """(a text with empty lines instead of those with something private, how many). What two lines become together may
    be private again."""
    gone: set[int] = set()
    lines = text.split("\n")
    while spans := _private_spans("\n".join(lines)):
        begins = [0]
        for line in lines:
            begins.append(begins[-1] + len(line) + 1)
        for start, end in spans:
            numbers = range(bisect_right(begins, start) - 1, bisect_right(begins, max(start, end - 1)))
            gone.update(numbers)
            for number in numbers:
                lines[number] = ""
    return "\n".join(lines), len(gone)


def _private_spans(text: str) -> Sequence[tuple[int, int]]:
    spans = [(start, _end_of_key(text, end) if what == _PRIVATE_KEY else end) for start, end, what in _secrets(text)]
    return spans + [(start, start + 1) for start in _addresses(text)]


def _end_of_key(text: str, begin: int) -> int:
    """Where the block ends whose first line ends at `begin`: at its last line, or where no more of a key stands."""
    mark = _KEY_END.search(text, begin)
    block = _KEY_LINES.match(text, begin)
    return mark.end() if mark and mark.start() - begin <= _LONGEST_KEY else block.end() if block else begin


def _addresses(text: str) -> Iterator[int]:
    if "@" not in text:
        return
    for match in _ADDRESS.finditer(text):
        of_a_repository = match["user"] == "git" and text[match.end():match.end() + 1] in (":", "/")
        if not of_a_repository and not _EXAMPLE_HOST.search(match["host"]):
            yield match.start()


def _secrets(text: str) -> Iterator[tuple[int, int, str]]:
    """(position, end, what it is) of each, in order. Where two forms match at one place, the more special says what it
    is."""
    found = [(match.start(), 0, match.end(), what) for what, words, form in _SIGNS if words in text
             for match in form.finditer(text)]
    found += [(max(match.start("quoted"), match.start("bare")), 1, match.end(), what)
              for match in _NAMED.finditer(text) if (what := _named(match))]
    behind = 0
    for start, _, end, what in sorted(found):
        if start >= behind:
            yield start, end, what
        behind = max(behind, end)


def _named(match: re.Match[str]) -> str:
    """What kind of secret stands behind a word like password or key; empty if it doesn't look like one."""
    value = match["quoted"] or match["bare"]
    mixed = re.search(r"\d", value) and re.search(r"[^\W\d_]", value)
    if _PLACEHOLDER.search(value):
        return ""
    if match["name"].lower() in _KEYS:
        form = r"[\w+/=.~-]{20,}" if match["quoted"] else r"(?=(?:\D*\d){3})[\w+/=~-]{20,}"  # names stand bare too
        random = mixed and re.fullmatch(form, value) and _entropy(value) >= _ENTROPY
        return f"what looks like a secret {match['name'].lower()}" * bool(random)
    likely = len(value) >= 6 and (" " not in value if match["quoted"] else mixed and "." not in value)
    return "a password" * bool(likely)


def _entropy(value: str) -> float:
    """Bits per character, by how often each occurs in the value."""
    return -sum(count / len(value) * math.log2(count / len(value)) for count in Counter(value).values())
