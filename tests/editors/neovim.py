"""A real Neovim without a screen, driven by its own msgpack-RPC over standard input and output."""
import itertools
import os
import queue
import shutil
import subprocess
import threading
import time
from pathlib import Path

import msgpack
from tmux import Terminal

PLUGIN = Path(__file__).resolve().parents[2] / "editors" / "neovim"
PROGRAM = os.environ.get("GPT2_ASSIST_NVIM") or shutil.which("nvim")
MISSING = "" if PROGRAM else "needs Neovim 0.10 or later: install it, or set GPT2_ASSIST_NVIM to the program"
PATIENCE_S = 30


def open_in_terminal(*arguments: str, columns: int = 150, rows: int = 24) -> Terminal:
    """A Neovim that one types into. Its screen is a process of its own, which a Neovim unpacked somewhere can't start
    by itself."""
    script = """socket=$(mktemp -u) program=$1; shift
"$program" --headless -n --listen "$socket" "$@" </dev/null >/dev/null 2>&1 &
until [ -S "$socket" ]; do sleep 0.02; done
exec "$program" --server "$socket" --remote-ui"""
    return Terminal("sh", "-c", script, "sh", PROGRAM, *arguments, columns=columns, rows=rows)


class Neovim:
    """Closed by `close`. Errors of Neovim are raised as RuntimeError."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen([PROGRAM, "--embed", "--headless", "--clean", "-n", *arguments],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._ids = itertools.count()
        self._answers: dict[int, queue.SimpleQueue] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def call(self, method: str, *arguments):
        id = next(self._ids)
        self._answers[id] = queue.SimpleQueue()
        self._process.stdin.write(msgpack.packb([0, id, method, list(arguments)]))
        self._process.stdin.flush()
        error, result = self._answers[id].get(timeout=PATIENCE_S)
        if error:
            raise RuntimeError(str(error))
        return result

    def lua(self, code: str, *arguments):
        return self.call("nvim_exec_lua", code, list(arguments))

    def input(self, keys: str) -> None:
        self.call("nvim_input", keys)

    def until(self, condition: str, *arguments):
        """Runs Neovim's own event loop until a Lua expression is true; its value."""
        value = self.lua("local found; local arguments = {...}; "
                         f"vim.wait({PATIENCE_S * 1000 - 5000}, function() found = ({condition}) return found end, 2); "
                         "return found", *arguments)
        assert value, f"never came true: {condition}; text {self.text()!r}, ghost {self.ghost()!r}"
        return value

    def text(self) -> str:
        return "\n".join(self.call("nvim_buf_get_lines", 0, 0, -1, False))

    def ghost(self, namespace: str = "gpt2_assist") -> str:
        """The virtual text that the screen shows, lines below included."""
        marks = self.lua("return vim.api.nvim_buf_get_extmarks(0, vim.api.nvim_create_namespace(...), 0, -1, "
                         "{details = true})", namespace)
        return "".join("\n".join(["".join(part for part, *_ in mark[3].get("virt_text", [])),
                                  *("".join(part for part, *_ in line) for line in mark[3].get("virt_lines", []))])
                       for mark in marks)

    def wait_for_ghost(self, namespace: str = "gpt2_assist", other: str = "") -> str:
        """Some ghost text that is not `other`."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            shown = self.ghost(namespace)
            if shown and shown != other:
                return shown
            self.lua("vim.wait(5)")
        raise AssertionError(f"no ghost text came; the document holds {self.text()!r}")

    def close(self) -> None:
        self._process.kill()
        self._process.wait(60)

    def _read(self) -> None:
        unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, ext_hook=lambda code, data: None,
                                    unicode_errors="surrogateescape")
        while data := os.read(self._process.stdout.fileno(), 1 << 16):
            unpacker.feed(data)
            for message in unpacker:
                if message[0] == 1:
                    self._answers[message[1]].put(message[2:])
