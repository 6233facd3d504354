"""What a writer waits for in the full-screen session: what is offered after a key, a key in a long story, opening one.

Keys go into a terminal (pty) as from a keyboard; times are until the bytes that show it have come out of it. Runs a
daemon of its own. `python benchmarks/repl.py [--model smollm2] [--keys N] [--megabytes N]`
"""
import argparse
import os
import re
import sys
import time
from pathlib import Path

import pexpect
from own_daemon import daemon
from table import median, quantile, show

from gpt2_assist import config
from gpt2_assist.writing.session import Session
from gpt2_assist.writing.store import SessionStore

TEXT = ("The lighthouse keeper had not spoken to anyone since the autumn storms, and when the boat came he went "
        "down to the landing with his lamp in his hand. Nobody stood on the deck. He called out twice, and then "
        "he heard the ")
PARAGRAPH = ("It was the third winter that they had spent in the house by the water, and none of them said any more "
             "that it would be the last. ") * 3 + "\n"
PACE_S = 0.2
"""Between two keys."""
PATIENCE_S = 2
"""What isn't there then, doesn't come: the model isn't sure enough, or ended."""
START_S = 120
OFFERED = re.compile(rb"\x1b\[[0-9;]*90m[^\x1b\s]")
"""What is offered has the colour bright black, which nothing else at the cursor has."""


class Page:
    """A session in a pty."""

    def __init__(self, model: str, name: str) -> None:
        environment = {**os.environ, "TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1"}
        self.began = time.perf_counter()
        self.child = pexpect.spawn(sys.executable, ["-m", "gpt2_assist.repl.main", "--model", model, "--session", name],
                                   env=environment, dimensions=(40, 120), timeout=START_S)
        self.child.delaybeforesend = None
        self.child.expect_exact(b"saved")
        self.opened_s = time.perf_counter() - self.began

    def key_ms(self, key: str, shows: re.Pattern[bytes] | str) -> float | None:
        """From a key to what shows; None where it doesn't."""
        self.drain()
        began = time.perf_counter()
        self.child.send(key)
        try:
            expect = self.child.expect if isinstance(shows, re.Pattern) else self.child.expect_exact
            expect(shows, timeout=PATIENCE_S)
        except pexpect.TIMEOUT:
            return None
        return 1000 * (time.perf_counter() - began)

    def drain(self) -> None:
        try:
            while True:
                self.child.read_nonblocking(65536, PACE_S)
        except pexpect.TIMEOUT:
            pass

    def close(self) -> None:
        self.child.close(force=True)


def story(model: str, name: str, megabytes: float) -> None:
    """Keeps a session of that size."""
    store = SessionStore(config.sessions())
    session = Session(store, config.home() / "locks", model, name)
    session.write(PARAGRAPH * max(1, int(megabytes * 1e6 / len(PARAGRAPH))) if megabytes else TEXT)
    session.close()
    store.close()


def offered_ms(model: str, keys: int) -> list[float]:
    """From a letter to what is offered behind it, on the screen."""
    story(model, "short", 0)
    page = Page(model, "short")
    letters = ("sound of the sea against the rocks and the wind in the old trees behind the house. "
               "There was no one else in the " * 9)[:keys]
    times = [page.key_ms(letter, OFFERED) for letter in letters]
    page.close()
    return [elapsed for elapsed in times if elapsed is not None]


def long_ms(model: str, name: str, keys: int, megabytes: float) -> tuple[list[float], float]:
    """(from a letter to itself on the screen, seconds until the story is open)."""
    story(model, name, megabytes)
    page = Page(model, name)
    times = [page.key_ms(letter, letter) for letter in ("qxzj" * keys)[:keys]]
    page.close()
    return [elapsed for elapsed in times if elapsed is not None], page.opened_s


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--keys", type=int, default=60)
    parser.add_argument("--megabytes", type=float, default=5)
    args = parser.parse_args()
    model = str(Path(args.model).absolute()) if Path(args.model).exists() else args.model
    with daemon(threads=0) as client:
        client.load(model)
        offered = offered_ms(model, args.keys)
        short, short_s = long_ms(model, "plain", args.keys, 0)
        long, long_s = long_ms(model, "long", args.keys, args.megabytes)
    show(f"gpt2-repl with {Path(model).name}, {args.keys} keys", ["", "p50", "p95", "goal"], [
        [f"key to offered text ({len(offered)} keys that had one), ms", median(offered), quantile(offered, 0.95),
         "p50 25"],
        ["key in a short text, ms", median(short), quantile(short, 0.95), ""],
        [f"key in {args.megabytes:g} MB, ms", median(long), quantile(long, 0.95), "p95 16"],
        ["opening a short text, s", short_s, None, ""],
        [f"opening {args.megabytes:g} MB, s", long_s, None, "0.5"]])
    return 0


if __name__ == "__main__":
    sys.exit(main())
