"""Generating a series of samples through the daemon, a batch of requests at a time."""
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gpt2_assist.console.terminal import on_interrupt
from gpt2_assist.ipc.client import Client
from gpt2_assist.ipc.messages import Chunk, Finished, Generation, Loading, SampleDone


@dataclass
class Sample:
    """One sample as far as it has come."""

    index: int
    text: str = ""
    tokens: int = 0
    finish_reason: str = "cancelled"
    logprobs: list = field(default_factory=list)


@dataclass(frozen=True)
class SeriesRequest:
    """What to generate, and on what."""

    model: str
    prompt: str
    settings: Generation
    precision: str
    device: str
    suffix: str | None = None
    beside: tuple[tuple[str, str], ...] = ()
    """Paths and texts of other files; they count only with a suffix."""
    memory: str = ""
    note: str = ""
    note_depth: int = 3
    """These three as in messages.Generate."""


def generate_series(client: Client, request: SeriesRequest, count: int, batch_size: int,
                    on_text: Callable[[Sample, Chunk], None], on_done: Callable[[Sample], None]) -> bool:
    """Generates samples 0 … count - 1, `batch_size` at once; False if Ctrl-C ended the series early.

    `on_text` hears each piece of text as it comes, `on_done` each ended sample, in the order of their indices. What
    came of a sample before Ctrl-C is kept and reported as any other.
    """
    for first in range(0, count, batch_size):
        size = min(batch_size, count - first)
        settings = replace(request.settings, n=size, first_index=request.settings.first_index + first)
        samples = [Sample(first + place) for place in range(size)]
        reported = 0
        stream = client.generate(request.model, request.prompt, settings, "session" if count == 1 else "bulk",
                                 precision=request.precision, device=request.device, suffix=request.suffix,
                                 beside=list(request.beside), memory=request.memory, note=request.note,
                                 note_depth=request.note_depth)
        done: set[int] = set()
        with on_interrupt(stream.cancel):
            for message in stream:
                if isinstance(message, Chunk):
                    sample = samples[message.index]
                    sample.text += message.text
                    sample.tokens += len(message.tokens)
                    sample.logprobs += message.logprobs
                    on_text(sample, message)
                elif isinstance(message, SampleDone):
                    samples[message.index].finish_reason = message.finish_reason
                    samples[message.index].tokens = message.tokens
                    done.add(message.index)
                    while reported in done:
                        on_done(samples[reported])
                        reported += 1
                elif isinstance(message, Loading) and message.words and sys.stderr.isatty():
                    print(f"{message.model}: {message.words}", file=sys.stderr)
                elif isinstance(message, Finished):
                    break
        if any(sample.finish_reason == "cancelled" for sample in samples):
            return False
    return True


MOST_TRIES = 20
"""Samples per wanted one, when only new ones are wanted."""


def generate_unique(client: Client, request: SeriesRequest, count: int, batch_size: int,
                    is_known: Callable[[str], bool], on_chunk: Callable[[Sample, Chunk], None],
                    on_done: Callable[[Sample], None]) -> bool:
    """As generate_series, until `count` samples came of which `is_known` says False; they are numbered anew, and heard
    of when they are whole.

    Says on the error stream where so many can't be found.
    """
    found = 0
    for first in range(0, MOST_TRIES * count, batch_size):
        came: list[Sample] = []
        chunks: dict[int, list[Chunk]] = {}

        def keep(sample: Sample, chunk: Chunk, chunks: dict[int, list[Chunk]] = chunks) -> None:
            chunks.setdefault(sample.index, []).append(chunk)
        settings = replace(request.settings, first_index=request.settings.first_index + first)
        whole = generate_series(client, replace(request, settings=settings), batch_size, batch_size,
                                keep, came.append)
        for sample in came:
            if found < count and not is_known(sample.text):
                new = replace(sample, index=found)
                for chunk in chunks.get(sample.index, []):
                    on_chunk(new, chunk)
                on_done(new)
                found += 1
        if found == count or not whole:
            return whole
    print(f"Only {found} of {count} samples were new; a higher temperature finds more.", file=sys.stderr)
    return True
