"""What front ends know of terminals: text that fits them, and signals that ask for an end."""
import signal
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import wcswidth

from gpt2_assist.console.terminal import barred, tied, wrapped

WORK = """
import os, sys
from gpt2_assist.console.terminal import interrupted, on_interrupt
asked = []
with on_interrupt(lambda: (asked.append(1), print("stopping", flush=True)), ended=True):
    print("ready", flush=True)
    while not asked:
        os.read(0, 1)
    os.read(0, 1)
    print("saved", flush=True)
sys.exit(interrupted())
"""


@pytest.mark.parametrize("first, then, code", [
    (signal.SIGINT, None, 130), (signal.SIGTERM, None, 143), (signal.SIGHUP, signal.SIGHUP, 129),
    (signal.SIGTERM, signal.SIGHUP, 143)])
def test_a_work_that_is_asked_to_end_saves_first(first, then, code):
    """A terminal that is closed hangs up twice: once by the system, once by its shell."""
    work = subprocess.Popen([sys.executable, "-c", WORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert work.stdout.readline() == "ready\n"
    work.send_signal(first)
    assert work.stdout.readline() == "stopping\n"
    if then:
        work.send_signal(then)
    rest, _ = work.communicate("xx", timeout=60)
    assert rest.splitlines()[-1] == "saved" and work.returncode == code


def test_words_stay_whole_and_so_does_what_is_between_backticks():
    text = "Stopped and saved; `gpt2-assist finetune --resume` goes on in/a/path/that/is/longer/than/a/line now."
    assert wrapped(text, 32).split("\n") == [
        "Stopped and saved;", "`gpt2-assist finetune --resume`", "goes on",
        "in/a/path/that/is/longer/than/a/line", "now."]
    assert wrapped("    code\n\nmore", 40) == "    code\n\nmore" and wrapped("a\n", 40) == "a\n"
    assert wrapped(f"{tied('loss 1.0')}  {tied('left 2 s')}", 12) == "loss 1.0\nleft 2 s"


SIGNS = st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp", "M"))


@given(st.text(SIGNS, max_size=80), st.integers(8, 60))
def test_no_line_of_a_sample_is_wider_than_the_terminal_and_nothing_is_lost(text, columns):
    lines = barred(text, columns).split("\n")
    assert all(line.startswith("│") and wcswidth(line) <= max(columns, 10) for line in lines)
    assert "".join("".join(line[1:].split()) for line in lines) == "".join(text.split())
