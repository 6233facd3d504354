"""Makes the picture of Neovim for the README, with the bundled model and real ghost text: a terminal's screen, drawn by
Chromium.

    python tests/editors/neovim_screenshot.py docs/images/neovim.png
"""
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))
from neovim import MISSING, PLUGIN, open_in_terminal  # noqa: E402
from screen_picture import draw  # noqa: E402
from tmux import MISSING as NO_TMUX  # noqa: E402

SETUP = f"""
vim.opt.rtp:prepend([[{PLUGIN}]])
vim.o.number, vim.o.termguicolors, vim.o.background, vim.o.swapfile = true, true, "dark", false
require("gpt2_assist").setup({{ cmd = {{ [[{sys.executable}]], "-m", "gpt2_lsp" }}, server = {{ confidence = 0 }} }})
"""
CODE = "import sys\n\ntry:\n    import json\nexcept"
COLUMNS, ROWS = 78, 11


def main() -> int:
    if len(sys.argv) != 2 or MISSING or NO_TMUX:
        print(MISSING or NO_TMUX or __doc__, file=sys.stderr)
        return 2
    target = Path(sys.argv[1]).resolve()
    with TemporaryDirectory(prefix="g2a-") as name:
        folder = Path(name)
        os.environ["GPT2_ASSIST_HOME"], os.environ["GPT2_ASSIST_RUNTIME"] = str(folder / "home"), str(folder / "run")
        (folder / "home").mkdir()
        (folder / "init.lua").write_text(SETUP, encoding="utf-8")
        (folder / "notes.py").write_text(CODE, encoding="utf-8")
        os.chdir(folder)
        terminal = open_in_terminal("-u", str(folder / "init.lua"), "notes.py", columns=COLUMNS, rows=ROWS)
        try:
            terminal.until(lambda: "notes.py" in terminal.screen())
            terminal.type("GA ")
            terminal.until(lambda: "INSERT" in terminal.screen())
            terminal.until(lambda: terminal.behind_cursor().strip())
            draw(terminal.at_rest(), COLUMNS, ROWS, target)
        finally:
            terminal.close()
            subprocess.run([sys.executable, "-m", "gpt2_assist.cli", "daemon", "stop"], stdout=subprocess.DEVNULL)
    return 0


if __name__ == "__main__":
    sys.exit(main())
