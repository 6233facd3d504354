"""The writing session as a person meets it: a real terminal, the real daemon."""
import json
import os
import re
import shutil
import signal
import sys

import pexpect
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from gpt2_assist.console.terminal import visible
from gpt2_assist.writing.session import Session
from gpt2_assist.writing.store import SessionStore
from gpt2_assist.writing.tree import PassageTree

PROMPT = "›"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home of this test's own; the daemon's socket stays the suite's."""
    monkeypatch.setenv("GPT2_ASSIST_HOME", str(tmp_path))
    return tmp_path


def start(model, *arguments: str) -> pexpect.spawn:
    child = pexpect.spawn(sys.executable, ["-m", "gpt2_assist.repl.main", "--plain", "--model", str(model),
                                           *arguments],
                          encoding="utf-8", codec_errors="replace", dimensions=(40, 200), timeout=60,
                          env={**os.environ, "TERM": "xterm", "NO_COLOR": "1", "PROMPT_TOOLKIT_NO_CPR": "1"})
    child.expect_exact(PROMPT)
    return child


def saved_text(home, name: str) -> str:
    store = SessionStore(home / "sessions.sqlite")
    saved = store.read(name)
    store.close()
    path = PassageTree(saved.passages.values()).path(saved.state.current)
    return "".join(passage.text for passage in path)


def last_words(screen: str) -> str:
    """The end of what a terminal showed, but for a character that may be half there."""
    return "".join(screen.split())[-120:-2]


def enter(child: pexpect.spawn, line: str, answer: str | None = None) -> None:
    child.send(line + "\r")
    if answer is not None:
        child.expect(answer)


def test_a_session_with_retry_undo_model_switch_export_and_reopening(tiny_model, other_tiny_model, home):
    child = start(tiny_model, "--session", "tale")
    enter(child, "/set max_new_tokens 12", "max_new_tokens = 12")
    enter(child, "/set seed 5", "seed = 5")
    enter(child, "Once upon a time")
    enter(child, "/save", "saved as tale")
    first = saved_text(home, "tale")
    assert first.startswith("Once upon a time") and len(first) > len("Once upon a time")
    enter(child, "/set seed 6", "seed = 6")
    enter(child, "/retry")
    enter(child, "/save", "saved as tale")
    second = saved_text(home, "tale")
    assert second.startswith("Once upon a time") and second != first
    for before in (first, "Once upon a time"):
        enter(child, "/undo")
        enter(child, "/save", "saved as tale")
        assert saved_text(home, "tale") == before
    enter(child, f"/model {other_tiny_model}", r"M parameters, context 64")
    enter(child, "")
    enter(child, f"/export {home / 'out.json'}", "written to")
    exported = json.loads((home / "out.json").read_text())
    assert exported["passages"][-1]["how"]["model"] == str(other_tiny_model)
    (home / "mine.txt").write_text("not to be lost")
    enter(child, f"/export {home / 'mine.txt'}", "Replace")
    enter(child, "n", "stays as it is")
    assert (home / "mine.txt").read_text() == "not to be lost"
    enter(child, f"/export {home / 'mine.txt'}", "Replace")
    enter(child, "y", "written to")
    assert (home / "mine.txt").read_text().startswith("Once upon a time")
    enter(child, f"/import {home / 'out.json'}", "session out")
    enter(child, "/import nowhere.txt", "can't be read")
    enter(child, "/retyr", "did you mean /retry")
    enter(child, "/help", "/export FILE")
    enter(child, "/quit")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0

    child = start(tiny_model)
    enter(child, "/load tale", "Once upon a time")
    enter(child, "/load tale", "is open here")
    enter(child, "/quit")
    child.expect(pexpect.EOF)


def test_ctrl_c_stops_the_model_and_keeps_what_came(tiny_model, home):
    child = start(tiny_model, "--session", "stopped")
    enter(child, "/set max_new_tokens 1000000", "max_new_tokens")
    enter(child, "The fox", r"(?s)The fox.{600}")
    child.sendintr()
    child.expect(PROMPT)
    enter(child, "/save", "saved as stopped")
    text = saved_text(home, "stopped")
    assert len(text) > 40
    enter(child, f"/export {home / 'out.json'}", "written to")
    how = json.loads((home / "out.json").read_text())["passages"][-1]["how"]
    assert how["finish_reason"] == "cancelled" and how["settings"]["max_new_tokens"] == 1_000_000
    enter(child, "/quit")
    child.expect(pexpect.EOF)


def test_a_killed_terminal_loses_nothing(tiny_model, home):
    child = start(tiny_model, "--session", "killed")
    enter(child, "/set max_new_tokens 1000000", "max_new_tokens")
    enter(child, "The fox", r"(?s)The fox.{600}")
    child.kill(signal.SIGKILL)
    shown = child.after
    child.expect(pexpect.EOF)
    text = saved_text(home, "killed")
    assert text.startswith("The fox") and last_words(shown + child.before) in "".join(visible(text).split())
    child = start(tiny_model, "--session", "killed")
    enter(child, "/set max_new_tokens 3", "max_new_tokens")
    enter(child, "/retry")
    enter(child, "/save", "saved as killed")
    assert saved_text(home, "killed").startswith("The fox")
    enter(child, "/quit")
    child.expect(pexpect.EOF)


@pytest.mark.slow
def test_several_lines_and_a_killed_daemon(tiny_model, home):
    from gpt2_assist.ipc.client import Client
    child = start(tiny_model, "--session", "lines")
    enter(child, "/set max_new_tokens 4", "max_new_tokens")
    enter(child, "One\x1b\rTwo")
    enter(child, "/save", "saved as lines")
    assert saved_text(home, "lines").startswith("One\nTwo")
    with Client.connect("test", start=False) as client:
        os.kill(client.status()["pid"], signal.SIGKILL)
    enter(child, "Three")
    enter(child, "")
    enter(child, "/save", "saved as lines")
    assert re.match(r"One\nTwo(?s:.*)Three(?s:.*)", saved_text(home, "lines"))
    enter(child, "/quit")
    child.expect(pexpect.EOF)


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_leaves_the_terminal_in_order(tiny_model, home, number, code):
    for line in ("", "The fox"):  # at the prompt, and while the model writes
        child = start(tiny_model)
        enter(child, "/set max_new_tokens 1000000", "max_new_tokens")
        if line:
            enter(child, line, r"(?s)The fox.{600}")
        child.kill(number)
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == code and "Traceback" not in child.before


def test_what_was_typed_in_another_encoding_is_text_and_history(tiny_model, home):
    child = start(tiny_model, "--session", "bytes")
    enter(child, "/set max_new_tokens 3", "max_new_tokens")
    os.write(child.child_fd, b"caf\xe9 au lait\r")
    enter(child, "/save", "saved as bytes")
    assert saved_text(home, "bytes").startswith("caf\ufffd au lait")
    enter(child, "/quit")
    child.expect(pexpect.EOF)
    assert "caf\ufffd au lait" in (home / "history").read_text(encoding="utf-8")


@pytest.fixture
def silent_model(tiny_model, tmp_path):
    """One that ends every text at once."""
    folder = shutil.copytree(tiny_model, tmp_path / "silent", ignore=shutil.ignore_patterns("prepared-*"))
    weights = load_file(folder / "model.safetensors")
    end = Tokenizer.from_file(str(folder / "tokenizer.json")).token_to_id("<|endoftext|>")
    weights["wte.weight"][end, 0] = 1000
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_a_reply_that_is_empty_is_said_and_leaves_nothing_behind(silent_model, home):
    child = start(silent_model, "--session", "silent")
    enter(child, "Once upon a time", "nothing to add")
    enter(child, "/quit")
    child.expect(pexpect.EOF)
    store = SessionStore(home / "sessions.sqlite")
    assert [passage.text for passage in store.read("silent").passages.values()] == ["Once upon a time"]
    store.close()


def test_where_the_output_is_a_file_it_says_what_it_waits_for(tiny_model, home):
    child = pexpect.spawn("sh", ["-c", f"{sys.executable} -m gpt2_assist.repl.main --model {tiny_model} > {home}/out"],
                          encoding="utf-8", timeout=60)
    child.expect("Ctrl-D")
    child.send("Once upon a time\r\x04")
    child.expect(pexpect.EOF)
    assert (home / "out").read_text().strip()


@pytest.mark.parametrize("plain", ["--plain", pytest.param("", marks=pytest.mark.slow)])
def test_a_terminal_that_has_no_other_letters_gets_what_it_can_show(tiny_model, home, plain):
    command = ["-m", "gpt2_assist.repl.main", "--model", str(tiny_model), *filter(None, [plain])]
    child = pexpect.spawn(sys.executable, command,
                          encoding="utf-8", codec_errors="replace", dimensions=(24, 80), timeout=60,
                          env={**os.environ, "TERM": "xterm", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0",
                               "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PROMPT_TOOLKIT_NO_CPR": "1"})
    child.expect("gpt2-assist")
    enter(child, "/set max_new_tokens 9", "max_new_tokens = 9")
    enter(child, "Once")
    enter(child, "/words", "characters")
    enter(child, "/quit")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0 and "Traceback" not in child.before and not (home / "error.log").exists()


def test_what_is_typed_ahead_survives_ctrl_c_and_echo_stays_off_after_fg(tiny_model, home):
    shell = pexpect.spawn("bash", ["--norc"], encoding="utf-8", codec_errors="replace", dimensions=(24, 99), timeout=60,
                          env={**os.environ, "TERM": "xterm", "NO_COLOR": "1", "PROMPT_TOOLKIT_NO_CPR": "1"})
    shell.send(f"{sys.executable} -m gpt2_assist.repl.main --plain --model {tiny_model} --session ahead\r")
    shell.expect_exact(PROMPT)
    enter(shell, "/set max_new_tokens 1000000", "max_new_tokens = 1000000")
    enter(shell, "The fox", r"(?s)The fox.{300}")
    shell.send("\x1a")
    shell.expect("Stopped")
    shell.send("fg\r")
    shell.expect("(?s)gpt2_assist.repl.main.{300}")
    shell.send("typed ahead")
    shell.expect("(?s).{300}")
    assert "typed ahead" not in shell.after
    shell.sendintr()
    shell.expect_exact("typed ahead")
    shell.send("\r")
    enter(shell, "/set max_new_tokens 3")
    shell.close(force=True)


def test_another_sessions_draft_is_taken_up(tiny_model, home):
    store = SessionStore(home / "sessions.sqlite")
    session = Session(store, home / "locks", "mini", "other")
    session.save_draft("unsent words", 12)
    session.close()
    store.close()
    child = start(tiny_model)
    enter(child, "/load other", "unsent words")
    child.kill(signal.SIGKILL)
    store = SessionStore(home / "sessions.sqlite")
    assert store.read("other").state.draft == "unsent words"
    store.close()
