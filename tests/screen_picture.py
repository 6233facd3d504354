"""A terminal's screen, with its colours, as a picture: drawn by Chromium."""
import os
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.ansi import AnsiDecoder
from rich.console import Console

WIDTH, HEIGHT, MARGIN = 8.43, 18, 10
"""Of a character, and around all, in pixels."""
PAGE = """<!doctype html><meta charset="utf-8"><style>body {{ margin: 10px; background: #14161b; color: #e0e2ea }}
pre {{ font: 14px/18px "DejaVu Sans Mono", monospace; margin: 0 }}</style><pre>{code}</pre>"""


def draw(screen: str, columns: int, rows: int, target: Path) -> None:
    """`screen` holds ANSI's sequences. Rich takes a terminal's own colours for black on white; here they are the
    page's."""
    screen = screen.replace("\x1b[39m", "\x1b[0m").replace("\x1b[49m", "")
    console = Console(record=True, width=columns, color_system="truecolor", file=open(os.devnull, "w"))
    for line in AnsiDecoder().decode(screen):
        console.print(line)
    with TemporaryDirectory(prefix="g2a-") as folder:
        page = Path(folder) / "screen.html"
        page.write_text(console.export_html(inline_styles=True, code_format=PAGE), encoding="utf-8")
        size = f"{round(columns * WIDTH) + 2 * MARGIN},{rows * HEIGHT + 2 * MARGIN}"
        subprocess.run(["chromium", "--headless", "--no-sandbox", "--hide-scrollbars", "--force-device-scale-factor=2",
                        f"--window-size={size}", f"--screenshot={target}", str(page)], check=True,
                       stderr=subprocess.DEVNULL)
