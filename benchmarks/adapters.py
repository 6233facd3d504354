"""What an adapter beside the packed weights costs: a token alone, a token of four texts with four adapters, prefill.

The same engine (int8) runs each in turn, round by round. The adapter has rank 8 and stands beside all four matrices of
every block. A merged model costs what the base does, but is a model of its own in memory.

`python benchmarks/adapters.py --cache FOLDER [--models mini,124M] [--rounds 30]`
"""
import argparse
import time
from pathlib import Path

import numpy as np
from peers import Peers
from table import median, show

from gpt2_assist.architectures.description import MATRICES, Decoder
from gpt2_assist.engine.cpu.adapters import PackedAdapter
from gpt2_assist.engine.cpu.cpu_engine import CpuEngine
from gpt2_assist.engine.engine import Sampling
from gpt2_assist.model.adapter import Adapter, LoraShape
from gpt2_assist.model.prepared import open_prepared, prepare

RANK, TEXTS, CONTEXT, TOKENS = 8, 4, 200, 16


def adapter_of(config: Decoder, seed: int) -> Adapter:
    dice, shapes, pairs = np.random.default_rng(seed), config.shapes(), {}
    for layer in range(config.n_layer):
        for target in MATRICES:
            inputs, outputs = shapes[f"layers.{layer}.{target}.weight"]
            pairs[f"layers.{layer}.{target}"] = (dice.normal(0, 0.02, (RANK, inputs)).astype(np.float32),
                                            dice.normal(0, 0.02, (outputs, RANK)).astype(np.float32))
    return Adapter(LoraShape(RANK, 16.0, MATRICES), pairs)


def seconds(engine: CpuEngine, adapters: list[int], seed: int) -> tuple[float, float]:
    """(of a token of each text, of the prefill of one), each text with the adapter of its place."""
    dice = np.random.default_rng(seed)
    texts = [engine.open(dice.integers(engine.vocab_size, size=CONTEXT).tolist(), Sampling(seed=seed), adapter=adapter)
             for adapter in adapters]
    began = time.perf_counter()
    for text in texts:
        while not engine.prefill(text):
            pass
    read = time.perf_counter()
    for _ in range(TOKENS):
        engine.decode(texts)
    ended = time.perf_counter()
    for text in texts:
        engine.close(text)
    return (ended - read) / TOKENS, (read - began) / len(texts)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--models", default="mini,124M")
    parser.add_argument("--rounds", type=int, default=30)
    args = parser.parse_args()
    rows = []
    for name in args.models.split(","):
        prepared = open_prepared(prepare(Peers(args.cache).model(name), "int8"))
        engine = CpuEngine(prepared, speculate=False, own_cores=True)
        made = [adapter_of(engine.config, seed) for seed in range(TEXTS)]
        began = time.perf_counter()
        numbers = [engine.add_adapter(adapter) for adapter in made]
        adding = (time.perf_counter() - began) / TEXTS
        size = PackedAdapter(engine.config, made[0], 1.0).bytes
        cases = {"one text, the base": [0], "one text, an adapter": numbers[:1], "four texts, the base": [0] * TEXTS,
                 "four texts, an adapter each": numbers}
        taken = {case: [] for case in cases}
        for number in range(args.rounds + 2):
            for case, adapters in cases.items():
                found = seconds(engine, adapters, number)
                if number > 1:
                    taken[case].append(found)
        for case, found in taken.items():
            base = taken["one text, the base" if case.startswith("one") else "four texts, the base"]
            step, read = (median([one[part] for one in found]) for part in (0, 1))
            rows.append([name, case, step * 1e3, step / median([one[0] for one in base]), read * 1e3,
                         read / median([one[1] for one in base])])
        rows.append([name, f"to add an adapter: {adding * 1e3:.1f} ms, {size / 1e6:.1f} MB of memory", "", "", "", ""])
    show(f"An adapter of rank {RANK} beside every matrix, int8; {TOKENS} tokens behind {CONTEXT}, medians of "
         f"{args.rounds} rounds", ["model", "what", "ms a step", "× base", f"ms to read {CONTEXT} tokens", "× base"],
         rows)


if __name__ == "__main__":
    main()
