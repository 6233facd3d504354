"""Makes the pictures of a writing session for README and docs/repl.md, with SmolLM2, which the session itself fetches
into a home of its own, or which lies in --home: a terminal's screen, drawn by Chromium.

    python tests/repl/repl_screenshot.py docs/images [--home FOLDER]
"""
import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))
from screen_picture import draw  # noqa: E402
from tmux import MISSING, Terminal  # noqa: E402

COLUMNS, ROWS = 92, 22
FETCHING_S = 600
BEGINNING = "Dear Anna, the garden is full of"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--home", type=Path)
    args = parser.parse_args()
    if MISSING:
        print(MISSING, file=sys.stderr)
        return 2
    with TemporaryDirectory(prefix="g2a-") as folder:
        os.environ["GPT2_ASSIST_HOME"] = str(args.home or f"{folder}/home")
        os.environ["GPT2_ASSIST_RUNTIME"] = f"{folder}/run"
        terminal = Terminal(sys.executable, "-m", "gpt2_assist.repl.main", columns=COLUMNS, rows=ROWS)
        try:
            take(terminal, lambda name: draw(terminal.at_rest(), COLUMNS, ROWS, (args.folder / name).resolve()))
        finally:
            terminal.close()
            subprocess.run([sys.executable, "-m", "gpt2_assist.cli", "daemon", "stop"], stdout=subprocess.DEVNULL)
    return 0


def take(terminal: Terminal, picture: Callable[[str], None]) -> None:
    """Writes a letter with the model, and takes a picture of each thing worth seeing."""
    terminal.until(lambda: "saved" in terminal.screen(), FETCHING_S)
    for line in ("/new letter", "/set max_new_tokens 40", "/set temperature 0.6", "/set seed 11", BEGINNING):
        terminal.type(line)
        terminal.press("Enter")
        terminal.at_rest()
    terminal.type("/set seed 12")
    terminal.press("Enter")
    terminal.at_rest()
    terminal.press("M-r")
    terminal.at_rest()
    terminal.type(" Last night it rai")
    picture("repl.png")
    terminal.press("Tab")
    terminal.until(lambda: "Escape none" in terminal.screen())
    picture("repl-suggestions.png")
    terminal.press("Escape")
    terminal.at_rest()
    terminal.press("Enter")
    terminal.at_rest()
    terminal.press("M-t")
    picture("repl-tree.png")
    terminal.press("q")
    terminal.type("/pick")
    terminal.press("Enter")
    terminal.until(lambda: "%" in terminal.screen())
    picture("repl-words.png")


if __name__ == "__main__":
    sys.exit(main())
