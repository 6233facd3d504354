"""What the first use fetches, by real processes and a package index on this machine; and that it is only tried once."""
import json
import os
import subprocess
import sys
import time

import pytest

from gpt2_assist import config


@pytest.fixture(autouse=True)
def home(pip_home):
    return pip_home


def repl(*arguments: str, said: str = "Once upon a time") -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "gpt2_assist.repl.main", *arguments], input=said, capture_output=True,
                          text=True, timeout=100)


def generate(**variables: str) -> dict:
    ran = subprocess.run([sys.executable, "-m", "gpt2_assist.cli", "generate", "Once", "--json", "--max-new-tokens",
                          "2"], capture_output=True, text=True, timeout=100, env={**os.environ, **variables})
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_the_first_use_fetches_what_auto_wants_and_every_default_means_it_from_then_on(home, index, tmp_path):
    ran = repl()
    assert ran.returncode == 0, ran.stderr
    assert "tiny" not in ran.stdout and "Traceback" not in ran.stderr
    assert (home / "models" / "tiny" / "prepared-int8.safetensors").exists(), "no key waits for a conversion"
    asked = len(index.requests)
    assert generate()["model"] == "tiny"
    assert repl().stderr == "" and len(index.requests) == asked
    from gpt2_assist.ipc.client import Client
    with Client.connect("tests") as client:
        assert client.load("auto").model == "tiny"
        assert {worker["model"] for worker in client.status()["workers"]} == {"tiny"}
    (home / "settings.toml").write_text('model = "mini"\n')
    assert generate()["model"] == "mini"


@pytest.mark.slow
def test_without_a_network_one_line_says_so_and_it_is_not_tried_again_the_same_day(home, index, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", index.url.replace("/simple", "/nothing"))
    ran = repl()
    assert ran.returncode == 0 and ran.stdout
    (line,) = ran.stderr.splitlines()
    assert "mini opens instead" in line and "`gpt2-assist pull tiny`" in line
    asked = len(index.requests)
    assert asked and repl().stderr == "" and len(index.requests) == asked
    day_ago = time.time() - 90_000
    os.utime(home / "first-model-failed", (day_ago, day_ago))
    monkeypatch.setenv("PIP_INDEX_URL", index.url)
    assert repl().returncode == 0
    assert (home / "models" / "tiny").is_dir() and not (home / "first-model-failed").exists()


@pytest.mark.parametrize("why", [
    "offline", "a script", *(pytest.param(why, marks=pytest.mark.slow) for why in ("setting", "named"))])
def test_nothing_is_fetched_where(home, index, why, monkeypatch):
    """The network is forbidden, another model is set or named, or a script runs `generate`."""
    if why == "offline":
        monkeypatch.setenv("GPT2_ASSIST_OFFLINE", "1")
    elif why == "setting":
        (home / "settings.toml").write_text('model = "mini"\n')
    if why == "a script":
        assert generate()["model"] == "mini"
    else:
        ran = repl(*(["--model", "mini"] if why == "named" else []))
        assert (ran.returncode, ran.stderr) == (0, "") and ran.stdout
    assert index.requests == [] and not (home / "models").exists()


def test_a_home_that_takes_nothing_asks_for_nothing(home, index):
    from gpt2_assist.frontend.first_model import default_model
    (home / "first-model-failed").symlink_to(home / "nowhere" / "file")
    assert default_model(None, fetching=True) == config.BUNDLED_MODEL
    assert index.requests == []
