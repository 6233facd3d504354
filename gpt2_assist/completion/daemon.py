"""The connection to the daemon, made at need and made again when it broke: who types outlives daemons."""
import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from gpt2_assist.errors import AssistError, DaemonError
from gpt2_assist.ipc.client import AsyncClient
from gpt2_assist.ipc.messages import Chunk, Finished, Generation, Loaded, Loading, SampleDone

_TRIES = 3


class Daemon:
    """Several documents share one connection."""

    def __init__(self, name: str) -> None:
        """`name` says in logs who asks."""
        self._name = name
        self._client: AsyncClient | None = None
        self._connecting = asyncio.Lock()

    async def generate(self, model: str, prompt: str, settings: Generation, priority: str = "keystroke",
                       **asked: Any) -> AsyncGenerator[Chunk | Loading | SampleDone | Finished | None]:
        """A generation's messages; `asked`: further entries of messages.Generate, of which an earlier one of the same
        `document` ends. None says that the daemon was lost and all starts again. Closing the iterator cancels it.
        Raises AssistError when tries are used up."""
        for attempt in range(_TRIES):
            client = None
            try:
                client = await self._connected()
                stream = await client.generate(model, prompt, settings, priority, **asked)
                ended = False
                try:
                    async for message in stream:
                        ended = isinstance(message, Finished)
                        yield message
                    return
                finally:
                    if not ended:
                        await self._cancel(stream)
            except DaemonError:
                await self._drop(client)
                if attempt == _TRIES - 1:
                    raise
                yield None

    async def load(self, model: str, **where: str) -> Loaded:
        """Makes a model ready; `where`: precision and device."""
        for attempt in range(_TRIES):
            client = None
            try:
                client = await self._connected()
                return await client.load(model, **where)
            except DaemonError:
                await self._drop(client)
                if attempt == _TRIES - 1:
                    raise
        raise AssertionError("unreachable")

    async def close(self) -> None:
        await self._drop(self._client)

    async def _connected(self) -> AsyncClient:
        async with self._connecting:
            if self._client is None:
                self._client = await AsyncClient.connect(self._name)
            return self._client

    async def _drop(self, client: AsyncClient | None) -> None:
        """Forgets a broken connection, unless another has taken its place."""
        if client is not None and client is self._client:
            self._client = None
            await client.close()

    async def _cancel(self, stream) -> None:
        try:
            await stream.cancel()
        except AssistError:
            pass  # the daemon was gone before us
