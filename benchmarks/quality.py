"""Bits per byte of models as they are served, in every precision, on held-out documents, beside a 5-gram model's.

The documents are those that mini's training held out, and what other files are named. Each is read in windows of 1024
tokens that overlap by half, so that every token but the first ones has at least half a window before it, and begins as
the model's card says that texts begin. The 5-gram model (interpolated Kneser-Ney over mini's tokens) counts the very
stream that mini was trained on.

`python benchmarks/quality.py [FILE...] --corpora FOLDER [--models mini,smollm2] [--precisions fp32,int8,int4]
[--bytes 40000]`
"""
import argparse
import math
import sys
from pathlib import Path

import numpy as np
from engines import open_engine
from ngram import KneserNey
from table import show
from tokenizers import Tokenizer

from gpt2_assist.engine.cpu.cpu_engine import CpuEngine
from gpt2_assist.model.store import find_model
from gpt2_assist.text.tokenizer import TextTokenizer
from gpt2_assist.training.pretraining.mixture import encode_mixture, held_out_documents, training_documents
from gpt2_assist.training.pretraining.pretrain import held_out_sample
from gpt2_assist.training.pretraining.recipe import read_recipe
from gpt2_assist.training.token_stream import encode_documents

_WINDOW = 1024
_LOG2 = math.log(2)


def ngram_bits(model: KneserNey, tokenizer: Tokenizer, documents: list[str]) -> float:
    """Bits per byte over documents, each given the separator before it."""
    bits = size = 0
    for document in documents:
        ids = encode_documents(tokenizer, [document], 1 << 40)
        bits -= model.log2_probabilities(np.concatenate([ids[-1:], ids])).sum()
        size += len(document.encode())
    return bits / size


def model_bits(engine: CpuEngine, tokenizer: TextTokenizer, documents: list[str]) -> float:
    """Bits per byte over documents, each given what texts begin with."""
    return sum(_bits(engine, tokenizer, text) for text in documents) / sum(len(text.encode()) for text in documents)


def _bits(engine: CpuEngine, tokenizer: TextTokenizer, text: str) -> float:
    first = [] if tokenizer.begin_of_text is None else [tokenizer.begin_of_text]
    ids = np.array(first + tokenizer.encode(text))
    bits, scored = 0.0, 1
    while scored < len(ids):
        start = 0 if scored == 1 else scored - _WINDOW // 2
        piece = ids[start:start + _WINDOW + 1]
        logits = engine.all_logits(piece[:-1].tolist())[scored - 1 - start:].astype(np.float64)
        top = logits.max(axis=1)
        sums = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
        bits += (sums - logits[np.arange(len(logits)), piece[scored - start:]]).sum() / _LOG2
        scored = start + len(piece)
    return bits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--corpora", type=Path, default=Path(__file__).parents[2] / "shared" / "corpora")
    parser.add_argument("--recipe", type=Path, default=Path(__file__).parents[1] / "recipes" / "mini.toml")
    parser.add_argument("--models", default="mini,smollm2")
    parser.add_argument("--precisions", default="fp32,int8,int4")
    parser.add_argument("--bytes", type=int, default=40_000, help="of each source, from documents' beginnings")
    args = parser.parse_args()
    if not args.corpora.is_dir():
        print(f"There are no corpora in {args.corpora}: give --corpora.", file=sys.stderr)
        sys.exit(2)
    recipe = read_recipe(args.recipe, args.corpora)
    texts = {name: held_out_sample(documents, args.bytes) for name, documents in held_out_documents(recipe).items()}
    texts |= {path.name: [path.read_bytes()[:args.bytes].decode(errors="ignore")] for path in args.files}
    rows = []
    for name in args.models.split(","):
        folder = find_model(name).path
        exact: list[float] = []
        for precision in args.precisions.split(","):
            engine, tokenizer = open_engine(folder, precision, 2, False), TextTokenizer.from_folder(folder)
            found = [model_bits(engine, tokenizer, documents) for documents in texts.values()]
            exact = exact or found
            rows.append(_row(f"{name} {precision}", found, f"{100 * (np.mean(found) / np.mean(exact) - 1):+.2f} %"))
            print(f"{name} {precision} is read.", file=sys.stderr)
    tokenizer = Tokenizer.from_file(str(find_model("mini").path / "tokenizer.json"))
    grams = KneserNey(encode_mixture(recipe, training_documents(recipe), tokenizer), 5, tokenizer.get_vocab_size())
    rows.append(_row("5-gram", [ngram_bits(grams, tokenizer, documents) for documents in texts.values()], ""))
    show("Bits per byte of held-out texts", ["", *texts, "mean", f"beside {args.precisions.split(',')[0]}"], rows)


def _row(name: str, found: list[float], beside: str) -> list[object]:
    return [name, *(round(value, 4) for value in found), round(float(np.mean(found)), 4), beside]


if __name__ == "__main__":
    main()
