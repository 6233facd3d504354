"""What `--help` shows, and how in a narrow terminal."""
import os
import re
import subprocess
import sys

import pytest


@pytest.mark.parametrize("words", [["gpt2_assist"], ["gpt2_assist", "generate"], ["gpt2_assist", "finetune"],
                                   ["gpt2_assist", "runs"], ["gpt2_assist", "daemon", "logs"],
                                   ["gpt2_assist", "completion"], ["gpt2_assist.repl.main"]])
def test_prose_is_wrapped_and_examples_are_not(words):
    done = subprocess.run([sys.executable, "-m", *words, "--help"], env={**os.environ, "COLUMNS": "60"}, text=True,
                          capture_output=True, timeout=60)
    text, _, examples = done.stdout.partition("\nexample")
    usage, _, prose = text.partition("\n\n")
    assert usage.startswith("usage: ") and max(map(len, prose.splitlines())) <= 60
    assert f"\n  {'gpt2-repl' if 'repl' in words[0] else ' '.join(['gpt2-assist', *words[1:]])}" in examples


def test_every_command_stands_under_what_people_want_with_a_line_that_says_what_it_does():
    shown = assist("--help")
    groups = re.findall(r"^  (\S.*):\n((?:    .*\n)+)", shown.partition("\ncommands:\n")[2], re.MULTILINE)
    lines = [line for _, lines in groups for line in lines.splitlines() if not line.startswith(" " * 5)]
    commands = [line.split(maxsplit=1) for line in lines]
    assert len(groups) >= 3 and all(len(parts) == 2 for parts in commands)
    for name, summary in commands:
        assert f"usage: gpt2-assist {name} " in assist(name, "--help") and summary
    refused = subprocess.run([sys.executable, "-m", "gpt2_assist", "nothing"], text=True, capture_output=True,
                             timeout=60)
    assert refused.returncode == 2 and all(name in refused.stderr for name, _ in commands)


def test_it_brings_nothing_heavy():
    code = """
import sys
from gpt2_assist.cli import main
main(["--help"])
heavy = {"torch", "numpy", "numba", "tokenizers", "shtab", "gpt2_assist.ipc.client"}
print(heavy & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def assist(*words: str) -> str:
    return subprocess.run([sys.executable, "-m", "gpt2_assist", *words], env={**os.environ, "COLUMNS": "80"}, text=True,
                          capture_output=True, timeout=60, check=True).stdout
