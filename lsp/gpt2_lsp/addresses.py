"""What a document's address says of files: which ones it may stand for, and its name.

Editors have addresses of many kinds for what comes from a file: a notebook's cell, an unsaved copy, an older version, a
file on another machine or inside an archive. Whatever path such an address has, it is looked at as that file would be;
where it can be read in several ways, in each of them.
"""
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from posixpath import basename
from urllib.parse import parse_qsl, unquote

from gpt2_lsp.halves import joined, replaced

_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):(?://(?P<host>[^/\\?#]*))?(?P<path>.*)", re.DOTALL)
_QUERY = re.compile(r"[?#]")
_INSIDE = re.compile(r"::|![/\\]")
"""Between an archive and a file in it."""
_JOINTS = re.compile(r"::|![/\\]|(?<=..):")
"""And between a machine and a file on it, or a version and a file of it."""
_DRIVE = re.compile(r"/*[A-Za-z]:[/\\]")
_GIT = re.compile(r"(.*?)/\.git/(.*)", re.DOTALL)
_NAMED = re.compile("path|file|uri", re.IGNORECASE)
"""Entries of a query that name files."""
_NO_FILES = ("vscode-scm",)
"""Fields of the editor itself: the message of a commit."""
_DEPTH = 4
"""Of addresses in addresses."""


@dataclass(frozen=True)
class Address:
    scheme: str
    """In small letters; empty where there is none."""
    host: str
    """The same."""
    path: str
    """As it stands there, with all that follows."""

    @classmethod
    def of(cls, uri: str) -> "Address":
        uri = replaced(joined(uri))
        found = _ADDRESS.fullmatch(uri)
        return cls(found["scheme"].lower(), (found["host"] or "").lower(), found["path"]) if found else cls("", "", uri)


@lru_cache(maxsize=512)
def files(uri: str, roots: tuple[Path, ...] = ()) -> tuple[Path, ...]:
    """Every file that a document's address may stand for; none where it has no path. A path without a beginning may be
    in each of the `roots`."""
    return tuple(dict.fromkeys(Path(path) for path in _paths(uri, roots, _DEPTH)))


def name(uri: str) -> str:
    """The last part of a document's path, as one line; empty where it has none yet."""
    address = Address.of(uri)
    if address.scheme == "untitled":
        return ""
    return " ".join(basename(replaced(unquote(_QUERY.split(address.path)[0]))).split())


def _paths(uri: str, roots: tuple[Path, ...], depth: int) -> Iterator[str]:
    address = Address.of(uri)
    if address.scheme in _NO_FILES or not depth:
        return
    bare = _QUERY.split(address.path)[0]
    for text in dict.fromkeys((bare, address.path)):  # a name may hold ? and #
        for path in _readings(text):
            yield from _placed(address, path, roots)
    query = address.path.partition("?")[2]
    for text in dict.fromkeys((query, query.rpartition("#")[0])):
        for value in _named_in(unquote(text)):
            yield from _paths(value, roots, depth - 1)
    if _ADDRESS.match(bare):  # jar:file:///…
        yield from _paths(bare, roots, depth - 1)


def _readings(text: str) -> list[str]:
    """A path with its percent signs meant once, twice or not at all. Bytes that are no UTF-8 are as Python has them in
    names of files."""
    once = unquote(text, errors="surrogateescape")
    readings = (once, text, unquote(once, errors="surrogateescape"))
    return list(dict.fromkeys(path.replace("\0", "") for path in readings))


def _placed(address: Address, path: str, roots: tuple[Path, ...]) -> Iterator[str]:
    """Where a path may lie: on this machine or the address's, in an archive, in the work tree of a git folder."""
    parts = (path, path.replace("\\", "/"), path[path.rfind(":/") + 1:], _INSIDE.split(path)[0], _JOINTS.sub("/", path))
    for part in dict.fromkeys(parts):
        yield from _rooted(part, roots)
    if address.host not in ("", "localhost"):
        yield from _rooted(unquote(address.host) + path, roots)
        if address.scheme == "file":
            yield f"//{address.host}{path}"
    if address.scheme == "git":
        yield from _rooted(path.removesuffix(".git"), roots)
    of_git = _GIT.fullmatch(path) if address.scheme != "file" else None
    if of_git:
        tree, inside = of_git[1], re.split("[:/]+", of_git[2])
        yield from (f"{tree}/{'/'.join(inside[start:])}" for start in range(len(inside)))


def _rooted(path: str, roots: tuple[Path, ...]) -> Iterator[str]:
    """As a path of this machine."""
    if _DRIVE.match(path):
        yield path.lstrip("/") if os.name == "nt" else "/" + path.lstrip("/")
    elif path.startswith("/"):
        yield path if os.name == "nt" else "/" + path.lstrip("/")
    elif "/" in path:
        yield from (f"{root}/{path}" for root in roots or ("",))
    elif path:
        yield f"/{path}"  # a name alone, which only itself can tell about


def _named_in(query: str) -> Iterator[str]:
    """What a query says of files."""
    try:
        entries = json.loads(query)
    except (ValueError, RecursionError):
        entries = dict(parse_qsl(query))
    waiting = [("", entries)]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, str) and _NAMED.search(key):
            yield value
        elif isinstance(value, dict):
            waiting += value.items()
        elif isinstance(value, list):
            waiting += ((key, entry) for entry in value)
