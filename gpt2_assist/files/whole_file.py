"""Files that are there whole or not at all, whatever interrupts their writing."""
import os
import secrets
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_PART = ".part"
_ABANDONED_S = 3600.0
"""A part that nobody wrote to for so long belongs to a process that was killed."""


@contextmanager
def whole_file(path: Path, put: Callable[[Path], object] | None = None) -> Generator[BinaryIO]:
    """A file to fill: synced, it takes the place of `path` if the block ends without an error, and vanishes otherwise.

    `put` is another way of bringing the filled one there. Several processes may do so at once: the last one's file
    stays. Raises OSError where the disk refuses.
    """
    _remove_abandoned(path)
    part = path.with_name(f".{_stem(path)}.{secrets.token_hex(4)}{_PART}")
    try:
        with open(part, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        put(part) if put else part.replace(path)
        with suppress(PermissionError):  # a folder that takes names and can't be read
            sync(path.parent)
    finally:
        with suppress(OSError):
            part.unlink()


def sync(path: Path) -> None:
    """Brings a file, or the names in a folder, onto the disk."""
    if path.is_dir() and os.name == "nt":  # Windows opens no folders
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _stem(path: Path) -> str:
    """The name, but for one that would be too long with ours around it."""
    name = os.fsencode(path.name)
    return path.name if len(name) < 230 else name.hex()[-200:]


def _remove_abandoned(path: Path) -> None:
    stem = f".{_stem(path)}."
    for part in path.parent.glob(f".*{_PART}"):
        if not part.name.startswith(stem):
            continue
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > _ABANDONED_S:
                part.unlink()
