"""One client as the supervisor sees it: its greeting, its requests, its limits."""
import asyncio
import os
import secrets
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from gpt2_assist import __version__, config
from gpt2_assist.config import DEVICES, PRECISIONS
from gpt2_assist.daemon.supervisor.connection import Connection
from gpt2_assist.daemon.supervisor.jobs import Job
from gpt2_assist.errors import AssistError, DaemonError, ProtocolError, UsageError
from gpt2_assist.ipc import transport
from gpt2_assist.ipc.messages import (
    MAX_REQUESTS_PER_CLIENT,
    PROTOCOL_VERSION,
    Cancel,
    Failure,
    Generate,
    Goodbye,
    Hello,
    Load,
    Shutdown,
    StatusReply,
    StatusRequest,
    Welcome,
)

GREETING_S = 10.0
"""A client that has not said Hello by then is disconnected."""


class Service(Protocol):
    """All that a client's connection asks of the supervisor."""

    pid: int
    token: str
    """What a client must say where the system doesn't tell who it is."""

    def connected(self, client: "ClientConnection", peer: socket.socket) -> None:
        """Counts a client, or refuses it."""

    def disconnected(self, client: "ClientConnection") -> None:
        """Forgets a client."""

    def accept(self, request: Generate | Load, reply: Callable[[object], None], on_end: Callable[[Job], None]) -> Job:
        """A job for the request, counted. Raises DaemonError where the daemon has too much to do."""

    def submit(self, job: Job) -> None:
        """Hands an accepted job to its model's worker. Raises ModelError where there is no such model."""

    def cancel(self, job: Job) -> None:
        """Ends a job that has not ended."""

    def ended(self, job: Job) -> None:
        """Forgets a job."""

    def status(self) -> dict:
        """What `gpt2-assist daemon status --json` prints."""

    def stop(self) -> None:
        """Ends the daemon."""


class ClientConnection:
    """Made when a client connects; `connection` is its asyncio protocol."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.connection = Connection(self._heard, self.refuse, self._lost, bounded=True,
                                     on_made=lambda peer: service.connected(self, peer))
        self.jobs: dict[int, Job] = {}
        self.greeted = False
        self._greeting_timer = asyncio.get_running_loop().call_later(GREETING_S, self._not_greeted)

    def refuse(self, error: AssistError) -> None:
        """Says why, and closes the connection."""
        self.connection.send(Failure(0, str(error), error.exit_code))
        self.connection.close()

    def _not_greeted(self) -> None:
        if not self.greeted:
            self.refuse(ProtocolError("No Hello came."))

    def _lost(self) -> None:
        self._greeting_timer.cancel()
        for job in list(self.jobs.values()):
            job.abandon()
            self._service.cancel(job)
        self._service.disconnected(self)

    def _heard(self, message: object) -> None:
        if not self.greeted:
            self._greet(message)
        elif isinstance(message, (Generate, Load)):
            self._request(message)
        elif isinstance(message, Cancel):
            if message.id in self.jobs:
                self._service.cancel(self.jobs[message.id])
        elif isinstance(message, StatusRequest):
            self.connection.send(StatusReply(message.id, self._service.status()))
        elif isinstance(message, Shutdown):
            self.connection.send(Goodbye(message.id))
            self._service.stop()
        else:
            self.refuse(ProtocolError(f"A client can't send a {type(message).__name__}."))

    def _greet(self, message: object) -> None:
        if not isinstance(message, Hello):
            self.refuse(ProtocolError("The first message must be Hello."))
        elif message.protocol != PROTOCOL_VERSION:
            self.refuse(DaemonError(
                f"The running daemon (version {__version__}) speaks protocol {PROTOCOL_VERSION}, this client "
                f"(version {message.version[:20]}) protocol {message.protocol}: run `gpt2-assist daemon restart`."))
        elif not transport.token_is_right(message.token, self._service.token):
            self.refuse(DaemonError("The daemon's token is missing or wrong."))
        else:
            self.greeted = True
            self._greeting_timer.cancel()
            self.connection.send(Welcome(PROTOCOL_VERSION, __version__, self._service.pid,
                                         os.fsencode(config.home())))

    def _request(self, message: Generate | Load) -> None:
        if message.id < 1:
            self.refuse(ProtocolError("The ids of requests begin with 1."))
            return
        if message.id in self.jobs:
            self.refuse(ProtocolError(f"The id {message.id} is still in use."))
            return
        try:
            self._accept(message)
        except AssistError as error:
            self.connection.send(Failure(message.id, str(error), error.exit_code))

    def _accept(self, message: Generate | Load) -> None:
        if len(self.jobs) >= MAX_REQUESTS_PER_CLIENT:
            raise DaemonError(f"This client has {MAX_REQUESTS_PER_CLIENT} requests under way; wait for one to end.")
        if message.device not in DEVICES:
            raise UsageError(f"There is no device {message.device[:20]!r}; say {', '.join(DEVICES)}.")
        if message.precision not in PRECISIONS:
            raise UsageError(f"There is no precision {message.precision[:20]!r}; say {', '.join(PRECISIONS)}.")
        if isinstance(message, Generate):
            message = self._checked(message)
        job = self._service.accept(message, self.connection.send, self._ended)
        self.jobs[message.id] = job
        try:
            self._service.submit(job)
        except AssistError as error:
            job.fail(error)

    def _checked(self, message: Generate) -> Generate:
        message.validate()
        if message.document:
            for job in list(self.jobs.values()):
                if isinstance(job.request, Generate) and job.request.document == message.document:
                    self._service.cancel(job)
        if message.settings.seed is None:
            message = replace(message, settings=replace(message.settings, seed=secrets.randbits(32)))
        return message

    def _ended(self, job: Job) -> None:
        if self.jobs.get(job.request.id) is job:
            del self.jobs[job.request.id]
        self._service.ended(job)
