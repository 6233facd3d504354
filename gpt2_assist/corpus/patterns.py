"""Patterns of names with `*`, `?`, `[...]` and `**`: each folder is visited once, and no link is followed that a star
stands for, so nothing goes in circles."""
import os
import re
from collections.abc import Callable, Iterator
from fnmatch import translate

_SEPARATORS = re.compile("|".join(re.escape(mark) for mark in (os.sep, os.altsep) if mark))
_MAGIC = re.compile(r"[*?[]")
_ANY_DEPTH = "**"


def is_pattern(path: str) -> bool:
    return _MAGIC.search(path) is not None and "\0" not in path


def plain_part(pattern: str) -> str:
    """The folder that stands in front of the first piece with a star or the like; "" where there is none."""
    return _taken_apart(pattern)[0]


def matching(pattern: str, skip: Callable[[str], None]) -> list[str]:
    """What a pattern stands for, sorted: files, and folders in which everything is meant.

    As in a shell, stars stand for no name with a dot in front. `skip` is told what was passed over, in a word: folders
    that are linked, hidden or can't be read.
    """
    base, pieces, folders_only = _taken_apart(pattern)
    found: set[str] = set()
    seen, waiting = set(), [(base, 0)]
    while waiting:
        state = waiting.pop()
        if state in seen:
            continue
        seen.add(state)
        folder, place = state
        if place == len(pieces):
            there = folder or os.curdir
            if os.path.isdir(there) or not folders_only and os.path.lexists(there):
                found.add(there)
        elif pieces[place] == _ANY_DEPTH:
            waiting.append((folder, place + 1))
            if place + 1 < len(pieces):  # else all below it is meant already
                waiting += [(below, place) for below in _below(folder, "*", True, skip)]
        else:
            waiting += [(below, place + 1)
                        for below in _below(folder, pieces[place], place + 1 < len(pieces), skip)]
    return sorted(found)


def _taken_apart(pattern: str) -> tuple[str, list[str], bool]:
    """(the plain folder in front, the pieces behind it, whether only folders are meant)."""
    drive, rest = os.path.splitdrive(pattern)
    base = drive + (os.sep if _SEPARATORS.match(rest) else "")
    pieces = [piece for piece in _SEPARATORS.split(rest) if piece]
    while pieces and not _MAGIC.search(pieces[0]):
        base = os.path.join(base, pieces.pop(0))
    pieces = [piece for place, piece in enumerate(pieces)
              if piece != _ANY_DEPTH or pieces[place - 1:place] != [_ANY_DEPTH]]
    return base, pieces, _SEPARATORS.search(rest[-1:]) is not None


def _below(folder: str, piece: str, folders: bool, skip: Callable[[str], None]) -> Iterator[str]:
    """The paths in a folder that one piece of a pattern is about; with `folders` those of folders alone."""
    literal = os.path.join(folder, piece)
    if os.path.lexists(literal):
        yield literal
    if not _MAGIC.search(piece):
        return
    matches = re.compile(translate(os.path.normcase(piece))).match
    try:
        with os.scandir(folder or os.curdir) as entries:
            names = sorted((entry.name, entry.is_dir(), entry.is_symlink()) for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError:
        skip("unreadable")
        return
    for name, is_folder, is_link in names:
        if not matches(os.path.normcase(name)) or folders and not is_folder or name == ".git":
            continue
        if name.startswith(".") and not piece.startswith("."):
            if is_folder and folders:
                skip("hidden")
        elif is_folder and is_link:
            skip("linked")
        elif name != piece:
            yield os.path.join(folder, name)
