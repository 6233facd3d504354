"""How the engine scales: with the model, the threads, the context and the number of sequences.

`python benchmarks/scaling.py --cache FOLDER [--models mini,124M,355M] [--threads 1,2] [--precision int8] [--rounds 5]
[--plots docs] [--quick]` prints one table and writes two plots.
"""
import argparse
import os
import sys
from collections import defaultdict
from pathlib import Path

import peers as peer_files
from contest import Child, random_prompt, turns
from table import median, show

CONTEXTS = (16, 64, 128, 256, 512, 768, 1000)
BATCHES = (1, 2, 4, 8, 16)
BATCH_CONTEXT = 128
STEPS = 17
"""Tokens of each measurement, whose median counts; the first step is left out."""


def measure(children: dict[str, Child], vocabulary: dict[str, int], rounds: int) -> dict[str, dict[tuple, float]]:
    """figures[name][what]: medians, what being ("context", tokens) or ("batch", sequences) with milliseconds a step,
    ("prefill", 256) with tokens a second, or ("memory", 1024) with megabytes."""
    found: dict[str, dict[tuple, list[float]]] = {name: defaultdict(list) for name in children}
    for number, name, child in turns(children, rounds):
        def prompts(count: int, length: int, kind: int, name=name, number=number) -> list[list[int]]:
            return [random_prompt(length, 10_000 * number + 100 * kind + place, vocabulary[name])
                    for place in range(count)]

        if number == 0:
            child.run(prompts(1, 1008, 0), STEPS - 2)
            found[name]["memory", 1024].append(child.memory_mb())
            print(f"{name} is ready.", file=sys.stderr)
            continue
        for kind, context in enumerate(CONTEXTS):
            found[name]["context", context].append(_step_ms(child, prompts(1, context, 1 + kind)))
        for kind, size in enumerate(BATCHES):
            found[name]["batch", size].append(_step_ms(child, prompts(size, BATCH_CONTEXT, 20 + kind)))
        found[name]["prefill", 256].append(256 / child.run(prompts(1, 256, 40), 1).first)
    return {name: {what: median(values) for what, values in figures.items()} for name, figures in found.items()}


def _step_ms(child: Child, prompts: list[list[int]]) -> float:
    return 1000 * median(child.run(prompts, STEPS).steps)


def draw(figures: dict[str, dict[tuple, float]], folder: Path) -> None:
    """scaling-context.svg and scaling-sequences.svg."""
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "gpt2-assist", "font.size": 9, "axes.spines.top": False,
                                "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3})
    for kind, label, file in (("context", "tokens in the context", "scaling-context.svg"),
                              ("batch", f"sequences decoded together, each at {BATCH_CONTEXT} tokens",
                               "scaling-sequences.svg")):
        _draw_one(figures, kind, label, folder / file)


def _draw_one(figures: dict[str, dict[tuple, float]], kind: str, label: str, path: Path) -> None:
    """Milliseconds a step, a colour for each model, dashed with one thread."""
    import matplotlib.pyplot as plt
    models = list(dict.fromkeys(name.split(",")[0] for name in figures))
    figure, axes = plt.subplots(figsize=(6.2, 3.6), layout="constrained")
    for name, values in figures.items():
        points = sorted((what[1], value) for what, value in values.items() if what[0] == kind)
        axes.plot(*zip(*points), marker="o", markersize=3, color=f"C{models.index(name.split(',')[0])}",
                  linestyle="--" if name.endswith(" 1 thread") else "-", label=name)
    axes.set(xlabel=label, ylabel="milliseconds a step", yscale="log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.legend(frameon=False, fontsize=8, ncols=2)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _threads(count: str) -> str:
    return f"{count} thread" + ("s" if count != "1" else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    peer_files.add_arguments(parser, llama=False)
    parser.add_argument("--models", default="mini,124M,355M", help="names with commas between")
    parser.add_argument("--threads", default=",".join(map(str, sorted({1, os.cpu_count() or 1}))))
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--plots", type=Path, help="a folder for the plots")
    parser.add_argument("--quick", action="store_true", help="one round")
    args = parser.parse_args()
    rounds = 1 if args.quick else args.rounds
    with peer_files.opened(args) as peers:
        children, vocabulary = {}, {}
        for model in args.models.split(","):
            for threads in args.threads.split(","):
                name = f"{model}, {_threads(threads)}"
                children[name] = Child("ours", peers.model(model), args.precision, int(threads))
                vocabulary[name] = peers.sizes(model).vocab_size
                if children[name].missing:
                    raise SystemExit(f"{name}: {children[name].missing}")
        figures = measure(children, vocabulary, rounds)
        for child in children.values():
            child.close()
    show(f"{args.precision}, milliseconds a step, median of {rounds} rounds",
         ["", *(f"at {context}" for context in CONTEXTS), *(f"{size} at once" for size in BATCHES),
          "prefill 256, tok/s", "MB at 1024"],
         [[name, *(values["context", context] for context in CONTEXTS), *(values["batch", size] for size in BATCHES),
           values["prefill", 256], values["memory", 1024]] for name, values in figures.items()])
    if args.plots:
        args.plots.mkdir(parents=True, exist_ok=True)
        draw(figures, args.plots)


if __name__ == "__main__":
    main()
