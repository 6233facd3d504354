"""What models learn from the same texts: bits per byte of what is held out, before and after, time, memory, samples.

Each model is fine-tuned on each text for about so many minutes, with settings that are chosen by themselves and as many
steps as fit, each in a process of its own. Bits per byte are of the same bytes for all models, whatever their
tokenizers. Models are those of GPT2_ASSIST_HOME, where the runs stay: `learn-TEXT-MODEL`.

`python benchmarks/learning.py [--corpora FOLDER] [--models mini,smollm2] [--texts notes,code,titles]
[--minutes 6 | --steps N] [--rate X] [--bytes 20000]`
"""
import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from table import show

ROOT = Path(__file__).parents[1]
LEAST_STEPS = 12


class Silent:
    """Who is shown what happens, says nothing, and remembers what was planned."""

    planned = None

    def __init__(self) -> None:
        self.say = self.goes_on = self.corpus = self.step = self.sample = lambda *arguments: None

    def plan(self, plan) -> None:
        self.planned = plan


def texts(corpora: Path) -> dict[str, tuple[tuple[str, ...], str | None]]:
    """Paths, and a table's column, by what kind of text it is."""
    return {"notes": ((str(corpora / "tinyshakespeare.txt"),), None),
            "code": ((str(ROOT / "gpt2_assist"), str(ROOT / "lsp")), None),
            "titles": ((str(corpora / "wikinews_titles.csv"),), "title")}


def measured(model: str, run, most: int) -> float:
    """Bits per byte of a model, by its name, on the beginnings of what a run holds out, about `most` bytes."""
    import numpy as np

    from gpt2_assist.model.store import find_model
    from gpt2_assist.model.weights import model_of
    from gpt2_assist.text.tokenizer import TextTokenizer
    from gpt2_assist.training.export.merging import whole_weights
    from gpt2_assist.training.finetuning.texts import read_text
    from gpt2_assist.training.pretraining.evaluate import bits_per_byte
    source = find_model(model)
    tokenizer, text = TextTokenizer.from_folder(source.path), read_text(run.folder / "data", "validation")
    marks = [0] * (len(text.starts) - 1) if text.given is None else text.given.tolist()
    share, ids, given, sizes = max(200, most // len(marks)), [], [], []
    for document, first, count in zip(text.documents(), text.starts.tolist(), marks):
        if sum(sizes) < most:
            piece = tokenizer.decode(document.tolist())[:share]
            sizes.append(len(piece.encode()))
            ids.append(np.concatenate([text.stream[first + 1:first + 1 + count], tokenizer.encode(piece),
                                       text.stream[first:first + 1]]).astype(np.int64))
            given.append(count)
    return bits_per_byte(model_of(*whole_weights(source)), ids, sizes, given)


def learned(corpora: Path, name: str, model: str, minutes: float, steps: int, rate: float, most: int) -> dict:
    """What a training of so many steps brings, or of about so many minutes."""
    import torch

    from gpt2_assist.training.finetuning import finetune
    from gpt2_assist.training.finetuning.settings import FinetuneSettings
    paths, column = texts(corpora)[name]
    request = finetune.FinetuneRequest(paths, model, f"learn-{name}-{model}", FinetuneSettings(rate=rate), column,
                                       overwrite=True, sample_every=10 ** 6)
    if not steps:
        plan = finetune.plan(request, Silent())
        fitting = int(60 * minutes * plan.tokens_per_s / plan.settings.batch_tokens)
        steps = min(max(LEAST_STEPS, fitting), plan.settings.steps)
    settings = replace(request.settings, steps=steps, validate_every=max(5, steps // 4))
    began = time.monotonic()
    shown = Silent()
    result = finetune.finetune(replace(request, settings=settings), shown)
    seconds, peak = time.monotonic() - began, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    torch.set_num_threads(2)
    used = result.run.record().settings
    return {"before": measured(model, result.run, most), "after": measured(result.run.name, result.run, most),
            "seconds": seconds, "peak_mb": peak / 1e6, "planned_mb": shown.planned.needed / 1e6, "steps": result.step,
            "tokens": used["batch_tokens"], "method": used["method"], "rate": used["rate"],
            "planned_tok_s": shown.planned.tokens_per_s, "samples": result.samples}


def run_learner(args: argparse.Namespace, name: str, model: str) -> dict:
    print(f"{name}: {model}", file=sys.stderr)
    done = subprocess.run([sys.executable, __file__, "--corpora", str(args.corpora), "--minutes", str(args.minutes),
                           "--steps", str(args.steps),
                           "--rate", str(args.rate), "--bytes", str(args.bytes), "--learner", name, model],
                          capture_output=True, text=True)
    line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT")), None)
    if line is None:
        sys.exit(f"{model} on {name} failed: {done.stderr[-1000:]}")
    print(line, file=sys.stderr)
    return json.loads(line.removeprefix("RESULT"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpora", type=Path, default=ROOT.parent / "shared" / "corpora",
                        help="a folder with tinyshakespeare.txt and wikinews_titles.csv")
    parser.add_argument("--models", default="mini,smollm2")
    parser.add_argument("--texts", default="notes,code,titles")
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--steps", type=int, default=0, help="instead of minutes")
    parser.add_argument("--rate", type=float, default=0.0, help="0: as it is chosen")
    parser.add_argument("--bytes", type=int, default=20_000, help="of the held-out text that is measured")
    parser.add_argument("--learner", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.learner:
        print("RESULT" + json.dumps(learned(args.corpora, *args.learner, args.minutes, args.steps,
                                            args.rate, args.bytes)))
        return
    rows, samples = [], []
    for name in args.texts.split(","):
        for model in args.models.split(","):
            found = run_learner(args, name, model)
            rows.append([f"{name}, {model}", found["method"], f"{found['rate']:.2g}",
                         f"{found['steps']} × {found['tokens']}", found["before"], found["after"],
                         f"{found['after'] / found['before'] - 1:+.0%}", found["seconds"] / 60, found["peak_mb"],
                         found["planned_mb"]])
            samples += [f"{name}, {model}, {when}: {text}" for when, text in
                        zip(("prompt", "before", "after"), found["samples"])]
    show(f"{args.steps} steps each" if args.steps else f"About {args.minutes:g} minutes of learning each", [
        "", "method", "rate", "steps × tokens", "bits/byte before", "after", "change", "minutes", "peak MB",
        "planned MB"], rows)
    print("\n" + "\n\n".join(samples))


if __name__ == "__main__":
    main()
