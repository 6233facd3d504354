"""Editors that have nothing of ours: with the set-ups of docs/editors.md as they stand there, the model's words come
into their own menus."""
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tmux import MISSING as NO_TMUX
from tmux import PATIENCE_S, Terminal

from gpt2_assist import config

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "editors.md").read_text(encoding="utf-8")
HELIX = os.environ.get("GPT2_ASSIST_HELIX") or shutil.which("hx")
EMACS = os.environ.get("GPT2_ASSIST_EMACS") or shutil.which("emacs")
LSP_MODE = os.environ.get("GPT2_ASSIST_LSP_MODE")
PROSE = "She said that she was "
pytestmark = [pytest.mark.editor, pytest.mark.slow, pytest.mark.skipif(bool(NO_TMUX), reason=NO_TMUX)]
needs_helix = pytest.mark.skipif(not HELIX, reason="needs Helix: install it, or set GPT2_ASSIST_HELIX to the program")
needs_emacs = pytest.mark.skipif(not EMACS, reason="needs Emacs 29 or later: install it, or set GPT2_ASSIST_EMACS")
needs_lsp_mode = pytest.mark.skipif(
    not LSP_MODE, reason="needs lsp-mode: set GPT2_ASSIST_LSP_MODE to a folder of packages with it in it")
EARLY = f"""
(setq native-comp-jit-compilation nil native-comp-enable-subr-trampolines nil)  ; nothing is compiled for one test
(setq package-directory-list '("{LSP_MODE}") lsp-auto-guess-root t)
"""


def set_up(name: str) -> str:
    """The page's block under a name in bold."""
    block = re.search(rf"\*\*{re.escape(name)}\*\*[^\n]*\n\n((?:    .*\n|\n)+)", PAGE)
    return re.sub("^    ", "", block[1], flags=re.M)


@pytest.fixture
def home(tmp_path) -> Path:
    """A home with an empty project in it."""
    project = tmp_path / "project"
    project.mkdir()
    subprocess.run(["git", "init", "-q", str(project)], check=True)
    return tmp_path


@pytest.fixture
def start(home) -> Iterator[Callable[..., Terminal]]:
    terminals = []

    def start(*command: str) -> Terminal:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        terminals.append(Terminal(
            "env", f"HOME={home}", f"PATH={path}", f"GPT2_ASSIST_CACHE={config.cache()}", *command))
        return terminals[-1]
    yield start
    for terminal in terminals:
        terminal.close()


def asked(terminal: Terminal, key: str, condition: Callable[[], object]) -> object:
    """The value of `condition` once it is true. The key is pressed again where nothing came for a while: at first the
    model is being loaded, and an editor may stop asking when a key is pressed."""
    for _ in range(10):
        terminal.press(key)
        try:
            return terminal.until(condition, PATIENCE_S / 10)
        except AssertionError as error:
            problem = error
    raise problem


def more_of(terminal: Terminal) -> str:
    """What stands on the screen behind the typed words, on their line."""
    found = re.search(re.escape(PROSE) + r"(\S.*?) *$", terminal.screen(), re.M)
    return found[1] if found else ""


@needs_helix
def test_helix(home, start):
    folder = home / ".config" / "helix"
    folder.mkdir(parents=True)
    (folder / "languages.toml").write_text(set_up("Helix"), encoding="utf-8")
    note = home / "project" / "note.md"
    terminal = start(HELIX, str(note))
    terminal.until(lambda: "NOR" in terminal.screen())
    terminal.press("i")
    terminal.until(lambda: "INS" in terminal.screen())
    terminal.type(PROSE)
    terminal.until(lambda: PROSE.strip() in terminal.screen())

    asked(terminal, "C-x", lambda: " text" in terminal.screen())  # our entries' kind
    terminal.press("Tab")
    terminal.until(lambda: int(re.search(r" 1:(\d+)", terminal.screen())[1]) > len(PROSE) + 1)  # the cursor
    terminal.press("Escape")
    terminal.press("Escape")
    terminal.type(":wq\r")
    terminal.until(lambda: note.exists() and note.read_text(encoding="utf-8"))
    text = note.read_text(encoding="utf-8").removesuffix("\n")
    assert text.startswith(PROSE) and text != PROSE


@needs_emacs
@pytest.mark.parametrize("client, command", [
    ("eglot", "eglot"), pytest.param("lsp-mode", "lsp", marks=needs_lsp_mode)])
def test_emacs(home, start, client, command):
    folder = home / ".emacs.d"
    folder.mkdir()
    (folder / "early-init.el").write_text(EARLY, encoding="utf-8")
    (folder / "init.el").write_text(set_up(f"Emacs, {client}"), encoding="utf-8")
    note = home / "project" / "note.txt"
    terminal = start(EMACS, str(note))
    terminal.until(lambda: "note.txt" in terminal.screen())
    terminal.press("M-x")
    terminal.until(lambda: "M-x" in terminal.screen())
    terminal.type(command + "\r")
    terminal.until(lambda: "onnected" in terminal.screen())
    terminal.type(PROSE)
    terminal.until(lambda: PROSE.strip() in terminal.screen())

    asked(terminal, "C-M-i", lambda: more_of(terminal) or "completions:" in terminal.screen())
    if not more_of(terminal):
        terminal.press("M-Down")
        terminal.press("M-Enter")
    words = terminal.until(lambda: "completions:" not in terminal.screen() and more_of(terminal))
    terminal.press("C-x", "C-s")
    terminal.until(lambda: note.exists() and (PROSE + words.split()[0]) in note.read_text(encoding="utf-8"))
