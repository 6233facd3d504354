"""The workers: which models are loaded, which must go for others, which have been idle for too long."""
import asyncio
import logging
import time
from collections.abc import Callable
from typing import IO, Any

from gpt2_assist.config import Settings
from gpt2_assist.daemon.supervisor.jobs import Job
from gpt2_assist.daemon.supervisor.pulse import BEATS
from gpt2_assist.daemon.supervisor.slot import Key, Slot
from gpt2_assist.daemon.supervisor.worker_process import WorkerProcess
from gpt2_assist.ipc.messages import Adapted
from gpt2_assist.model.store import ModelFolder, stamp

MAX_WORKERS = 3
"""Models in memory at a time; for a further one the longest idle goes, and its requests wait until one is idle."""
_IDLE = 10
"""How much slower the pulses are felt where nobody waits."""
_LOOK_S = 0.1


class Workers:
    """`on_change` is called whenever a worker has gone. `log` gives the file for the workers' standard error."""

    def __init__(self, settings: Settings, log: Callable[[], IO[Any] | None], on_change: Callable[[], None]) -> None:
        self._settings, self._log, self._on_change = settings, log, on_change
        self._slots: dict[Key, Slot] = {}
        self._slot_of: dict[WorkerProcess, Slot] = {}
        self._processes: set[WorkerProcess] = set()
        self._spare: WorkerProcess | None = None
        self._spare_since = time.monotonic()
        self._closed = False
        self._idle_timer: asyncio.TimerHandle | None = None
        self._beat_timer: asyncio.TimerHandle | None = None

    @property
    def empty(self) -> bool:
        return not self._processes

    def prepare_spare(self) -> None:
        """Starts a worker before its model is known: importing torch is most of a cold start."""
        self._spare, self._spare_since = self._start(), time.monotonic()
        self._watch_idleness()

    def submit(self, job: Job, model: ModelFolder) -> None:
        """Takes a job on; its worker is started where there is none."""
        key = Key(str(model.path), job.request.precision, job.request.device, model.stamp)
        for slot in list(self._slots.values()):
            if slot.key.path == key.path and slot.key.stamp != key.stamp and slot.idle and slot.worker:
                self._unload(slot)
        if model.adapter and model.strength:
            job.adapted = Adapted(job.request.model, str(model.adapter), model.strength, stamp(model.adapter))
        slot = self._slots.setdefault(key, Slot(key, model.path.name if model.adapter else model.name))
        slot.add(job)
        self._arrange()
        self._watch_pulses()
        if slot.worker:
            slot.process.ask()
            asyncio.get_running_loop().call_later(_LOOK_S, self._look_at, slot, slot.worker)

    def cancel(self, job: Job) -> None:
        """Ends a job that has not ended."""
        slot = self._slot_with(job)
        if slot and not job.cancelled:
            slot.cancel(job)

    def ended(self, job: Job) -> None:
        """Forgets a job; its worker may now go for another model."""
        slot = self._slot_with(job)
        if slot:
            slot.remove(job)
            asyncio.get_running_loop().call_soon(self._arrange)

    def status(self) -> list[dict]:
        working = [slot for slot in self._slots.values() if slot.worker]
        for slot in working:
            slot.look()
        return [slot.status() for slot in working]

    async def close(self) -> None:
        """Ends all workers and waits until they are gone."""
        self._closed = True
        for timer in (self._idle_timer, self._beat_timer):
            if timer:
                timer.cancel()
        for process in list(self._processes):
            process.end()
        for process in list(self._processes):
            await process.wait()

    def _slot_with(self, job: Job) -> Slot | None:
        return next((slot for slot in self._slots.values() if job.number in slot.jobs), None)

    def _start(self) -> WorkerProcess:
        process = WorkerProcess(self._log(), self._heard, self._exited)
        self._processes.add(process)
        return process

    def _arrange(self) -> None:
        """Gives workers to slots that need one, and takes them from idle ones where there is no room."""
        if self._closed:
            return
        for slot in [slot for slot in self._slots.values() if slot.jobs and not slot.worker]:
            if self._spare:
                worker, self._spare = self._spare, None
            elif len(self._processes) < MAX_WORKERS:
                worker = self._start()
            else:
                self._make_room()
                break
            self._slot_of[worker] = slot
            slot.take(worker)
        for key in [key for key, slot in self._slots.items() if slot.idle and not slot.worker]:
            del self._slots[key]
        self._watch_idleness()

    def _make_room(self) -> None:
        if any(process.ending for process in self._processes):
            return
        idle = [slot for slot in self._slots.values() if slot.idle and slot.worker]
        if idle:
            self._unload(min(idle, key=lambda slot: slot.idle_since))

    def _unload(self, slot: Slot) -> None:
        logging.info("worker %d with %s is unloaded", slot.process.pid, slot.name)
        self._slot_of.pop(slot.process)
        slot.process.end()
        del self._slots[slot.key]

    def _watch_pulses(self) -> None:
        """Sets the clock for the next beat: soon where somebody waits."""
        if not self._slots or self._closed:
            return
        waited_for = any(slot.jobs for slot in self._slots.values())
        loop, beat = asyncio.get_running_loop(), self._settings.replace_after_s / BEATS
        when = loop.time() + (beat if waited_for else _IDLE * beat)
        if self._beat_timer and self._beat_timer.when() <= when:
            return
        if self._beat_timer:
            self._beat_timer.cancel()
        self._beat_timer = loop.call_at(when, self._beat)

    def _beat(self) -> None:
        self._beat_timer = None
        for slot in [slot for slot in self._slots.values() if slot.worker]:
            slot.beat()
            if slot.process.pulse.lost:
                self._replace(slot)
        self._watch_pulses()

    def _look_at(self, slot: Slot, worker: WorkerProcess) -> None:
        """Soon after a job came, which may be a keystroke's: a worker that the system has stopped is seen at once."""
        if slot.worker is worker and worker.pulse.asked:
            slot.look()

    def _replace(self, slot: Slot) -> None:
        """Gives a worker up that stands still, which may take its time to end; another one goes on."""
        lost = slot.process
        logging.warning("worker %d with %s is given up", lost.pid, slot.name)
        del self._slot_of[lost]
        self._processes.discard(lost)
        lost.kill()
        slot.worker_gone()
        self._arrange()

    def _watch_idleness(self) -> None:
        """Sets the clock for the next worker that may become idle for too long."""
        if self._idle_timer:
            self._idle_timer.cancel()
        since = [slot.idle_since for slot in self._slots.values() if slot.idle and slot.worker]
        since += [self._spare_since] if self._spare else []
        if since and not self._closed:
            wait = min(since) + self._settings.unload_after_s - time.monotonic()
            self._idle_timer = asyncio.get_running_loop().call_later(max(wait, 0.0), self._unload_idle)

    def _unload_idle(self) -> None:
        latest = time.monotonic() - self._settings.unload_after_s
        for slot in list(self._slots.values()):
            if slot.idle and slot.worker and slot.idle_since <= latest:
                self._unload(slot)
        if self._spare and self._spare_since <= latest:
            self._spare.end()
            self._spare = None
        self._watch_idleness()

    def _heard(self, process: WorkerProcess, message: object) -> None:
        slot = self._slot_of.get(process)
        if slot:
            slot.hear(message)

    def _exited(self, process: WorkerProcess) -> None:
        self._processes.discard(process)
        if process is self._spare:
            self._spare = None
        slot = self._slot_of.pop(process, None)
        if slot:
            if slot.jobs:
                logging.warning("worker %d with %s ended by itself", process.pid, slot.name)
            slot.worker_gone()
        self._arrange()
        self._on_change()
