"""Speed, memory and start of the engine beside transformers, CTranslate2, llama.cpp and OpenVINO on the same weights.

Each contender is a process of its own that generates greedily from the same random prompts; they are asked in turn,
round after round, so that a slow minute of the machine meets them all, and medians are shown. Ours decodes without
speculation, which would gain on the loops that random weights fall into. llama.cpp's seconds are its server's own,
without HTTP; for the prompt that is read at once the better of that and llama-bench's is taken in each round.

The share of the memory's bandwidth counts what every token must read, weights at their nominal bits (a GGUF file at
its size) and bf16 keys and values, beside plain reading by as many threads just before (bandwidth.py).

OpenVINO takes part where its package openvino-genai is installed.

`python benchmarks/decode.py --cache FOLDER --llama FOLDER [--bpe FOLDER] [--model 124M] [--threads 2] [--rounds 5]
[--quick] [--only NAME,…]`
"""
import argparse
import sys
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path

import peers as peer_files
from bandwidth import Memory
from contest import Child, Llama, random_prompt, turns
from llama import prefill_seconds
from startup import llama_start_s, worker_start_s
from table import median, show

from gpt2_assist.config import Settings
from gpt2_assist.errors import AssistError

OURS = ("int8", "int4", "bf16", "fp32")
BITS = {"gpt2-assist int8": 8, "gpt2-assist int4": 4, "gpt2-assist bf16": 16, "gpt2-assist fp32": 32,
        "transformers bf16": 16, "transformers fp32": 32, "CTranslate2 int8": 8}
_PEERS = ("llama.cpp Q8_0", "llama.cpp Q4_0", "CTranslate2 int8", "OpenVINO Q8_0")
_OPENVINO = ("llama", "qwen2", "qwen3")
"""Architectures whose GGUF files OpenVINO GenAI reads."""
_OURS = "gpt2-assist int8"
GOALS = {1024: (
    ("decode int8, context 64 → 192, × llama.cpp Q8_0", "short", _OURS, "llama.cpp Q8_0", 1.6, 1.3),
    ("decode int8, context 800 → 928, × llama.cpp Q8_0", "long", _OURS, "llama.cpp Q8_0", 1.5, 1.2),
    ("decode int4, context 64 → 192, × llama.cpp Q4_0", "short", "gpt2-assist int4", "llama.cpp Q4_0", 1.4, 1.1),
    ("prefill of 256 int8, × llama.cpp Q8_0", "prefill", _OURS, "llama.cpp Q8_0", 2.5, 1.5),
    ("prefill of 256 int8, × CTranslate2 int8", "prefill", _OURS, "CTranslate2 int8", 1.5, 1.2)), 2048: (
    ("decode int8, context 64 → 192, × llama.cpp Q8_0", "short", _OURS, "llama.cpp Q8_0", 1.6, 1.3),
    ("decode int8, context 1800 → 1928, × llama.cpp Q8_0", "long", _OURS, "llama.cpp Q8_0", 2.0, 1.5),
    ("decode int4, context 64 → 192, × llama.cpp Q4_0", "short", "gpt2-assist int4", "llama.cpp Q4_0", 1.5, 1.2),
    ("prefill of 512 int8, × llama.cpp Q8_0", "prefill", _OURS, "llama.cpp Q8_0", 5.0, 2.5),
    ("prefill of 512 int8, × OpenVINO Q8_0", "prefill", _OURS, "OpenVINO Q8_0", 1.0, 1.0),
    ("decode int8, context 64 → 192, × OpenVINO Q8_0", "short", _OURS, "OpenVINO Q8_0", 1.0, 1.0),
    ("decode int8, context 64 → 192, × CTranslate2 int8", "short", _OURS, "CTranslate2 int8", 1.0, 1.0))}
"""By window: what, of which figure, ours, the peer, and the ratios that are the goal and the least."""
START_AND_MEMORY = {1024: ("≤ 1.0", "≤ 1.5", "≤ 260", "≤ 320"), 2048: ("≤ 0.5", "≤ 1.0", "≤ 230", "≤ 300")}
"""By window: goal and must of the start, then of the memory."""


class Contest:
    """All contenders, and what was measured of them: figures[name][measure] has one entry a round."""

    def __init__(self, peers: peer_files.Peers, args: argparse.Namespace) -> None:
        self._peers, self._model, self._threads = peers, args.model, args.threads
        self._sizes, self._folder = peers.sizes(args.model), peers.model(args.model)
        self.window = min(self._sizes.n_ctx, Settings.context)
        self.long, self.prefill = (1800, 512) if self.window > 1024 else (800, 256)
        self._count = 24 if args.quick else 128
        self.figures: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.contenders: dict[str, Child | Llama] = {}
        self._ggufs: dict[str, Path] = {}
        for name in self._names():
            if args.only and not any(part in name for part in args.only.split(",")):
                continue
            contender = self._start(name)
            if contender.there:
                self.contenders[name] = contender
            else:
                print(f"{name} is left out: {contender.missing}", file=sys.stderr)
                contender.close()
        self._memory = Memory(args.threads)

    def _names(self) -> list[str]:
        names = [f"gpt2-assist {precision}" for precision in OURS]
        names += ["transformers fp32", "transformers bf16", "CTranslate2 int8"]
        if self._peers.llama:
            names += ["llama.cpp Q8_0", "llama.cpp Q4_0"]
            if self._sizes.architecture in _OPENVINO and find_spec("openvino_genai"):
                names += ["OpenVINO Q8_0", "OpenVINO Q4_0"]
        return names

    def _start(self, name: str) -> Child | Llama:
        program, kind = name.split()
        if program in ("llama.cpp", "OpenVINO"):
            self._ggufs[name] = self._peers.gguf(self._model, kind)
            if program == "OpenVINO":
                return Child("openvino", self._ggufs[name], kind, self._threads)
            return Llama(self._peers.llama, self._ggufs[name], self._threads)
        if program == "CTranslate2":
            return Child("ctranslate2", self._peers.ctranslate2(self._model, kind), kind, self._threads)
        return Child("ours" if program == "gpt2-assist" else program, self._folder, kind, self._threads)

    def play(self, rounds: int) -> None:
        """Round 0 warms up and finds the memory with one sequence at the end of its context."""
        for number, name, contender in turns(self.contenders, rounds):
            if number == 0:
                length = self.window - 16
                contender.run([self._prompt(length, 0)], 15)
                self.figures[name]["memory"].append(contender.memory_mb())
                print(f"{name} is ready.", file=sys.stderr)
                continue
            if name == next(iter(self.contenders)):
                print(f"Round {number} of {rounds}.", file=sys.stderr)
            self.figures[name]["read"].append(self._memory.read_gb_per_s())
            self._turn(name, contender, number)

    def _turn(self, name: str, contender: Child | Llama, number: int) -> None:
        figures = self.figures[name]
        short = contender.run([self._prompt(64, number, 1)], self._count)
        figures["short"].append(short.speed)
        figures["long"].append(contender.run([self._prompt(self.long, number, 2)], self._count).speed)
        seconds = contender.run([self._prompt(self.prefill, number, 3)], 1).first
        if name.startswith("llama.cpp"):
            seconds = min(seconds, prefill_seconds(self._peers.llama, self._ggufs[name], self.prefill, self._threads))
        figures["prefill"].append(self.prefill / seconds)
        if name.startswith("gpt2-assist"):
            figures["four"].append(contender.run([self._prompt(64, number, 4 + place) for place in range(4)],
                                                 self._count).speed)
            key, step = contender.key(self._prompt(512, number, 8), number)
            figures["key"].append(key)
            figures["step"].append(step)

    def start_times(self, count: int) -> None:
        """Seconds from no worker to the first token."""
        for _ in range(count):
            for name in self.contenders:
                try:
                    if name.startswith("llama.cpp"):
                        seconds = llama_start_s(self._peers.llama, self._ggufs[name], self._threads)
                    elif name.startswith("gpt2-assist"):
                        seconds = worker_start_s(self._folder, name.split()[1], self._threads)
                    else:
                        continue
                    self.figures[name]["start"].append(seconds)
                except AssistError as error:
                    print(f"{name} gives no start time: {error}", file=sys.stderr)

    def value(self, name: str, measure: str) -> float | None:
        """The median, or None where it was not measured."""
        found = self.figures[name][measure]
        return median(found) if found else None

    def ratio(self, name: str, measure: str, other_name: str, other_measure: str) -> float | None:
        """Of two medians."""
        one, other = self.value(name, measure), self.value(other_name, other_measure)
        return one / other if one and other else None

    def share(self, name: str) -> float | None:
        """Of the bandwidth in decoding 64 → 192, in percent."""
        per_token = self._weight_bytes(name) + self._cached_bytes(64 + self._count / 2)
        shares = [100 * speed * per_token / 1e9 / read
                  for speed, read in zip(self.figures[name]["short"], self.figures[name]["read"])]
        return median(shares) if shares else None

    def close(self) -> None:
        for contender in self.contenders.values():
            contender.close()

    def _prompt(self, length: int, number: int, kind: int = 0) -> list[int]:
        """Another one for every round and kind of measurement, so that no cache helps."""
        return random_prompt(length, 100 * number + kind, self._sizes.vocab_size)

    def _weight_bytes(self, name: str) -> float:
        if name in self._ggufs:
            return self._ggufs[name].stat().st_size
        return (self._sizes.matrix_numbers + self._sizes.vocab_size * self._sizes.n_embd) * BITS[name] / 8

    def _cached_bytes(self, context: float) -> float:
        return 2 * 2 * self._sizes.n_layer * self._sizes.kv_width * context


def print_tables(contest: Contest, title: str) -> None:
    peers = [name for name in contest.contenders if name in _PEERS]
    value, ratio = contest.value, contest.ratio
    reading = median([speed for name in contest.contenders for speed in contest.figures[name]["read"]])
    show(f"{title}; the memory was read at {reading:.1f} GB/s",
         ["", "64 → 192, tok/s", f"{contest.long} → {contest.long + 128}, tok/s",
          f"prefill {contest.prefill}, tok/s", "bandwidth, %", "four at once, ×", "one key, steps",
          f"MB at {contest.window}", "start, s", *(f"64 → 192, × {peer}" for peer in peers)],
         [[name, value(name, "short"), value(name, "long"), value(name, "prefill"), contest.share(name),
           ratio(name, "four", name, "short"), ratio(name, "key", name, "step"), value(name, "memory"),
           value(name, "start"), *(ratio(name, "short", peer, "short") for peer in peers)]
          for name in contest.contenders])
    ours, limits = _OURS, START_AND_MEMORY[contest.window]
    rows = [[what, ratio(contender, measure, other, measure), f"≥ {goal}", f"≥ {must}"]
            for what, measure, contender, other, goal, must in GOALS[contest.window]]
    rows += [["four sequences at once, × one sequence's total", ratio(ours, "four", ours, "short"), "≥ 2.2", "≥ 1.7"],
             ["share of the bandwidth in decode, %", contest.share(ours), "≥ 75", "≥ 60"],
             ["one key typed, decode steps", ratio(ours, "key", ours, "step"), "≤ 1.5", ""],
             ["worker start to first token, s", value(ours, "start"), *limits[:2]],
             [f"resident memory with one sequence at {contest.window}, MB", value(ours, "memory"), *limits[2:]]]
    where = {1024: "124M", 2048: "SmolLM2-135M"}[contest.window]
    show(f"Beside what was wanted (at {where})", ["", "measured", "goal", "must"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    peer_files.add_arguments(parser)
    parser.add_argument("--model", default="124M", help="124M, 355M, qwen-coder, or a model of the store")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="two short rounds")
    parser.add_argument("--only", default="", help="contenders whose names hold one of these, commas between")
    args = parser.parse_args()
    rounds = 2 if args.quick else args.rounds
    with peer_files.opened(args) as peers:
        contest = Contest(peers, args)
        try:
            contest.play(rounds)
        finally:
            contest.close()
        contest.start_times(rounds)
        print_tables(contest, f"{args.model}, {args.threads} threads, median of {rounds} rounds")


if __name__ == "__main__":
    main()
