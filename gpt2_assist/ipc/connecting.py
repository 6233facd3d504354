"""Connecting to the daemon, which is started where none runs, or replaced where one runs that isn't ours."""
import os
import time
from typing import Any

from gpt2_assist import __version__, config
from gpt2_assist.errors import AssistError, DaemonError
from gpt2_assist.ipc import transport
from gpt2_assist.ipc.conversation import Conversation
from gpt2_assist.ipc.framing import to_wire
from gpt2_assist.ipc.messages import Loading, Welcome

START_TIMEOUT_S = 30.0
READ_BYTES = 1 << 16


class NotStarted(DaemonError):
    """What a daemon said that could not start, with its exit code."""

    def __init__(self, sentence: str, exit_code: int) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


class WentAway(DaemonError):
    """The daemon ended, or the connection to it."""

    def __init__(self) -> None:
        super().__init__(f"The daemon went away; try again, or see its log {transport.log_path()}.")


class NoAnswer(DaemonError):
    """A daemon listens and says nothing."""


def daemon_running() -> bool:
    """Whether a daemon of this user listens."""
    connection = transport.connect()
    if connection:
        connection[0].close()
    return connection is not None


class Link:
    """A greeted connection, and the conversation over it; blocking."""

    def __init__(self, name: str, start: bool) -> None:
        self.socket, token = _connect_or_start() if start else _connect()
        self.conversation = Conversation()
        self.send(self.conversation.hello(name, token))
        while self.conversation.welcome is None:
            self.conversation.check()
            self.hear()
        self.welcome: Welcome = self.conversation.welcome
        self.socket.settimeout(None)

    def send(self, message: object) -> None:
        """Raises OSError where the daemon is gone."""
        self.socket.sendall(to_wire(message))

    def hear(self) -> None:
        """Waits until something comes, if only the connection's end. Raises DaemonError where nothing does though a
        greeting must."""
        try:
            data = self.socket.recv(READ_BYTES)
        except TimeoutError:
            raise NoAnswer("The daemon that runs does not answer; `gpt2-assist daemon restart` ends it and starts "
                           "another.") from None
        except OSError:
            data = b""
        if data:
            self.conversation.hear(data)
        else:
            self.conversation.end(WentAway())

    def ask(self, request: Any) -> Any:
        """Sends a request and waits for its answer. Raises AssistError where it fails."""
        self.send(request)
        while True:
            answer = self.conversation.next(request.id)
            if answer is None:
                self.hear()
            elif not isinstance(answer, Loading):
                self.conversation.forget(request.id)
                return answer

    def drain(self) -> None:
        """Until the daemon is gone."""
        try:
            while True:
                self.conversation.check()
                self.hear()
        except AssistError:
            self.close()

    def close(self) -> None:
        self.socket.close()


def open_link(name: str, start: bool) -> Link:
    """Connects and greets. A daemon of another version or of another home folder is replaced if nobody uses it, else
    DaemonError."""
    end = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            link = Link(name, start)
        except (WentAway, ConnectionError):
            if not start or time.monotonic() > end or daemon_running():
                raise WentAway from None
            continue  # it was ending just as we came
        different = _difference(link.welcome)
        if not different or not start:
            return link
        if time.monotonic() > end:
            link.close()
            raise DaemonError(f"{different}, and such daemons keep starting: end the programs that start them.")
        _replace(link, different)


def _difference(welcome: Welcome) -> str:
    """What keeps a running daemon from being ours, if anything does; the beginning of a sentence."""
    if welcome.version != __version__:
        return f"The running daemon is version {welcome.version}, this is {__version__}"
    theirs, ours = os.fsdecode(welcome.home), config.home()
    if os.path.realpath(theirs) != os.path.realpath(ours):
        return f"The running daemon works for the home folder {theirs}, not for {ours}"
    return ""


def _replace(link: Link, different: str) -> None:
    """Ends an idle daemon that is not ours; raises DaemonError where it is in use."""
    status = link.ask(link.conversation.status()).status
    busy = any(worker["state"] != "idle" for worker in status["workers"])
    if status["clients"] > 1 or status["queued"] or busy:
        link.close()
        raise DaemonError(f"{different}, and others use it: end them, then run `gpt2-assist daemon restart`.")
    link.send(link.conversation.shutdown())
    link.drain()


def _connect() -> tuple[Any, str]:
    connection = transport.connect()
    if connection is None:
        raise DaemonError("No daemon is running; `gpt2-assist daemon start` starts one.")
    return connection


def _connect_or_start() -> tuple[Any, str]:
    connection = transport.connect()
    end = time.monotonic() + START_TIMEOUT_S
    while connection is None and time.monotonic() < end:
        connection = _started(end)
    if connection is None:
        raise DaemonError(f"The daemon could not be started; its log is {transport.log_path()}.")
    return connection


def _started(end: float) -> tuple[Any, str] | None:
    """A connection to a daemon that is begun now, or that another client begins meanwhile; None where it ends again at
    once, because another had been there, or doesn't come until `end`. Raises NotStarted with what it says."""
    log = transport.log_path()
    daemon = transport.start_detached(["gpt2_assist.daemon.supervisor.supervisor"], log)
    words = daemon.stdout
    assert words is not None  # a pipe
    with words:
        while time.monotonic() < end:
            code = daemon.poll()
            connection = transport.connect()
            if connection or code == 0:
                return connection
            if code is not None:
                said = words.read().decode("utf-8", "replace")
                raise NotStarted(said or f"The daemon could not be started; its log is {log}.",
                                 code if said else DaemonError.exit_code)
            time.sleep(0.005)
        daemon.kill()
    return None
