"""What banned phrases cost a token: the watch over a text's tokens, and the rules beside the engine's step.

No model runs: the tokens are those of a text, here the project's own pages, less those that hold a phrase.

`python benchmarks/banned.py --model FOLDER [--rounds 5]`
"""
import argparse
import random
import time
from pathlib import Path

import numpy as np
from table import median, show

from gpt2_assist.daemon.worker.banning import Banning
from gpt2_assist.engine.engine import Token
from gpt2_assist.text.banned import BannedPhrases
from gpt2_assist.text.healing import Healing
from gpt2_assist.text.tokenizer import TextTokenizer

PAGES = Path(__file__).parent.parent / "docs"


def phrases_of(text: str, count: int) -> list[str]:
    """Phrases that begin like the text's own, so that they nearly come, and never do."""
    dice, words = random.Random(1), text.split()
    starts = [dice.randrange(len(words) - 3) for _ in range(count)]
    return [" ".join(words[start:start + 3]) + f" never{number}" for number, start in enumerate(starts)]


def micros(banning: Banning, tokens: list[int], logits: np.ndarray) -> float:
    began, given = time.perf_counter(), 0
    rules = banning.rules
    for id in tokens:
        refused = rules.refused(banning.tokens)
        if refused is not None:
            logits.copy()[refused] = 0
        token = Token(id)
        if banning.exhausted(token) or not banning.take(token):
            raise SystemExit("A phrase came that should not have.")
        given += len(banning.settled())
    return (time.perf_counter() - began) / len(tokens) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True, help="a folder with a tokenizer")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    tokenizer = TextTokenizer.from_folder(args.model)
    ordinary = tokenizer.ordinary_tokens()
    healing = Healing(ordinary, tokenizer.encode)
    text = "\n".join(page.read_text() for page in sorted(PAGES.glob("*.md")))[:60_000]
    tokens, logits = tokenizer.encode(text), np.zeros(len(ordinary), np.float32)
    rows: list[list[object]] = [["0", 0.0, 0.0]]  # without phrases none of this runs
    for count in (1, 10, 10_000):
        began = time.perf_counter()
        phrases = BannedPhrases(ordinary, phrases_of(text, count))
        built = time.perf_counter() - began
        costs = [micros(Banning(phrases, tokenizer.token_bytes, healing, b"", None, frozenset()), tokens, logits)
                 for _ in range(args.rounds)]
        rows.append([f"{count:,}", median(costs), built])
    show("What banned phrases cost", ["phrases", "µs a token", "s to build"], rows)


if __name__ == "__main__":
    main()
