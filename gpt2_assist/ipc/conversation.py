"""What a client says and hears, without any I/O: both clients are this and a way to move bytes.

A request is begun by `generate`, `load`, `status` or `shutdown`, whose message the client sends; `hear` takes what
comes, `next` gives it request by request.
"""
import itertools
from collections import deque
from dataclasses import replace
from typing import Any

from gpt2_assist import __version__
from gpt2_assist.errors import AssistError, ProtocolError
from gpt2_assist.ipc.framing import FrameDecoder, from_wire
from gpt2_assist.ipc.messages import (
    PROTOCOL_VERSION,
    Failure,
    Generate,
    Generation,
    Hello,
    Load,
    Shutdown,
    StatusRequest,
    Welcome,
)
from gpt2_assist.text.valid import model_path, valid


class ServerError(AssistError):
    """What the daemon said, with its exit code."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.sentence)
        self.exit_code = failure.exit_code


class Conversation:
    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._decoder = FrameDecoder()
        self._inboxes: dict[int, deque[Any]] = {}
        """By the ids of requests that somebody listens for."""
        self._ended: AssistError | None = None
        self.welcome: Welcome | None = None
        """Once the daemon has greeted."""

    @staticmethod
    def hello(name: str, token: str) -> Hello:
        """The first thing to be said; `name` is the program's, `token` what the transport asks for."""
        return Hello(PROTOCOL_VERSION, __version__, name, token)

    def generate(self, model: str, prompt: str, settings: Generation, priority: str, asked: dict[str, Any]) -> Generate:
        """With texts that can be sent, whatever they hold; `asked` are further entries of Generate. Raises UsageError
        where a setting is wrong."""
        request = Generate(next(self._ids), "", valid(prompt), settings, priority, **asked)
        request.validate()
        settings = replace(settings, stop=[valid(text) for text in settings.stop])
        return self._begun(replace(
            request, model=_named_anywhere(model), settings=settings, document=valid(request.document),
            suffix=None if request.suffix is None else valid(request.suffix), path=valid(request.path),
            repository=valid(request.repository),
            beside=[[valid(path), valid(text)] for path, text in request.beside]))

    def load(self, model: str, precision: str, device: str) -> Load:
        return self._begun(Load(next(self._ids), _named_anywhere(model), precision, device))

    def status(self) -> StatusRequest:
        return self._begun(StatusRequest(next(self._ids)))

    def shutdown(self) -> Shutdown:
        return self._begun(Shutdown(next(self._ids)))

    def _begun(self, request: Any) -> Any:
        if self._ended:
            raise self._ended
        self._inboxes[request.id] = deque()
        return request

    def hear(self, data: bytes) -> list[int]:
        """Takes bytes as they come; the ids of the requests for which something came. What nobody listens for is
        dropped."""
        came = []
        try:
            for message in map(from_wire, self._decoder.feed(data)):
                if isinstance(message, Welcome):
                    self.welcome = message
                elif isinstance(message, Failure) and message.id == 0:
                    self.end(ServerError(message))
                elif not hasattr(message, "id"):
                    raise ProtocolError(f"The daemon can't send a {type(message).__name__}.")
                elif message.id in self._inboxes:
                    self._inboxes[message.id].append(message)
                    came.append(message.id)
        except AssistError as error:
            self.end(error)
        return came

    def end(self, error: AssistError) -> None:
        """Nothing more will come, for this reason; what came before it is still given."""
        self._ended = self._ended or error

    def check(self) -> None:
        """Raises what has ended the conversation, if anything did."""
        if self._ended:
            raise self._ended

    def next(self, id: int) -> Any:
        """What came next for a request, None where nothing has yet. Raises AssistError where it failed, or where
        nothing can come any more."""
        inbox = self._inboxes[id]
        if not inbox:
            self.check()
            return None
        message = inbox.popleft()
        if isinstance(message, Failure):
            raise ServerError(message)
        return message

    def forget(self, id: int) -> None:
        """Nobody listens for a request any more."""
        self._inboxes.pop(id, None)


def _named_anywhere(model: str) -> str:
    from gpt2_assist.model.store import named_anywhere  # not above: who only asks for the status needs no store
    return model_path(named_anywhere(model))
