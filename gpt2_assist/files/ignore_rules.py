"""Ignore files with the syntax and the meaning of git's `.gitignore`.

Names are matched as bytes, as git does it, so a file in any encoding, or of no text at all, can be read. A pattern is
taken apart into one piece per folder, and each piece matches by itself: no pattern takes longer than its length times
the path's, however many stars a stranger put into it.
"""
import os
import re
import stat
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

MAX_BYTES = 1 << 20
"""Of an ignore file; what stands behind that is not read."""
_FLAGS = re.DOTALL | (re.IGNORECASE if sys.platform in ("darwin", "win32") else 0)
_CLASSES = {
    b"alnum": rb"[0-9A-Za-z]", b"alpha": rb"[A-Za-z]", b"blank": rb"[ \t]", b"cntrl": rb"[\x00-\x1f\x7f]",
    b"digit": rb"[0-9]", b"graph": rb"[!-~]", b"lower": rb"[a-z]", b"print": rb"[ -~]", b"punct": rb"[!-/:-@[-`{-~]",
    b"space": rb"[\t-\r ]", b"upper": rb"[A-Z]", b"xdigit": rb"[0-9A-Fa-f]"}


@dataclass(frozen=True)
class Pattern:
    """One line of an ignore file."""

    pieces: tuple[re.Pattern[bytes] | None, ...]
    """One per folder or file name; None stands for any number of them (`**`)."""
    anywhere: bool
    """Whether the one piece is compared to the last name alone."""
    folders: bool
    """Whether it matches folders only."""
    ignores: bool
    """False where the line takes back what lines above say (`!`)."""

    def matches(self, names: Sequence[bytes], folder: bool) -> bool:
        """Whether it is about the path with these names, itself, not about a folder above it."""
        if self.folders and not folder:
            return False
        if self.anywhere:
            piece = self.pieces[0]
            return piece is None or piece.fullmatch(names[-1]) is not None
        return self._matches_all(names)

    def _matches_all(self, names: Sequence[bytes]) -> bool:
        """Walks along both; where that fails, the last `**` takes one name more."""
        name = piece = 0
        retry: tuple[int, int] | None = None
        while name < len(names):
            if piece < len(self.pieces):
                pattern = self.pieces[piece]
                if pattern is None:
                    if piece == len(self.pieces) - 1:  # what is in the folder, not the folder itself
                        return True
                    piece += 1
                    retry = name, piece
                    continue
                if pattern.fullmatch(names[name]):
                    name, piece = name + 1, piece + 1
                    continue
            if retry is None:
                return False
            retry = retry[0] + 1, retry[1]
            name, piece = retry
        return piece == len(self.pieces)


def parsed(content: bytes) -> list[Pattern]:
    """The patterns of an ignore file, in order. Lines that git passes over are left out."""
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return [pattern for line in lines if (pattern := _pattern(line.removesuffix(b"\r"))) is not None]


def verdict(patterns: Iterable[Pattern], names: Sequence[bytes], folder: bool) -> bool | None:
    """Whether the last of the patterns that is about a path ignores it; None where none is about it."""
    return next((pattern.ignores for pattern in reversed(list(patterns)) if pattern.matches(names, folder)), None)


class IgnoreFiles:
    """Reads ignore files, and again only when they change."""

    def __init__(self) -> None:
        self._known: dict[Path | str, tuple[tuple[int, int, int], list[Pattern]]] = {}

    def patterns(self, path: Path | str) -> list[Pattern]:
        """Those of a file; none where there is no such file or it can't be read."""
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            self._known.pop(path, None)
            return []
        stamp = found.st_mtime_ns, found.st_size, found.st_ino
        known = self._known.get(path)
        if known is None or known[0] != stamp:
            known = self._known[path] = stamp, _read(path) if stat.S_ISREG(found.st_mode) else []
        return known[1]


def _read(path: Path | str) -> list[Pattern]:
    try:
        with open(path, "rb") as file:
            return parsed(file.read(MAX_BYTES))
    except OSError:
        return []


def _pattern(line: bytes) -> Pattern | None:
    """None for a comment, an empty line, and what can match nothing."""
    if line.startswith(b"#"):
        return None
    line = _without_spaces_behind(line)
    ignores = not line.startswith(b"!")
    line = line[not ignores:]
    folders = line.endswith(b"/")
    line = line[:-1] if folders else line
    anywhere = b"/" not in line
    try:
        pieces = _pieces(line.removeprefix(b"/"))
    except ValueError:
        return None
    return Pattern(tuple(pieces), anywhere, folders, ignores)


def _without_spaces_behind(line: bytes) -> bytes:
    """Spaces at a line's end count only behind a backslash."""
    kept = len(line.rstrip(b" "))
    backslashes = kept - len(line[:kept].rstrip(b"\\"))
    return line[:kept + 1] if backslashes % 2 else line[:kept]


def _pieces(pattern: bytes) -> list[re.Pattern[bytes] | None]:
    """A pattern's pieces. Raises ValueError where it can match nothing."""
    pieces: list[re.Pattern[bytes] | None] = []
    parts: list[bytes] = []
    at = begin = 0
    while at <= len(pattern):
        sign = pattern[at:at + 1]
        if sign in (b"/", b""):
            if at == begin:
                raise ValueError("an empty name")
            pieces.append(None if pattern[begin:at] == b"**" else _compiled(parts))
            parts, begin = [], at + 1
        elif sign == b"*":
            if parts[-1:] != [b"*"]:
                parts.append(b"*")
        elif sign == b"?":
            parts.append(b".")
        elif sign == b"[":
            at, members = _members(pattern, at + 1)
            parts.append(members)
        elif sign == b"\\":
            at += 1
            parts.append(re.escape(pattern[at:at + 1]))
            if at == len(pattern):
                raise ValueError("a backslash before nothing")
        else:
            parts.append(re.escape(sign))
        at += 1
    return [piece for place, piece in enumerate(pieces) if piece is not None or pieces[place - 1:place] != [None]]


def _compiled(parts: list[bytes]) -> re.Pattern[bytes]:
    """One name's pattern. Every star but the last takes as little as it can and never tries more: that suffices."""
    stars = [place for place, part in enumerate(parts) if part == b"*"]
    if not stars:
        return re.compile(b"".join(parts), _FLAGS)
    between = [b"(?>.*?" + b"".join(parts[star + 1:following]) + b")" for star, following in zip(stars, stars[1:])]
    last = b".*" + b"".join(parts[stars[-1] + 1:])
    return re.compile(b"".join(parts[:stars[0]] + between) + last, _FLAGS)


def _members(pattern: bytes, at: int) -> tuple[int, bytes]:
    """(where a set of characters ends, the set). `at` is behind its opening bracket. Raises ValueError where it has no
    end or an unknown class."""
    negated = pattern[at:at + 1] in (b"!", b"^")
    at += negated
    members: set[int] = set()
    before: int | None = None
    first = True
    while first or pattern[at:at + 1] != b"]":
        first = False
        sign = pattern[at:at + 1]
        if sign == b"-" and before is not None and pattern[at + 1:at + 2] not in (b"", b"]"):
            at, end = _member(pattern, at + 1)
            members.update(range(before, end + 1))
            before = None
        elif pattern[at:at + 2] == b"[:" and pattern[(end := pattern.find(b"]", at + 2)) - 1:end] == b":" and \
                end > at + 2:
            name = pattern[at + 2:end - 1]
            if name not in _CLASSES:
                raise ValueError("an unknown class of characters")
            members.update(code for code in range(256) if re.match(_CLASSES[name], bytes([code])))
            at, before = end, None
        else:
            at, before = _member(pattern, at)
            members.add(before)
        at += 1
    codes = sorted(set(range(256)) - members if negated else members)
    return at, b"[" + b"".join(b"\\x%02x" % code for code in codes) + b"]" if codes else b"(?!)"


def _member(pattern: bytes, at: int) -> tuple[int, int]:
    """(where a character of a set ends, its code)."""
    at += pattern[at:at + 1] == b"\\"
    if at >= len(pattern):
        raise ValueError("a set without an end")
    return at, pattern[at]
