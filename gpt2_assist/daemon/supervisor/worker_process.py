"""A worker as the supervisor sees it: a process with a pipe, alive until its pipe closes."""
import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

from gpt2_assist.daemon.supervisor.connection import Connection
from gpt2_assist.daemon.supervisor.pulse import Pulse
from gpt2_assist.ipc import transport
from gpt2_assist.ipc.messages import Ping, Pong

GRACE_S = 3.0
"""A worker whose pipe is closed and that has not ended by then is killed."""


class WorkerProcess:
    """Starts at once. `on_message` hears it; `on_exit` is called once, when its memory is back with the system."""

    def __init__(self, log: IO[Any] | None, on_message: Callable[["WorkerProcess", object], None],
                 on_exit: Callable[["WorkerProcess"], None]) -> None:
        self.pid = 0
        self.ending = False
        self.pulse = Pulse()
        self.trouble = ""
        """Why it could not be started."""
        self.ended_by = 0
        """The signal that ended it, if we didn't."""
        self._unsent: list[object] = []
        self._lost = asyncio.Event()
        self._on_message, self._on_exit = on_message, on_exit
        self._connected = False
        self._connection = Connection(self._hear, lambda error: self.kill(), self._lost.set, bounded=False)
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

    def kill(self) -> None:
        """Ends it whatever it does; `on_exit` follows."""
        self.end()
        if self._process and self._process.returncode is None:
            self._process.kill()

    def ask(self) -> None:
        """Asks whether it lives, unless it still owes the last answer."""
        if not self.pulse.asked:
            self.pulse.asked = True
            self.send(Ping())

    def beat(self, working: bool, loading: bool) -> None:
        """Judges its pulse and asks anew."""
        self.pulse.beat(working, loading, self._processor_seconds())
        self.ask()

    def look(self) -> None:
        """Sees whether the system has stopped it, which no beat need wait for."""
        import psutil  # not above: most daemons never need it
        with suppress(psutil.Error):
            if self.pid and psutil.Process(self.pid).status() == psutil.STATUS_STOPPED:
                self.pulse.stopped(self._processor_seconds())
        self.ask()

    def _processor_seconds(self) -> float:
        import psutil
        with suppress(psutil.Error):
            if self.pid:
                times = psutil.Process(self.pid).cpu_times()
                return times.user + times.system
        return 0.0

    def _hear(self, message: object) -> None:
        if isinstance(message, Pong):
            self.pulse.answer(message.steps)
        else:
            self.pulse.heard()
            self._on_message(self, message)

    async def _live(self, log: IO[Any] | None) -> None:
        pipe = transport.WorkerPipe()
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "gpt2_assist.daemon.worker.worker", *pipe.arguments(),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=log, **pipe.inheritance())
            self.pid = self._process.pid
            introduced = self._process.stdin
            assert introduced is not None
            introduced.write(pipe.introduction(self.pid))
            introduced.close()
        except OSError as error:
            self.trouble = f"No worker can be started: {error.strerror or error}."
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
            self.kill()
            await self._process.wait()
        if not self.ending:
            self.ended_by = max(0, -(self._process.returncode or 0))
        self._on_exit(self)
