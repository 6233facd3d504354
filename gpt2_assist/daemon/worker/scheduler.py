"""Which work a worker's engine does next: by priority, fairly within one, and never more than one step at a time.

A step is one prefill chunk of one sample or one token for each sample of a batch; between steps new requests and
cancels are heard. The highest priority that has work gets the engine alone; within it, prefill and decode take turns
and samples go round.
"""
import time
from collections import deque
from collections.abc import Callable

from gpt2_assist.daemon.worker.request import Request, Sample
from gpt2_assist.engine.engine import Engine
from gpt2_assist.errors import AssistError, ModelError
from gpt2_assist.ipc.messages import PRIORITIES, Failure

MAX_BATCH = 16
"""Samples that are decoded together; more samples of one request wait until the batch has room."""
_TO_BE_HEARD_S = 0.0003
"""A pause after a sample's first words: else the supervisor and the client, which pass them on, might wait for a core
until the next step is done."""
_NO_MEMORY = ModelError("There is too little memory for one text more: end some programs, or ask for fewer samples.")
MAX_OPEN = 64
"""Samples of one priority that hold keys and values at a time."""


class Scheduler:
    def __init__(self, engine: Engine, send: Callable[[object], None]) -> None:
        self._engine, self._send = engine, send
        self._requests: dict[int, Request] = {}
        self._waiting: dict[str, deque[Sample]] = {priority: deque() for priority in PRIORITIES}
        self._open: dict[str, deque[Sample]] = {priority: deque() for priority in PRIORITIES}
        self._decode_next = False
        self.prompt_tokens = self.cached_tokens = self.decoded_tokens = 0

    @property
    def n_ctx(self) -> int:
        return self._engine.n_ctx

    @property
    def busy(self) -> bool:
        return bool(self._requests)

    @property
    def adapters(self) -> set[int]:
        """The engine's numbers of those that requests have."""
        return {request.adapter for request in self._requests.values()}

    def add(self, request: Request) -> None:
        self._requests[request.id] = request
        self._waiting[request.priority].extend(request.samples)
        self._settle(request)

    def cancel(self, id: int) -> None:
        """Ends a request now; unknown ids belong to requests that have just ended by themselves."""
        request = self._requests.get(id)
        if request is None:
            return
        for sample in request.samples:
            sample.cancel()
            self._close(sample)
        self._forget(request)
        self._settle(request)

    def step(self) -> None:
        """One prefill chunk or one batch of tokens, if there is any work."""
        for priority in PRIORITIES:
            self._admit(priority)
            if self._open[priority]:  # else what is more urgent waits for room, which others make by going on
                break
        samples = self._open[priority]
        ready = [sample for sample in samples
                 if self._engine.ready(sample.sequence) and not sample.wants_only_prefill]
        unready = [sample for sample in samples if sample not in ready]
        if ready and (self._decode_next or not unready):
            self._decode_next = False
            if len(ready) > MAX_BATCH:
                samples.rotate(-MAX_BATCH)
            self._decode(ready[:MAX_BATCH])
        elif unready:
            self._decode_next = True
            self._prefill(unready[0])
            samples.rotate(-1)

    def _admit(self, priority: str) -> None:
        """Opens waiting samples: one of each request first, more of the same while the batch has room.

        Later samples of a request wait for the prefill of an earlier one and share it.
        """
        room = self._engine.most_open - PRIORITIES.index(priority)  # the last places are for what is more urgent
        for sample in list(self._waiting[priority]):
            if sum(map(len, self._open.values())) >= max(1, room):
                break
            samples = self._open[priority]
            siblings = [other for other in samples if other.request is sample.request]
            most = MAX_BATCH if siblings else MAX_OPEN
            shared = all(self._engine.ready(other.sequence) for other in siblings)
            if sample.ended or len(samples) >= most or not shared:
                continue
            self._waiting[priority].remove(sample)
            self._guarded(sample, lambda sample=sample: sample.open(self._engine))
            if sample.sequence is not None:
                samples.append(sample)
                if sample.index == 0:
                    self.prompt_tokens += len(sample.request.prompt)
                    self.cached_tokens += sample.sequence.cached_tokens
            self._settle(sample.request)

    def _prefill(self, sample: Sample) -> None:
        def act() -> None:
            if self._engine.prefill(sample.sequence) and sample.wants_only_prefill:
                sample.prefilled()

        self._guarded(sample, act)
        if sample.ended:
            self._close(sample)
            self._settle(sample.request)

    def _decode(self, samples: list[Sample]) -> None:
        try:
            decoded = self._engine.decode([sample.sequence for sample in samples])
        except MemoryError:
            for sample in samples:
                self._fail(sample.request, _NO_MEMORY)
            return
        for sample, tokens in zip(samples, decoded):
            first = not sample.heard
            self.decoded_tokens += len(tokens)
            for token in tokens:
                if sample.ended or sample.went_back:  # by the token before, or with its request, by a sibling's error
                    break
                self._guarded(sample, lambda sample=sample, token=token: sample.take(token))
            if sample.went_back and not sample.ended:
                self._guarded(sample, lambda sample=sample: sample.reopen(self._engine))
            if sample.ended and sample.sequence is not None:
                self._close(sample)
                self._settle(sample.request)
            if first and sample.heard:
                time.sleep(_TO_BE_HEARD_S)

    def _guarded(self, sample: Sample, act: Callable[[], object]) -> None:
        """An error that has a sentence ends the sample's request, and nothing else."""
        try:
            act()
        except MemoryError:
            self._fail(sample.request, _NO_MEMORY)
        except AssistError as error:
            self._fail(sample.request, error)

    def _fail(self, request: Request, error: AssistError) -> None:
        if self._requests.pop(request.id, None):
            self._send(Failure(request.id, str(error), error.exit_code))
        for sample in request.samples:
            sample.ended = True
            self._close(sample)
        self._forget(request)

    def _close(self, sample: Sample) -> None:
        if sample.sequence is not None:
            sample.request.note(sample.sequence, sample.index)
            self._engine.close(sample.sequence)
            sample.sequence = None
            self._open[sample.request.priority].remove(sample)

    def _forget(self, request: Request) -> None:
        waiting = self._waiting[request.priority]
        self._waiting[request.priority] = deque(sample for sample in waiting if sample.request is not request)

    def _settle(self, request: Request) -> None:
        if request.ended and self._requests.pop(request.id, None):
            request.finish()
