"""What this program makes of its own accord is its user's alone: folders 0700, files 0600, whatever the umask.

A program begins with `begin`, from which on every new file is private, and calls that others make do their work within
`private`; `mend` sees to what earlier versions made. What the user asks for by name is made within `as_asked`.
"""
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gpt2_assist import config

_PRIVATE = 0o077
_OURS = {"home": ("models", "runs", "prepared", "locks", "hub", "history", "error.log", "settings.toml",
                  "catalogue.toml", "first-model-failed", "sessions.sqlite",
                  "sessions.sqlite-wal", "sessions.sqlite-shm", "sessions.sqlite-journal"),
         "cache": ("kernels", "triton")}
"""What lies in our folders. One that holds anything else too may be no folder of ours alone, and keeps its own mode."""
_asked: int | None = None
"""The umask as the user has it, where it isn't the present one."""
_works, _counting = 0, threading.Lock()
"""Private works under way, and what guards their number: a program may have several at once."""


def begin() -> None:
    """From now on this process makes private files."""
    global _asked, _works
    with _counting:
        before = os.umask(_PRIVATE)
        if not _works:
            _asked = before
        _works += 1


def _end() -> None:
    global _asked, _works
    with _counting:
        _works -= 1
        if not _works:
            os.umask(_asked)
            _asked = None


@contextmanager
def private() -> Iterator[None]:
    """Within the block this process makes private files; for a program whose umask is its own affair."""
    begin()
    try:
        mend()
        yield
    finally:
        _end()


@contextmanager
def as_asked() -> Iterator[None]:
    """Within the block new files have the modes that the user's own umask gives."""
    if _asked is None:
        yield
        return
    before = os.umask(_asked)
    try:
        yield
    finally:
        os.umask(before)


def file_mode() -> int:
    """What the present umask gives a new file, for one that another library made."""
    umask = os.umask(_PRIVATE)
    os.umask(umask)
    return 0o666 & ~umask


def mend() -> None:
    """Closes to others what earlier versions left open to them, as far as it is ours."""
    for name, ours in _OURS.items():
        folder = Path(os.path.realpath(getattr(config, name)()))
        with suppress(OSError):
            there = os.listdir(folder)
            if folder.name == "gpt2-assist" or set(there) <= set(ours):
                _tighten(folder)
            for name in set(there) & set(ours):
                if _tighten(folder / name):
                    make_private(folder / name)


def make_private(folder: Path) -> None:
    """Closes a folder with all that is in it; links are not followed."""
    for place, _, files in os.walk(folder):
        for name in [".", *files]:
            _tighten(Path(place, name))


def _tighten(path: Path) -> bool:
    """Whether a file or folder of ours was open to others, and isn't any more."""
    if os.name == "nt":  # where folders in the user's profile are the user's
        return False
    with suppress(OSError):
        state = path.lstat()
        kind = stat.S_ISDIR(state.st_mode) or stat.S_ISREG(state.st_mode)
        if kind and state.st_uid == os.getuid() and state.st_mode & _PRIVATE:
            path.chmod(stat.S_IMODE(state.st_mode) & ~_PRIVATE)
            return True
    return False
