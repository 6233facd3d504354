"""The daemon's first process: asyncio, no torch. It hears clients and never computes, so it answers at once."""
import asyncio
import itertools
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from logging.handlers import RotatingFileHandler

from gpt2_assist import __version__, privacy
from gpt2_assist.config import Settings, read_settings
from gpt2_assist.daemon.supervisor.client_connection import ClientConnection
from gpt2_assist.daemon.supervisor.jobs import Job
from gpt2_assist.daemon.supervisor.workers import Workers
from gpt2_assist.errors import AssistError, DaemonError
from gpt2_assist.files import modes
from gpt2_assist.ipc import transport
from gpt2_assist.ipc.messages import MAX_CLIENTS, PROTOCOL_VERSION, Generate, Load
from gpt2_assist.model.store import find_model

MAX_JOBS = 2048
MAX_JOB_CHARACTERS = 64 << 20
"""Prompts of all unfinished requests together."""
MAX_LOG_BYTES = 1 << 20
LOCK_PATIENCE_S = 15.0
"""How long a starting daemon waits for one that is ending."""
ADDRESS_EVERY_S = 5.0
STRANGER_PATIENCE_S = 0.5
"""How long it waits where the lock's holder is none."""


class Supervisor:
    def __init__(self, settings: Settings, log: RotatingFileHandler, lock: int) -> None:
        """`lock` is the handle of the daemon's lock."""
        self._lock = lock
        self.pid, self.token = os.getpid(), ""
        self._settings = settings
        self._begun = time.monotonic()
        self._clients: set[ClientConnection] = set()
        self._jobs: set[Job] = set()
        self._characters = 0
        self._stopped = asyncio.Event()
        self._exit_timer: asyncio.TimerHandle | None = None
        self._workers = Workers(settings, lambda: log.stream, self._watch_use)
        self._numbers = itertools.count(1)

    async def run(self) -> None:
        """Serves until `stop`, or until nobody has needed it for long."""
        loop = asyncio.get_running_loop()
        await self._listen()
        if os.name != "nt":
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self.stop)
        self._workers.prepare_spare()
        logging.info("daemon %s listens as process %d", __version__, self.pid)
        self._watch_use()
        watch = asyncio.create_task(self._watch_address())
        await self._stopped.wait()
        watch.cancel()
        if transport.holds_lock(self._lock):
            with suppress(OSError):
                transport.address_path().unlink()
        self._server.close()
        for job in list(self._jobs):
            job.fail(DaemonError("The daemon was stopped."))
        await self._workers.close()
        logging.info("daemon ends")

    def stop(self) -> None:
        self._stopped.set()

    async def _listen(self) -> None:
        listener, self.token = transport.listen()
        self._server = await asyncio.get_running_loop().create_server(lambda: ClientConnection(self).connection,
                                                                      sock=listener)

    async def _watch_address(self) -> None:
        """What cleans temporary folders up may take the socket away. Then it is made again, but where the lock is gone
        too, so that another daemon may have come, this one ends with its last client."""
        while True:
            await asyncio.sleep(ADDRESS_EVERY_S)
            if not transport.holds_lock(self._lock):
                if not self._clients:
                    self.stop()
            elif not transport.address_path().exists():
                logging.warning("the socket was gone and is made again")
                self._server.close()
                with suppress(DaemonError):  # the next time, perhaps
                    await self._listen()

    def status(self) -> dict:
        return {"version": __version__, "protocol": PROTOCOL_VERSION, "pid": self.pid,
                "uptime_s": round(time.monotonic() - self._begun, 3), "clients": len(self._clients),
                "queued": sum(job.waiting for job in self._jobs), "workers": self._workers.status()}

    def accept(self, request: Generate | Load, reply: Callable[[object], None], on_end: Callable[[Job], None]) -> Job:
        """A job for the request, counted against what the daemon as a whole can keep. Raises DaemonError past that."""
        job = Job(next(self._numbers), request, reply, on_end)
        if len(self._jobs) >= MAX_JOBS or self._characters + job.size > MAX_JOB_CHARACTERS:
            raise DaemonError("The daemon has too many requests under way; wait for some to end.")
        self._jobs.add(job)
        self._characters += job.size
        return job

    def submit(self, job: Job) -> None:
        """Hands an accepted job to its model's worker. Raises ModelError where there is no such model."""
        self._workers.submit(job, find_model(job.request.model))

    def cancel(self, job: Job) -> None:
        """Ends a job that has not ended."""
        self._workers.cancel(job)

    def ended(self, job: Job) -> None:
        if job in self._jobs:
            self._jobs.remove(job)
            self._characters -= job.size
            self._workers.ended(job)

    def disconnected(self, client: ClientConnection) -> None:
        """Forgets a client."""
        self._clients.discard(client)
        self._watch_use()

    def connected(self, client: ClientConnection, peer: socket.socket) -> None:
        """Counts a client that has just connected, or refuses it."""
        if not transport.peer_is_owner(peer):
            client.refuse(DaemonError("This daemon belongs to another user."))
        elif len(self._clients) >= MAX_CLIENTS:
            client.refuse(DaemonError(f"The daemon has {MAX_CLIENTS} clients, the most it takes; close one."))
        else:
            self._clients.add(client)
            self._watch_use()

    def _watch_use(self) -> None:
        """Sets the clock for the end of a daemon that nobody uses."""
        if self._exit_timer:
            self._exit_timer.cancel()
            self._exit_timer = None
        if not self._clients and self._workers.empty:
            self._exit_timer = asyncio.get_running_loop().call_later(self._settings.exit_after_s, self.stop)


def open_log() -> RotatingFileHandler:
    """The daemon's log: times and process ids, never a user's text; two files of bounded size. Raises DaemonError."""
    try:
        handler = RotatingFileHandler(transport.log_path(), maxBytes=MAX_LOG_BYTES, backupCount=1, encoding="utf-8")
        transport.log_path().chmod(0o600)
    except OSError as error:
        raise DaemonError(f"The daemon's log {transport.log_path()} can't be written: "
                          f"{error.strerror or error}.") from None
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    return handler


def become_the_daemon() -> int | None:
    """The lock's handle, waited for while another daemon is ending. None where one is there and listens."""
    begun = time.monotonic()
    while (lock := transport.take_lock()) is None:
        other = transport.connect()
        if other:
            other[0].close()
            return None
        waited = time.monotonic() - begun
        if waited > (LOCK_PATIENCE_S if _is_there(transport.lock_holder()) else STRANGER_PATIENCE_S):
            raise DaemonError(f"Another process holds {transport.lock_path()} and does not answer; end it.")
        time.sleep(0.02)
    return lock


def _is_there(holder: int | None) -> bool:
    """Whether the process that wrote its id into the lock, if any did, still is; else something else holds it."""
    if not holder or os.name == "nt":
        return holder != 0
    try:
        os.kill(holder, 0)
    except OSError:
        return False
    return True


async def _serve(lock: int) -> None:
    await Supervisor(read_settings(), open_log(), lock).run()


def main() -> int:
    modes.begin()
    privacy.mend()
    try:
        transport.allow_open_files()
        lock = become_the_daemon()
        if lock is not None:
            asyncio.run(_serve(lock))
    except AssistError as error:
        return _failed(str(error), error.exit_code)
    except Exception as error:
        import traceback
        with suppress(OSError):
            traceback.print_exc()
        return _failed(f"Something went wrong inside the daemon ({type(error).__name__}); the details are in "
                       f"{transport.log_path()}.", 1)
    return 0


def _failed(sentence: str, exit_code: int) -> int:
    """Says why to the client that began the daemon, if one listens, and in the log, which is the standard error."""
    with suppress(OSError):
        os.write(1, sentence.encode("utf-8", "replace"))
    with suppress(OSError):
        print(sentence, file=sys.stderr, flush=True)
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
