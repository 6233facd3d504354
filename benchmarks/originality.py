"""What the search for copied text costs: an index over made-up tokens, and a text that copies from it now and then.

Tokens are drawn by Zipf's law. The text is made of pieces of the data, 1 to 200 tokens long, with drawn tokens between.
`python benchmarks/originality.py [--tokens 1000000] [--text 20000]`
"""
import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from table import median, quantile, show

from gpt2_assist.originality.compiling import kernels
from gpt2_assist.originality.index import CopyIndex
from gpt2_assist.originality.matcher import Matcher, continuations

VOCABULARY = 50_257
DOCUMENT = 2_000
CONTEXT = 8


def drawn(dice: np.random.Generator, count: int) -> np.ndarray:
    """Ids [count] of which the n-th most frequent is drawn in proportion to 1 / n."""
    weights = 1 / np.arange(1, VOCABULARY + 1)
    return np.searchsorted(np.cumsum(weights / weights.sum()), dice.random(count)).clip(max=VOCABULARY - 1)


def copying_text(dice: np.random.Generator, data: np.ndarray, count: int) -> np.ndarray:
    """Ids [count]; see the top of this file."""
    pieces, length = [], 0
    while length < count:
        start, size = dice.integers(0, len(data)), dice.integers(1, 201)
        pieces += [data[start:start + size], drawn(dice, size // 4)]
        length += len(pieces[-2]) + len(pieces[-1])
    return np.concatenate(pieces)[:count]


def microseconds(work, arguments: list) -> list[float]:
    """Of each call of work."""
    times = []
    for argument in arguments:
        began = time.perf_counter_ns()
        work(argument)
        times.append((time.perf_counter_ns() - began) / 1000)
    return times


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", type=int, default=1_000_000)
    parser.add_argument("--text", type=int, default=20_000)
    args = parser.parse_args()
    kernels()
    dice = np.random.default_rng(0)
    data = drawn(dice, args.tokens)
    documents = [data[start:start + DOCUMENT] for start in range(0, len(data), DOCUMENT)]
    began = time.perf_counter()
    index = CopyIndex.build(documents, [("made-up.txt", 1)] * len(documents))
    rows = [["build, s", time.perf_counter() - began, None]]
    with tempfile.TemporaryDirectory() as folder:
        index.save(Path(folder))
        rows.append(["on disk, MB", sum(file.stat().st_size for file in Path(folder).iterdir()) / 1e6, None])
        began = time.perf_counter()
        index = CopyIndex.load(Path(folder))
        rows.append(["load, ms", 1000 * (time.perf_counter() - began), None])
        text = copying_text(dice, data, args.text).tolist()
        contexts = [text[place:place + CONTEXT] for place in range(len(text) - CONTEXT)]
        for name, times in (("a token of Matcher.feed, µs", microseconds(Matcher(index).feed, text)),
                            (f"continuations of {CONTEXT} tokens, µs",
                             microseconds(lambda tokens: continuations(index, tokens), contexts)),
                            ("continuations of 1 token, µs",
                             microseconds(lambda token: continuations(index, [token]), text))):
            rows.append([name, median(times), quantile(times, 0.95)])
    show(f"Originality, {args.tokens:,} tokens of training data", ["", "median", "95 %"], rows)


if __name__ == "__main__":
    main()
