"""Contenders as processes of their own, asked in turn, so that a slow minute of the machine meets them all."""
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from llama import LlamaServer

GREEDY = {"temperature": 0.0}
PAUSE_S = 0.15
"""Between two contenders' turns: what spins for a while after its work has gone to sleep by then."""


@dataclass(frozen=True)
class Run:
    """One turn: seconds to the first tokens, then `made` tokens of all sequences in `rest` seconds."""

    first: float
    rest: float
    made: int
    tokens: list[list[int]]
    steps: list[float] = field(default_factory=list)
    """Seconds of each decoding step after the first, of our engine."""

    @property
    def speed(self) -> float:
        """Tokens a second after the first."""
        return self.made / self.rest


class Child:
    """A contender.py process; see there for `kind`. Without `there`, `missing` says why it can't take part."""

    def __init__(self, kind: str, folder: Path, precision: str, threads: int, speculate: bool = False) -> None:
        command = [sys.executable, str(Path(__file__).with_name("contender.py"))]
        rest = [str(folder), precision, str(threads), "on" if speculate else "off"]
        if kind == "ours":  # in a process that ends, so that no trace of it is in the contender's memory
            subprocess.run([*command, "prepare", *rest], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.process = subprocess.Popen([*command, kind, *rest], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.missing: str = self._hear()["missing"]

    @property
    def there(self) -> bool:
        return not self.missing

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()

    def run(self, prompts: list[list[int]], count: int, sampling: dict | None = None) -> Run:
        """`count` new tokens for each prompt, greedy unless told otherwise (engine.Sampling's names)."""
        return Run(**self._ask({"what": "run", "prompts": prompts, "count": count, "sampling": sampling or GREEDY}))

    def key(self, prompt: list[int], key: int) -> tuple[float, float]:
        """(seconds from one more token of a known prompt to the next, seconds of a step there)."""
        answer = self._ask({"what": "key", "prompt": prompt, "key": key})
        return answer["key"], answer["step"]

    def memory_mb(self) -> float:
        return memory_mb(self.process.pid)

    def _ask(self, request: dict) -> dict:
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self._hear()

    def _hear(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"The contender {self.process.args[2:]} died.")
        return json.loads(line)


class Llama:
    """llama-server with the interface of Child. Seconds are the server's own: without HTTP, in its favour."""

    there, missing = True, ""

    def __init__(self, programs: Path, model: Path, threads: int) -> None:
        self._server = LlamaServer(programs, model, threads)

    def run(self, prompts: list[list[int]], count: int) -> Run:
        (prompt,) = prompts
        reply = self._server.complete(prompt, count)
        timings = reply["timings"]
        # The clock of its decoding starts when the first token is there.
        return Run(timings["prompt_ms"] / 1000, timings["predicted_ms"] / 1000, timings["predicted_n"] - 1,
                   [reply["tokens"]])

    def memory_mb(self) -> float:
        return memory_mb(self._server.process.pid)

    def close(self) -> None:
        self._server.close()


def turns(contenders: dict[str, Child | Llama], rounds: int) -> Iterator[tuple[int, str, Child | Llama]]:
    """(round, name, contender): each once a round, with a pause before; round 0 is for warming up."""
    for number in range(rounds + 1):
        for name, contender in contenders.items():
            time.sleep(PAUSE_S)
            yield number, name, contender


def random_prompt(length: int, seed: int, vocabulary: int) -> list[int]:
    """Token ids that share no beginning with those of another seed."""
    drawn = random.Random(seed)
    return [drawn.randrange(vocabulary - 1) for _ in range(length)]


def processes(pid: int) -> Iterable[psutil.Process]:
    """A process and all that it started."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def memory_mb(pid: int) -> float:
    """Resident memory of a process and its children, mapped files that are in memory included."""
    return sum(process.memory_info().rss for process in processes(pid)) / 1e6


def cpu_seconds(pid: int) -> float:
    """Processor time that a process and its living children have used."""
    return sum(sum(process.cpu_times()[:2]) for process in processes(pid))
