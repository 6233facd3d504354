"""A client's request from its acceptance to its last message, with all that a restarted worker needs to go on."""
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gpt2_assist.errors import AssistError
from gpt2_assist.ipc.messages import (
    Adapted,
    Chunk,
    Failure,
    Finished,
    Generate,
    Load,
    Loaded,
    Loading,
    Resume,
    SampleDone,
)

MAX_DEATHS = 5
"""A job whose worker died so often without progress between is given up."""


@dataclass(eq=False)
class Job:
    """`number` is the supervisor's own id of it, `request.id` the client's."""

    number: int
    request: Generate | Load
    reply: Callable[[object], None]
    on_end: Callable[["Job"], None]
    tokens: list = field(default_factory=list)
    """Per sample the token ids that were delivered; None where nothing was, not even an echo."""
    done: set = field(default_factory=set)
    cancelled: bool = False
    ended: bool = False
    deaths: int = 0
    adapted: Adapted | None = None
    """What the worker must know to find the job's model, if that has an adapter."""

    def __post_init__(self) -> None:
        if isinstance(self.request, Generate):
            self.tokens = [None] * self.request.settings.n

    @property
    def waiting(self) -> bool:
        """Whether nothing of it has come yet."""
        return not self.ended and not any(self.tokens) and not self.done

    @property
    def size(self) -> int:
        """Characters that it keeps in memory, about."""
        if not isinstance(self.request, Generate):
            return 0
        texts = [self.request.prompt, self.request.suffix or "", *(text for _, text in self.request.beside)]
        return sum(map(len, texts))

    def for_worker(self) -> Generate | Resume:
        """What a worker is sent to begin a generation or to go on with it."""
        assert isinstance(self.request, Generate)  # a load is answered by the slot
        request = replace(self.request, id=self.number)
        if not self.done and all(tokens is None for tokens in self.tokens):
            return request
        return Resume(request, self.tokens, sorted(self.done))

    def loading(self, words: str = "") -> None:
        """Tells the client that it waits for the model, and what for where that is known."""
        self.reply(Loading(self.request.id, self.request.model, words))

    def relay(self, message: Chunk | SampleDone | Finished | Failure | Loaded) -> None:
        """Passes on what the worker says about the job, under the client's id."""
        if self.ended:
            return
        if isinstance(message, Chunk):
            if self.tokens[message.index] is None:
                self.tokens[message.index] = []
            self.tokens[message.index].extend(message.tokens)
            self.deaths = 0
        elif isinstance(message, SampleDone):
            self.done.add(message.index)
        self.reply(replace(message, id=self.request.id))
        if isinstance(message, (Finished, Failure, Loaded)):
            self._end()

    def fail(self, error: AssistError) -> None:
        self.relay(Failure(self.number, str(error), error.exit_code))

    def finish_cancelled(self) -> None:
        """The last messages of a cancelled job that no worker has any more."""
        if isinstance(self.request, Load):
            self._end()
            return
        for index, tokens in enumerate(self.tokens):
            if index not in self.done:
                self.relay(SampleDone(self.number, index, "cancelled", len(tokens or [])))
        self.relay(Finished(self.number, self.request.model, self.request.settings.seed or 0, 0, 0, 0, 0, 0, 0.0))

    def abandon(self) -> None:
        """The client is gone: nothing more is said."""
        self.reply = lambda message: None

    def _end(self) -> None:
        if not self.ended:
            self.ended = True
            self.on_end(self)
