"""Who goes first, and when workers and the daemon end by themselves."""
import os
import select
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from gpt2_assist import config
from gpt2_assist.errors import AssistError
from gpt2_assist.ipc.client import Client
from gpt2_assist.ipc.connecting import daemon_running
from gpt2_assist.ipc.messages import Chunk, Generation, SampleDone

PROMPT = "The model"


@pytest.fixture
def daemon(tmp_path, monkeypatch):
    """Folders of this test's own; the test writes settings before it connects."""
    with tempfile.TemporaryDirectory(prefix="g2a-") as folder:
        monkeypatch.setenv("GPT2_ASSIST_RUNTIME", str(Path(folder) / "run"))
        monkeypatch.setenv("GPT2_ASSIST_HOME", str(tmp_path))
        yield tmp_path
        subprocess.run([sys.executable, "-m", "gpt2_assist.cli", "daemon", "stop"], check=True,
                       stdout=subprocess.DEVNULL)


def ended(pid: int) -> None:
    """Waits for a process to end."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    assert select.select([handle], [], [], 60)[0]
    os.close(handle)


def test_an_idle_worker_gives_its_memory_back_and_comes_again(daemon, tiny_model):
    (daemon / "settings.toml").write_text(f'unload_after_s = 0.3\nmodel = "{tiny_model}"\n')
    settings = Generation(max_new_tokens=20, seed=1)
    with Client.connect("test") as client:
        def text() -> str:
            return "".join(message.text for message in client.generate(str(tiny_model), PROMPT, settings)
                           if isinstance(message, Chunk))
        first, worker = text(), client.status()["workers"][0]["pid"]
        ended(worker)
        assert text() == first


def test_an_idle_worker_gives_most_of_its_cache_back_and_keeps_the_last_text(daemon, tiny_model):
    (daemon / "settings.toml").write_text("shrink_after_s = 0.2\n")
    with Client.connect("test") as client:
        def cached(prompt: str) -> int:
            *_, finished = client.generate(str(tiny_model), prompt, Generation(max_new_tokens=1, heal=False))
            return finished.cached_tokens / finished.prompt_tokens
        prompts = [f"{number} is another text with the number {number}" for number in range(30)]
        for prompt in prompts:
            assert cached(prompt) < 0.3
        while (worker := client.status()["workers"][0])["cached_tokens"] > 2 * 64:
            pass
        assert worker["state"] == "idle"
        assert cached(prompts[-1]) > 0.9 and cached(prompts[0]) < 0.3


def test_an_idle_daemon_ends(daemon, tiny_model):
    (daemon / "settings.toml").write_text(f'unload_after_s = 0.1\nexit_after_s = 0.3\nmodel = "{tiny_model}"\n')
    with Client.connect("test") as client:
        pid = client.status()["pid"]
    ended(pid)
    assert not daemon_running()


def test_a_keystroke_goes_before_a_session_and_that_before_bulk(daemon, tiny_model):
    with Client.connect("test") as client:
        client.load(str(tiny_model))
        bulk = client.generate(str(tiny_model), PROMPT, Generation(max_new_tokens=1_000_000, seed=1), "bulk")
        finished, started = [], threading.Event()

        def read(name: str, stream) -> None:
            for message in stream:
                if isinstance(message, Chunk):
                    started.set()
                elif isinstance(message, SampleDone):
                    finished.append((name, message.finish_reason))

        readers = [threading.Thread(target=read, args=("bulk", bulk))]
        readers[0].start()
        assert started.wait(60)
        for name, count in (("session", 6000), ("keystroke", 300)):
            stream = client.generate(str(tiny_model), PROMPT, Generation(max_new_tokens=count, seed=2), name)
            readers.append(threading.Thread(target=read, args=(name, stream)))
            readers[-1].start()
        readers[2].join(100)
        readers[1].join(100)
        assert finished == [("keystroke", "length"), ("session", "length")]
        bulk.cancel()
        readers[0].join(60)
        assert finished[-1] == ("bulk", "cancelled")


@pytest.mark.slow
def test_a_daemon_whose_socket_was_cleaned_away_makes_it_again(daemon):
    with Client.connect("test") as client:
        pid = client.status()["pid"]
        (config.runtime() / "daemon.sock").unlink()
        with Client.connect("another") as other:
            assert other.status()["pid"] == client.status()["pid"] == pid


@pytest.mark.slow
def test_a_daemon_whose_folder_was_cleaned_away_leaves_it_to_the_next_and_ends(daemon):
    with Client.connect("test") as client:
        pid = client.status()["pid"]
        shutil.rmtree(config.runtime())
        with Client.connect("another") as other:
            assert other.status()["pid"] != pid == client.status()["pid"]
    ended(pid)
    assert daemon_running()


def test_a_model_that_is_replaced_is_served_as_it_is_now(daemon, tmp_path, tiny_model, other_tiny_model):
    def text(client: Client, model: Path) -> str:
        return "".join(message.text for message in client.generate(str(model), PROMPT, Generation(seed=1))
                       if isinstance(message, Chunk))
    with Client.connect("test") as client:
        one, two = text(client, tiny_model), text(client, other_tiny_model)
        assert one != two
        mine = Path(shutil.copytree(tiny_model, tmp_path / "mine"))
        assert text(client, mine) == one
        shutil.copyfile(other_tiny_model / "model.safetensors", mine / ".new")
        (mine / ".new").replace(mine / "model.safetensors")
        assert text(client, mine) == two
        shutil.rmtree(mine)
        with pytest.raises(AssistError, match="There is no model"):
            text(client, mine)
        assert text(client, tiny_model) == one
