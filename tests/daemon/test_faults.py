"""Kills, races, fuzz and liars, over real processes and sockets. GPT2_ASSIST_KILLS, _FUZZ, _REQUESTS: how many."""
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from gpt2_assist import __version__
from gpt2_assist.errors import AssistError, DaemonError
from gpt2_assist.ipc import transport
from gpt2_assist.ipc.client import Client
from gpt2_assist.ipc.framing import FrameDecoder, from_wire, to_wire
from gpt2_assist.ipc.messages import (
    MAX_FRAME_BYTES,
    PROTOCOL_VERSION,
    Chunk,
    Failure,
    Finished,
    Generate,
    Generation,
    Hello,
    SampleDone,
    StatusRequest,
)

KILLS = int(os.environ.get("GPT2_ASSIST_KILLS", "8"))
FUZZED_FRAMES = int(os.environ.get("GPT2_ASSIST_FUZZ", "100000"))
FEW = 25
"""Of those, and of the races, one in so many in the fast suite."""
REQUESTS = int(os.environ.get("GPT2_ASSIST_REQUESTS", "500"))
FEW_REQUESTS = 60
RACES = 50
PROMPT = "The model"


@pytest.fixture
def runtime(tmp_path_factory, monkeypatch):
    """A daemon folder of this test's own, with a daemon that ends with the test."""
    import tempfile
    with tempfile.TemporaryDirectory(prefix="g2a-") as folder:
        path = Path(folder) / "run"
        monkeypatch.setenv("GPT2_ASSIST_RUNTIME", str(path))
        yield path
        if path.exists():
            subprocess.run([sys.executable, "-m", "gpt2_assist.cli", "daemon", "stop"], check=True,
                           stdout=subprocess.DEVNULL)


def text_of(client: Client, model, count: int, seed: int, on_chunk=lambda: None) -> str:
    pieces = []
    for message in client.generate(str(model), PROMPT, Generation(max_new_tokens=count, seed=seed)):
        if isinstance(message, Chunk):
            pieces.append(message.text)
            on_chunk()
        elif isinstance(message, SampleDone):
            assert message.finish_reason == "length" and message.tokens == count
    return "".join(pieces)


def worker_pids(client: Client) -> list[int]:
    return [worker["pid"] for worker in client.status()["workers"]]


@pytest.mark.timeout(60 + 15 * KILLS)
@pytest.mark.parametrize("kills", [2, pytest.param(KILLS, marks=pytest.mark.slow)])
def test_a_worker_killed_again_and_again_gives_the_undisturbed_text(runtime, tiny_model, kills):
    count = 4000
    with Client.connect("test") as client:
        expected = text_of(client, tiny_model, count, 7)
        killed, dice = 0, random.Random(1)
        with Client.connect("killer") as killer:
            while killed < kills:
                fuse = [dice.randrange(1, 300)]

                def burn(fuse=fuse):
                    nonlocal killed
                    fuse[0] -= 1
                    if fuse[0] == 0 and killed < kills:
                        fuse[0] = dice.randrange(1, 300)
                        for pid in worker_pids(killer):
                            with suppress(ProcessLookupError):  # of the last kill, not noticed yet
                                os.kill(pid, signal.SIGKILL)
                                killed += 1

                assert text_of(client, tiny_model, count, 7, burn) == expected
    assert killed == kills


@pytest.mark.timeout(300)
@pytest.mark.parametrize("races", [RACES // FEW, pytest.param(RACES, marks=pytest.mark.slow)])
def test_starts_that_race_give_one_daemon(runtime, races):
    program = ("from gpt2_assist.ipc.client import Client\n"
               "with Client.connect('racer') as client: print(client.status()['pid'])")
    for number in range(races):
        racers = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
                  for _ in range(8 if number == 0 else 2)]
        pids = {racer.communicate(timeout=60)[0] for racer in racers}
        assert len(pids) == 1 and all(racer.returncode == 0 for racer in racers)
        os.kill(int(pids.pop()), signal.SIGKILL)  # leaves a stale socket and lock behind


def raw_connection() -> socket.socket:
    connection, _ = transport.connect()
    connection.settimeout(30)
    return connection


def messages_until_closed(connection: socket.socket) -> list:
    decoder, messages = FrameDecoder(), []
    while True:
        try:
            data = connection.recv(1 << 16)
        except ConnectionResetError:
            return messages
        if not data:
            return messages
        messages += [from_wire(entries) for entries in decoder.feed(data)]


def hello() -> bytes:
    return to_wire(Hello(PROTOCOL_VERSION, __version__, "test"))


@pytest.mark.parametrize(("name", "data"), [
    ("another protocol", to_wire(Hello(PROTOCOL_VERSION + 1, __version__, "test"))),
    ("no hello", to_wire(StatusRequest(1))),
    ("an oversized frame", hello() + (MAX_FRAME_BYTES + 1).to_bytes(4, "big")),
    ("no msgpack", hello() + (3).to_bytes(4, "big") + b"\xc1\xc1\xc1"),
    ("wrong types", hello() + to_wire(StatusRequest("one"))),
    ("an unknown message", hello() + (16).to_bytes(4, "big") + b"\x81\xa4type\xa9Something"[:16].ljust(16, b"x")),
])
def test_a_client_that_lies_gets_a_sentence_and_is_cut_off(name, data):
    with Client.connect("honest") as client:
        liar = raw_connection()
        liar.sendall(data)
        last = messages_until_closed(liar)[-1]
        liar.close()
        assert isinstance(last, Failure) and last.id == 0 and last.sentence.endswith(".")
        assert client.status()["clients"] >= 1


@pytest.mark.parametrize("frames", [FUZZED_FRAMES // FEW, pytest.param(FUZZED_FRAMES, marks=pytest.mark.slow)])
def test_fuzzed_frames_crash_nothing_and_leak_nothing(tiny_model, frames):
    dice = random.Random(5)
    seeds = [hello(), to_wire(StatusRequest(3)),
             to_wire(Generate(4, str(tiny_model), PROMPT, Generation(max_new_tokens=2))),
             to_wire(Generate(5, str(tiny_model), PROMPT, Generation(max_new_tokens=2), suffix=" of all",
                              path="a.py", repository="r", beside=[["b.py", "import json"]]))]

    def fuzzed() -> bytes:
        frame = bytearray(dice.choice(seeds))
        for _ in range(dice.randrange(1, 5)):
            kind, place = dice.randrange(3), dice.randrange(len(frame))
            if kind == 0:
                frame[place] = dice.randrange(256)
            elif kind == 1:
                frame[place:place + dice.randrange(4)] = dice.randbytes(dice.randrange(1, 4))
            else:
                frame = frame[:place + 1]
        return bytes(frame)

    with Client.connect("honest") as client:
        text_of(client, tiny_model, 3, 1)
        pid = client.status()["pid"]
        before = len(os.listdir(f"/proc/{pid}/fd"))
        sent = 0
        while sent < frames:
            connection = raw_connection()
            burst = [fuzzed() for _ in range(dice.randrange(1, 6))]
            sent += len(burst)
            try:
                connection.sendall((hello() if dice.random() < 0.8 else b"") + b"".join(burst))
                connection.shutdown(socket.SHUT_WR)
                messages_until_closed(connection)
            except (ConnectionResetError, BrokenPipeError):
                pass
            connection.close()
        assert client.status()["pid"] == pid
        with Client.connect("another") as other:
            assert len(text_of(other, tiny_model, 3, 1)) > 0
        while client.status()["clients"] > 1:
            pass
        assert len(os.listdir(f"/proc/{pid}/fd")) <= before


@pytest.mark.slow
def test_a_slow_reader_is_cut_off_and_nobody_else_notices(runtime, tiny_model):
    with Client.connect("honest") as client:
        expected = text_of(client, tiny_model, 50, 3)
        slow = raw_connection()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        prompt = "x" * 3_000_000
        slow.sendall(hello() + b"".join(to_wire(Generate(
            number, str(tiny_model), prompt, Generation(max_new_tokens=1, echo=True))) for number in (1, 2, 3)))
        while client.status()["clients"] > 1:  # it never reads; the daemon must part with it
            assert text_of(client, tiny_model, 50, 3) == expected
        slow.close()


def test_a_loose_folder_is_refused(runtime):
    runtime.mkdir(mode=0o755)
    runtime.chmod(0o755)
    with pytest.raises(DaemonError, match="chmod 700"):
        Client.connect("test")
    runtime.chmod(0o700)


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give a folder away")
def test_another_users_folder_is_refused(runtime):
    runtime.mkdir(mode=0o700)
    os.chown(runtime, 65534, -1)
    with pytest.raises(DaemonError, match="belongs to another user"):
        Client.connect("test")
    os.chown(runtime, 0, -1)


OLD_DAEMON = """
import gpt2_assist
gpt2_assist.__version__ = "0.0.1"
from gpt2_assist.ipc import transport
from gpt2_assist.daemon.supervisor import supervisor
listen = transport.listen
def announced():
    made = listen()
    print("listening", flush=True)
    return made
transport.listen = announced
supervisor.main()
"""


def test_a_daemon_of_another_version_is_replaced_if_nobody_uses_it(runtime):
    runtime.mkdir(mode=0o700)
    with subprocess.Popen([sys.executable, "-c", OLD_DAEMON], stdout=subprocess.PIPE, text=True) as old:
        assert old.stdout.readline() == "listening\n"
        with Client.connect("test", start=False) as user:
            assert user.status()["version"] == "0.0.1"
            with pytest.raises(DaemonError, match="version 0.0.1, this is"):
                Client.connect("test")
            assert user.status()["pid"] == old.pid
        with Client.connect("test") as client:
            assert client.status()["version"] == __version__
        assert old.wait(30) == 0


def test_no_worker_outlives_a_killed_daemon(runtime, tiny_model):
    with Client.connect("test") as client:
        text_of(client, tiny_model, 3, 1)
        status = client.status()
    worker = status["workers"][0]["pid"]
    handle = os.pidfd_open(worker)
    os.kill(status["pid"], signal.SIGKILL)
    import select
    assert select.select([handle], [], [], 30)[0]
    os.close(handle)


def test_cancel_newest_wins_and_status_while_generating(runtime, tiny_model, other_tiny_model):
    settings = Generation(max_new_tokens=1_000_000, seed=1)
    with Client.connect("test") as client:
        first = client.generate(str(tiny_model), PROMPT, settings, document="chapter")
        started, reasons = threading.Event(), []

        def read(stream) -> None:
            for message in stream:
                if isinstance(message, Chunk):
                    started.set()
                elif isinstance(message, SampleDone):
                    reasons.append(message.finish_reason)

        reader = threading.Thread(target=read, args=(first,))
        reader.start()
        assert started.wait(60)
        worker, = client.status()["workers"]
        assert worker["state"] == "generating" and worker["model"] == str(tiny_model)
        second = client.generate(str(tiny_model), PROMPT, settings, document="chapter")
        reader.join(60)
        assert reasons == ["cancelled"]
        for message in second:
            if isinstance(message, Chunk):
                second.cancel()
            elif isinstance(message, Finished):
                break
        assert len(text_of(client, other_tiny_model, 5, 1)) > 0
        assert {worker["model"] for worker in client.status()["workers"]} == {str(tiny_model), str(other_tiny_model)}


def test_a_model_that_cannot_be_loaded_gets_its_sentence(tiny_model, tmp_path):
    import shutil
    broken = tmp_path / "broken"
    shutil.copytree(tiny_model, broken)
    (broken / "model.safetensors").write_bytes((broken / "model.safetensors").read_bytes()[:500])
    with Client.connect("test") as client:
        with pytest.raises(AssistError) as caught:
            text_of(client, broken, 3, 1)
        assert caught.value.exit_code == 3
        assert len(text_of(client, tiny_model, 3, 1)) > 0


KILLED = """
import os, signal, sys
if any("gpt2_assist.daemon.worker.worker" in argument for argument in sys.orig_argv):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_that_the_system_kills_are_given_up_with_a_likely_reason(runtime, tiny_model, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(KILLED)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Client.connect("test") as client:
        with pytest.raises(AssistError, match="died 5 times .*most likely memory is short"):
            text_of(client, tiny_model, 3, 1)


@pytest.mark.parametrize("requests", [FEW_REQUESTS, pytest.param(REQUESTS, marks=pytest.mark.slow)])
def test_many_requests_leave_nothing_open(runtime, tiny_model, requests):
    with Client.connect("test") as client:
        text_of(client, tiny_model, 1, 1)
        pids = [client.status()["pid"], *worker_pids(client)]

        def open_files() -> list[int]:
            return [len(os.listdir(f"/proc/{pid}/fd")) for pid in pids]
        before = open_files()
        for number in range(requests):
            text_of(client, tiny_model, 1, number)
            if number % 20 == 0:
                with Client.connect("passing") as passing:
                    text_of(passing, tiny_model, 1, number)
        while client.status()["clients"] > 1:
            pass
        assert open_files() == before
