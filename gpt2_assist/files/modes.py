"""The modes of new files: private where they are ours, as the user's umask has it where the user asked for them."""
import os
import stat
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

_PRIVATE = 0o077
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


def end() -> None:
    """Ends what `begin` began."""
    global _asked, _works
    with _counting:
        _works -= 1
        if not _works and _asked is not None:
            os.umask(_asked)
            _asked = None


@contextmanager
def as_asked() -> Generator[None]:
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


def make_private(folder: Path) -> None:
    """Closes a folder with all that is in it; links are not followed."""
    for place, _, files in os.walk(folder):
        for name in [".", *files]:
            tighten(Path(place, name))


def tighten(path: Path) -> bool:
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
