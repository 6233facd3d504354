"""What a training shows in terminals of several widths, drawn on a screen as a terminal would."""
import os
import re
import sys
from functools import cache

import pexpect
import pytest
from wcwidth import wcwidth

DRIVER = """
import os, signal
from types import SimpleNamespace
from gpt2_assist.frontend.training_display import Display
from gpt2_assist.training.finetuning.tuning import StepReport
show = Display("mini")
show.say("Held out to measure by: 3 of 23 documents, 13 % of the text (/home/somebody/notes/the-year.md).")
show.training = True
for step in range(1, 41):
    due = step % 4 == 0
    show.step(StepReport(step, 40, 4.5 - step / 40, 12345.6, 4.0 - step / 50 if due else None, 4.25 if due else None,
                         due, seconds_left=(40 - step) * 300.0))
    if step == 20:
        text = " note\\n---\\n" + "It was the best of times. " * 8 + "\\n" + "春眠不覺曉處處聞啼鳥" * 12
        show.sample(step, "---\\ntitle: a", text)
print(flush=True)
print("READY", flush=True)
show.step(StepReport(40, 40, 3.0, 12345.6, seconds_left=0.0))
signal.signal(signal.SIGINT, lambda number, frame: show.stopping())
os.write(2, b"")
signal.pause()
show.say("Stopped and saved after step 40; `gpt2-assist finetune --resume --run run1` goes on.")
"""


class Screen:
    """Rows as a terminal of so many columns shows them: text, returns, line feeds, and the wrap at its edge."""

    def __init__(self, columns: int) -> None:
        self.columns, self.rows, self.row, self.at = columns, [{}], 0, 0
        self.wraps: set[int] = set()
        """Rows that the terminal itself began, in the middle of a line."""

    def feed(self, text: str) -> "Screen":
        for sign in text:
            if sign == "\r":
                self.at = 0
            elif sign == "\n":
                self._next()
            else:
                wide = wcwidth(sign)
                assert wide > 0, f"{sign!r} is nothing to be shown"
                if self.at + wide > self.columns:
                    self._next()
                    self.at = 0
                    self.wraps.add(self.row)
                self.rows[self.row][self.at] = sign
                self.at += wide
        return self

    def _next(self) -> None:
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append({})

    def lines(self) -> list[str]:
        return ["".join(row.get(at, " " if wcwidth(row.get(at - 1, " ")) == 1 else "")
                        for at in range(max(row, default=-1) + 1)).rstrip() for row in self.rows]


@cache
def shown(columns: int, **more: str) -> tuple[Screen, str]:
    """The screen after a whole training and Ctrl-C, and its lines in one."""
    child = pexpect.spawn(sys.executable, ["-c", DRIVER], dimensions=(50, columns), encoding="utf-8", timeout=60,
                          env={**os.environ, "TERM": "xterm", **more})
    child.expect("READY\r\n.*0 s left[^\r]*")
    seen = child.before + child.after
    child.sendintr()
    child.expect(pexpect.EOF)
    screen = Screen(columns).feed(seen + child.before)
    return screen, "\n".join(screen.lines())


@pytest.mark.parametrize("columns", [60, *(pytest.param(wide, marks=pytest.mark.slow) for wide in (40, 100, 200))])
def test_nothing_is_cut_off_and_no_word_is_wrapped_inside(columns):
    screen, text = shown(columns)
    assert not screen.wraps, [screen.lines()[row] for row in screen.wraps]
    words = re.sub(r"[│\s]+", " ", text)
    assert "Held out to measure by: 3 of 23 documents, 13 % of the text" in words
    assert "It was the best of times. " * 8 in words + " ", "a sample, whole"
    assert text.count("鳥") == 12
    assert words.count("general 4.250") == 10 and "validation 3.920 ▁" in words and "best so far" in words
    assert "step 36/40" in words and "20 min left" in words and "12,346 tok/s" in words
    assert all(len(line) <= columns for line in screen.lines())


def test_a_sample_is_told_from_what_stands_around_it():
    _, text = shown(60)
    lines = text.splitlines()
    first = lines.index("A sample at step 20:") + 1
    sample = [line for line in lines[first:] if line.startswith("│")]
    assert sample[:3] == ["│ ---", "│ title: a note", "│ ---"] and not any(line.startswith("---") for line in lines)
    assert lines[first + len(sample)].startswith("step "), "nothing of it stands outside of the bars"


@pytest.mark.parametrize("columns", [60, *(pytest.param(wide, marks=pytest.mark.slow) for wide in (40, 100))])
def test_ctrl_c_leaves_no_sign_of_itself_and_the_estimate_ends_at_nothing(columns):
    screen, text = shown(columns)
    lines = screen.lines()
    assert "^" not in text and "C" not in re.sub("Ctrl-C", "", text)
    ready = lines.index("READY")
    assert lines[ready + 1].startswith("Stopping after this step"), "in the place of the line that changed"
    assert "READY" in text and " ".join(lines[ready + 1:]).split()[-1] == "on."


@pytest.mark.slow
@pytest.mark.parametrize("more", [
    {"TERM": "dumb"}, pytest.param({"PYTHONIOENCODING": "ascii"}, marks=pytest.mark.slow)])
def test_terminals_that_can_do_little_get_what_they_can_show(more):
    if "TERM" in more:
        child = pexpect.spawn(sys.executable, ["-c", DRIVER], dimensions=(50, 60), encoding="utf-8", timeout=60,
                              env={**os.environ, **more})
        child.expect("READY")
        assert not re.search("\r[^\n]", child.before), "nothing is taken back"
        assert child.before.count("step ") == 10 + 1
        child.terminate(force=True)
    else:
        _, text = shown(60, **more)
        assert "| ---" in text and "general 4.250" in text


@pytest.mark.slow
def test_a_terminal_that_becomes_narrower_loses_no_line():
    code = DRIVER.replace('print("READY", flush=True)', 'print("READY", flush=True)\ninput()')
    child = pexpect.spawn(sys.executable, ["-c", code], dimensions=(50, 120), encoding="utf-8", timeout=60,
                          env=dict(os.environ))
    child.expect("READY")
    child.setwinsize(50, 40)
    child.sendline("")
    child.expect("0 s left")
    assert len((child.before + child.after).split("\n")[-1].split("\r")[-1]) <= 40
    child.terminate(force=True)
