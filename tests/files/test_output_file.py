"""Where the user says that output should go: each kind of path means what it means to other programs."""
import os
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from gpt2_assist import privacy
from gpt2_assist.errors import OutputError, StorageError
from gpt2_assist.files.output_file import OutputFile

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Unix's kinds of files")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def refused(path: Path, words: str) -> None:
    with pytest.raises(StorageError, match=words) as caught:
        OutputFile(path).write(b"new")
    assert str(caught.value).count("\n") == 0 and str(path.parent) in str(caught.value)


@pytest.mark.parametrize("umask", [0o022, 0o000, 0o027])
def test_a_new_file_has_the_umasks_mode_also_in_a_private_process(tmp_path, umask):
    before = os.umask(umask)
    try:
        OutputFile(tmp_path / "a").write(b"new")
        with privacy.private():
            OutputFile(tmp_path / "b").write(b"new")
            (tmp_path / "c").write_bytes(b"")
    finally:
        os.umask(before)
    assert [mode(tmp_path / name) for name in "abc"] == [0o666 & ~umask, 0o666 & ~umask, 0o600]


@pytest.mark.parametrize("kept", [0o600, 0o640, 0o755, 0o200])
def test_a_replaced_file_keeps_its_mode_and_owner(tmp_path, kept):
    path = tmp_path / "x"
    path.write_bytes(b"old and longer")
    if os.geteuid() == 0:
        os.chown(path, 12345, 54321)
    path.chmod(kept)
    before = path.stat()
    OutputFile(path).write(b"new")
    assert path.read_bytes() == b"new" and path.stat().st_ino != before.st_ino
    assert (mode(path), path.stat().st_uid, path.stat().st_gid) == (kept, before.st_uid, before.st_gid)
    assert list(tmp_path.iterdir()) == [path]


def test_links_stay_and_their_target_is_written(tmp_path):
    (tmp_path / "there").mkdir()
    target, link, chain, folder = (tmp_path / name for name in ("there/file", "link", "chain", "folder"))
    link.symlink_to("there/file")
    chain.symlink_to(link)
    folder.symlink_to("there")
    for path in (link, chain, folder / "file", folder / ".." / "link"):  # the first time it leads nowhere yet
        OutputFile(path).write(str(path).encode())
        assert target.read_bytes() == str(path).encode()
    assert link.is_symlink() and chain.is_symlink() and folder.is_symlink() and not target.is_symlink()
    (tmp_path / "circle").symlink_to(tmp_path / "round")
    (tmp_path / "round").symlink_to(tmp_path / "circle")
    refused(tmp_path / "circle", "symbolic links")
    (tmp_path / "astray").symlink_to("no/such/folder")
    with pytest.raises(StorageError, match="does not exist"):
        OutputFile(tmp_path / "astray")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["astray", "chain", "circle", "folder", "link", "round",
                                                                 "there"]


def test_both_names_of_a_file_see_what_is_written(tmp_path):
    path, other = tmp_path / "x", tmp_path / "y"
    path.write_bytes(b"old and longer")
    os.link(path, other)
    OutputFile(path).write(b"new")
    assert other.read_bytes() == path.read_bytes() == b"new"
    with pytest.raises(RuntimeError):
        with OutputFile(path).open() as stream:
            stream.write(b"half")
            raise RuntimeError
    assert other.read_bytes() == b"new" and path.stat().st_nlink == 2


def test_what_is_no_file_is_written_to(tmp_path, monkeypatch):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    came = []
    reader = threading.Thread(target=lambda: came.append(pipe.read_bytes()), daemon=True)
    reader.start()
    OutputFile(pipe).write(b"new")
    reader.join(60)
    assert came == [b"new"] and stat.S_ISFIFO(pipe.stat().st_mode)
    OutputFile(Path("/dev/null")).write(b"new")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    refused(Path("/dev/full"), "No space left")
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)
    listener = socket.socket(socket.AF_UNIX)
    monkeypatch.chdir(tmp_path)  # its whole path may be too long for a socket
    listener.bind("socket")
    refused(tmp_path / "socket", "socket")
    listener.close()


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
def test_standard_output_by_its_name_is_that_very_stream(tmp_path, name):
    os.symlink("/dev/stdout", tmp_path / "link")
    program = ("import sys; from pathlib import Path; from gpt2_assist.files.output_file import OutputFile\n"
               "OutputFile(Path(sys.argv[1])).write(b'new\\n')")
    command = f'echo before > out; {{ "$0" -c "$1" {name}; echo after; }} >> out'
    subprocess.run(["bash", "-c", command, sys.executable, program], cwd=tmp_path, check=True, timeout=60)
    assert (tmp_path / "out").read_text() == "before\nnew\nafter\n"


def test_a_pipe_that_nobody_reads_is_quiet():
    read, write = os.pipe()
    os.close(read)
    with pytest.raises(OutputError) as caught:
        OutputFile(Path(f"/dev/fd/{write}")).write(b"new")
    os.close(write)
    assert str(caught.value) == "" and caught.value.exit_code == 141


def test_what_cannot_be_written_is_refused_before_anything_is_made(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    path.chmod(0o444)
    refused(path, "read-only")
    refused(tmp_path, "is a folder")
    refused(tmp_path / "no" / "x", "does not exist")
    refused(path / "x", "can't be written|does not exist")
    refused(tmp_path / ("x" * 300), "too long")
    with pytest.raises(StorageError, match="folder's"):
        OutputFile(f"{tmp_path}/new/")
    with pytest.raises(StorageError, match="empty"):
        OutputFile("")
    with pytest.raises(StorageError, match="zero byte"):
        OutputFile(Path("a\0b"))
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_the_longest_names_and_those_with_patterns_in_them(tmp_path):
    for name in ("x" * 255, "é" * 127, "[a]*?.txt", "-", "new\nline"):
        for content in (b"one", b"two"):
            OutputFile(tmp_path / name).write(content)
            assert (tmp_path / name).read_bytes() == content
    assert len(list(tmp_path.iterdir())) == 5


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to others")
@pytest.mark.parametrize("folder_mode, file_mode, owner", [(0o555, 0o666, 0), (0o777, 0o666, 0), (0o555, 0o644, 65534)])
def test_a_file_that_cannot_be_replaced_is_written_in_place(folder_mode, file_mode, owner):
    """A folder that takes no new names, or somebody else's file that we may write."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "x"
        path.write_bytes(b"old and longer")
        path.chmod(file_mode)
        os.chown(path, owner, owner)
        os.chmod(place, folder_mode)
        before = path.stat()
        child = os.fork()
        if child == 0:
            try:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
                OutputFile(path).write(b"new")
            finally:
                os._exit(0 if path.read_bytes() == b"new" else 1)
        assert os.waitpid(child, 0)[1] == 0
        after = path.stat()
        assert (after.st_ino, after.st_uid, after.st_mode) == (before.st_ino, before.st_uid, before.st_mode)


def test_a_write_in_place_that_fails_leaves_what_was_there(tmp_path):
    path, other = tmp_path / "x", tmp_path / "y"
    path.write_bytes(b"old" * 100)
    os.link(path, other)
    program = ("import sys, resource, signal; from pathlib import Path\n"
               "from gpt2_assist.errors import StorageError; from gpt2_assist.files.output_file import OutputFile\n"
               "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
               "place = OutputFile(Path(sys.argv[1]))\n"
               "try:\n"
               "    with place.open() as stream:\n"
               "        stream.write(b'new' * 1000); stream.flush()\n"
               "        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
               "except StorageError as error: print(error)")
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, timeout=60)
    assert "File too large" in done.stdout, done
    assert path.read_bytes() == other.read_bytes() == b"old" * 100
