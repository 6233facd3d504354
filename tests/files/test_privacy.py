"""What the program makes is its user's alone, whatever the umask; what they name themselves is as they have it."""
import os
import stat
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pexpect
import pytest

from gpt2_assist import privacy
from gpt2_assist.files import modes
from gpt2_assist.runs import unpack_run

pytestmark = pytest.mark.skipif(os.name == "nt", reason="modes are Unix's")


def open_to_others(*folders: Path) -> list[str]:
    there = [path for folder in folders if folder.exists() for path in [folder, *folder.rglob("*")]
             if not path.is_symlink()]
    wanted = {path: 0o700 if path.is_dir() else 0o600 for path in there}
    return [f"{path} {stat.S_IMODE(path.stat().st_mode):o}" for path, mode in wanted.items()
            if stat.S_IMODE(path.stat().st_mode) & ~mode]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class Household:
    """A home, a runtime folder and a folder of the user's own, and programs that run there under a umask."""

    def __init__(self, place: Path, umask: int) -> None:
        self.home, self.runtime, self.mine, self.umask = place / "home", place / "run", place / "mine", umask
        self.mine.mkdir()
        self.environment = {**os.environ, "GPT2_ASSIST_HOME": str(self.home), "GPT2_ASSIST_RUNTIME": str(self.runtime),
                            "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}

    def assist(self, *words: str) -> None:
        done = subprocess.run([sys.executable, "-m", "gpt2_assist", *words], env=self.environment, umask=self.umask,
                              cwd=self.mine, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done
        self.check()

    def check(self) -> None:
        assert not open_to_others(self.home, self.runtime)


@pytest.fixture(params=[0o000, pytest.param(0o022, marks=pytest.mark.slow)])
def household(request):
    with tempfile.TemporaryDirectory(prefix="g2p-") as folder:  # a short path: sockets lie in it
        made = Household(Path(folder), request.param)
        yield made
        subprocess.run([sys.executable, "-m", "gpt2_assist", "daemon", "stop"], env=made.environment, timeout=60)


def test_what_is_written_is_its_writers_alone(household, tiny_model):
    household.assist("doctor")
    household.assist("generate", "hello", "--model", str(tiny_model), "--max-new-tokens", "3", "-o", "out.txt")
    child = pexpect.spawn("bash", ["-c", f'umask {household.umask:o}; exec "$0" -m gpt2_assist.repl.main '
                                         '--session tale --model "$1"', sys.executable, str(tiny_model)],
                          env=household.environment, cwd=household.mine, timeout=60, dimensions=(40, 200),
                          encoding="utf-8")
    for words, answer in (("/set max_new_tokens 3", "= 3"), ("Once", "Once"), ("/save", "saved as"),
                          ("/export tale.txt", "written to")):
        child.send(words + "\r")
        child.expect(answer)
    household.check()
    child.send("/quit\r")
    child.expect(pexpect.EOF)
    household.check()
    assert (household.home / "sessions.sqlite").stat().st_size
    for name in ("out.txt", "tale.txt"):
        assert mode(household.mine / name) == 0o666 & ~household.umask


@pytest.mark.slow
def test_what_is_learnt_is_its_writers_alone(household, tiny_model):
    for number in range(12):
        (household.mine / f"{number}.md").write_text(f"Day {number}: the fox sang to {number} bees. " * 12, "utf-8")
    household.assist("models", "import", str(tiny_model), "--name", "tiny")
    household.assist("finetune", ".", "--model", "tiny", "--steps", "2", "--context", "32", "--batch-tokens", "64")
    household.assist("originality", "the fox sang to 3 bees")
    household.assist("runs", "pack", "run1", "run1.tar.gz", "--checkpoints")
    household.assist("runs", "unpack", "run1.tar.gz", "--name", "again")
    household.assist("runs", "merge", "run1")
    household.assist("runs", "export", "run1", "plain")
    household.assist("runs", "remove", "again")
    household.assist("models", "remove", "tiny", "--force")
    for path in (household.mine / "run1.tar.gz", *(household.mine / "plain").iterdir()):
        assert mode(path) == 0o666 & ~household.umask, path
    assert mode(household.mine / "plain") == 0o777 & ~household.umask


def test_an_archive_brings_no_modes_with_it(tmp_path, monkeypatch):
    monkeypatch.setenv("GPT2_ASSIST_HOME", str(tmp_path / "home"))
    (tmp_path / "old" / "data").mkdir(parents=True)
    for name in ("run.json", "data/train.npy"):
        (tmp_path / "old" / name).write_text("{}", encoding="utf-8")
        (tmp_path / "old" / name).chmod(0o666)
    with tarfile.open(tmp_path / "old.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "old", "old")
    with privacy.private():
        unpack_run(tmp_path / "old.tar.gz")
    assert (tmp_path / "home/runs/old/data/train.npy").is_file() and not open_to_others(tmp_path / "home")


@pytest.fixture
def old_home(tmp_path, monkeypatch):
    """As an earlier version made it under a umask of 022."""
    home = tmp_path / "home"
    (home / "runs" / "run1" / "data").mkdir(parents=True)
    (home / "locks").mkdir()
    for name in ("runs/run1/data/train.npy", "runs/run1/samples.txt", "sessions.sqlite", "sessions.sqlite-wal"):
        (home / name).write_text("words", encoding="utf-8")
    for path in [home, *home.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    monkeypatch.setenv("GPT2_ASSIST_HOME", str(home))
    monkeypatch.setenv("GPT2_ASSIST_CACHE", str(tmp_path / "cache"))
    return home


def test_a_home_of_an_earlier_version_is_closed_by_any_command(old_home):
    done = subprocess.run([sys.executable, "-m", "gpt2_assist", "runs"], capture_output=True, timeout=60)
    assert done.returncode == 0 and not open_to_others(old_home)


def test_what_is_not_ours_keeps_its_mode(old_home, tmp_path):
    """Somebody may have made their own folder our home, or linked into it."""
    outside, own = tmp_path / "dotfiles.toml", old_home / "page.html"
    for path in (outside, own):
        path.write_text("", encoding="utf-8")
        path.chmod(0o644)
    (old_home / "settings.toml").symlink_to(outside)
    privacy.mend()
    assert mode(outside) == 0o644 and mode(own) == 0o644 and mode(old_home) == 0o755
    assert not open_to_others(old_home / "runs", old_home / "locks", old_home / "sessions.sqlite")


def test_works_side_by_side_end_in_any_order(tmp_path):
    before, inner, outer = os.umask(0o022), privacy.private(), privacy.private()
    try:
        outer.__enter__()
        inner.__enter__()
        outer.__exit__(None, None, None)
        (tmp_path / "a").mkdir()
        inner.__exit__(None, None, None)
        (tmp_path / "b").mkdir()
    finally:
        os.umask(before)
    assert [mode(tmp_path / name) for name in "ab"] == [0o700, 0o755]


def test_a_program_has_its_own_umask_back(tmp_path):
    before = os.umask(0o027)
    try:
        with privacy.private():
            (tmp_path / "a").mkdir()
            with privacy.private(), modes.as_asked():
                (tmp_path / "b").mkdir()
        (tmp_path / "c").mkdir()
    finally:
        os.umask(before)
    assert [mode(tmp_path / name) for name in "abc"] == [0o700, 0o750, 0o750]
