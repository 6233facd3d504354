"""A terminal of its own with one program in it, by tmux: keys go in as from a keyboard, the screen is read as it is."""
import os
import shlex
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable

MISSING = "" if shutil.which("tmux") else "needs tmux on the PATH: install it"
PATIENCE_S = 30


class Terminal:
    """Closed by `close`. Waiting fails with an AssertionError that shows the screen."""

    def __init__(self, *command: str, columns: int = 150, rows: int = 24) -> None:
        self._name = f"g2a-{uuid.uuid4().hex[:8]}"
        self._tmux("-f", os.devnull, "new-session", "-d", "-x", str(columns), "-y", str(rows), shlex.join(command),
                   ";", "set", "-g", "default-terminal", "tmux-256color", ";", "set", "-s", "escape-time", "0")

    def type(self, text: str) -> None:
        self._tmux("send-keys", "-l", text)

    def paste(self, text: str) -> None:
        """As a terminal does that marks what is pasted."""
        self._tmux("set-buffer", "--", text, ";", "paste-buffer", "-p", "-r")

    def pid(self) -> int:
        """Of the program in it."""
        return int(self._tmux("display-message", "-p", "#{pane_pid}"))

    def resize(self, columns: int, rows: int) -> None:
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def press(self, *keys: str) -> None:
        """Keys by tmux's names: Tab, Escape, M-Right …"""
        self._tmux("send-keys", *keys)

    def screen(self, colours: bool = False) -> str:
        """What it shows, line by line; with ANSI's sequences if wanted."""
        return self._tmux("capture-pane", "-p", *(["-e"] if colours else []))

    def behind_cursor(self) -> str:
        """What stands on the cursor's line from the cursor on."""
        column, row = map(int, self._tmux("display-message", "-p", "#{cursor_x} #{cursor_y}").split())
        return self.screen().split("\n")[row][column:]

    def until(self, condition: Callable[[], object], seconds: float = PATIENCE_S) -> object:
        """The value of `condition` once it is true. There is no event to wait for: a screen can only be looked at."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = condition()
            if value:
                return value
            time.sleep(0.02)
        raise AssertionError(f"it never came true; the screen:\n{self.screen()}")

    def at_rest(self) -> str:
        """The screen, with its colours, once it has been the same for a hundred looks."""
        seen = [""]
        self.until(lambda: seen.append(self.screen(True)) or seen[-100:] == seen[-1:] * 100)
        return seen[-1]

    def close(self) -> None:
        subprocess.run(["tmux", "-L", self._name, "kill-server"], capture_output=True)

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(["tmux", "-L", self._name, *arguments], capture_output=True, encoding="utf-8")
        if done.returncode:
            raise RuntimeError(f"tmux {arguments}: {done.stderr.strip()}")
        return done.stdout
