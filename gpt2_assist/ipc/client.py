"""The client, blocking and for asyncio: connects to the daemon, starting it on demand, and streams what it says."""
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from gpt2_assist.ipc.connecting import READ_BYTES, Link, WentAway, open_link
from gpt2_assist.ipc.framing import to_wire
from gpt2_assist.ipc.messages import Cancel, Chunk, Finished, Generation, Loaded, Loading, SampleDone

if TYPE_CHECKING:
    import asyncio


class Client:
    """Blocking. Several threads may use it, each its own streams; a stream that nobody reads must be cancelled."""

    def __init__(self, link: Link) -> None:
        self._link, self._conversation = link, link.conversation
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

    def generate(self, model: str, prompt: str, settings: Generation, priority: str = "session",
                 **asked: Any) -> "Reply":
        """Starts a generation; see Reply. `asked`: further entries of messages.Generate."""
        request = self._conversation.generate(model, prompt, settings, priority, asked)
        self._send(request)
        return Reply(self, request.id)

    def load(self, model: str, precision: str = "auto", device: str = "auto") -> Loaded:
        """Makes a model ready and waits until it is."""
        return self._answer(self._conversation.load(model, precision, device))

    def status(self) -> dict:
        return self._answer(self._conversation.status()).status

    def shutdown(self) -> None:
        """Ends the daemon and waits until it is gone."""
        self._answer(self._conversation.shutdown())
        self._link.drain()

    def _answer(self, request: Any) -> Any:
        """The first thing that comes for a request but that it waits for a model."""
        try:
            self._send(request)
            while isinstance(message := self._next(request.id), Loading):
                pass
            return message
        finally:
            self._conversation.forget(request.id)

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
        while (message := self._conversation.next(id)) is None:
            with self._reading:
                if (message := self._conversation.next(id)) is not None:
                    return message
                self._link.hear()
        return message


class Reply:
    """Iterate over it for Loading, Chunk, SampleDone and, last, Finished; a Failure is raised as its AssistError."""

    def __init__(self, client: Client, id: int) -> None:
        self._client, self.id = client, id

    def __iter__(self) -> Iterator[Loading | Chunk | SampleDone | Finished]:
        try:
            while True:
                message = self._client._next(self.id)
                yield message
                if isinstance(message, Finished):
                    return
        finally:
            self._client._conversation.forget(self.id)

    def cancel(self) -> None:
        """Asks for the end; the stream goes on to SampleDone and Finished. For any thread or signal handler."""
        self._client._send(Cancel(self.id))


class AsyncClient:
    """The same for asyncio: one task hears the daemon and wakes who waits."""

    def __init__(self, link: Link, reader: "asyncio.StreamReader", writer: "asyncio.StreamWriter") -> None:
        import asyncio
        self._conversation, self._writer = link.conversation, writer
        self._waiting: dict[int, asyncio.Event] = {}
        self._hearing = asyncio.create_task(self._hear(reader))

    @classmethod
    async def connect(cls, name: str = "cli", start: bool = True) -> "AsyncClient":
        """Raises DaemonError where no daemon can be reached, or none runs and `start` is False."""
        import asyncio
        link = await asyncio.to_thread(open_link, name, start)
        return cls(link, *await asyncio.open_connection(sock=link.socket))

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
                       **asked: Any) -> "AsyncReply":
        """Starts a generation; see AsyncReply. `asked` as in Client."""
        request = self._conversation.generate(model, prompt, settings, priority, asked)
        await self._send(request)
        return AsyncReply(self, request.id)

    async def load(self, model: str, precision: str = "auto", device: str = "auto") -> Loaded:
        """Makes a model ready and waits until it is."""
        return await self._answer(self._conversation.load(model, precision, device))

    async def status(self) -> dict:
        return (await self._answer(self._conversation.status())).status

    async def shutdown(self) -> None:
        """Ends the daemon and waits until it is gone."""
        import asyncio
        await self._answer(self._conversation.shutdown())
        await asyncio.wait([self._hearing])

    async def _answer(self, request: Any) -> Any:
        """As Client's."""
        try:
            await self._send(request)
            while isinstance(message := await self._next(request.id), Loading):
                pass
            return message
        finally:
            self._forget(request.id)

    async def _send(self, message: object) -> None:
        self._writer.write(to_wire(message))
        try:
            await self._writer.drain()
        except OSError:
            raise WentAway from None

    async def _next(self, id: int) -> Any:
        import asyncio
        while (message := self._conversation.next(id)) is None:
            came = self._waiting[id] = asyncio.Event()
            await came.wait()
        return message

    def _forget(self, id: int) -> None:
        self._conversation.forget(id)
        self._waiting.pop(id, None)

    async def _hear(self, reader: "asyncio.StreamReader") -> None:
        try:
            while data := await reader.read(READ_BYTES):
                for id in self._conversation.hear(data):
                    if id in self._waiting:
                        self._waiting[id].set()
        except OSError:
            pass
        self._conversation.end(WentAway())
        for came in self._waiting.values():
            came.set()


class AsyncReply:
    """As Reply, by `async for`."""

    def __init__(self, client: AsyncClient, id: int) -> None:
        self._client, self.id = client, id

    async def __aiter__(self) -> AsyncIterator[Loading | Chunk | SampleDone | Finished]:
        try:
            while True:
                message = await self._client._next(self.id)
                yield message
                if isinstance(message, Finished):
                    return
        finally:
            self._client._forget(self.id)

    async def cancel(self) -> None:
        """Asks for the end; the stream goes on to SampleDone and Finished."""
        await self._client._send(Cancel(self.id))
