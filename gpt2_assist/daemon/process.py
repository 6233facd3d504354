"""A worker as the supervisor sees it: a process with a pipe, alive until its pipe closes."""
import asyncio
import sys
from collections.abc import Callable
from typing import BinaryIO

from gpt2_assist import transport
from gpt2_assist.daemon.connection import Connection

GRACE_S = 3.0
"""A worker whose pipe is closed and that has not ended by then is killed."""


class WorkerProcess:
    """Starts at once. `on_message` hears it; `on_exit` is called once, when its memory is back with the system."""

    def __init__(self, log: BinaryIO, on_message: Callable[["WorkerProcess", object], None],
                 on_exit: Callable[["WorkerProcess"], None]) -> None:
        self.pid = 0
        self.ending = False
        self._unsent: list[object] = []
        self._lost = asyncio.Event()
        self._on_exit = on_exit
        self._connected = False
        self._connection = Connection(lambda message: on_message(self, message), lambda error: self._kill(),
                                      self._lost.set, bounded=False)
        self._process: asyncio.subprocess.Process | None = None
        self._life = asyncio.create_task(self._live(log))

    def send(self, message: object) -> None:
        if self._connected:
            self._connection.send(message)
        else:
            self._unsent.append(message)

    def end(self) -> None:
        """Asks it to go by closing its pipe; `on_exit` follows."""
        self.ending = True
        if self._connected:
            self._connection.abort()

    async def wait(self) -> None:
        """Until it is gone."""
        await asyncio.shield(self._life)

    def _kill(self) -> None:
        if self._process and self._process.returncode is None:
            self._process.kill()

    async def _live(self, log: BinaryIO) -> None:
        pipe = transport.WorkerPipe()
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "gpt2_assist.daemon.worker", *pipe.arguments(), stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL, stderr=log, **pipe.inheritance())
            self.pid = self._process.pid
            self._process.stdin.write(pipe.introduction(self.pid))
            self._process.stdin.close()
        except OSError:
            pipe.ours.close()
            self._on_exit(self)
            return
        finally:
            pipe.handed_over()
        await asyncio.get_running_loop().create_connection(lambda: self._connection, sock=pipe.ours)
        self._connected = True
        for message in self._unsent:
            self._connection.send(message)
        if self.ending:
            self._connection.abort()
        await self._lost.wait()
        try:
            await asyncio.wait_for(self._process.wait(), GRACE_S)
        except TimeoutError:
            self._kill()
            await self._process.wait()
        self._on_exit(self)
