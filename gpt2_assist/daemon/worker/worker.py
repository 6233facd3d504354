"""A worker process: one model, driven step by step. Started by the supervisor; ends when its pipe does."""
import os
import queue
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator

from gpt2_assist.config import read_settings
from gpt2_assist.daemon.worker.adapters import Adapters
from gpt2_assist.daemon.worker.request import Request
from gpt2_assist.daemon.worker.scheduler import Scheduler
from gpt2_assist.daemon.worker.vocabulary import Vocabulary
from gpt2_assist.engine.engine import Engine
from gpt2_assist.errors import AssistError
from gpt2_assist.ipc import transport
from gpt2_assist.ipc.framing import FrameDecoder, from_wire, to_wire
from gpt2_assist.ipc.messages import Adapted, Cancel, Failure, Generate, Load, Loaded, Ping, Pong, Resume, WorkerState

READ_BYTES = 1 << 16
_PROGRESS_EVERY_S = 2.0


class Pipe:
    """The worker's end: a thread hears what comes, so that the process ends with its pipe and says that it lives,
    whatever it is doing."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self.steps = 0
        """Counted by whoever works."""
        self._inbox: queue.SimpleQueue = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, message: object) -> None:
        try:
            with self._sending:
                self._connection.sendall(to_wire(message))
        except OSError:
            os._exit(0)

    def wait(self, seconds: float | None = None) -> object:
        """The next message, however long it takes; None where it takes longer than so many seconds."""
        try:
            return self._inbox.get(timeout=None if seconds is None else min(seconds, threading.TIMEOUT_MAX))
        except queue.Empty:
            return None

    @property
    def quiet(self) -> bool:
        """Whether no message is there."""
        return self._inbox.empty()

    def come(self) -> Iterator[object]:
        """The messages that are there."""
        while not self.quiet:
            yield self._inbox.get()

    def _read(self) -> None:
        decoder = FrameDecoder()
        try:
            while data := self._connection.recv(READ_BYTES):
                for message in map(from_wire, decoder.feed(data)):
                    if isinstance(message, Ping):
                        self.send(Pong(self.steps))
                    else:
                        self._inbox.put(message)
        finally:
            os._exit(0)  # not sys.exit: the main thread may be deep in a load


class Worker:
    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._said: WorkerState | None = None
        self._heard_of = 0.0

    def run(self) -> None:
        """Loads the one model that it is told to, then serves it for ever; returns where the load fails."""
        from gpt2_assist.loading import loading  # numba's import: most of a cold start, begun before any request
        request = self._pipe.wait()
        assert isinstance(request, Load)
        try:
            settings = read_settings()
            model = loading.load(request.model, request.precision, request.device, settings, self._progress)
            vocabulary = Vocabulary(model.tokenizer, model.card, model.copies)
        except AssistError as error:
            self._pipe.send(Failure(request.id, str(error), error.exit_code))
            return
        loaded = Loaded(request.id, request.model, model.engine.n_ctx, model.parameters, model.engine.device,
                        model.engine.precision)
        self._serve(model.engine, vocabulary, loaded, settings.shrink_after_s)

    def _progress(self, words: str) -> None:
        """Passes on what takes long while loading, now and then."""
        if time.monotonic() - self._heard_of > _PROGRESS_EVERY_S:
            self._heard_of = time.monotonic()
            self._pipe.send(WorkerState("loading", resident_bytes(), 0, 0.0, words=words))

    def _serve(self, engine: Engine, vocabulary: Vocabulary, loaded: Loaded, shrink_after_s: float) -> None:
        scheduler = Scheduler(engine, self._pipe.send)
        adapters = Adapters(engine, vocabulary)
        self._pipe.send(loaded)
        while True:
            self._say(scheduler, engine, adapters)
            while not scheduler.busy and self._pipe.quiet and engine.idle():
                pass
            if not scheduler.busy:
                message = self._pipe.wait(shrink_after_s)
                if message is None:
                    engine.shrink()
                    self._say(scheduler, engine, adapters, anew=True)
                    message = self._pipe.wait()
                self._hear(message, scheduler, adapters)
            for message in self._pipe.come():
                self._hear(message, scheduler, adapters)
            scheduler.step()
            self._pipe.steps += 1

    def _hear(self, message: object, scheduler: Scheduler, adapters: Adapters) -> None:
        if isinstance(message, Cancel):
            scheduler.cancel(message.id)
        elif isinstance(message, Adapted):
            adapters.tell(message)
        elif isinstance(message, (Generate, Resume)):
            request = message.request if isinstance(message, Resume) else message
            try:
                number, vocabulary = adapters.of(request.model, scheduler.adapters)
                scheduler.add(Request(message, vocabulary, self._pipe.send, scheduler.n_ctx, number))
            except AssistError as error:
                self._pipe.send(Failure(request.id, str(error), error.exit_code))

    def _say(self, scheduler: Scheduler, engine: Engine, adapters: Adapters, anew: bool = False) -> None:
        """Tells the supervisor how the worker is, where idle and busy change, or `anew`."""
        state = "generating" if scheduler.busy else "idle"
        if anew or self._said is None or self._said.state != state:
            rate = scheduler.cached_tokens / scheduler.prompt_tokens if scheduler.prompt_tokens else 0.0
            computed = scheduler.prompt_tokens - scheduler.cached_tokens + scheduler.decoded_tokens
            self._said = WorkerState(state, resident_bytes() + card_bytes(engine), engine.cached_tokens(), rate,
                                     computed, adapters=adapters.names())
            self._pipe.send(self._said)


def resident_bytes() -> int:
    """Memory that this process holds now, or, where only that is known, at its peak."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def card_bytes(engine: Engine) -> int:
    """Memory of an NVIDIA card that this process holds by torch."""
    if engine.device != "cuda":
        return 0
    import torch
    return torch.cuda.memory_reserved()


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the client
    pipe = Pipe(transport.inherited(sys.argv[1]))
    try:
        Worker(pipe).run()
    except Exception as error:  # what no sentence was written for: the log gets where, never what text was in work
        where = traceback.extract_tb(error.__traceback__)
        print("worker", os.getpid(), "ended by", type(error).__name__, file=sys.stderr)
        print("".join(f"  {frame.filename}:{frame.lineno} {frame.name}\n" for frame in where), file=sys.stderr)
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
