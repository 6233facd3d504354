"""Typing in a writing session: how soon something is offered behind the cursor, and what a key costs.

A passage is typed at the end of a story. First each key waits for what is offered for it: the first of it, and the
whole. Then keys come at a fixed rate, and what came before the next one counts. Keys that go on as was offered ask
nothing of the model, and are counted by themselves. Then keys go to stories of several lengths, of which `typed` alone
counts.

Runs a daemon of its own in temporary folders. `python benchmarks/offers.py [--model mini|FOLDER] [--keys 150]
[--rate 8] [--threads 2] [--confidence 0]`
"""
import argparse
import asyncio
import time
from dataclasses import dataclass, field

from own_daemon import daemon
from table import quantile, show

from gpt2_assist.completion.daemon import Daemon
from gpt2_assist.completion.offers import Offers, OfferSettings

THERE = (
    "The ferry left at six, and nobody on the quay waved. Anna stood at the rail until the lamps of the town had run "
    "together into one thin line, and then she went below to look for the others.\n\nThe saloon smelled of oil and wet "
    "wool. Two men in long coats were playing cards on an upturned crate, and behind them a child slept with its mouth "
    "open, its hand still closed around a whistle. The older of the two men looked at her shoes, then at her face, and "
    "moved his lantern a little to the left, as one makes room on a bench.\n\n“Is it far?” she asked.\n\n“It was never "
    "far,” he said. “It is only slow.” He put down a seven, and his friend, who had been waiting for it, groaned and "
    "threw in what he held.\n\n")
PASSAGE = ("Her brother had found a table by the window. He had laid out the map, weighted with two cups, and he was "
           "drawing on it with a pencil that he kept wetting with his tongue. When she sat down he did not look up. He "
           "said that they would be there before noon if the wind stayed where it was, and that she should sleep.")
LENGTHS = (10_000, 1_000_000, 5_000_000)


@dataclass
class Key:
    began: float = field(default_factory=time.perf_counter)
    first_ms: float | None = None
    """None: nothing was offered."""
    whole_ms: float | None = None
    along: bool = False
    """Whether something was there at once."""


class Typing:
    """One text, and when what is offered for its last key came."""

    def __init__(self, model: str, confidence: float) -> None:
        self.model, self._daemon, self._told = model, Daemon("benchmark"), asyncio.Event()
        self.offers = Offers(self._daemon, self._note, OfferSettings(confidence=confidence))
        self.key = Key()

    def type(self, text: str) -> Key:
        self.key = key = Key()
        self.offers.typed(text, self.model)
        self._note()
        key.along = key.first_ms is not None
        return key

    async def whole(self) -> None:
        while not self.offers.whole:
            self._told.clear()
            await self._told.wait()
        if self.offers.reason:
            raise SystemExit(self.offers.reason)

    def _note(self) -> None:
        after = 1000 * (time.perf_counter() - self.key.began)
        if self.offers.text and self.key.first_ms is None:
            self.key.first_ms = after
        if self.offers.text and self.offers.whole and self.key.whole_ms is None:
            self.key.whole_ms = after
        self._told.set()

    async def close(self) -> None:
        self.offers.stop()
        await self._daemon.close()


async def measured(model: str, confidence: float, keys: int, rate: float) -> None:
    typing = Typing(model, confidence)
    typing.type(THERE)
    await typing.whole()
    rows = [*await waited_for(typing, keys), *await at_rate(typing, keys, rate)]
    show("Milliseconds from a key to what is offered for it",
         ["keys", "number", "with an offer", "first text, p50", "p95", "whole, p50", "p95"], rows)
    show("Milliseconds that a key takes before the model is asked",
         ["characters of the story", "p50", "p95"], [cost(typing, length) for length in LENGTHS])
    await typing.close()


async def waited_for(typing: Typing, keys: int) -> list[list[object]]:
    done = []
    for count in range(1, min(keys, len(PASSAGE)) + 1):
        done.append(typing.type(THERE + PASSAGE[:count]))
        await typing.whole()
    return by_kind("each waited for", done)


async def at_rate(typing: Typing, keys: int, rate: float) -> list[list[object]]:
    done = []
    for count in range(1, min(keys, len(PASSAGE)) + 1):
        done.append(typing.type(THERE + "\n\n" + PASSAGE[:count]))
        await asyncio.sleep(1 / rate)
    return by_kind(f"{rate:g} a second", done)


def by_kind(name: str, keys: list[Key]) -> list[list[object]]:
    return [row(f"{name}, {kind}", [key for key in keys if key.along == along])
            for kind, along in (("asked for", False), ("typed along", True))]


def row(name: str, keys: list[Key]) -> list[object]:
    first = [key.first_ms for key in keys if key.first_ms is not None]
    whole = [key.whole_ms for key in keys if key.whole_ms is not None]
    figures = [quantile(values, share) if values else None for values in (first, whole) for share in (0.5, 0.95)]
    return [name, len(keys), len(first), *figures]


def cost(typing: Typing, length: int) -> list[object]:
    story, taken = (THERE * (length // len(THERE) + 1))[:length], []
    for count in range(1, 101):
        text = story + "and then she said nothing more of it; "[:count % 38]
        began = time.perf_counter()
        typing.offers.typed(text, typing.model)
        taken.append(1000 * (time.perf_counter() - began))
    return [length, quantile(taken, 0.5), quantile(taken, 0.95)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--keys", type=int, default=150)
    parser.add_argument("--rate", type=float, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--confidence", type=float, default=0)
    args = parser.parse_args()
    with daemon(args.threads):
        asyncio.run(measured(args.model, args.confidence, args.keys, args.rate))


if __name__ == "__main__":
    main()
