"""What keeps a daemon from starting is said at once by whoever starts it, stands in the log, and leaves no process."""
import fcntl
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gpt2_assist import config
from gpt2_assist.errors import AssistError, DaemonError
from gpt2_assist.ipc.client import Client

START = [sys.executable, "-m", "gpt2_assist.cli", "daemon", "start"]
STOP = [sys.executable, "-m", "gpt2_assist.cli", "daemon", "stop"]


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    """A daemon folder of this test's own, which is there, with a home of its own that is not."""
    with tempfile.TemporaryDirectory(prefix="g2a-") as folder:
        path = Path(folder) / "run"
        path.mkdir(mode=0o700)
        monkeypatch.setenv("GPT2_ASSIST_RUNTIME", str(path))
        monkeypatch.setenv("GPT2_ASSIST_HOME", str(tmp_path / "home"))
        yield path
        subprocess.run(STOP, capture_output=True)


def processes_of(runtime: Path) -> list[str]:
    """Those that were started for the folder."""
    wanted = f"GPT2_ASSIST_RUNTIME={runtime}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if entry.name != str(os.getpid()) and wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append((entry / "cmdline").read_text())
        except OSError:
            pass
    return found


def sentence_of_start() -> str:
    with pytest.raises(AssistError) as caught:
        Client.connect("test")
    return str(caught.value)


def a_folder_lies_at(name: str):
    return lambda runtime: (runtime / name).mkdir()


def wrong_settings(runtime: Path) -> None:
    config.home().mkdir()
    (config.home() / "settings.toml").write_text("threads = 'many'\n")


@pytest.mark.timeout(25)
@pytest.mark.parametrize(("spoil", "words", "logged"), [
    (a_folder_lies_at("daemon.lock"), "can't be used: Is a directory", True),
    (a_folder_lies_at("daemon.sock"), "can't be used: Is a directory", True),
    (a_folder_lies_at("daemon.log"), "can't be used: Is a directory", False),
    (wrong_settings, "threads", True),
    (lambda runtime: config.home().write_text("no folder"), "settings.toml", True),
])
def test_what_keeps_a_daemon_from_starting_is_said(runtime, spoil, words, logged):
    spoil(runtime)
    said = sentence_of_start()
    assert words in said and said.endswith(".")
    if logged:
        assert said in (runtime / "daemon.log").read_text()
    assert not processes_of(runtime)


@pytest.mark.timeout(25)
def test_a_path_too_long_for_a_socket_is_said(runtime, monkeypatch):
    longest = runtime / "x"
    for length in (94, 95, 96, 97, 110, 200):
        longest = longest.with_name("x" * (length - len(str(runtime)) - 1))
        monkeypatch.setenv("GPT2_ASSIST_RUNTIME", str(longest))
        if length <= 95:
            with Client.connect("test") as client:
                client.shutdown()
        else:
            assert "too long for a socket: it may have 95 bytes" in sentence_of_start()
            assert not processes_of(longest)


@pytest.mark.timeout(25)
@pytest.mark.parametrize(("limit", "words"), [
    ("ulimit -f 0", "can't be used: File too large"),  # a full disk, as far as a test can have one
    ("ulimit -n 20", "only 20 open files"),
    ("ulimit -n 5", "Too many open files"),
])
def test_limits_of_the_system_are_said(runtime, limit, words):
    ran = subprocess.run(["bash", "-c", f'{limit}; exec "$@"', "bash", *START], capture_output=True, text=True)
    assert ran.returncode == DaemonError.exit_code
    assert words in ran.stderr and ran.stderr.count("\n") == 1
    assert not processes_of(runtime)


@pytest.mark.timeout(25)
def test_a_lock_that_another_program_holds_is_said(runtime):
    with open(runtime / "daemon.lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "Another process holds" in sentence_of_start()


def test_a_port_that_another_program_took_over_is_not_the_daemons(runtime, monkeypatch):
    monkeypatch.setenv("GPT2_ASSIST_TCP", "1")
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        place = {"pid": 1, "port": stranger.getsockname()[1], "token": "secret"}
        (runtime / "daemon.json").write_text(json.dumps(place))
        with Client.connect("test") as client:
            assert client.status()["clients"] == 1
        stranger.settimeout(0)
        with pytest.raises(BlockingIOError):
            stranger.accept()


def test_a_daemon_of_another_home_is_replaced_if_nobody_uses_it(runtime, monkeypatch, tmp_path):
    with Client.connect("test") as client:
        first = client.status()["pid"]
        monkeypatch.setenv("GPT2_ASSIST_HOME", str(tmp_path / "another"))
        with pytest.raises(DaemonError, match="works for the home folder .*home, not for .*another, and others use it"):
            Client.connect("test")
    with Client.connect("test") as client:
        assert client.status()["pid"] != first


def test_each_home_has_a_runtime_folder_of_its_own(monkeypatch, tmp_path):
    monkeypatch.delenv("GPT2_ASSIST_RUNTIME")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folders = []
    for home in ("", "one", "two", str(Path("two").absolute())):
        monkeypatch.setenv("GPT2_ASSIST_HOME", home)
        folders.append(config.runtime())
    assert folders[0] == tmp_path / "gpt2-assist"
    assert len(set(folders)) == 3 and folders[2] == folders[3]


@pytest.mark.parametrize("kind", ["relative", "tilde"])
def test_folders_mean_the_same_wherever_the_daemon_works(runtime, monkeypatch, tmp_path, tiny_model, kind):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GPT2_ASSIST_CACHE", str(config.cache()))  # else the engine is compiled for another home
    monkeypatch.setenv("HOME", str(tmp_path))
    begin = "" if kind == "relative" else "~/"
    monkeypatch.setenv("GPT2_ASSIST_HOME", f"{begin}own home")
    monkeypatch.setenv("GPT2_ASSIST_RUNTIME", f"{begin}run")
    (tmp_path / "own home/models").mkdir(parents=True)
    (tmp_path / "own home/models/mine").symlink_to(tiny_model)
    with Client.connect("test") as client:
        assert client.load("mine").model == "mine"
        client.shutdown()
    assert (tmp_path / "run/daemon.log").is_file()


def test_a_folder_of_nobody_is_said(monkeypatch):
    monkeypatch.setenv("GPT2_ASSIST_HOME", "~nobody-of-that-name/home")
    with pytest.raises(AssistError, match="GPT2_ASSIST_HOME is '~nobody-of-that-name/home'"):
        config.home()
