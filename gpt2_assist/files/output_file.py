"""Files that the user names for what comes out: written as the user expects of a path, and whole where that can be.

A file that is a file takes its new content at one stroke and keeps its mode and owner. Through symbolic links it is
their target that is written. What a new file can't take the place of (a second name of the file, another's file in a
shared folder, a folder that takes no new names) is written in place, and mended where that fails. What is no file (a
device, a pipe, standard output by its name) is written to.
"""
import errno
import os
import re
import shutil
import stat
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from gpt2_assist.errors import OutputError, StorageError
from gpt2_assist.files.modes import as_asked
from gpt2_assist.files.whole_file import whole_file

_MOST_LINKS = 40
_DESCRIPTORS = re.compile(r"/proc/(self|\d+)/fd|/dev/fd")
_NO_NEW_NAMES = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.ENAMETOOLONG)


class OutputFile:
    """A place for output. Raises StorageError at once where it can be seen that it can't be written."""

    def __init__(self, path: str | os.PathLike) -> None:
        self._named = path
        self._descriptor: int | None = None
        """Of a stream that the caller has open."""
        with self._refusals():
            self._path = self._target(path)
            self._state = None if self._descriptor is not None else _state(self._path)
            self._check()

    @property
    def whole(self) -> bool:
        """Whether it is a file, and not a device or a pipe."""
        return self._descriptor is None and (self._state is None or stat.S_ISREG(self._state.st_mode))

    @property
    def path(self) -> Path:
        """Behind all links."""
        return self._path

    @contextmanager
    def open(self) -> Generator[BinaryIO]:
        """A stream to fill. Where the block ends by an error, a file is as it was. Raises StorageError."""
        with self._refusals():
            if not self.whole:
                with self._stream() as stream:
                    yield stream
            elif self._state and (self._state.st_nlink > 1 or not _keeps_owner(self._state)):
                with self._in_place() as stream:
                    yield stream
            else:
                with self._replaced() as stream:
                    yield stream

    def write(self, content: bytes) -> None:
        """All of it. Raises StorageError."""
        with self.open() as stream:
            stream.write(content)

    def _target(self, path: str | os.PathLike) -> Path:
        """Where the links lead; a link to an open stream's number leads to that stream."""
        if not os.fspath(path):
            raise OSError(errno.EINVAL, "its name is empty")
        if "\0" in os.fspath(path):
            raise OSError(errno.EINVAL, "its name holds a zero byte")
        if os.fspath(path).endswith(os.sep) and not os.path.isdir(path):
            raise OSError(errno.ENOTDIR, "its name is a folder's")
        at = os.path.join(os.getcwd(), path)
        for _ in range(_MOST_LINKS):
            folder, name = os.path.split(at)
            folder = os.path.realpath(folder)
            if name.isdecimal() and _DESCRIPTORS.fullmatch(folder) and _ours(folder):
                self._descriptor = int(name)
                return Path(path)
            at = os.path.join(folder, name)
            if not os.path.islink(at):
                return Path(at)
            at = os.path.join(folder, os.readlink(at))
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))

    def _check(self) -> None:
        if self._descriptor is not None:
            os.fstat(self._descriptor)
        elif self._state is None:
            parent = self._path.parent
            if not parent.is_dir():
                raise StorageError(f"The folder {parent} does not exist; make it first.")
            if not os.access(parent, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, f"the folder {parent} takes no new files")
        elif stat.S_ISDIR(self._state.st_mode):
            raise StorageError(f"{self._named} is a folder; give the name of a file.")
        elif stat.S_ISSOCK(self._state.st_mode):
            raise OSError(errno.ENXIO, "it is a socket")
        elif not self._state.st_mode & 0o222 or not os.access(self._path, os.W_OK):  # root may, but wouldn't want to
            raise PermissionError(errno.EACCES, "it is read-only")

    @contextmanager
    def _stream(self) -> Generator[BinaryIO]:
        if self._descriptor is None:
            stream = open(os.open(self._path, os.O_WRONLY), "wb")
        else:
            stream = open(os.dup(self._descriptor), "wb")
        with stream:
            yield stream

    @contextmanager
    def _replaced(self) -> Generator[BinaryIO]:
        with ExitStack() as stack:
            try:
                with as_asked():
                    stream = stack.enter_context(whole_file(self._path, self._put))
            except OSError as error:
                if self._state is None or error.errno not in _NO_NEW_NAMES:
                    raise
                stream = stack.enter_context(self._in_place())
            else:
                if self._state:
                    _dress(stream.fileno(), self._path, self._state)
            yield stream

    def _put(self, part: Path) -> None:
        try:
            part.replace(self._path)
        except OSError as error:  # what is mounted as a file can't be replaced
            if self._state is None or error.errno not in _NO_NEW_NAMES:
                raise
            with open(part, "rb") as content:
                self._overwrite(content)

    @contextmanager
    def _in_place(self) -> Generator[BinaryIO]:
        import tempfile  # not above: front ends start without it
        with tempfile.TemporaryFile() as staged:
            yield staged
            self._overwrite(staged)

    def _overwrite(self, content: BinaryIO) -> None:
        """A file shrinks last, so what it was has its room on the disk until then."""
        import tempfile
        with open(self._path, "r+b", buffering=0) as file, tempfile.TemporaryFile() as before:
            shutil.copyfileobj(file, before)
            try:
                _fill(file, content)
            except BaseException:
                _fill(file, before)
                raise

    @contextmanager
    def _refusals(self) -> Generator[None]:
        try:
            yield
        except BrokenPipeError as error:
            raise OutputError(error) from None
        except OSError as error:
            raise StorageError(f"The file {self._named} can't be written: {error.strerror or error}.") from None


def _state(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _ours(folder: str) -> bool:
    return not folder.startswith("/proc/") or folder in ("/proc/self/fd", f"/proc/{os.getpid()}/fd")


def _keeps_owner(state: os.stat_result) -> bool:
    """Whether a new file in its place can have its owner and group."""
    if os.name == "nt" or os.geteuid() == 0:
        return True
    return state.st_uid == os.geteuid() and state.st_gid in (os.getegid(), *os.getgroups())


def _dress(handle: int, path: Path, state: os.stat_result) -> None:
    """Gives a new file what the old one had beside its content."""
    if os.name == "nt":
        return
    new = os.fstat(handle)
    if (new.st_uid, new.st_gid) != (state.st_uid, state.st_gid):
        with suppress(PermissionError):  # root on another machine's disk
            os.chown(handle, state.st_uid, state.st_gid)
    os.fchmod(handle, stat.S_IMODE(state.st_mode))
    for name in os.listxattr(path) if hasattr(os, "listxattr") else ():
        with suppress(OSError):
            os.setxattr(handle, name, os.getxattr(path, name))


def _fill(file: FileIO, content: BinaryIO) -> None:
    file.seek(0)
    content.seek(0)
    while piece := content.read(1 << 20):
        while piece:
            piece = piece[file.write(piece):]
    file.truncate()
    os.fsync(file.fileno())
