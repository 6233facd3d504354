"""The bytes of a file, unpacked, within a limit: a file, a pipe, standard input, but nothing that never ends."""
import gzip
import lzma
import os
import select
import stat
import sys
import time
import zlib
from contextlib import nullcontext
from pathlib import Path

from gpt2_assist.corpus.documents import UnreadableFile
from gpt2_assist.corpus.finding import STANDARD_INPUT, Found, shown

_UNPACKED = {".xz": lzma.open, ".gz": gzip.open}
_WRITER_S = 10.0
"""How long a pipe may be without anybody who writes into it."""


def opened(file: Found, limit: int) -> tuple[bytes, str]:
    """(a file's unpacked bytes, its suffix without that of the packing, in small letters).

    Raises UnreadableFile where it can't be read, or is longer than `limit`, in bytes.
    """
    source = shown(file.path)
    suffix = Path(file.path).suffix.casefold()
    unpack = _UNPACKED.get(suffix)
    try:
        with _stream(file, source) as stream:
            if unpack is None:
                content = stream.read(limit + 1)
            else:
                with unpack(stream) as inner:
                    content = inner.read(limit + 1)
    except (lzma.LZMAError, EOFError, zlib.error, gzip.BadGzipFile):
        raise UnreadableFile(f"{source} is damaged: it can't be unpacked.", "damaged") from None
    except OSError as error:
        raise UnreadableFile(f"{source} can't be read: {error.strerror or error}.", "unreadable") from None
    if len(content) > limit:
        raise UnreadableFile(f"{source} is too large: more than {limit >> 20:,} MiB; cut it and give a part of it.",
                             "too large")
    return content, Path(Path(file.path).stem).suffix.casefold() if unpack else suffix


def _stream(file: Found, source: str):
    """What to read from, never one that waits without end. Raises OSError, UnreadableFile."""
    if file.path == STANDARD_INPUT:
        if sys.stdin is None:
            raise UnreadableFile("Standard input is closed.", "unreadable")
        return nullcontext(sys.stdin.buffer)
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    number = os.open(file.path, flags)
    stream = os.fdopen(number, "rb")
    try:
        kind = os.fstat(number).st_mode
        if stat.S_ISFIFO(kind) and file.named:
            return _Piped(stream, _first_bytes(number, source))
        if not stat.S_ISREG(kind):
            raise UnreadableFile(f"{source} is neither a file nor a folder, but a device or the like.", "unreadable")
        return stream
    except BaseException:
        stream.close()
        raise


class _Piped:
    """A pipe of which something was read already."""

    def __init__(self, stream, first: bytes) -> None:
        self._stream, self._first = stream, first
        os.set_blocking(stream.fileno(), True)

    def read(self, size: int = -1) -> bytes:
        first, self._first = self._first[:size], self._first[size:]
        return first + self._stream.read(size - len(first))

    def __enter__(self):
        return self

    def __exit__(self, *exception: object) -> None:
        self._stream.close()


def _first_bytes(number: int, source: str) -> bytes:
    """What stands in a pipe as soon as somebody writes into it; nothing where he closed it, or has not yet begun."""
    end = time.monotonic() + _WRITER_S
    while time.monotonic() < end:
        ended = select.select([number], [], [], 0.1)[0]
        try:
            first = os.read(number, 1 << 16)
        except BlockingIOError:
            return b""
        if first or ended:
            return first
    raise UnreadableFile(f"Nobody writes into the pipe {source}.", "unreadable")
