"""How bytes travel between processes; the one file in which platforms differ.

Clients reach the daemon over a Unix socket in the runtime folder. Where there are none (Windows), or where the user
asks for it with GPT2_ASSIST_TCP=1, it is loopback TCP, and then a token from the runtime folder is compulsory.
Workers are reached over a socket pair that they inherit.
"""
import errno
import json
import os
import socket
import stat
import struct
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2_assist import config
from gpt2_assist.errors import DaemonError

if TYPE_CHECKING:
    import subprocess

BACKLOG = 512
CONNECT_TIMEOUT_S = 10.0
LOOPBACK = "127.0.0.1"
NEEDED_FILES, LEAST_FILES = 1024, 64
"""Open files of a daemon with as many clients as it takes, and with a few."""
_LONGEST_ADDRESS = 107 if sys.platform == "linux" else 103
"""Bytes of a Unix socket's path."""


def uses_tcp() -> bool:
    """Whether clients reach the daemon over loopback TCP."""
    return not hasattr(socket, "AF_UNIX") or os.name == "nt" or os.environ.get("GPT2_ASSIST_TCP") == "1"


def runtime_folder() -> Path:
    """The folder of socket, lock and log, made where it is missing; DaemonError where others could reach into it."""
    folder = config.runtime()
    with _usable(folder):
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = folder.lstat()
    if os.name == "nt":
        return folder
    if not stat.S_ISDIR(state.st_mode):
        raise DaemonError(f"The runtime folder {folder} is no folder of its own: remove it, "
                          "or set GPT2_ASSIST_RUNTIME to another one.")
    if state.st_uid != os.getuid():
        raise DaemonError(f"The runtime folder {folder} belongs to another user: set GPT2_ASSIST_RUNTIME to a folder "
                          "of your own.")
    if state.st_mode & 0o077:
        raise DaemonError(f"The runtime folder {folder} is open to other users: run `chmod 700 {folder}`.")
    return folder


@contextmanager
def _usable(folder: Path) -> Generator[None]:
    """Turns what the system says against the runtime folder into a DaemonError."""
    try:
        yield
    except OSError as error:
        raise DaemonError(f"The runtime folder {folder} can't be used: {error.strerror or error}. "
                          "Set GPT2_ASSIST_RUNTIME to another one.") from None


def log_path() -> Path:
    """The daemon's log."""
    return config.runtime() / "daemon.log"


def lock_path() -> Path:
    """The file that the one daemon keeps locked while it lives."""
    return config.runtime() / "daemon.lock"


def address_path() -> Path:
    """The socket, or the file with the TCP port and token."""
    return config.runtime() / ("daemon.json" if uses_tcp() else "daemon.sock")


def take_lock() -> int | None:
    """The daemon's lock, held until the process ends or the handle is closed; None where another process holds it.
    Raises DaemonError where the folder refuses."""
    folder = runtime_folder()
    with _usable(folder):
        handle = os.open(folder / lock_path().name, os.O_RDWR | os.O_CREAT, 0o600)
        if not _locked(handle):
            os.close(handle)
            return None
        os.write(handle, f"{os.getpid():<20}".encode())
        return handle


def holds_lock(handle: int) -> bool:
    """Whether the daemon's lock is still the one that was taken: others may have removed its file, or all the folder.
    """
    try:
        there, ours = lock_path().stat(), os.fstat(handle)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def lock_holder() -> int | None:
    """The process id of the daemon, also while it starts or ends, 0 where it is unknown; None where there is none."""
    folder = runtime_folder()
    with _usable(folder):
        try:
            handle = os.open(folder / lock_path().name, os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            if _locked(handle):
                return None
            said = os.read(handle, 20).decode("ascii", "replace").strip()
            return int(said) if said.isdecimal() else 0
        finally:
            os.close(handle)


def _locked(handle: int) -> bool:
    """Locks the open file, unless another process has done so. Raises OSError where there are no locks."""
    if os.name == "nt":  # there a locked byte can't be read: lock one behind the process id
        import msvcrt
        os.lseek(handle, 64, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(handle, 0, os.SEEK_SET)
        return True
    import fcntl
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def listen() -> tuple[socket.socket, str]:
    """The daemon's listening socket, and the token that clients must show (empty over a Unix socket).

    It appears under its final name only once it listens, so it replaces a stale one at one stroke. The caller holds
    the daemon's lock. Raises DaemonError where the folder, or the network, refuses.
    """
    folder, address = runtime_folder(), address_path()
    fresh = folder / ".new"
    with _usable(folder):
        fresh.unlink(missing_ok=True)
        listener, token = _on_loopback(fresh) if uses_tcp() else (_on_socket(fresh, address), "")
        os.replace(fresh, address)
    listener.setblocking(False)
    return listener, token


def _on_loopback(fresh: Path) -> tuple[socket.socket, str]:
    import secrets
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.bind((LOOPBACK, 0))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise DaemonError(f"The daemon can't listen at {LOOPBACK}: {error.strerror or error}.") from None
    token = secrets.token_hex(32)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump({"pid": os.getpid(), "port": listener.getsockname()[1], "token": token}, file)
    return listener, token


def _on_socket(fresh: Path, address: Path) -> socket.socket:
    _check_length(address)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(fresh))
    fresh.chmod(0o600)
    listener.listen(BACKLOG)
    return listener


def _check_length(address: Path) -> None:
    """The system cuts longer ones off, or refuses them."""
    length = len(os.fsencode(address))
    if length > _LONGEST_ADDRESS:
        most = _LONGEST_ADDRESS - len(os.fsencode(address.name)) - 1
        raise DaemonError(f"The path of the runtime folder {address.parent} is too long for a socket: it may have "
                          f"{most} bytes. Set GPT2_ASSIST_RUNTIME to a shorter one.")


def connect() -> tuple[socket.socket, str] | None:
    """A connection to the running daemon and the token to show it; None where none listens."""
    runtime_folder()
    address = address_path()
    if uses_tcp():
        return _connect_to_port(address)
    _check_length(address)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(CONNECT_TIMEOUT_S)
        connection.connect(str(address))
    except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError):
        connection.close()
        return None
    except OSError as error:
        connection.close()
        if error.errno == errno.ENOTSOCK:  # something else lies there, which a daemon that starts replaces
            return None
        raise DaemonError(f"The daemon's socket {address} can't be reached: {error.strerror or error}.") from None
    if not peer_is_owner(connection):
        connection.close()
        raise DaemonError(f"The daemon behind {address} belongs to another user and can't be trusted.")
    return connection, ""


def _connect_to_port(address: Path) -> tuple[socket.socket, str] | None:
    try:
        place = json.loads(address.read_text(encoding="utf-8"))
        if place["pid"] != lock_holder():  # a port outlives its daemon: by now another program may have it
            return None
        return socket.create_connection((LOOPBACK, place["port"]), CONNECT_TIMEOUT_S), place["token"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def peer_is_owner(connection: socket.socket) -> bool:
    """Whether the process at the other end of a Unix socket belongs to our user; TCP is guarded by its token."""
    if connection.family == socket.AF_INET:
        return True
    if hasattr(socket, "SO_PEERCRED"):
        _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    else:  # macOS and the BSDs: struct xucred begins with its version and the user
        local_peercred = 1
        _, uid = struct.unpack_from("=Ii", connection.getsockopt(0, local_peercred, 76))
    return uid == os.getuid()


def token_is_right(given: str, wanted: str) -> bool:
    """Compares in a time that does not depend on where they differ."""
    import hmac
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def allow_open_files() -> None:
    """Has the system allow this process as many open files as a full daemon needs. Raises DaemonError where they are
    too few."""
    if os.name == "nt":
        return
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = NEEDED_FILES if hard == resource.RLIM_INFINITY else min(hard, NEEDED_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if 0 <= resource.getrlimit(resource.RLIMIT_NOFILE)[0] < LEAST_FILES:
        raise DaemonError(f"The system allows the daemon only {soft} open files; it needs {LEAST_FILES} at least: "
                          "see `ulimit -n`.")


def start_detached(arguments: list[str], log: Path) -> "subprocess.Popen":
    """Starts a Python module that outlives us, in a session of its own, with its standard error in `log` and its
    standard output in a pipe. Raises DaemonError where it can't be started.

    It finds the package where we did, also in a checkout that is not installed, and our folders, though it works in
    another one.
    """
    import subprocess
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, **config.environment(), "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    apart: dict[str, Any] = ({"creationflags": subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP}
                             if os.name == "nt" else {"start_new_session": True})
    folder = runtime_folder()
    with _usable(folder):
        errors = open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")
    with errors:
        try:
            return subprocess.Popen([sys.executable, "-m", *arguments], stdin=subprocess.DEVNULL,
                                    stdout=subprocess.PIPE, stderr=errors, cwd=folder, env=environment, **apart)
        except OSError as error:
            raise DaemonError(f"The daemon can't be started: {error.strerror or error}.") from None


class WorkerPipe:
    """The socket pair between the supervisor and one worker."""

    def __init__(self) -> None:
        self.ours, self._theirs = socket.socketpair()

    def arguments(self) -> list[str]:
        """What the worker is told, so that `inherited` finds its end."""
        return ["-"] if os.name == "nt" else [str(self._theirs.fileno())]

    def inheritance(self) -> dict:
        """Options for the worker's Popen."""
        return {} if os.name == "nt" else {"pass_fds": [self._theirs.fileno()]}

    def introduction(self, pid: int) -> bytes:
        """What must be written to the worker's standard input once it runs."""
        return self._theirs.share(pid) if os.name == "nt" else b""

    def handed_over(self) -> None:
        """Closes the worker's end on our side, so that its death closes the pipe."""
        self._theirs.close()


def inherited(argument: str) -> socket.socket:
    """The worker's end of its WorkerPipe."""
    if os.name == "nt":
        return socket.fromshare(sys.stdin.buffer.read())
    return socket.socket(fileno=int(argument))
