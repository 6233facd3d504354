"""How far something is, on standard error: a bar, or a line of words that gives way to what comes."""
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from gpt2_assist.console.terminal import visible

BYTES = {"unit": "B", "unit_divisor": 1000}
WEIGHTS = {"unit": " weights"}
Progress = Callable[[int, int], None]
"""Called with (done, in all)."""


@contextmanager
def bar(what: str, unit: dict) -> Generator[Progress]:
    """A bar that begins with the first thing done; what was done before that doesn't count for its speed."""
    from tqdm import tqdm
    shown = None

    def progress(done: int, total: int) -> None:
        nonlocal shown
        if shown is None and done:
            shown = tqdm(desc=visible(what), total=total, initial=done, unit_scale=True, file=sys.stderr,
                         mininterval=0.2 if sys.stderr.isatty() else 5.0, **unit)
        elif shown is not None and not shown.disable:
            shown.update(done - shown.n)
        if shown is not None and done >= total:  # what follows may have a bar of its own
            shown.close()

    try:
        yield progress
    finally:
        if shown is not None:
            shown.close()


@contextmanager
def words(what: str) -> Generator[Callable[[str], None]]:
    """A line that the next words replace, and nothing where no terminal can do that."""
    shown = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def show(said: str) -> None:
        if shown:
            print(f"\r{visible(what)}: {said}\033[K", end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        if shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
