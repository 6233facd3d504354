"""How bytes travel between processes; the one file in which platforms differ.

Clients reach the daemon over a Unix socket in the runtime folder. Where there are none (Windows), or where the user
asks for it with GPT2_ASSIST_TCP=1, it is loopback TCP, and then a token from the runtime folder is compulsory.
Workers are reached over a socket pair that they inherit.
"""
import json
import os
import socket
import stat
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gpt2_assist import config
from gpt2_assist.errors import DaemonError

if TYPE_CHECKING:
    import subprocess

BACKLOG = 512
CONNECT_TIMEOUT_S = 5.0


def uses_tcp() -> bool:
    """Whether clients reach the daemon over loopback TCP."""
    return not hasattr(socket, "AF_UNIX") or os.name == "nt" or os.environ.get("GPT2_ASSIST_TCP") == "1"


def runtime_folder() -> Path:
    """The folder of socket, lock and log, made where it is missing; DaemonError where others could reach into it."""
    folder = config.runtime()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = folder.lstat()
    except OSError as error:
        raise DaemonError(f"The runtime folder {folder} can't be made: {error.strerror}.") from None
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
    """The daemon's lock, held until the process ends or the handle is closed; None where another process holds it."""
    handle = os.open(runtime_folder() / lock_path().name, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if os.name == "nt":  # there a locked byte can't be read: lock one behind the process id
            import msvcrt
            os.lseek(handle, 64, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            os.lseek(handle, 0, os.SEEK_SET)
        else:
            import fcntl
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    os.write(handle, f"{os.getpid():<20}".encode())
    return handle


def lock_holder() -> int | None:
    """The process id of the daemon, also while it starts or ends; None where there is none."""
    handle = take_lock()
    if handle is not None:
        os.close(handle)
        return None
    return int(lock_path().read_text(encoding="ascii") or 0)


def listen() -> tuple[socket.socket, str]:
    """The daemon's listening socket, and the token that clients must show (empty over a Unix socket).

    It appears under its final name only once it listens, so it replaces a stale one at one stroke. The caller holds
    the daemon's lock.
    """
    folder, address = runtime_folder(), address_path()
    fresh = folder / f".{address.name}.new"
    fresh.unlink(missing_ok=True)
    if uses_tcp():
        import secrets
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind(("127.0.0.1", 0))
        listener.listen(BACKLOG)
        token = secrets.token_hex(32)
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump({"port": listener.getsockname()[1], "token": token}, file)
    else:
        listener, token = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), ""
        try:
            listener.bind(str(fresh))
        except OSError:
            listener.close()
            raise DaemonError(f"No socket can be made in {folder}: is its path longer than 90 characters? "
                              "Set GPT2_ASSIST_RUNTIME to a shorter one.") from None
        fresh.chmod(0o600)
        listener.listen(BACKLOG)
    os.replace(fresh, address)
    listener.setblocking(False)
    return listener, token


def connect() -> tuple[socket.socket, str] | None:
    """A connection to the running daemon and the token to show it; None where none listens."""
    runtime_folder()
    address = address_path()
    try:
        if uses_tcp():
            place = json.loads(address.read_text(encoding="utf-8"))
            return socket.create_connection(("127.0.0.1", place["port"]), CONNECT_TIMEOUT_S), place["token"]
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    except (OSError, ValueError, KeyError):
        return None
    try:
        connection.settimeout(CONNECT_TIMEOUT_S)
        connection.connect(str(address))
    except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError):
        connection.close()
        return None
    except OSError as error:
        connection.close()
        raise DaemonError(f"The daemon's socket {address} can't be reached: {error}.") from None
    if not peer_is_owner(connection):
        connection.close()
        raise DaemonError(f"The daemon behind {address} belongs to another user and can't be trusted.")
    return connection, ""


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


def start_detached(arguments: list[str], log: Path) -> "subprocess.Popen":
    """Starts a Python module that outlives us, in a session of its own, with its standard error in `log`.

    It finds the package where we did, also in a checkout that is not installed.
    """
    import subprocess
    paths = [str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    apart = ({"creationflags": subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP}
             if os.name == "nt" else {"start_new_session": True})
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as errors:
        return subprocess.Popen([sys.executable, "-m", *arguments], stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=errors, cwd=config.runtime(), env=environment,
                                **apart)


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
    if argument == "-":
        return socket.fromshare(sys.stdin.buffer.read())
    return socket.socket(fileno=int(argument))
