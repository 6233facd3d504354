"""Bits per byte of the bundled model on held-out documents of each source, beside a 5-gram model's.

The 5-gram model (interpolated Kneser-Ney over the same tokens) counts the very stream that the model was trained on.
`python benchmarks/quality.py --corpora FOLDER [--recipe recipes/mini.toml] [--model mini] [--bytes N]`
"""
import argparse
import sys
from pathlib import Path

import numpy as np
from ngram import KneserNey
from table import show
from tokenizers import Tokenizer

from gpt2_assist.model.store import find_model
from gpt2_assist.model.weights import load_model
from gpt2_assist.training.mixture import encode_mixture, held_out_documents, training_documents
from gpt2_assist.training.packing import encode_documents
from gpt2_assist.training.pretrain import held_out_sample, measure
from gpt2_assist.training.recipe import read_recipe


def ngram_bits(model: KneserNey, tokenizer: Tokenizer, documents: list[str]) -> float:
    """Bits per byte over documents, each given the separator before it."""
    bits = size = 0
    for document in documents:
        ids = encode_documents(tokenizer, [document], 1 << 40)
        bits -= model.log2_probabilities(np.concatenate([ids[-1:], ids])).sum()
        size += len(document.encode())
    return bits / size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpora", type=Path, default=Path(__file__).parents[2] / "shared" / "corpora")
    parser.add_argument("--recipe", type=Path, default=Path(__file__).parents[1] / "recipes" / "mini.toml")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--bytes", type=int, default=100_000, help="held-out text of each source")
    args = parser.parse_args()
    if not args.corpora.is_dir():
        print(f"There are no corpora in {args.corpora}: give --corpora.", file=sys.stderr)
        sys.exit(2)
    recipe, folder = read_recipe(args.recipe, args.corpora), find_model(args.model).path
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    held_out = held_out_documents(recipe)
    figures = measure(load_model(folder), tokenizer, held_out, args.bytes)
    stream = encode_mixture(recipe, training_documents(recipe), tokenizer)
    grams = KneserNey(stream, 5, tokenizer.get_vocab_size())
    rows = []
    for name, documents in held_out.items():
        other = ngram_bits(grams, tokenizer, held_out_sample(documents, args.bytes))
        rows.append([name, figures[name], other, figures[name] / other])
    rows.append(["mean", figures["mean"], float(np.mean([row[2] for row in rows])), ""])
    rows[-1][3] = rows[-1][1] / rows[-1][2]
    show("Bits per byte on held-out documents", ["source", args.model, "5-gram", "ratio"], rows)


if __name__ == "__main__":
    main()
