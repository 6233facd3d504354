"""Where samples go: the screen as they come, JSON lines, or a file that appears whole or not at all."""
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from gpt2_assist.commands.samples import Sample
from gpt2_assist.errors import StorageError
from gpt2_assist.terminal import visible

SEPARATOR = "=" * 20


class Screen:
    """Standard output. One sample may stream; several come one after the other, with a line between."""

    def __init__(self, prompt: str, streamed: bool, shown_prompt: bool) -> None:
        self._prompt, self._streamed, self._shown_prompt = prompt, streamed, shown_prompt
        self._clean: Callable[[str], str] = visible if sys.stdout.isatty() else str
        self._begun = self._line_ended = False

    def text(self, sample: Sample, text: str) -> None:
        if self._streamed:
            self._begin()
            self._write(text)

    def done(self, sample: Sample) -> None:
        if not self._streamed:
            if sample.index:
                self._write(SEPARATOR + "\n")
            self._begun = False
        self._begin()
        if not self._streamed:
            self._write(sample.text)
        if not self._line_ended:
            self._write("\n")
        for line in _table(sample):
            self._write(line + "\n")

    def _begin(self) -> None:
        if not self._begun and self._shown_prompt:
            self._write(self._prompt)
        self._begun = True

    def _write(self, text: str) -> None:
        if text:
            sys.stdout.write(self._clean(text))
            sys.stdout.flush()
            self._line_ended = text.endswith("\n")


class Lines:
    """JSON lines, one for each sample, handed to `write`."""

    def __init__(self, write: Callable[[str], None], prompt: str, shown_prompt: bool, seed: int, model: str,
                 logprobs: bool) -> None:
        self._write, self._prompt = write, prompt if shown_prompt else ""
        self._seed, self._model, self._logprobs = seed, model, logprobs

    def text(self, sample: Sample, text: str) -> None:
        """A line is written when its sample has ended."""

    def done(self, sample: Sample) -> None:
        entries = {"index": sample.index, "text": self._prompt + sample.text, "tokens": sample.tokens,
                   "finish_reason": sample.finish_reason, "seed": self._seed, "model": self._model}
        if self._logprobs:
            entries["logprobs"] = sample.logprobs
        self._write(json.dumps(entries, ensure_ascii=False) + "\n")


class Pages:
    """Plain samples with a line between, handed to `write`."""

    def __init__(self, write: Callable[[str], None], prompt: str, shown_prompt: bool) -> None:
        self._write, self._prompt = write, prompt if shown_prompt else ""

    def text(self, sample: Sample, text: str) -> None:
        """A sample is written when it has ended."""

    def done(self, sample: Sample) -> None:
        if sample.index:
            self._write(SEPARATOR + "\n")
        text = self._prompt + sample.text
        self._write(text if text.endswith("\n") else text + "\n")
        for line in _table(sample):
            self._write(line + "\n")


class WholeFile:
    """A file that is replaced, synced and whole, when `close` is called; until then the old one stays."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pieces: list[str] = []
        if path.is_dir():
            raise StorageError(f"{path} is a folder; give -o the name of a file.")
        if not path.absolute().parent.is_dir():
            raise StorageError(f"The folder {path.absolute().parent} does not exist; make it first.")

    def write(self, text: str) -> None:
        self._pieces.append(text)

    def close(self) -> None:
        write_whole(self._path, "".join(self._pieces))


def write_whole(path: Path, text: str) -> None:
    """Puts `text` in the place of the file, synced; a failure leaves the old file. Raises StorageError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            with open(temporary, "w", encoding="utf-8", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"The file {path} can't be written: {error.strerror}.") from None


def _table(sample: Sample) -> list[str]:
    return ["\t".join([repr(token), f"{value:.4f}", *(f"{other!r} {score:.4f}" for other, score in best)])
            for token, value, best in sample.logprobs]
