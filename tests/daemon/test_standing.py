"""A worker that stands still is noticed and replaced, and its texts go on; one that only takes its time is left."""
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from gpt2_assist.daemon.supervisor.pulse import BEATS, STUCK_BEATS, TOLD_AFTER, TOLD_STUCK, Pulse
from gpt2_assist.ipc.client import Client
from gpt2_assist.ipc.messages import Chunk, Finished, Generation, Loading, SampleDone

PROMPT = "The model"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Folders of this test's own, in which a worker is given up soon."""
    with tempfile.TemporaryDirectory(prefix="g2a-") as folder:
        monkeypatch.setenv("GPT2_ASSIST_RUNTIME", str(Path(folder) / "run"))
        monkeypatch.setenv("GPT2_ASSIST_HOME", str(tmp_path))
        (tmp_path / "settings.toml").write_text("replace_after_s = 1\n")
        yield tmp_path
        subprocess.run([sys.executable, "-m", "gpt2_assist.cli", "daemon", "stop"], check=True,
                       stdout=subprocess.DEVNULL)


def text_of(client: Client, model: Path, count: int, on_message=lambda message: None) -> str:
    pieces = []
    for message in client.generate(str(model), PROMPT, Generation(max_new_tokens=count, seed=7)):
        on_message(message)
        if isinstance(message, Chunk):
            pieces.append(message.text)
        elif isinstance(message, SampleDone):
            assert message.finish_reason == "length" and message.tokens == count
    return "".join(pieces)


def worker(client: Client) -> dict:
    return client.status()["workers"][0]


def stop_worker(watcher: Client) -> int:
    """Returns once the daemon says that it stands still."""
    pid = worker(watcher)["pid"]
    os.kill(pid, signal.SIGSTOP)
    while (state := worker(watcher))["state"] != "standing still":
        assert state["pid"] == pid
    return pid


def disturbed(client: Client, model: Path, length: int, disturb, told: list[str]) -> str:
    """The beginning of a text that would never end, of which `disturb` is called at the first words."""
    stream, text = client.generate(str(model), PROMPT, Generation(max_new_tokens=1_000_000, seed=7)), ""
    for message in stream:
        if isinstance(message, Chunk):
            if not text:
                disturb()
            text += message.text
            if len(text) >= length:
                stream.cancel()
        elif isinstance(message, Loading):
            told.append(message.words)
    return text[:length]


def test_a_stopped_worker_is_told_of_and_replaced_and_the_text_goes_on(home, tiny_model):
    told = []
    with Client.connect("test") as client, Client.connect("watcher") as watcher:
        expected = text_of(client, tiny_model, 3000)

        def stop() -> None:
            pid = stop_worker(watcher)
            while any(worker["pid"] == pid for worker in watcher.status()["workers"]):
                pass
        assert disturbed(client, tiny_model, len(expected), stop, told) == expected
    assert told[0] == "its worker stands still; if it stays so, another one takes over"


@pytest.mark.slow
def test_a_worker_that_is_stopped_while_idle_is_replaced_when_it_is_wanted(home, tiny_model):
    told = []
    with Client.connect("test") as client:
        expected = text_of(client, tiny_model, 20)
        pid = stop_worker(client)
        assert text_of(client, tiny_model, 20, lambda message: told.append(message)) == expected
        assert isinstance(told[0], Loading) and told[0].words
        assert worker(client)["pid"] != pid


def test_a_worker_that_goes_on_in_time_is_kept(home, tiny_model):
    (home / "settings.toml").write_text("replace_after_s = 600\n")
    stopped = []
    with Client.connect("test") as client, Client.connect("watcher") as watcher:
        expected = text_of(client, tiny_model, 2000)

        def stop() -> None:
            stopped.append(stop_worker(watcher))
            os.kill(stopped[0], signal.SIGCONT)
            while worker(watcher)["state"] == "standing still":
                pass
        assert disturbed(client, tiny_model, len(expected), stop, []) == expected
        assert worker(client)["pid"] == stopped[0]


def test_a_generation_of_a_stopped_worker_is_cancelled_at_once(home, tiny_model):
    (home / "settings.toml").write_text("replace_after_s = 600\n")
    with Client.connect("test") as client, Client.connect("watcher") as watcher:
        stream = client.generate(str(tiny_model), PROMPT, Generation(max_new_tokens=1_000_000, seed=7))
        reasons, pid = [], 0
        for message in stream:
            if isinstance(message, Chunk) and not pid:
                pid = stop_worker(watcher)
                stream.cancel()
            elif isinstance(message, SampleDone):
                reasons.append(message.finish_reason)
        assert isinstance(message, Finished) and reasons == ["cancelled"]
        os.kill(pid, signal.SIGCONT)
        assert text_of(client, tiny_model, 20)


LOOP = """
import os, sys
if any("gpt2_assist.daemon.worker.worker" in argument for argument in sys.orig_argv):
    from gpt2_assist.daemon.worker.scheduler import Scheduler
    step = Scheduler.step
    def stuck(scheduler):
        try:
            os.unlink(os.environ["LOOP_ONCE"])
        except OSError:
            return step(scheduler)
        while True:
            pass
    Scheduler.step = stuck
"""


@pytest.mark.slow
def test_a_worker_in_an_endless_loop_is_replaced(home, tiny_model, monkeypatch):
    (home / "settings.toml").write_text("replace_after_s = 0.3\n")
    (home / "sitecustomize.py").write_text(LOOP)
    monkeypatch.setenv("PYTHONPATH", str(home))
    monkeypatch.setenv("LOOP_ONCE", str(home / "loop"))
    with Client.connect("test") as client:
        expected = text_of(client, tiny_model, 20)
        pid = worker(client)["pid"]
        (home / "loop").touch()
        assert text_of(client, tiny_model, 20) == expected
        assert not (home / "loop").exists() and worker(client)["pid"] != pid


@pytest.mark.slow
def test_a_worker_that_reads_a_very_long_text_is_kept(home, tiny_model):
    (home / "settings.toml").write_text("replace_after_s = 0.3\n")
    with Client.connect("test") as client:
        client.load(str(tiny_model))
        pid = worker(client)["pid"]
        *_, finished = client.generate(str(tiny_model), PROMPT * 300_000, Generation(max_new_tokens=1))
        assert isinstance(finished, Finished) and worker(client)["pid"] == pid


def test_a_load_that_stands_still_is_begun_anew(home, tiny_model):
    with Client.connect("test") as client, Client.connect("watcher") as watcher:
        loaded = threading.Thread(target=client.load, args=(str(tiny_model),))
        loaded.start()
        while not (workers := watcher.status()["workers"]) or not workers[0]["pid"]:
            pass
        os.kill(workers[0]["pid"], signal.SIGSTOP)
        loaded.join(100)
        assert not loaded.is_alive() and len(text_of(client, tiny_model, 20)) > 0


class TestPulse:
    """By beats; the seconds are of the processor."""

    def beats(self, pulse: Pulse, count: int, answers, working=True, loading=False, second=lambda beat: 0.0) -> None:
        for beat in range(count):
            pulse.asked = True
            if answers(beat) is not None:
                pulse.answer(answers(beat))
            pulse.beat(working, loading, second(beat))

    def test_silence_is_told_soon_and_ends_in_loss(self):
        pulse = Pulse()
        self.beats(pulse, TOLD_AFTER, lambda beat: None)
        assert pulse.standing and not pulse.lost
        self.beats(pulse, BEATS - TOLD_AFTER - 1, lambda beat: None)
        assert not pulse.lost
        self.beats(pulse, 1, lambda beat: None)
        assert pulse.lost

    def test_a_worker_that_the_system_has_stopped_stands_still_from_then_on(self):
        pulse = Pulse()
        self.beats(pulse, 5, lambda beat: beat, second=float)
        pulse.stopped(5.5)
        for _ in range(BEATS - TOLD_AFTER):
            assert pulse.standing and not pulse.lost
            self.beats(pulse, 1, lambda beat: None, second=lambda beat: 5.5)
        assert pulse.lost

    def test_an_answer_ends_the_silence(self):
        pulse = Pulse()
        self.beats(pulse, BEATS - 1, lambda beat: None)
        pulse.answer(1)
        assert not pulse.standing
        self.beats(pulse, BEATS - 1, lambda beat: None)
        assert not pulse.lost

    def test_a_load_may_last_as_long_as_it_computes(self):
        """Also while nothing is answered, as in a long call that keeps the interpreter."""
        for answers in (lambda beat: 0, lambda beat: None):
            pulse = Pulse()
            self.beats(pulse, 10 * STUCK_BEATS, answers, loading=True, second=lambda beat: beat * 0.02)
            assert not pulse.standing and not pulse.lost

    def test_a_load_that_does_nothing_is_lost(self):
        pulse = Pulse()
        self.beats(pulse, STUCK_BEATS + 1, lambda beat: 0, loading=True, second=lambda beat: beat * 1e-4)
        assert pulse.lost

    def test_a_long_text_may_keep_the_worker_from_answering(self):
        pulse = Pulse()
        self.beats(pulse, 9 * STUCK_BEATS, lambda beat: None, second=lambda beat: beat * 0.02)
        assert not pulse.lost
        self.beats(pulse, 2 * STUCK_BEATS, lambda beat: None, second=lambda beat: 1000 + beat * 0.02)
        assert pulse.lost

    def test_steps_are_what_counts_where_it_works(self):
        pulse = Pulse()
        self.beats(pulse, 10 * STUCK_BEATS, lambda beat: beat // (TOLD_STUCK - 1), second=float)
        assert not pulse.standing
        self.beats(pulse, STUCK_BEATS + 1, lambda beat: 1, second=float)
        assert pulse.lost

    def test_an_idle_worker_need_not_get_on(self):
        pulse = Pulse()
        self.beats(pulse, 10 * STUCK_BEATS, lambda beat: 5, working=False)
        assert not pulse.standing
