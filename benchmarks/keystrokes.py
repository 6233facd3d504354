"""Typing beside llama-server on the same model: how soon a completion is there after a key, and what it costs.

The same keys (typist.py) go to our daemon and to llama-server (Q8_0, one slot, prompt cache on) in turn, a block of
keys each: first each request of 16 tokens is awaited, then keys come at a fixed rate and a new request replaces the one
before, as in an editor. llama-server is asked over HTTP, streaming, a connection a request, and left by hanging up.
A model with random weights spells a word that is being typed in any odd way, so with one both sides go on from the
tokens as they are; a real model heals the last word as it does in an editor.
A key whose first token did not come before the next key counts as waiting for ever.

`python benchmarks/keystrokes.py --corpora FOLDER --cache FOLDER --llama FOLDER [--bpe FOLDER] [--model 124M] [--python]
[--keys 300] [--rate 8] [--quick]`
"""
import argparse
import math
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import peers as peer_files
from contest import cpu_seconds
from llama import LlamaServer
from own_daemon import daemon
from table import quantile, show
from typist import document, keys, passage, source

from gpt2_assist.ipc.client import Client
from gpt2_assist.ipc.messages import Chunk, Finished, Generation, SampleDone
from gpt2_assist.text.tokenizer import TextTokenizer

NEW_TOKENS = 16
BLOCK = 25
"""Keys that one of them gets before it is the other's turn."""
COLUMNS = ["", *(f"{what}, {share}" for what in ("first", "16 tokens") for share in ("p50", "p95", "p99")),
           "answered whole, %", "prompt tokens run a key", "CPU ms a key"]
SETTLE_S = 0.3
"""After a block, until what still works or spins is asleep: it counts as the block's processor time."""


@dataclass
class Reply:
    """One request. Seconds from the key; infinite where it was replaced before."""

    first: float = math.inf
    whole: float = math.inf
    computed: int | None = None
    """Prompt tokens that were run."""
    began: float = field(default_factory=time.perf_counter)

    def arrived(self) -> float:
        return time.perf_counter() - self.began


class Ours:
    """The daemon, asked as an editor's plugin asks."""

    def __init__(self, client: Client, model: Path, precision: str, heal: bool) -> None:
        self._heal = heal
        self._client, self._model, self._precision = client, str(model), precision
        self._pid = client.status()["pid"]
        client.load(self._model, precision, "cpu")

    def ask(self, prompt: str) -> tuple[Reply, threading.Thread]:
        """Starts a request, which replaces the one before."""
        reply = Reply()
        settings = Generation(max_new_tokens=NEW_TOKENS, temperature=0.0, heal=self._heal, begins=False)
        stream = self._client.generate(self._model, prompt, settings, "keystroke", document="document",
                                       precision=self._precision, device="cpu")
        thread = threading.Thread(target=self._read, args=(stream, reply))
        thread.start()
        return reply, thread

    def cpu(self) -> float:
        """Processor seconds so far."""
        return cpu_seconds(self._pid)

    def _read(self, stream, reply: Reply) -> None:
        for message in stream:
            if isinstance(message, Chunk):
                reply.first = min(reply.first, reply.arrived())
            elif isinstance(message, SampleDone) and message.finish_reason != "cancelled":
                reply.whole = reply.arrived()
            elif isinstance(message, Finished):
                reply.computed = message.prompt_tokens - message.cached_tokens


class Theirs:
    """llama-server."""

    def __init__(self, server: LlamaServer) -> None:
        self._server = server
        self._running: list = []

    def ask(self, prompt: str) -> tuple[Reply, threading.Thread]:
        """Starts a request and hangs up on the one before."""
        for former in self._running:
            former.abort()
        reply = Reply()
        stream = self._server.stream(prompt, NEW_TOKENS)
        self._running = [stream]
        thread = threading.Thread(target=self._read, args=(stream, reply))
        thread.start()
        return reply, thread

    def cpu(self) -> float:
        """Processor seconds so far."""
        return cpu_seconds(self._server.process.pid)

    def close(self) -> None:
        self._server.close()

    def _read(self, stream, reply: Reply) -> None:
        for event in stream:
            reply.first = min(reply.first, reply.arrived())
            if event.get("stop"):
                reply.whole = reply.arrived()
                reply.computed = event["timings"]["prompt_n"]


class Side(Protocol):
    """Whoever answers keys."""

    def ask(self, prompt: str) -> tuple[Reply, threading.Thread]: ...
    def cpu(self) -> float: ...


@dataclass
class Account:
    """What one of them did in one manner of asking."""

    replies: list[Reply] = field(default_factory=list)
    cpu: float = 0.0

    def row(self) -> list[object]:
        """The table's COLUMNS. What was run of a prompt is only known of all where all were answered whole."""
        computed = [reply.computed for reply in self.replies]
        whole = sum(reply.whole < math.inf for reply in self.replies)
        times = [_ms(quantile([getattr(reply, which) for reply in self.replies], share))
                 for which in ("first", "whole") for share in (0.5, 0.95, 0.99)]
        ran = None if None in computed or whole < len(computed) else sum(computed) / whole
        return [*times, 100 * whole / len(computed), ran,
                1000 * self.cpu / len(computed)]


def play(server: Side, block: list[str], rate: float, account: Account) -> None:
    """Types a block of keys: at `rate` keys a second, or 0: each when the one before is answered."""
    before = server.cpu()
    threads = []
    start = time.perf_counter()
    for number, prompt in enumerate(block):
        if rate:
            time.sleep(max(0.0, start + number / rate - time.perf_counter()))
        reply, thread = server.ask(prompt)
        account.replies.append(reply)
        threads.append(thread)
        if not rate:
            thread.join()
    for thread in threads:
        thread.join()
    time.sleep(SETTLE_S)
    account.cpu += server.cpu() - before


def writing(corpora: Path, python: bool, count: int, seed: int) -> list[str]:
    """The text before the cursor at first and after each of `count` keys; about 450 tokens are there already."""
    there, inserted, continued = document(source(seed) if python else passage(corpora, seed), characters=1800)
    return [there, *keys(there, inserted, continued, count, seed)]


def compare(servers: dict[str, Side], prompts: list[str], rate: float) -> dict[str, Account]:
    """The same keys for each, block by block; who is first changes."""
    accounts = {name: Account() for name in servers}
    names = list(servers)
    for first in range(0, len(prompts), BLOCK):
        for name in names:
            play(servers[name], prompts[first:first + BLOCK], rate, accounts[name])
        names.reverse()
    return accounts


def rows(manner: str, accounts: dict[str, Account]) -> list[list[object]]:
    """One for each, and the ratio of the first to the second."""
    found = [[f"{name}, {manner}", *account.row()] for name, account in accounts.items()]
    if len(found) == 2:
        found.append([f"ratio, {manner}", *(a / b if a and b else None for a, b in zip(found[0][1:], found[1][1:]))])
    return found


def _ms(seconds: float) -> float | None:
    return None if math.isinf(seconds) else 1000 * seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    peer_files.add_arguments(parser)
    parser.add_argument("--corpora", type=Path, required=True, help="a folder with novels.txt.xz")
    parser.add_argument("--model", default="124M", help="124M, 355M, or a model that is there, as mini and smollm2")
    parser.add_argument("--python", action="store_true", help="code is typed, not a novel")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--keys", type=int, default=300)
    parser.add_argument("--rate", type=float, default=8.0, help="keys a second")
    parser.add_argument("--quick", action="store_true", help="60 keys")
    args = parser.parse_args()
    with peer_files.opened(args) as peers, daemon(args.threads) as client:
        folder = peers.model(args.model)
        count = 60 if args.quick else args.keys
        typed = {rate: writing(args.corpora, args.python, count, seed) for seed, rate in enumerate((0.0, args.rate))}
        tokenizer = TextTokenizer.from_folder(folder)
        length = max(len(tokenizer.encode(prompts[-1])) for prompts in typed.values())
        print(f"{count} keys, up to {length} tokens before the cursor.", file=sys.stderr)
        if length + NEW_TOKENS > peers.sizes(args.model).n_ctx:
            raise SystemExit("These are more keys than the model's context holds; give fewer.")
        ours = Ours(client, folder, args.precision, heal=args.model not in (*peer_files.SIZES, *peer_files.QWEN))
        servers: dict[str, Ours | Theirs] = {f"gpt2-assist {args.precision}": ours}
        if peers.llama:
            servers["llama-server Q8_0"] = Theirs(
                LlamaServer(peers.llama, peers.gguf(args.model, "Q8_0"), args.threads))
        try:
            table = []
            for rate, prompts in typed.items():  # other documents, as both remember what they have read
                for server in servers.values():
                    play(server, prompts[:1], 0, Account())
                table += rows(f"{rate:g} keys/s" if rate else "awaited", compare(servers, prompts[1:], rate))
        finally:
            if peers.llama:
                servers["llama-server Q8_0"].close()
    text = "Python" if args.python else "a novel"
    show(f"{args.model}, {text}, {args.threads} threads, {count} keys each, {NEW_TOKENS} tokens wanted; milliseconds",
         COLUMNS, table)


if __name__ == "__main__":
    main()
