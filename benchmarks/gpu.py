"""The card's engine beside transformers, eager and compiled over a static cache, on the same random weights.

All contenders decode greedily from the same random prompts, in turn, round after round; medians are shown. Of each the
wall time of a step, which is what compares, and the card's own: for ours of steps launched one behind the other,
between two CUDA events, for the others between events around the loop, the host's gaps among it. The share of the
memory's bandwidth is of the card's time; it counts weights and keys and values once a step, beside a copy of a gigabyte
in the same run (read and written). Ours decodes without drafts, which would gain on the loops that random weights fall
into; a row of ours with sampling shows what that costs.

Then what a person waits for: from a key typed in a text of about 450 tokens to the first token, through the daemon, and
from no worker to the first token.

`python benchmarks/gpu.py [--sizes 124M,355M,774M,1558M] [--rounds 5] [--bpe FOLDER] [--cache FOLDER] [--profile]
[--device cpu --sizes tiny]`; the last runs the same in plain torch, to try the script where there is no card.
"""
import argparse
import gc
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import peers as peer_files
import torch
from own_daemon import daemon
from table import median, show

from gpt2_assist import config as folders
from gpt2_assist.architectures import gpt2
from gpt2_assist.architectures.description import Decoder
from gpt2_assist.engine.cuda import shapes
from gpt2_assist.engine.cuda.cuda_engine import CudaEngine, _Part
from gpt2_assist.engine.engine import Sampling
from gpt2_assist.errors import AssistError
from gpt2_assist.ipc.messages import Chunk, Finished, Generation

SIZES = {"tiny": (2, 4, 64), **peer_files.SIZES}
CONTEXTS, BATCHES, PREFILL = (128, 512, 1000), (1, 4, 8), 512
TOKENS = 24
GREEDY = Sampling(temperature=0)
KEYS = "She looked at the stranger for a long while, and then she said that"
TEXT = ("The rain had stopped by the time they reached the village, and the children ran out of the houses to see who "
        "had come. ") * 16


class Clock:
    """Seconds by the wall and by the card, for work whose end is waited for."""

    def __init__(self, device: str) -> None:
        self._cuda = device == "cuda"

    def measure(self, work: Callable[[], object]) -> tuple[float, float]:
        """(by the card, by the wall)."""
        if not self._cuda:
            began = time.perf_counter()
            work()
            return (time.perf_counter() - began,) * 2
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        began = time.perf_counter()
        first.record()
        work()
        last.record()
        torch.cuda.synchronize()
        return first.elapsed_time(last) / 1000, time.perf_counter() - began


def random_weights(config: Decoder, device: str) -> dict[str, torch.Tensor]:
    """As GPT-2's are initialised, in bfloat16."""
    dice = torch.Generator(device).manual_seed(0)
    weights = {}
    for name, shape in config.shapes().items():
        if len(shape) == 2:
            weights[name] = torch.randn(shape, generator=dice, device=device).mul_(0.02).bfloat16()
        else:
            weights[name] = torch.full(shape, float("ln" in name and name.endswith("weight")), device=device).bfloat16()
    return weights


def prompts(config: Decoder, batch: int, length: int, number: int) -> torch.Tensor:
    """Others for every round, so that no cache helps."""
    dice = torch.Generator().manual_seed(1000 * number + length)
    return torch.randint(config.vocab_size, (batch, length), generator=dice)


class Ours:
    def __init__(self, config: Decoder, weights: dict, precision: str, device: str, sampling: Sampling) -> None:
        self._sampling, self._clock = sampling, Clock(device)
        began = time.perf_counter()
        self.engine = CudaEngine(config, weights, precision, device, 256 << 20, speculate=False)
        self.load_s = time.perf_counter() - began
        self.bytes = {"bf16": 2, "int8": 1}[precision]

    def prefill(self, ids: torch.Tensor) -> tuple[float, float]:
        opened = []

        def work() -> None:
            for row in ids.tolist():
                opened.append(self.engine.open(row, self._sampling))
                while not self.engine.prefill(opened[-1]):
                    pass
                self.engine.decode(opened[-1:])  # the last token of a prompt is read, and the first new one decided
        took = self._clock.measure(work)
        for sequence in opened:
            self.engine.close(sequence)
        return took

    def decode(self, ids: torch.Tensor) -> tuple[float, float]:
        """Seconds a step, by the card and by the wall."""
        engine = self.engine
        sequences = [engine.open(row, self._sampling, index) for index, row in enumerate(ids.tolist())]
        for sequence in sequences:
            while not engine.prefill(sequence):
                pass
        engine.decode(sequences)  # of the first token nobody's time is counted

        def work() -> None:
            while len(sequences[0].tokens) < ids.shape[1] + 1 + TOKENS:
                engine.decode(sequences)
        before = len(sequences[0].tokens)
        wall = self._clock.measure(work)[1] / (len(sequences[0].tokens) - before)
        for sequence in sequences:
            engine.close(sequence)
        return self._launched(ids), wall

    def _launched(self, ids: torch.Tensor) -> float:
        """Seconds of a step among steps that are launched one behind the other, a few at a time, over and over."""
        engine = self.engine
        sequences = [engine.open(row, self._sampling, index) for index, row in enumerate(ids.tolist())]
        for sequence in sequences:
            while not engine.prefill(sequence):
                pass
        parts = [_Part(sequence, sequence.tokens[-1:], []) for sequence in sequences]

        def work() -> None:
            for _ in range(TOKENS // shapes.BURST):
                engine._wait()  # what was told before has been read
                engine._fill(parts)
                engine._launch(len(parts), ids.shape[1] + shapes.BURST, shapes.BURST)
        seconds = self._clock.measure(work)[0] / TOKENS
        for sequence in sequences:
            engine.close(sequence)
        return seconds


class Transformers:
    """`compiled`: over a static cache, with torch.compile's CUDA graphs."""

    def __init__(self, config: Decoder, weights: dict, compiled: bool, device: str) -> None:
        from transformers import Decoder as TheirConfig
        from transformers import GPT2LMHeadModel
        self._device, self._clock, self.bytes = device, Clock(device), 2
        with torch.device("meta"):
            model = GPT2LMHeadModel(TheirConfig(**{**gpt2.to_hub(config), "attn_implementation": "sdpa"}))
        state = {f"transformer.{name}": value for name, value in weights.items()}
        model.load_state_dict({**state, "lm_head.weight": weights["embedding.weight"]}, assign=True)
        self._model, self._compiled, self._config = model.to(device).eval(), compiled, model.config
        mode = "reduce-overhead" if device == "cuda" else "default"
        self._step = torch.compile(self._one, mode=mode, dynamic=False) if compiled else self._one
        self._caches: dict[int, object] = {}

    def _one(self, ids: torch.Tensor, cache: object) -> torch.Tensor:
        out = self._model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return out.logits[:, -1].argmax(-1, keepdim=True)

    def _cache(self, batch: int) -> object:
        from transformers import DynamicCache, StaticCache
        if not self._compiled:
            return DynamicCache(config=self._config)
        if batch not in self._caches:
            self._caches[batch] = StaticCache(config=self._config, max_cache_len=self._config.n_positions)
        self._caches[batch].reset()
        return self._caches[batch]

    @torch.inference_mode()
    def prefill(self, ids: torch.Tensor) -> tuple[float, float]:
        ids = ids.to(self._device)

        def work() -> None:
            for row in ids:
                self._one(row[None], self._cache(1)).tolist()
        return self._clock.measure(work)

    @torch.inference_mode()
    def decode(self, ids: torch.Tensor) -> tuple[float, float]:
        cache = self._cache(len(ids))
        token = self._one(ids.to(self._device), cache)
        for _ in range(3):  # compiles, and captures
            token = self._step(token, cache).clone()

        def work() -> None:
            now = token
            for _ in range(TOKENS - 4):
                now = self._step(now, cache).clone()
                now.tolist()  # who writes a text wants each token
        card, wall = self._clock.measure(work)
        return card / (TOKENS - 4), wall / (TOKENS - 4)


def bandwidth(device: str) -> float:
    """Bytes a second that a copy of a large array reads and writes."""
    size = 1 << (30 if device == "cuda" else 26)
    source = torch.empty(size, dtype=torch.uint8, device=device).random_()
    target, clock = torch.empty_like(source), Clock(device)
    return 2 * size / statistics.median(clock.measure(lambda: target.copy_(source))[0] for _ in range(12))


def traffic(config: Decoder, bytes_a_weight: int, batch: int, context: int) -> float:
    """Bytes that a step must read."""
    weights = 12 * config.n_layer * config.n_embd ** 2 + config.vocab_size * config.n_embd
    return weights * bytes_a_weight + batch * context * 2 * config.n_layer * config.n_embd * 2


def contenders(config: Decoder, weights: dict, device: str) -> dict[str, Callable[[], object]]:
    sampled = Sampling(temperature=0.8, top_k=40, seed=1)
    return {"gpt2-assist bf16": lambda: Ours(config, weights, "bf16", device, GREEDY),
            "gpt2-assist bf16, top_k 40": lambda: Ours(config, weights, "bf16", device, sampled),
            "gpt2-assist int8": lambda: Ours(config, weights, "int8", device, GREEDY),
            "transformers": lambda: Transformers(config, weights, False, device),
            "transformers static, compiled": lambda: Transformers(config, weights, True, device)}


def one_round(contender: "Ours | Transformers", config: Decoder, number: int) -> dict:
    """Seconds (by the card, by the wall) of a step at each batch and context, and of a prefill."""
    took = {(batch, context): contender.decode(prompts(config, batch, context - TOKENS, number))
            for context in CONTEXTS for batch in BATCHES}
    return {**took, "prefill": contender.prefill(prompts(config, 1, PREFILL, number))}


def run_size(name: str, rounds: int, device: str, copied: float) -> tuple[list[list[object]], dict]:
    """The table's rows of a size, and all figures: [contender][batch, context] medians of (card, wall) in µs."""
    layers, heads, width = SIZES[name]
    config = gpt2.decoder(layers, heads, width, 1024, 50257 if name != "tiny" else 500)
    weights = random_weights(config, device)
    made = {}
    for who, make in contenders(config, weights, device).items():
        try:
            made[who] = make()
        except (AssistError, ImportError) as error:
            print(f"{who} is left out: {error}", file=sys.stderr)
    found: dict = defaultdict(lambda: defaultdict(list))
    for number in range(rounds + 1):
        for who, contender in list(made.items()):
            print(f"{name}, round {number} of {rounds}: {who}", file=sys.stderr)
            try:
                took = one_round(contender, config, number)
            except Exception as error:
                if isinstance(contender, Ours):
                    raise
                print(f"{who} is left out from here on: {error!r}", file=sys.stderr)
                del made[who]
                found.pop(who, None)
                continue
            if number:  # the first round warms up
                for key, seconds in took.items():
                    found[who][key].append(seconds)
    figures = {who: {key: tuple(1e6 * median(list(values)) for values in zip(*took)) for key, took in kinds.items()}
               for who, kinds in found.items()}
    rows = []
    for who, kinds in figures.items():
        for batch in BATCHES:
            steps = [kinds[batch, context] for context in CONTEXTS]
            shares = [100 * traffic(config, made[who].bytes, batch, context) / (card / 1e6) / copied
                      for context, (card, _) in zip(CONTEXTS, steps)]
            rows.append([name, who, batch, *(f"{wall:.0f} / {card:.0f}" for card, wall in steps),
                         " / ".join(f"{share:.0f}" for share in shares),
                         f"{kinds['prefill'][1] / 1000:.2f}" if batch == 1 else ""])
    loads = {who: contender.load_s for who, contender in made.items() if isinstance(contender, Ours)}
    made.clear()
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
    return rows, {"figures": figures, "loads": loads,
                  "shares": {context: 100 * traffic(config, 2, 1, context) / (card / 1e6) / copied
                             for context in CONTEXTS
                             for card in [figures["gpt2-assist bf16"][1, context][0]]}}


def waits(folder: Path, device: str) -> tuple[float, float, float]:
    """(no worker → first token in s, key → first token in ms: median and 95 %), through a daemon of its own.

    The kernels are compiled by then: a first start on a machine takes half a minute longer.
    """
    def first_s(client, prompt: str) -> float:
        began, first = time.perf_counter(), 0.0
        for message in client.generate(str(folder), prompt, Generation(max_new_tokens=4, temperature=0.0),
                                       device=device):
            if isinstance(message, (Chunk, Finished)):
                first = first or time.perf_counter() - began
        return first
    with daemon(0) as client:
        start = first_s(client, TEXT)
        keys = sorted(1000 * first_s(client, TEXT + KEYS[:length]) for length in range(1, len(KEYS)))
        return start, keys[len(keys) // 2], keys[int(0.95 * len(keys))]


def profile(name: str, device: str) -> None:
    """Which kernel takes what share of a step, and how many launches a step has."""
    from torch.profiler import ProfilerActivity
    layers, heads, width = SIZES[name]
    config = gpt2.decoder(layers, heads, width, 1024, 50257 if name != "tiny" else 500)
    ours = Ours(config, random_weights(config, device), "bf16", device, GREEDY)
    ids = prompts(config, 1, 512, 1)
    ours.decode(ids)
    activity = ProfilerActivity.CUDA if device == "cuda" else ProfilerActivity.CPU
    with torch.profiler.profile(activities=[activity]) as profiler:
        ours._launched(ids)
    events = [event for event in profiler.key_averages() if not event.key.startswith(("Memcpy", "Memset"))]
    time_of = {event.key: event.self_device_time_total if device == "cuda" else event.self_cpu_time_total
               for event in events}
    total = sum(time_of.values())
    shown = sorted(events, key=lambda event: -time_of[event.key])[:12]
    show(f"{name}, batch 1, context 512: a step's kernels",
         ["kernel", "share, %", "launches a step", "µs each"],
         [[event.key[:60], 100 * time_of[event.key] / total, event.count / TOKENS, time_of[event.key] / event.count]
          for event in shown])


def print_goals(results: dict, waited: tuple[float, float, float] | None) -> None:
    rows = []
    if "124M" in results:
        figures = results["124M"]["figures"]
        ours = figures["gpt2-assist bf16"]
        rows.append(["124M, batch 1, context 512: µs a token, wall", ours[1, 512][1], "≤ 150", "≤ 250"])
        compiled = figures.get("transformers static, compiled")
        if compiled:
            rows.append(["124M, × transformers compiled", compiled[1, 512][1] / ours[1, 512][1], "≥ 3", "≥ 2"])
        rows.append(["124M, batch 8 against batch 1, total", 8 * ours[1, 512][1] / ours[8, 512][1], "≥ 6", "≥ 4"])
        rows.append(["124M, context 1000 against 128, time", ours[1, 1000][1] / ours[1, 128][1], "≤ 1.3", "≤ 1.6"])
    if "1558M" in results:
        share = results["1558M"]["shares"][512]
        rows.append(["1558M, batch 1, context 512: % of the bandwidth", share, "≥ 75", "≥ 55"])
    if waited:
        rows.append(["124M, no worker → first token, s", waited[0], "≤ 4", "≤ 8"])
        rows.append(["124M, key → first token, ms: median", waited[1], "", ""])
        rows.append(["124M, key → first token, ms: 95 %", waited[2], "", ""])
    if rows:
        show("Beside what was wanted of an H200", ["", "measured", "goal", "must"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    peer_files.add_arguments(parser, llama=False)
    parser.add_argument("--sizes", default="124M,355M,774M,1558M")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--profile", action="store_true", help="only a profile of the first size")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        sys.exit("Torch finds no graphics card here; --device cpu --sizes tiny tries the script without one.")
    os.environ.setdefault("TRITON_CACHE_DIR", str(folders.cache() / "triton"))  # the workers' own
    sizes = args.sizes.split(",")
    if args.profile:
        profile(sizes[0], args.device)
        return
    copied, rows, results = bandwidth(args.device), [], {}
    for name in sizes:
        more, results[name] = run_size(name, args.rounds, args.device, copied)
        rows += more
    card = torch.cuda.get_device_name() if args.device == "cuda" else "CPU"
    show(f"{card}; a copy moves {copied / 1e9:.0f} GB/s. µs a step (wall / card) at contexts of 128, 512 and 1000",
         ["", "", "batch", *map(str, CONTEXTS), "bandwidth, %", "prefill of 512, ms"], rows)
    waited = None
    if "124M" in sizes:
        with peer_files.opened(args) as peers:
            waited = waits(peers.model("124M"), args.device)
    print_goals(results, waited)


if __name__ == "__main__":
    main()
