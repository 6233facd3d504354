"""The client: connects to the daemon, starting it on demand, and streams what it says. Imports nothing heavy."""
import itertools
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from gpt2_assist import __version__, config
from gpt2_assist.errors import AssistError, DaemonError
from gpt2_assist.ipc import transport
from gpt2_assist.ipc.framing import FrameDecoder, from_wire, to_wire
from gpt2_assist.ipc.messages import (
    PROTOCOL_VERSION,
    Cancel,
    Chunk,
    Failure,
    Finished,
    Generate,
    Generation,
    Goodbye,
    Hello,
    Load,
    Loaded,
    Loading,
    SampleDone,
    Shutdown,
    StatusReply,
    StatusRequest,
    Welcome,
)
from gpt2_assist.text.valid import model_path, valid

START_TIMEOUT_S = 30.0
READ_BYTES = 1 << 16


class ServerError(AssistError):
    """What the daemon said, with its exit code."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.sentence)
        self.exit_code = failure.exit_code


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
    """A greeted connection, before anything is asked."""

    def __init__(self, name: str, start: bool) -> None:
        self.socket, token = _connect_or_start() if start else _connect()
        self._decoder = FrameDecoder()
        self._read: deque[Any] = deque()
        self.socket.sendall(to_wire(Hello(PROTOCOL_VERSION, __version__, name, token)))
        self.welcome: Welcome = self.receive()
        self.socket.settimeout(None)

    def receive(self) -> Any:
        """The next message. Raises DaemonError if the daemon goes away or does not greet, and what it says where it
        closes."""
        while not self._read:
            try:
                data = self.socket.recv(READ_BYTES)
            except TimeoutError:
                raise NoAnswer("The daemon that runs does not answer; `gpt2-assist daemon restart` ends it and starts "
                               "another.") from None
            except OSError:
                data = b""
            if not data:
                raise WentAway
            self._read.extend(map(from_wire, self._decoder.feed(data)))
        message = self._read.popleft()
        if isinstance(message, Failure) and message.id == 0:
            raise ServerError(message)
        return message

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
    link.socket.sendall(to_wire(StatusRequest(1)))
    status = link.receive().status
    busy = any(worker["state"] != "idle" for worker in status["workers"])
    if status["clients"] > 1 or status["queued"] or busy:
        link.close()
        raise DaemonError(f"{different}, and others use it: end them, then run `gpt2-assist daemon restart`.")
    link.socket.sendall(to_wire(Shutdown(2)))
    _drain(link)


def _drain(link: Link) -> None:
    """Until the daemon is gone."""
    try:
        while True:
            link.receive()
    except AssistError:
        link.close()


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
    with daemon.stdout:
        while time.monotonic() < end:
            code = daemon.poll()
            connection = transport.connect()
            if connection or code == 0:
                return connection
            if code is not None:
                said = daemon.stdout.read().decode("utf-8", "replace")
                raise NotStarted(said or f"The daemon could not be started; its log is {log}.",
                                 code if said else DaemonError.exit_code)
            time.sleep(0.005)
        daemon.kill()
    return None


def _named_anywhere(model: str) -> str:
    from gpt2_assist.model.store import named_anywhere  # not above: who only asks for the status needs no store
    return model_path(named_anywhere(model))


def _request(id: int, model: str, prompt: str, settings: Generation, priority: str, document: str, precision: str,
             device: str, around: dict[str, Any]) -> Generate:
    """With texts that can be sent, whatever they hold. Raises UsageError where a setting is wrong."""
    request = Generate(id, "", valid(prompt), settings, priority, valid(document), precision, device, **around)
    request.validate()
    suffix = None if request.suffix is None else valid(request.suffix)
    beside = [[valid(path), valid(text)] for path, text in request.beside]
    settings = replace(settings, stop=[valid(text) for text in settings.stop])
    return replace(request, model=_named_anywhere(model), settings=settings, suffix=suffix, path=valid(request.path),
                   repository=valid(request.repository), beside=beside)


class Client:
    """Blocking. Several threads may use it, each its own streams; a stream that nobody reads must be cancelled."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._ids = itertools.count(1)
        self._inboxes: dict[int, deque] = {}
        self._outbox: deque[bytes] = deque()
        self._sending, self._reading = threading.Lock(), threading.Lock()

    @classmethod
    def connect(cls, name: str = "cli", start: bool = True) -> "Client":
        """Raises DaemonError where no daemon can be reached, or none runs and `start` is False."""
        return cls(open_link(name, start))

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._link.close()

    def generate(self, model: str, prompt: str, settings: Generation, priority: str = "session", document: str = "",
                 precision: str = "auto", device: str = "auto", **around: Any) -> "Stream":
        """Starts a generation; see Stream. `around`: protocol.Generate's suffix, path, repository and beside."""
        id = next(self._ids)
        return Stream(self, self._ask(_request(id, model, prompt, settings, priority, document, precision, device,
                                               around)))

    def load(self, model: str, precision: str = "auto", device: str = "auto") -> Loaded:
        """Makes a model ready and waits until it is."""
        return self._answer(Load(next(self._ids), _named_anywhere(model), precision, device), Loaded)

    def status(self) -> dict:
        return self._answer(StatusRequest(next(self._ids)), StatusReply).status

    def shutdown(self) -> None:
        """Ends the daemon and waits until it is gone."""
        self._answer(Shutdown(next(self._ids)), Goodbye)
        _drain(self._link)

    def _answer(self, request: Any, kind: type) -> Any:
        id = self._ask(request)
        try:
            while True:
                message = self._next(id)
                if isinstance(message, Failure):
                    raise ServerError(message)
                if isinstance(message, kind):
                    return message
        finally:
            del self._inboxes[id]

    def _ask(self, request: Any) -> int:
        self._inboxes[request.id] = deque()
        self._send(request)
        return request.id

    def _send(self, message: object) -> None:
        """Whole frames also where a signal handler or another thread sends in the middle of it."""
        self._outbox.append(to_wire(message))
        while self._outbox and self._sending.acquire(blocking=False):
            try:
                while self._outbox:
                    self._link.socket.sendall(self._outbox.popleft())
            except OSError:
                raise WentAway from None
            finally:
                self._sending.release()

    def _next(self, id: int) -> Any:
        """The next message of one request; what comes for others meanwhile goes to them."""
        inbox = self._inboxes[id]
        while not inbox:
            with self._reading:
                if not inbox:
                    message = self._link.receive()
                    if message.id in self._inboxes:
                        self._inboxes[message.id].append(message)
        return inbox.popleft()


class Stream:
    """Iterate over it for Loading, Chunk, SampleDone and, last, Finished; a Failure is raised as its AssistError."""

    def __init__(self, client: Client, id: int) -> None:
        self._client, self.id = client, id

    def __iter__(self) -> Iterator[Loading | Chunk | SampleDone | Finished]:
        try:
            while True:
                message = self._client._next(self.id)
                if isinstance(message, Failure):
                    raise ServerError(message)
                yield message
                if isinstance(message, Finished):
                    return
        finally:
            self._client._inboxes.pop(self.id, None)

    def cancel(self) -> None:
        """Asks for the end; the stream goes on to SampleDone and Finished. For any thread or signal handler."""
        self._client._send(Cancel(self.id))


class AsyncClient:
    """The same for asyncio: one task hears the daemon, each request has a queue."""

    def __init__(self, link: Link) -> None:
        import asyncio
        self._link = link
        self._ids = itertools.count(1)
        self._inboxes: dict[int, asyncio.Queue] = {}
        self._ended: AssistError | None = None
        self._hearing: asyncio.Task | None = None

    @classmethod
    async def connect(cls, name: str = "cli", start: bool = True) -> "AsyncClient":
        """Raises DaemonError where no daemon can be reached, or none runs and `start` is False."""
        import asyncio
        client = cls(await asyncio.to_thread(open_link, name, start))
        reader, client._writer = await asyncio.open_connection(sock=client._link.socket)
        client._hearing = asyncio.create_task(client._hear(reader))
        return client

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        self._hearing.cancel()
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            pass  # the daemon was gone before us

    async def generate(self, model: str, prompt: str, settings: Generation, priority: str = "session",
                       document: str = "", precision: str = "auto", device: str = "auto",
                       **around: Any) -> "AsyncStream":
        """Starts a generation; see AsyncStream. `around` as in Client."""
        id = next(self._ids)
        await self._ask(_request(id, model, prompt, settings, priority, document, precision, device, around))
        return AsyncStream(self, id)

    async def load(self, model: str, precision: str = "auto", device: str = "auto") -> Loaded:
        """Makes a model ready and waits until it is."""
        return await self._answer(Load(next(self._ids), _named_anywhere(model), precision, device), Loaded)

    async def status(self) -> dict:
        return (await self._answer(StatusRequest(next(self._ids)), StatusReply)).status

    async def shutdown(self) -> None:
        """Ends the daemon and waits until it is gone."""
        import asyncio
        await self._answer(Shutdown(next(self._ids)), Goodbye)
        await asyncio.wait([self._hearing])

    async def _answer(self, request: Any, kind: type) -> Any:
        await self._ask(request)
        try:
            while True:
                message = await self._next(request.id)
                if isinstance(message, kind):
                    return message
        finally:
            self._inboxes.pop(request.id, None)

    async def _ask(self, request: Any) -> None:
        import asyncio
        if self._ended:
            raise self._ended
        self._inboxes[request.id] = asyncio.Queue()
        await self._send(request)

    async def _send(self, message: object) -> None:
        self._writer.write(to_wire(message))
        try:
            await self._writer.drain()
        except OSError:
            raise WentAway from None

    async def _next(self, id: int) -> Any:
        message = await self._inboxes[id].get()
        if isinstance(message, AssistError):
            raise message
        if isinstance(message, Failure):
            raise ServerError(message)
        return message

    async def _hear(self, reader: Any) -> None:
        decoder = FrameDecoder()
        try:
            while data := await reader.read(READ_BYTES):
                for message in map(from_wire, decoder.feed(data)):
                    if isinstance(message, Failure) and message.id == 0:
                        raise ServerError(message)
                    if message.id in self._inboxes:
                        self._inboxes[message.id].put_nowait(message)
            raise WentAway
        except OSError:
            self._ended = WentAway()
        except AssistError as error:
            self._ended = error
        for inbox in self._inboxes.values():
            inbox.put_nowait(self._ended)


class AsyncStream:
    """As Stream, by `async for`."""

    def __init__(self, client: AsyncClient, id: int) -> None:
        self._client, self.id = client, id

    async def __aiter__(self) -> Any:
        try:
            while True:
                message = await self._client._next(self.id)
                yield message
                if isinstance(message, Finished):
                    return
        finally:
            self._client._inboxes.pop(self.id, None)

    async def cancel(self) -> None:
        """Asks for the end; the stream goes on to SampleDone and Finished."""
        await self._client._send(Cancel(self.id))
