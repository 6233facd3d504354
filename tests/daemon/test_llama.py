"""A model of Llama's kind, from its folder through daemon and command: what is promised of GPT-2 holds for it."""
import json
import subprocess
import sys

import pytest

from gpt2_assist.ipc.client import Client
from gpt2_assist.ipc.messages import Chunk, Generation, SampleDone

PROMPT = "The mod"


def generated(model, *arguments) -> str:
    ran = subprocess.run([sys.executable, "-m", "gpt2_assist.cli", "generate", PROMPT, "--model", str(model), "--seed",
                          "3", "--max-new-tokens", "24", *arguments], capture_output=True, text=True, timeout=100)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_samples_are_the_same_in_batches_alone_and_healed_and_end_at_stop_strings(tiny_llama):
    lines = generated(tiny_llama, "-n", "3", "--json").splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    assert len(set(texts)) == 3
    assert generated(tiny_llama, "-n", "3", "--json", "--batch-size", "1").splitlines() == lines
    with Client.connect("test") as client:
        def run(settings: Generation) -> tuple[str, str]:
            heard = list(client.generate(str(tiny_llama), PROMPT, settings))
            done = next(message for message in heard if isinstance(message, SampleDone))
            return "".join(message.text for message in heard if isinstance(message, Chunk)), done.finish_reason
        whole, reason = run(Generation(max_new_tokens=24, seed=3))
        assert (whole, reason) == (texts[0], "length")
        stop = whole[8:11]
        assert run(Generation(max_new_tokens=24, seed=3, stop=[stop])) == (whole[:whole.index(stop)], "stop")


@pytest.mark.parametrize("prompt", ["The model has", "x" * 300])
def test_an_earlier_text_serves_a_longer_one_and_a_long_one_outlasts_its_window(tiny_llama, prompt):
    with Client.connect("test") as client:
        def run(prompt: str, heal: bool) -> tuple[str, int]:
            heard = list(client.generate(str(tiny_llama), prompt, Generation(max_new_tokens=100, seed=1, heal=heal)))
            return "".join(message.text for message in heard if isinstance(message, Chunk)), heard[-1].cached_tokens
        for heal in (False, True):
            first, again = run(prompt, heal), run(prompt, heal)
            assert first[0] == again[0] and len(first[0]) > 100
            assert again[1] > 0
