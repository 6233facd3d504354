"""Bits per byte of models as they are served: in every precision, on any text files.

Each text is read in windows of 1024 tokens that overlap by half, as models are compared elsewhere, so that every token
but the first ones has at least half a window before it. The text begins as the model's card says that texts begin.
`python benchmarks/bits.py FILE... [--models mini,smollm2] [--precisions fp32,int8,int4] [--bytes 60000]`
"""
import argparse
import math
from pathlib import Path

import numpy as np
from engines import open_engine
from table import show

from gpt2_assist.engine.cpu.cpu_engine import CpuEngine
from gpt2_assist.model.store import find_model
from gpt2_assist.text.tokenizer import TextTokenizer

_WINDOW = 1024
_LOG2 = math.log(2)


def bits_per_byte(engine: CpuEngine, tokenizer: TextTokenizer, text: str) -> float:
    """Of the text's bytes; the separator before it is given."""
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
    return bits / len(text.encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--models", default="mini,smollm2")
    parser.add_argument("--precisions", default="fp32,int8,int4")
    parser.add_argument("--bytes", type=int, default=60_000, help="of each text, from its beginning")
    args = parser.parse_args()
    texts = {path.name: path.read_bytes()[:args.bytes].decode(errors="ignore") for path in args.files}
    rows = []
    for name in args.models.split(","):
        folder = find_model(name).path
        tokenizer = TextTokenizer.from_folder(folder)
        exact: list[float] = []
        for precision in args.precisions.split(","):
            engine = open_engine(folder, precision, 2, False)
            found = [bits_per_byte(engine, tokenizer, text) for text in texts.values()]
            exact = exact or found
            more = 100 * (np.mean(found) / np.mean(exact) - 1)
            rows.append([f"{name} {precision}", *(round(value, 4) for value in found), f"{more:+.2f} %"])
    show("Bits per byte", ["", *texts, f"beside {args.precisions.split(',')[0]}"], rows)


if __name__ == "__main__":
    main()
