"""`--help` in a narrow terminal."""
import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("words", [["gpt2_assist"], ["gpt2_assist", "generate"], ["gpt2_assist", "finetune"],
                                   ["gpt2_assist", "runs"], ["gpt2_assist", "daemon", "logs"],
                                   ["gpt2_assist.repl.main"]])
def test_prose_is_wrapped_and_examples_are_not(words):
    done = subprocess.run([sys.executable, "-m", *words, "--help"], env={**os.environ, "COLUMNS": "60"}, text=True,
                          capture_output=True, timeout=60)
    text, _, examples = done.stdout.partition("\nexample")
    usage, _, prose = text.partition("\n\n")
    assert usage.startswith("usage: ") and max(map(len, prose.splitlines())) <= 60
    assert f"\n  {'gpt2-repl' if 'repl' in words[0] else ' '.join(['gpt2-assist', *words[1:]])}" in examples
