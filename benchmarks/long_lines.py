"""What a key costs the language server, beside the model, in documents of long lines and of many lines.

A key is a change and the question behind it: the positions, the text around the cursor, the place and the prompt. Typed
at the end of a line and in its middle, for letters of one, two and four bytes.

`python benchmarks/long_lines.py [--keys 50]`
"""
import argparse
import time

from gpt2_lsp.completer import AFTER_LINES, BEFORE, WINDOW
from gpt2_lsp.context import Context
from gpt2_lsp.documents import Document
from table import median, show

from gpt2_assist.completion.spots import TAIL, Spot

SIZES = (1_000, 45_000, 450_000, 1_000_000)
ALPHABETS = {"ascii": "word ", "Latin": "wörter ", "Chinese": "春眠不覺曉，", "pictures": "a😀b👩\u200d💻 "}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=50)
    keys = parser.parse_args().keys
    rows = [[f"one line, {name}", *(cost(line(letters, size), 0, share, keys) for share in (1, 0.5) for size in SIZES)]
            for name, letters in ALPHABETS.items()]
    rows.append(["many lines", *(cost("a line of text\n" * (size // 15), size // 15 - 1, share, keys)
                                 for share in (1, 0.5) for size in SIZES)])
    show(f"Milliseconds a key, median of {keys}, by characters of the document",
         ["", *(f"{place}, {size}" for place in ("end", "middle") for size in SIZES)], rows)


def line(letters: str, size: int) -> str:
    return (letters * (size // len(letters) + 1))[:size]


def cost(text: str, last: int, share: float, keys: int) -> float:
    """Milliseconds that one key takes at a share of the document's last line, or of its lines."""
    document, context = Document("file:///a.txt", "plaintext", 1, "utf-16"), Context(WINDOW)
    document.replace_all(text)
    number = int(last * share)
    width = len(document.lines[number].rstrip("\n").encode("utf-16-le")) // 2
    place, taken = (number, width if last else int(width * share)), []
    for _ in range(keys):
        began = time.perf_counter()
        document.replace(place, place, "x")
        place = number, place[1] + 1
        cursor = document.cursor(*place)
        Spot.of(cursor, document.before(cursor, TAIL))
        document.before(cursor, BEFORE)
        document.after(cursor, AFTER_LINES)
        context.prompt(document, cursor, lambda: ())
        taken.append(1000 * (time.perf_counter() - began))
    return median(taken)


if __name__ == "__main__":
    main()
