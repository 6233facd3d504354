"""Makes the picture of a writing session for the README, with SmolLM2, which the session itself fetches into a home of
its own: a terminal's screen, drawn by Chromium.

    python tests/repl/repl_screenshot.py docs/images/repl.png
"""
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))
from screen_picture import draw  # noqa: E402
from tmux import MISSING, Terminal  # noqa: E402

COLUMNS, ROWS = 92, 16
FETCHING_S = 600
TYPED = ("/set max_new_tokens 40", "/set temperature 0.6", "Dear Anna, the garden is full of", "/retry",
         " Last night")


def main() -> int:
    if len(sys.argv) != 2 or MISSING:
        print(MISSING or __doc__, file=sys.stderr)
        return 2
    with TemporaryDirectory(prefix="g2a-") as folder:
        os.environ["GPT2_ASSIST_HOME"], os.environ["GPT2_ASSIST_RUNTIME"] = f"{folder}/home", f"{folder}/run"
        terminal = Terminal(sys.executable, "-m", "gpt2_assist.repl.main", columns=COLUMNS, rows=ROWS)
        try:
            terminal.until(lambda: "›" in terminal.screen(), FETCHING_S)
            for line in TYPED:
                terminal.type(line)
                terminal.press("Enter")
                terminal.at_rest()
            draw(terminal.at_rest(), COLUMNS, ROWS, Path(sys.argv[1]).resolve())
        finally:
            terminal.close()
            subprocess.run([sys.executable, "-m", "gpt2_assist.cli", "daemon", "stop"], stdout=subprocess.DEVNULL)
    return 0


if __name__ == "__main__":
    sys.exit(main())
