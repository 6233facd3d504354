"""Where a command's prompt and phrases come from: an argument, a file or standard input."""
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from gpt2_assist.errors import UsageError
from gpt2_assist.text.valid import valid

MAX_PROMPT_BYTES = 4 * 1024 * 1024


def read_prompt(argument: str | None, prefix: str | None, file: Path | None,
                needless: Callable[[], bool] = lambda: False, whole: bool = False) -> str:
    """The prompt, from the one place that was given; standard input where none was or PROMPT is `-`. Where that is a
    terminal, the empty text if one is `needless`.

    A file's last line end is its editor's, not the writer's, and is dropped, unless the text is wanted `whole`: where
    another follows it, it was cut there. Raises UsageError, DataError.
    """
    texts = [text for text in (argument, prefix) if text is not None]
    if len(texts) + (file is not None) > 1:
        raise UsageError("Give the text to go on from once: as PROMPT, with --prefix or with --file.")
    if file is not None:
        return _text(str(file), whole)
    if argument == "-" or not texts:
        if sys.stdin.isatty() and not texts:
            if needless():
                return ""
            raise UsageError('There is no prompt: write `gpt2-assist generate "Once upon a time"`, '
                             "or give --file FILE, or text on standard input.")
        return _text("-", whole)
    return valid(texts[0])


def read_suffix(argument: str | None, file: Path | None) -> str | None:
    """What follows behind the new text, if that was given. Raises UsageError, DataError."""
    if argument is not None and file is not None:
        raise UsageError("Give what follows once: with --suffix or with --suffix-file.")
    if file is not None:
        return _text(str(file), True)
    return None if argument is None else valid(argument)


def read_beside(files: Sequence[Path], suffix: str | None) -> tuple[tuple[str, str], ...]:
    """Names and texts of other files. Raises UsageError, DataError."""
    if files and suffix is None:
        raise UsageError("--beside is for filling in: give what follows with --suffix or --suffix-file.")
    return tuple((valid(file.name), _text(str(file), True)) for file in files)


def read_banned(file: Path | None) -> list[str]:
    """The lines of a file of phrases, less the empty ones. Raises UsageError, DataError."""
    return [] if file is None else [line for line in _text(str(file), True).splitlines() if line.strip()]


def _text(path: str, whole: bool) -> str:
    from gpt2_assist.corpus.reading import read_text  # not above: a prompt that is an argument needs none of it
    text = read_text(path, MAX_PROMPT_BYTES)
    return text if whole else text.removesuffix("\n")
