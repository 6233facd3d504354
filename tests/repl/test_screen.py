"""The full-screen session in a real terminal, at several sizes, over the real daemon: what went wrong once, and what
was promised."""
import json
import os
import signal
import sys
from pathlib import Path

import pytest
from tmux import MISSING, Terminal

from gpt2_assist.ipc.client import Client
from gpt2_assist.writing.passage import Passage
from gpt2_assist.writing.session import Session
from gpt2_assist.writing.store import SavedSession, SessionStore
from gpt2_assist.writing.tree import PassageTree

pytestmark = [pytest.mark.skipif(bool(MISSING), reason=MISSING)]
SIZES = [(80, 24), (20, 10), *(pytest.param(*size, marks=pytest.mark.slow) for size in ((120, 40), (40, 15)))]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home of this test's own; the daemon's socket stays the suite's."""
    monkeypatch.setenv("GPT2_ASSIST_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def open_screen(home, request):
    """Opens the session's screen with a model; closed at the end."""
    opened = []

    def begin(model: Path, *arguments: str, columns: int = 80, rows: int = 24, **more: str) -> Terminal:
        variables = {name: value for name, value in os.environ.items() if name.startswith("GPT2_ASSIST")} | more
        terminal = Terminal("env", *(f"{name}={value}" for name, value in variables.items()), sys.executable, "-m",
                            "gpt2_assist.repl.main", "--model", str(model), *arguments, columns=columns, rows=rows)
        opened.append(terminal)
        terminal.until(lambda: "saved" in terminal.screen())
        return terminal
    yield begin
    for terminal in opened:
        terminal.close()


def saved_session(home: Path, name: str) -> SavedSession | None:
    """As it lies on the disk."""
    store = SessionStore(home / "sessions.sqlite")
    try:
        return store.read(name)
    finally:
        store.close()


def path_of(home: Path, name: str) -> list[Passage]:
    saved = saved_session(home, name)
    return PassageTree(saved.passages.values()).path(saved.state.current) if saved else []


def text_of(home: Path, name: str) -> str:
    return "".join(passage.text for passage in path_of(home, name))


def command(terminal: Terminal, line: str, answer: str = "") -> None:
    terminal.type(line)
    terminal.press("Enter")
    if answer:
        terminal.until(lambda: answer in terminal.screen())


def busy(terminal: Terminal) -> bool:
    """Whether the line at the bottom says that something is being done."""
    return " …" in terminal.screen().rstrip().split("\n")[-1]


def written(terminal: Terminal, home: Path, name: str, passages: int) -> str:
    """The text once it has so many passages, all of them finished, and the screen knows."""
    def done() -> str:
        path = path_of(home, name)
        whole = len(path) == passages and all(passage.finished for passage in path) and not busy(terminal)
        return "".join(passage.text for passage in path) if whole else ""
    return terminal.until(done)


@pytest.mark.parametrize("columns, rows", SIZES)
def test_the_screen_is_the_text_at_every_size(wordy_model, home, open_screen, columns, rows):
    terminal = open_screen(wordy_model, "--session", "tale", columns=columns, rows=rows)
    command(terminal, "/set max_new_tokens 30", "max_new_tokens = 30")
    command(terminal, "Once upon a time")
    text = written(terminal, home, "tale", 2)
    assert text.startswith("Once upon a time")
    terminal.type("I said")
    ends = "".join((text + "I said").split())[-(columns // 2):]
    terminal.until(lambda: ends in "".join(terminal.screen().split()))


def test_nothing_is_lost_by_retry_undo_and_redo(wordy_model, home, open_screen):
    terminal = open_screen(wordy_model, "--session", "tale")
    command(terminal, "/set max_new_tokens 12", "max_new_tokens = 12")
    command(terminal, "Once upon a time")
    first = written(terminal, home, "tale", 2)
    terminal.press("M-r")
    terminal.until(lambda: "2/2" in terminal.screen())
    second = written(terminal, home, "tale", 2)
    terminal.press("M-Up")
    terminal.until(lambda: "1/2" in terminal.screen() and text_of(home, "tale") == first)
    terminal.press("M-Down")
    terminal.until(lambda: "2/2" in terminal.screen() and text_of(home, "tale") == second)
    last = second
    terminal.press("C-_")
    terminal.until(lambda: text_of(home, "tale") == first)
    terminal.press("M-_")
    terminal.until(lambda: text_of(home, "tale") == last)
    command(terminal, "/undo 9")
    terminal.until(lambda: not text_of(home, "tale"))
    command(terminal, "/redo 9")
    terminal.until(lambda: text_of(home, "tale") == last)


@pytest.mark.slow
def test_a_retry_that_comes_to_nothing_leaves_what_was(wordy_model, home, open_screen):
    terminal = open_screen(wordy_model, "--session", "tale")
    command(terminal, "/set max_new_tokens 12", "max_new_tokens = 12")
    command(terminal, "Once upon a time")
    first = written(terminal, home, "tale", 2)
    terminal.press("M-r", "C-c")
    terminal.until(lambda: not busy(terminal))
    assert text_of(home, "tale") == first or first in [
        "Once upon a time" + passage.text for passage in saved_session(home, "tale").passages.values()]


@pytest.mark.slow
def test_ones_own_words_come_back_to_be_changed(wordy_model, home, open_screen):
    terminal = open_screen(wordy_model, "--session", "tale")
    command(terminal, "/set max_new_tokens 5", "max_new_tokens = 5")
    command(terminal, "The first words")
    written(terminal, home, "tale", 2)
    terminal.press("C-_")
    terminal.until(lambda: text_of(home, "tale") == "The first words")
    terminal.press("C-_")
    terminal.until(lambda: text_of(home, "tale") == "")
    assert "The first words" in terminal.screen()
    terminal.type(" and more")
    terminal.press("Enter")
    assert written(terminal, home, "tale", 2).startswith("The first words and more")


@pytest.mark.parametrize("line, says", [
    ("/quit is how the poem began", "takes nothing behind it"),
    *(pytest.param(*case, marks=pytest.mark.slow) for case in (
        ("/undo three", "whole number"), ("/retyr", "did you mean /retry"),
        ("/set temperature warm", "temperature must be a number")))])
def test_what_means_nothing_is_refused_and_stays_in_the_draft(wordy_model, home, open_screen, line, says):
    terminal = open_screen(wordy_model, "--session", "tale")
    command(terminal, line, says)
    assert line in terminal.screen()


def test_text_may_begin_with_a_slash_and_a_paste_runs_nothing(wordy_model, home, open_screen):
    terminal = open_screen(wordy_model, "--session", "tale")
    command(terminal, "/set max_new_tokens 3", "max_new_tokens = 3")
    command(terminal, "//he said", "")
    assert written(terminal, home, "tale", 2).startswith("/he said")
    command(terminal, "/ she said", "")
    before = written(terminal, home, "tale", 4)
    assert "/ she said" in before
    terminal.paste("/quit\nis how \x1b[31mthe poem\x07 began,\nand went on")
    terminal.until(lambda: "and went on" in terminal.screen())
    terminal.press("Enter")
    assert written(terminal, home, "tale", 6).startswith(before + "/quit\nis how the poem began,\nand went on")


def test_what_is_typed_while_the_model_writes_is_kept(wordy_model, home, open_screen):
    terminal = open_screen(wordy_model, "--session", "tale")
    command(terminal, "/set max_new_tokens 1000000", "max_new_tokens = 1000000")
    command(terminal, "Once")
    terminal.until(lambda: busy(terminal))
    terminal.type("my own words")
    terminal.until(lambda: "my own words" in terminal.screen().replace("\n", " "))
    terminal.press("C-c")
    terminal.until(lambda: not busy(terminal))
    assert "my own words" in terminal.screen().replace("\n", " ")
    terminal.press("C-c")
    terminal.until(lambda: "leaves" in terminal.screen())
    assert "my own words" in terminal.screen().replace("\n", " ")


def test_a_draft_outlives_its_terminal(wordy_model, home, open_screen):
    terminal = open_screen(wordy_model, "--session", "tale")
    terminal.type("nobody has sent this")
    terminal.until(lambda: (saved := saved_session(home, "tale")) and saved.state.draft == "nobody has sent this")
    os.kill(terminal.pid(), signal.SIGKILL)
    terminal.close()
    again = open_screen(wordy_model, "-c")
    assert "nobody has sent this" in again.screen() and "tale" in again.screen()


@pytest.mark.slow
def test_after_the_daemon_was_stopped_it_starts_again(wordy_model, home, open_screen):
    terminal = open_screen(wordy_model, "--session", "tale")
    command(terminal, "/set max_new_tokens 3", "max_new_tokens = 3")
    command(terminal, "One")
    written(terminal, home, "tale", 2)
    with Client.connect("test", start=False) as client:
        client.shutdown()
    command(terminal, "Two")
    assert "Two" in written(terminal, home, "tale", 4)


def test_a_killed_daemon_ends_no_reply(wordy_model, home, open_screen):
    terminal = open_screen(wordy_model, "--session", "tale")
    command(terminal, "/set max_new_tokens 400", "max_new_tokens = 400")
    command(terminal, "/set seed 7", "seed = 7")
    command(terminal, "One")
    terminal.until(lambda: len(text_of(home, "tale")) > 10)
    with Client.connect("test", start=False) as client:
        os.kill(client.status()["pid"], signal.SIGKILL)
    killed = written(terminal, home, "tale", 2)
    terminal.press("M-r")
    terminal.until(lambda: "2/2" in terminal.screen() and not busy(terminal))
    assert terminal.until(lambda: len(text_of(home, "tale")) == len(killed)) and text_of(home, "tale") == killed


def test_the_editor_changes_what_it_changes_and_nothing_else(wordy_model, home, open_screen, tmp_path):
    script = tmp_path / "editor"
    script.write_text("#!/bin/sh\nsed -i 's/upon/under/' \"$1\"\n")
    script.chmod(0o755)
    terminal = open_screen(wordy_model, "--session", "tale", EDITOR=str(script))
    command(terminal, "/set max_new_tokens 8", "max_new_tokens = 8")
    command(terminal, "Once upon a time")
    before = written(terminal, home, "tale", 2)
    terminal.press("C-g")
    terminal.until(lambda: "Once under" in terminal.screen())
    terminal.until(lambda: text_of(home, "tale") == before.replace("upon", "under"))
    assert path_of(home, "tale")[-1].author == "model"
    command(terminal, "/undo")
    terminal.until(lambda: text_of(home, "tale") == before)


@pytest.mark.slow
def test_the_tree_opens_other_branches_and_keeps_bookmarks(wordy_model, home, open_screen):
    terminal = open_screen(wordy_model, "--session", "tale")
    command(terminal, "/set max_new_tokens 8", "max_new_tokens = 8")
    command(terminal, "Once")
    first = written(terminal, home, "tale", 2)
    terminal.press("M-r")
    terminal.until(lambda: "2/2" in terminal.screen() and not busy(terminal))
    terminal.press("M-t")
    terminal.until(lambda: "Enter opens" in terminal.screen())
    terminal.press("b")
    terminal.until(lambda: "bookmark (" in terminal.screen())
    terminal.type("better")
    terminal.press("Enter")
    terminal.until(lambda: "[better]" in terminal.screen())
    terminal.press("Up", "Enter")
    terminal.until(lambda: text_of(home, "tale") == first)
    command(terminal, "/goto better")
    terminal.until(lambda: text_of(home, "tale") != first)


def test_it_comes_back_from_being_suspended(wordy_model, home, open_screen):
    variables = " ".join(f"{name}={value}" for name, value in os.environ.items() if name.startswith("GPT2_ASSIST"))
    terminal = Terminal("bash", "--norc", columns=80, rows=24)
    try:
        terminal.type(f"{variables} {sys.executable} -m gpt2_assist.repl.main --model {wordy_model} --session tale")
        terminal.press("Enter")
        terminal.until(lambda: "/help" in terminal.screen())
        terminal.type("half a sentence")
        terminal.until(lambda: "half a sentence" in terminal.screen())
        terminal.press("C-z")
        terminal.until(lambda: "Stopped" in terminal.screen())
        terminal.type("fg")
        terminal.press("Enter")
        terminal.until(lambda: "half a sentence" in terminal.screen() and "Stopped" not in terminal.screen())
        terminal.type(", and the rest")
        terminal.until(lambda: "half a sentence, and the rest" in terminal.screen())
    finally:
        terminal.close()


@pytest.mark.slow
def test_leaving_says_how_to_come_back_and_json_has_it_all(wordy_model, home, open_screen):
    terminal = Terminal("bash", "--norc", columns=80, rows=24)
    variables = " ".join(f"{name}={value}" for name, value in os.environ.items() if name.startswith("GPT2_ASSIST"))
    try:
        terminal.type(f"{variables} {sys.executable} -m gpt2_assist.repl.main --model {wordy_model} --session tale")
        terminal.press("Enter")
        terminal.until(lambda: "/help" in terminal.screen())
        command(terminal, "/set max_new_tokens 3", "max_new_tokens = 3")
        command(terminal, "Once")
        text = written(terminal, home, "tale", 2)
        command(terminal, f"/export {home}/tale.json", "written to")
        assert json.loads((home / "tale.json").read_text())["text"] == text
        (home / "mine.txt").write_text("not to be lost")
        command(terminal, f"/export {home}/mine.txt", "Replace")
        terminal.type("n")
        terminal.press("Enter")
        terminal.until(lambda: "stays as it is" in " ".join(terminal.screen().split()))
        assert (home / "mine.txt").read_text() == "not to be lost"
        command(terminal, "/quit", "gpt2-repl -c")
    finally:
        terminal.close()


def test_another_sessions_draft_is_taken_up_and_none_is_lost(wordy_model, home, open_screen):
    store = SessionStore(home / "sessions.sqlite")
    for name in ("first", "second"):
        session = Session(store, home / "locks", "mini", name)
        session.write(f"The {name} text.")
        session.save_draft(f" {name} words", 3)
        session.close()
    store.close()
    terminal = open_screen(wordy_model, "--session", "first")
    terminal.until(lambda: "The first text. first words" in terminal.screen())
    terminal.press("M-t", "q", "C-a", "C-k")
    command(terminal, "/load second", "The second text. second words")
    terminal.press("End")
    terminal.type(" and more")
    terminal.until(lambda: saved_session(home, "second").state.draft == " second words and more")
