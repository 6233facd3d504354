"""A program's standard streams: there in any case, with a stand-in for what their encoding lacks, and with errors that
are told from those of files."""
import io
import os
import sys
from contextlib import suppress

from gpt2_assist.errors import OutputError

_CLOSED = (("stdin", os.O_WRONLY), ("stdout", os.O_RDONLY), ("stderr", os.O_RDWR))
"""How a stream that the caller closed is opened: it refuses, as a closed one does, and no file takes its number."""


class _Output(io.TextIOWrapper):
    """Standard output. Raises OutputError where it refuses."""

    def write(self, text: str) -> int:
        with _Refusals():
            return super().write(text)

    def flush(self) -> None:
        with _Refusals():
            super().flush()


class _Refusals:
    def __enter__(self) -> None:
        pass

    def __exit__(self, kind, error, trace) -> None:
        if isinstance(error, OSError):
            raise OutputError(error) from None


class _Errors(io.TextIOWrapper):
    """The error stream: where it refuses there is no place left to say so."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


def ready() -> None:
    """Makes this process's streams so, once; those that something else has put in their place are left alone."""
    for number, (name, mode) in enumerate(_CLOSED):
        if getattr(sys, name) is None and getattr(sys, f"__{name}__") is None:
            _open_null(number, mode)
            _put(name, open(number, "r" if name == "stdin" else "w", encoding="utf-8", closefd=False))
    for name, kind in (("stdout", _Output), ("stderr", _Errors)):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__") and type(stream) is io.TextIOWrapper:
            encoding, live, bare = stream.encoding, stream.line_buffering, stream.write_through
            with suppress(OSError, AttributeError):  # the latter on Windows
                os.set_blocking(stream.fileno(), True)  # who shares it may have made it refuse what it can't take yet
            _put(name, kind(stream.detach(), encoding=encoding, errors="replace", line_buffering=live,
                            write_through=bare))


def _open_null(number: int, mode: int) -> None:
    handle = os.open(os.devnull, mode)
    if handle != number:
        os.dup2(handle, number)
        os.close(handle)


def _put(name: str, stream: io.TextIOWrapper) -> None:
    setattr(sys, name, stream)
    setattr(sys, f"__{name}__", stream)


def silence() -> None:
    """Gives up a standard output of `ready` that has refused: what it still holds would be refused again at the exit.
    """
    if isinstance(sys.stdout, _Output):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
        sys.stdout.flush()


class Telling:
    """Words beside a work that doesn't need them: where standard output refuses, it goes on without, and one note on
    the error stream says so."""

    def __init__(self, work: str) -> None:
        """`work` is what goes on, for the note; empty where the words are all that is wanted, and errors are raised."""
        self._work, self._heard = work, sys.stdout is not None

    @property
    def live(self) -> bool:
        """Whether somebody watches as it comes."""
        return self._heard and sys.stdout.isatty()

    def write(self, text: str) -> None:
        if not self._heard:
            return
        try:
            sys.stdout.write(_showable(text))
            sys.stdout.flush()
        except (OSError, ValueError, OutputError) as error:  # ValueError: somebody has closed it
            if not self._work:
                raise
            self._heard = False
            silence()
            broken = isinstance(error, BrokenPipeError) or isinstance(error, OutputError) and error.broken_pipe
            why = "Nobody reads the output any more" if broken else str(error).rstrip(".")
            with suppress(OSError, ValueError, AttributeError):
                print(f"{why}; {self._work} goes on.", file=sys.stderr)


def _showable(text: str) -> str:
    """With a stand-in for what the encoding lacks, also where the stream is a program's that calls us."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)
