"""What the small weights cost in quality: perplexity on held-out text, and logits of models with outlier channels.

Perplexity: the bundled model in each precision over the same held-out documents of all its sources, in windows of 512
tokens. Outliers: 4 layers of GPT-2's width with random weights, in which, as in the real one, a few channels stand out:
of each layer norm's gains 4 are multiplied by 30, and of each matrix 4 inputs and 4 outputs by 10; the error is the
root mean square of the difference of the logits to exact fp32's over theirs.
`python benchmarks/precision.py --corpora FOLDER [--tokens 16384]`
"""
import argparse
import json
import math
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from table import show

from gpt2_assist.architectures import gpt2
from gpt2_assist.engine.cpu.cpu_engine import CpuEngine
from gpt2_assist.loading.calibration import calibration_tokens
from gpt2_assist.model.numpy_forward import all_logits
from gpt2_assist.model.prepared import open_prepared, prepare
from gpt2_assist.model.store import find_model
from gpt2_assist.model.tensors import ModelTensors
from gpt2_assist.text.tokenizer import TextTokenizer
from gpt2_assist.training.pretraining.mixture import held_out_documents
from gpt2_assist.training.pretraining.recipe import read_recipe

PRECISIONS = ("fp32", "bf16", "int8", "int4")
WINDOW = 512
SIZES = gpt2.decoder(n_layer=4, n_head=12, n_embd=768, n_ctx=128, vocab_size=4096)


def held_out_windows(corpora: Path, folder: Path, count: int) -> list[list[int]]:
    """Windows of held-out documents, as many of each source, about so many tokens in all."""
    recipe = read_recipe(Path(__file__).parents[1] / "recipes" / "mini.toml", corpora)
    tokenizer, windows = TextTokenizer.from_folder(folder), []
    sources = held_out_documents(recipe).values()
    for documents in sources:
        ids = tokenizer.encode("\n\n".join(documents)[:8 * count // len(sources)])
        windows += [ids[first:first + WINDOW] for first in range(0, len(ids) - WINDOW, WINDOW)][:count // WINDOW //
                                                                                               len(sources)]
    return windows


def perplexity(engine: CpuEngine, windows: list[list[int]]) -> float:
    nats = 0.0
    for ids in windows:
        logits = engine.all_logits(ids)[:-1].astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        nats -= (logits[np.arange(len(logits)), ids[1:]] - np.log(np.exp(logits).sum(axis=1))).sum()
    return math.exp(nats / (len(windows) * (WINDOW - 1)))


def outlier_model(folder: Path, seed: int) -> Path:
    """See the top of this file."""
    dice = np.random.default_rng(seed)
    tensors = {}
    for name, shape in SIZES.shapes().items():
        if len(shape) == 2:
            tensors[name] = dice.normal(0, 0.02, shape).astype(np.float32)
            if name.startswith("layers."):
                for axis in (0, 1):
                    rows = dice.choice(shape[axis], 4, replace=False)
                    tensors[name][(slice(None),) * axis + (rows,)] *= 10
        else:
            tensors[name] = np.full(shape, 1.0 if "weight" in name else 0.0, np.float32)
            if "ln_" in name and "weight" in name:
                tensors[name][dice.choice(shape[0], 4, replace=False)] *= 30
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(SIZES.to_hub()), encoding="utf-8")
    return folder


def opened(folder: Path, precision: str, sample: list[int]) -> CpuEngine:
    return CpuEngine(open_prepared(prepare(folder, precision, sample=sample)), cache_bytes=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--tokens", type=int, default=16384)
    args = parser.parse_args()
    if not args.corpora.is_dir():
        print(f"There are no corpora in {args.corpora}.", file=sys.stderr)
        sys.exit(2)
    with tempfile.TemporaryDirectory(prefix="g2a-") as place:
        os.environ["GPT2_ASSIST_HOME"] = place
        mini = find_model("mini").path
        windows = held_out_windows(args.corpora, mini, args.tokens)
        sample = calibration_tokens(mini, 1024)
        found = {precision: perplexity(opened(mini, precision, sample), windows) for precision in PRECISIONS}
        errors: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
        for seed in range(3):
            folder = outlier_model(Path(place) / f"outliers-{seed}", seed)
            tokens = np.random.default_rng(seed).integers(0, SIZES.vocab_size, SIZES.n_ctx).tolist()
            sample = np.random.default_rng(seed + 100).integers(0, SIZES.vocab_size, SIZES.n_ctx).tolist()
            exact = all_logits(ModelTensors(folder), tokens)
            for precision in PRECISIONS:
                difference = opened(folder, precision, sample).all_logits(tokens) - exact
                errors[precision].append(float(np.sqrt((difference ** 2).mean() / (exact ** 2).mean())))
    show(f"Perplexity of mini on {len(windows) * WINDOW} held-out tokens, and the error of logits with outliers",
         ["", "perplexity", "more than fp32, %", "error with outliers, %"],
         [[precision, found[precision], 100 * (found[precision] / found["fp32"] - 1),
           100 * float(np.mean(errors[precision]))] for precision in PRECISIONS])


if __name__ == "__main__":
    main()
