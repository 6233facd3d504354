"""What drafts from the text itself gain: the same generations with and without speculation, and whether they are equal.

Texts: code that is being rewritten (a piece of the standard library, then the same with names changed, up to its
middle), lists (numbered entries of one form) and fresh prose (a novel). Greedy, and sampled with the default settings;
greedy decoding of a small model falls into loops, so prose counts where it is sampled. One process each with and
without, asked in turn.

`python benchmarks/speculation.py --corpora FOLDER --cache FOLDER [--bpe FOLDER] [--models mini,124M] [--threads 2]
[--precision int8] [--rounds 5] [--quick]`
"""
import argparse
import re
import sys
from collections import defaultdict
from pathlib import Path

import peers as peer_files
from contest import GREEDY, Child, Run, turns
from table import median, show
from typist import passage

from gpt2_assist.text.tokenizer import TextTokenizer
from gpt2_assist.training.pretraining.corpora import read_documents

SAMPLED = {"temperature": 0.8, "top_k": 40}
PIECE = 260
"""Tokens of code that are repeated."""
RENAMED = (("self", "this"), ("value", "number"), ("name", "label"), ("result", "answer"))


def rewritten_code(tokenizer: TextTokenizer, number: int) -> list[int]:
    """A piece of code, and the beginning of the same with some names changed."""
    modules = [text for text in read_documents("stdlib") if 10_000 < len(text) < 40_000 and "class " in text]
    text = modules[number * 37 % len(modules)]
    ids = tokenizer.encode(text[text.index("class "):])[:PIECE]
    piece = tokenizer.decode(ids)
    changed = piece
    for old, new in RENAMED[:1 + number % len(RENAMED)]:
        changed = re.sub(rf"\b{old}\b", new, changed)
    return tokenizer.encode(piece + "\n\n\n" + changed[:len(changed) // 2])


def numbered_list(tokenizer: TextTokenizer, number: int) -> list[int]:
    """Entries of one form with a number that grows."""
    things = ("lamp", "rope", "map", "coat", "knife", "tin", "box", "book")
    entries = [f"{place}. The {things[(place + number) % len(things)]} was carried to the house and put on the table.\n"
               for place in range(1, 15)]
    return tokenizer.encode("".join(entries))


def prose(tokenizer: TextTokenizer, corpora: Path, number: int) -> list[int]:
    """A passage of a novel."""
    return tokenizer.encode("\n\n".join(passage(corpora, seed=number)))[:300]


def contest(pair: dict[str, Child], prompts: dict[str, list[list[int]]], count: int, rounds: int) -> dict:
    """Runs by (text, manner) and on or off: one a round, of prompts 2 n and 2 n + 1 in round n."""
    runs: dict[tuple[str, str], dict[str, list[Run]]] = defaultdict(lambda: defaultdict(list))
    for number, name, child in turns(pair, rounds):
        for text, choices in prompts.items():
            for place, (manner, sampling) in enumerate((("greedy", GREEDY), ("sampled", SAMPLED))):
                run = child.run([choices[2 * number + place]], count if number else 8, {**sampling, "seed": number})
                if number:
                    runs[text, manner][name].append(run)
    return runs


def rows(model: str, runs: dict) -> list[list[object]]:
    """One for each text and manner: speeds on and off, the ratio, and whether the texts are the same."""
    found = []
    for (text, manner), sides in runs.items():
        on, off = (median([run.speed for run in sides[side]]) for side in ("on", "off"))
        ratios = [a.speed / b.speed for a, b in zip(sides["on"], sides["off"])]
        same = all(a.tokens == b.tokens for a, b in zip(sides["on"], sides["off"]))
        found.append([f"{model}, {text}, {manner}", on, off, median(ratios), min(ratios), "yes" if same else "NO"])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    peer_files.add_arguments(parser, llama=False)
    parser.add_argument("--corpora", type=Path, required=True, help="a folder with novels.txt.xz")
    parser.add_argument("--models", default="mini,124M", help="names with commas between")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=160)
    parser.add_argument("--quick", action="store_true", help="two short rounds")
    args = parser.parse_args()
    rounds, count = (2, 48) if args.quick else (args.rounds, args.tokens)
    table = []
    with peer_files.opened(args) as peers:
        for model in args.models.split(","):
            folder = peers.model(model)
            tokenizer = TextTokenizer.from_folder(folder)
            places = range(2 * (rounds + 1))  # another one each time, as the engine learns from what it has seen
            prompts = {"code": [rewritten_code(tokenizer, place) for place in places],
                       "list": [numbered_list(tokenizer, place) for place in places],
                       "prose": [prose(tokenizer, args.corpora, place) for place in places]}
            pair = {side: Child("ours", folder, args.precision, args.threads, speculate=side == "on")
                    for side in ("on", "off")}
            if missing := next((child.missing for child in pair.values() if not child.there), ""):
                print(f"{model} is left out: {missing}", file=sys.stderr)
            else:
                table += rows(model, contest(pair, prompts, count, rounds))
            for child in pair.values():
                child.close()
    show(f"Speculation, {args.precision}, {args.threads} threads, {count} tokens, median of {rounds} rounds",
         ["", "on, tok/s", "off, tok/s", "ratio", "least ratio", "the same tokens"], table)


if __name__ == "__main__":
    main()
