"""Whatever is typed, pasted, resized, killed: no traceback, no passage is lost, and the screen is the text.

GPT2_ASSIST_STORM_S sets how long it takes, GPT2_ASSIST_STORM_SEED which storm it is.
"""
import os
import random
import signal
import sqlite3
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest
from tmux import MISSING, Terminal

from gpt2_assist.errors import AssistError
from gpt2_assist.ipc.client import Client
from gpt2_assist.writing.session import Session
from gpt2_assist.writing.store import SessionStore

SECONDS = float(os.environ.get("GPT2_ASSIST_STORM_S", "60"))
SEED = int(os.environ.get("GPT2_ASSIST_STORM_SEED", "1"))
SIZES = [(120, 40), (80, 24), (40, 15), (20, 10)]
KEYS = ["Enter", "M-Enter", "M-r", "M-Up", "M-Down", "C-_", "M-_", "C-c", "PPage", "NPage", "Up", "Down", "Left",
        "Right", "Home", "End", "C-e", "C-a", "M-f", "M-b", "Tab", "Escape", "C-r", "M-t", "M-w", "C-l", "BSpace", "q"]
COMMANDS = ["/words", "/undo 2", "/redo", "/alts 2", "/set max_new_tokens 9", "/help", "/tree", "/why", "/mark here",
            "/goto here", "/nothing", "/set temperature 0", "/set", "/show", "/memory rain", "/sessions"]
PASTES = ["two\nlines", "/words\nin prose", "tab\tand \x1b[31mred\x1b[0m", "漢字とかな " * 20, "é́́", "\n\n\n",
          "long " * 300]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(MISSING), reason=MISSING),
              pytest.mark.timeout(SECONDS + 300)]


def begin(model: Path, columns: int, rows: int) -> Terminal:
    variables = [f"{name}={value}" for name, value in os.environ.items() if name.startswith("GPT2_ASSIST")]
    terminal = Terminal("env", *variables, sys.executable, "-m", "gpt2_assist.repl.main", "--model", str(model),
                        "--session", "storm", columns=columns, rows=rows)
    terminal.until(lambda: "saved" in terminal.screen())
    return terminal


def passages(home: Path) -> dict[int, str]:
    """All that were ever finished, by number, as they lie in the database."""
    with closing(sqlite3.connect(home / "sessions.sqlite", timeout=30)) as database:
        return dict(database.execute("select number, text from passages").fetchall())


def kill_daemon() -> None:
    with suppress(AssistError, ProcessLookupError), Client.connect("test", start=False) as client:
        os.kill(client.status()["pid"], signal.SIGKILL)


def test_storm(wordy_model, tmp_path, monkeypatch):
    monkeypatch.setenv("GPT2_ASSIST_HOME", str(tmp_path))
    dice = random.Random(SEED)
    columns, rows = SIZES[1]
    terminal = begin(wordy_model, columns, rows)
    known: dict[int, str] = {}
    done: list[str] = []
    try:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            what = dice.random()
            if what < 0.45:
                terminal.type("".join(dice.choices("abc de.\"'/", k=dice.randint(1, 12))))
            elif what < 0.85:
                done.append(dice.choice(KEYS))
                terminal.press(done[-1])
            elif what < 0.90:
                terminal.paste(dice.choice(PASTES))
            elif what < 0.94:
                done.append(dice.choice(COMMANDS))
                terminal.press("C-a", "C-k")
                terminal.type(done[-1])
                terminal.press("Enter")
            elif what < 0.97:
                terminal.resize(*dice.choice(SIZES))
            elif what < 0.985:
                kill_daemon()
            else:
                done.append("kill")
                os.kill(terminal.pid(), signal.SIGKILL)
                terminal.close()
                terminal = begin(wordy_model, *dice.choice(SIZES))
            screen = terminal.screen()
            assert "Traceback" not in screen and "Something went wrong" not in screen, (done[-20:], screen)
            assert not (tmp_path / "error.log").exists(), (tmp_path / "error.log").read_text()
            now = passages(tmp_path)
            lost = {number: text for number, text in known.items() if not now.get(number, "").startswith(text)}
            assert not lost, (done[-20:], lost)
            known = now
        terminal.resize(80, 24)

        def settled() -> bool:
            """Closes whatever stands before the page, until nothing does and nothing is being done."""
            terminal.press("Escape", "C-c")
            return "leaves" in terminal.screen() and " …" not in terminal.screen().rstrip().split("\n")[-1]
        terminal.until(settled)
        terminal.press("C-e", "C-c")
        terminal.at_rest()
        store = SessionStore(tmp_path / "sessions.sqlite")
        session = Session.reopen(store, tmp_path / "other-locks", "storm")
        shown = "".join(terminal.screen().split())
        text = "".join((session.text + session.draft).split())
        assert text[-40:] in shown, (text[-200:], terminal.screen())
        session.close()
        store.close()
    finally:
        terminal.close()
