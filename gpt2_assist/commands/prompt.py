"""Where a command's prompt comes from: an argument, a file or standard input."""
import sys
from collections.abc import Callable
from pathlib import Path

from gpt2_assist.errors import DataError, UsageError
from gpt2_assist.text.valid import valid

MAX_PROMPT_BYTES = 4 * 1024 * 1024


def read_prompt(argument: str | None, prefix: str | None, file: Path | None,
                needless: Callable[[], bool] = lambda: False) -> str:
    """The prompt, from the one place that was given; standard input where none was or PROMPT is `-`. Where that is a
    terminal, the empty text if one is `needless`.

    A file's last line end is its editor's, not the writer's, and is dropped. Raises UsageError, DataError.
    """
    given = [value for value in (argument, prefix, file) if value is not None]
    if len(given) > 1:
        raise UsageError("Give the text to go on from once: as PROMPT, with --prefix or with --file.")
    if file is not None:
        try:
            with open(file, "rb") as stream:
                return _text(stream.read(MAX_PROMPT_BYTES + 1), str(file))
        except OSError as error:
            raise DataError(f"The file {file} can't be read: {error.strerror}.") from None
    if argument == "-" or not given:
        if sys.stdin.isatty() and not given:
            if needless():
                return ""
            raise UsageError('There is no prompt: write `gpt2-assist generate "Once upon a time"`, '
                             "or give --file FILE, or text on standard input.")
        try:
            return _text(sys.stdin.buffer.read(MAX_PROMPT_BYTES + 1), "standard input")
        except OSError as error:
            raise DataError(f"Standard input can't be read: {error.strerror}.") from None
    return valid(given[0])


def _text(data: bytes, source: str) -> str:
    if len(data) > MAX_PROMPT_BYTES:
        raise DataError(f"The prompt from {source} is longer than {MAX_PROMPT_BYTES >> 20} MiB; give only its end.")
    if b"\0" in data:
        raise DataError(f"The prompt from {source} is no text: it holds zero bytes.")
    try:
        return data.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise DataError(f"The prompt from {source} is no UTF-8 text.") from None
