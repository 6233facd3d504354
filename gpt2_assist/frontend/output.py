"""How samples look: on the screen as they come, as JSON lines, or one below the other in a file."""
import json
import sys
from collections.abc import Callable
from itertools import groupby
from typing import TYPE_CHECKING

from gpt2_assist.console.terminal import coloured, copied, visible
from gpt2_assist.frontend.samples import Sample
from gpt2_assist.ipc.messages import Chunk

if TYPE_CHECKING:
    from gpt2_assist.originality.marking import CopyMarks

SEPARATOR = "=" * 20


class Screen:
    """Standard output. One sample may stream; several come one after the other, with a line between.

    With `marks`, which gives one for each sample, what is copied is marked where it is a terminal.
    """

    def __init__(self, prompt: str, streamed: bool, shown_prompt: bool,
                 marks: "Callable[[], CopyMarks] | None" = None) -> None:
        self._prompt, self._streamed, self._shown_prompt = prompt, streamed, shown_prompt
        terminal = sys.stdout.isatty()
        self._clean: Callable[[str], str] = visible if terminal else str
        self._new_marks = marks if terminal else None
        self._marks: dict[int, CopyMarks] = {}
        self._pieces: dict[int, list[tuple[str, bool]]] = {}
        """Of samples that don't stream, by index."""
        self._begun = self._line_ended = False

    def text(self, sample: Sample, chunk: Chunk) -> None:
        pieces = [(chunk.text, False)]
        if self._new_marks:
            if sample.index not in self._marks:
                self._marks[sample.index] = self._new_marks()
            pieces = self._marks[sample.index].feed(chunk.text, chunk.tokens)
        if self._streamed:
            self._begin()
            self._write_pieces(pieces)
        else:
            self._pieces.setdefault(sample.index, []).extend(pieces)

    def done(self, sample: Sample) -> None:
        rest = self._marks.pop(sample.index).finish() if sample.index in self._marks else []
        if not self._streamed:
            if sample.index:
                self._write(SEPARATOR + "\n")
            self._begun = False
            rest = self._pieces.pop(sample.index, [(sample.text, False)]) + rest
        self._begin()
        self._write_pieces(rest)
        if not self._line_ended:
            self._write("\n")
        for line in _table(sample):
            self._write(line + "\n")

    def rest(self) -> None:
        """However a stream ends, what waits for its mark is shown."""
        if self._streamed:
            for marks in self._marks.values():
                self._write_pieces(marks.finish())
        self._marks.clear()

    def _begin(self) -> None:
        if not self._begun and self._shown_prompt:
            self._write(self._prompt)
        self._begun = True

    def _write_pieces(self, pieces: list[tuple[str, bool]]) -> None:
        for marked, group in groupby(pieces, lambda piece: piece[1]):
            self._write("".join(text for text, _ in group), marked)

    def _write(self, text: str, marked: bool = False) -> None:
        if text:
            text = self._clean(text)
            sys.stdout.write(copied(text, coloured()) if marked else text)
            sys.stdout.flush()
            self._line_ended = text.endswith("\n")


class Lines:
    """JSON lines, one for each sample, handed to `write`; in ASCII, which every encoding has and nothing splits."""

    def __init__(self, write: Callable[[str], None], prompt: str, shown_prompt: bool, seed: int | None, model: str,
                 logprobs: bool) -> None:
        self._write, self._prompt = write, prompt if shown_prompt else ""
        self._seed, self._model, self._logprobs = seed, model, logprobs

    def text(self, sample: Sample, chunk: Chunk) -> None:
        """A line is written when its sample has ended."""

    def done(self, sample: Sample) -> None:
        entries = {"index": sample.index, "text": self._prompt + sample.text, "tokens": sample.tokens,
                   "finish_reason": sample.finish_reason, "seed": self._seed, "model": self._model}
        if self._logprobs:
            entries["logprobs"] = sample.logprobs
        self._write(json.dumps(entries) + "\n")


class PlainSamples:
    """Plain samples with a line between, handed to `write`."""

    def __init__(self, write: Callable[[str], None], prompt: str, shown_prompt: bool) -> None:
        self._write, self._prompt = write, prompt if shown_prompt else ""

    def text(self, sample: Sample, chunk: Chunk) -> None:
        """A sample is written when it has ended."""

    def done(self, sample: Sample) -> None:
        if sample.index:
            self._write(SEPARATOR + "\n")
        text = self._prompt + sample.text
        self._write(text if text.endswith("\n") else text + "\n")
        for line in _table(sample):
            self._write(line + "\n")


def _table(sample: Sample) -> list[str]:
    return ["\t".join([repr(token), f"{value:.4f}", *(f"{other!r} {score:.4f}" for other, score in best)])
            for token, value, best in sample.logprobs]
