"""How often the rest of a line is written exactly as it was: with what follows it (generate --suffix), and without.

Places are drawn from what a run's training held out, anywhere in a line's text; what is written is the likeliest, up to
the line's end or the model's own. "whole" counts only what the model itself ended just there.

`python benchmarks/infill.py RUN [--places 200] [--seed 1] [--precision auto]`: RUN beside its base.
"""
import argparse
import random
import time
from dataclasses import dataclass

from table import median, show

from gpt2_assist.errors import UsageError
from gpt2_assist.ipc.client import Client
from gpt2_assist.ipc.messages import Chunk, Finished, Generation, SampleDone
from gpt2_assist.runs import find_run
from gpt2_assist.text.tokenizer import TextTokenizer
from gpt2_assist.training.finetuning.texts import read_text

BEFORE, AFTER = 4000, 1500
"""Characters around the cursor."""
LEAST = 3
"""Characters of a line's rest that is worth writing."""
MOST_TOKENS = 40


@dataclass(frozen=True)
class Place:
    before: str
    rest: str
    """Of the line."""
    after: str


def places(run: str, count: int, seed: int) -> list[Place]:
    """Drawn evenly from all characters of the lines that were held out."""
    found = find_run(run)
    tokenizer = TextTokenizer.from_folder(found.folder)
    texts = [tokenizer.decode(ids.tolist()) for ids in read_text(found.folder / "data", "validation").documents()]
    dice, drawn = random.Random(seed), []
    while len(drawn) < count:
        text = dice.choices(texts, list(map(len, texts)))[0]
        cursor = dice.randrange(len(text))
        end = text.find("\n", cursor)
        begin = text.rfind("\n", 0, cursor) + 1
        if end > 0 and text[begin:cursor].strip() and len(text[cursor:end].strip()) >= LEAST:
            drawn.append(Place(text[max(0, cursor - BEFORE):cursor], text[cursor:end], text[end:end + AFTER]))
    return drawn


def measured(client: Client, model: str, drawn: list[Place], suffix: bool, precision: str) -> list[object]:
    """Shares of exact lines and of exact lines that the model ended itself, in per cent, and ms a line."""
    exact = whole = 0
    times = []
    settings = Generation(max_new_tokens=MOST_TOKENS, temperature=0.0, begins=False)
    for place in drawn:
        text, reason, began = "", "", time.perf_counter()
        stream = client.generate(model, place.before, settings, precision=precision,
                                 suffix=place.after if suffix else None)
        for message in stream:
            if isinstance(message, Chunk):
                text += message.text
                if "\n" in text and not suffix:
                    stream.cancel()
            elif isinstance(message, SampleDone):
                reason = message.finish_reason
            elif isinstance(message, Finished):
                break
        times.append(1000 * (time.perf_counter() - began))
        exact += text.split("\n")[0] == place.rest
        whole += reason == "stop" and text == place.rest
    share = 100 / len(drawn)
    return [exact * share, whole * share if suffix else None, median(times)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--places", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--precision", default="auto")
    args = parser.parse_args()
    drawn, base = places(args.run, args.places, args.seed), find_run(args.run).base()
    rows = []
    with Client.connect("benchmark") as client:
        for name, model, suffix in ((f"base ({base}), before only", base, False), ("base, both sides", base, True),
                                    (f"{args.run}, before only", args.run, False),
                                    (f"{args.run}, both sides", args.run, True)):
            try:
                rows.append([name, *measured(client, model, drawn, suffix, args.precision)])
            except Exception as error:  # what the daemon says of a model that can't
                if getattr(error, "exit_code", 1) != UsageError.exit_code:
                    raise
    show(f"The rest of a line, {len(drawn)} places of what {args.run} held out", ["", "exact, %", "whole, %",
                                                                                  "ms a line"], rows)


if __name__ == "__main__":
    main()
