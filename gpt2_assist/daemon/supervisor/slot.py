"""One base model in one precision on one device: the requests for it and the worker that serves them."""
import logging
import signal
import time
from dataclasses import replace
from typing import NamedTuple

from gpt2_assist.daemon.supervisor.jobs import MAX_DEATHS, Job
from gpt2_assist.daemon.supervisor.worker_process import WorkerProcess
from gpt2_assist.errors import AssistError, DaemonError
from gpt2_assist.ipc.messages import Adapted, Cancel, Chunk, Failure, Finished, Load, Loaded, SampleDone, WorkerState

STANDING = "its worker stands still; if it stays so, another one takes over"
_OF_SHORTAGE = (signal.SIGABRT, getattr(signal, "SIGKILL", signal.SIGABRT))
"""The system kills what takes too much, and some libraries end themselves where they get nothing more."""
LOAD = 0
"""The number under which a worker is told to load; jobs count from 1."""


class Key(NamedTuple):
    """What makes a worker of its own."""

    path: str
    precision: str
    device: str
    stamp: int
    """Of the model's files: made anew, they are another model."""


class _WorkersError(AssistError):
    """A sentence that a worker said, with its exit code."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.sentence)
        self.exit_code = failure.exit_code


class Slot:
    """Jobs go to the worker once it has loaded; a dead worker's jobs wait here for the next."""

    def __init__(self, key: Key, name: str) -> None:
        self.key, self.name = key, name
        self.jobs: dict[int, Job] = {}
        self.worker: WorkerProcess | None = None
        self.idle_since = time.monotonic()
        self._loaded: Loaded | None = None
        self._state: WorkerState | None = None
        self._load_deaths = 0
        self._given: set[int] = set()
        self._told: dict[str, Adapted] = {}
        """By the models' names, what the worker knows of adapters."""
        self._stood = False

    @property
    def idle(self) -> bool:
        return not self.jobs

    @property
    def process(self) -> WorkerProcess:
        """Its worker, which it must have."""
        assert self.worker is not None
        return self.worker

    def take(self, worker: WorkerProcess) -> None:
        """Has the worker load the model."""
        self.worker = worker
        worker.send(Load(LOAD, self.key.path, self.key.precision, self.key.device))
        logging.info("worker %s loads %s", worker.pid or "(new)", self.name)

    def add(self, job: Job) -> None:
        self.jobs[job.number] = job
        if self._loaded:
            self._give(job)
        else:
            job.loading()
        if self._stood:
            job.loading(STANDING)

    def remove(self, job: Job) -> None:
        """Forgets a job that has ended."""
        self.jobs.pop(job.number, None)
        self._given.discard(job.number)
        self.idle_since = time.monotonic()

    def cancel(self, job: Job) -> None:
        """The worker says the last words if it has the job and gets on, the supervisor otherwise."""
        job.cancelled = True
        given = job.number in self._given
        if given:
            self.process.send(Cancel(job.number))
        if self._stood or not given:
            job.finish_cancelled()

    def beat(self) -> None:
        """Judges the worker's pulse."""
        self.process.beat(bool(self._given) or not self._loaded, not self._loaded)
        self._notice()

    def look(self) -> None:
        """Sees whether the system has stopped the worker."""
        self.process.look()
        self._notice()

    def _notice(self) -> None:
        """Tells those who wait when the worker begins to stand still."""
        stood, self._stood = self._stood, self.process.pulse.standing
        if self._stood and not stood:
            logging.warning("worker %d with %s stands still", self.process.pid, self.name)
            for job in list(self.jobs.values()):
                if job.cancelled:
                    job.finish_cancelled()
                else:
                    job.loading(STANDING)

    def hear(self, message: object) -> None:
        """What the worker says."""
        if isinstance(message, WorkerState):
            self._state = message
            if message.words:
                for job in self.jobs.values():
                    job.loading(message.words)
        elif isinstance(message, Loaded):
            self._loaded, self._load_deaths = message, 0
            for job in list(self.jobs.values()):
                self._give(job)
        elif isinstance(message, Failure) and message.id == LOAD:
            self._load_deaths = 0
            for job in list(self.jobs.values()):
                job.fail(_WorkersError(message))
        elif isinstance(message, (Chunk, SampleDone, Finished, Failure)) and message.id in self._given:
            self.jobs[message.id].relay(message)

    def worker_gone(self) -> None:
        """The worker is gone: its jobs wait for the next one, those that it dies of are given up; all, where none can
        be started."""
        trouble, why = self.process.trouble, ""
        if self.process.ended_by:
            why = f", by signal {self.process.ended_by}"
            why += ": most likely memory is short" if self.process.ended_by in _OF_SHORTAGE else ""
        if self._loaded is None:
            self._load_deaths += 1
        for job in list(self.jobs.values()):
            if job.cancelled:
                job.finish_cancelled()
                continue
            if trouble:
                job.fail(DaemonError(trouble))
                continue
            if job.number in self._given:
                job.deaths += 1
            if max(job.deaths, self._load_deaths) >= MAX_DEATHS:
                job.fail(DaemonError(f"The worker of {self.name} died {MAX_DEATHS} times at this request{why}; "
                                     "`gpt2-assist daemon logs` shows more."))
        self.worker = self._loaded = self._state = None
        self._given.clear()
        self._told.clear()
        self._stood = False
        for job in list(self.jobs.values()):
            job.loading()

    def status(self) -> dict:
        """The worker's entry in the daemon's status."""
        state = self._state or WorkerState("loading", 0, 0, 0.0)
        return {"pid": self.process.pid, "model": self.name, "adapters": state.adapters,
                "device": self._loaded.device if self._loaded else self.key.device,
                "precision": self._loaded.precision if self._loaded else self.key.precision,
                "state": "standing still" if self._stood else state.state,
                "memory_bytes": state.memory_bytes, "cached_tokens": state.cached_tokens,
                "cache_hit_rate": state.cache_hit_rate, "computed_tokens": state.computed_tokens}

    def _give(self, job: Job) -> None:
        if isinstance(job.request, Load):
            assert self._loaded is not None
            job.relay(replace(self._loaded, model=job.request.model))
            return
        if job.adapted and self._told.get(job.adapted.model) != job.adapted:
            self._told[job.adapted.model] = job.adapted
            self.process.send(job.adapted)
        self._given.add(job.number)
        self.process.send(job.for_worker())
