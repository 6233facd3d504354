"""One framed connection of the supervisor, to a client or to a worker: messages in, messages out, bounded buffers."""
import asyncio
import socket
from collections.abc import Callable

from gpt2_assist.errors import ProtocolError
from gpt2_assist.ipc.framing import FrameDecoder, from_wire, to_wire
from gpt2_assist.ipc.messages import MAX_OUTPUT_BYTES


class Connection(asyncio.Protocol):
    """Calls `on_message` for each message, `on_garbage` once for what is none, `on_close` once at the end.

    `on_made` is given the socket once it is connected. With `bounded`, a peer that leaves more than MAX_OUTPUT_BYTES
    unread is cut off.
    """

    def __init__(self, on_message: Callable[[object], None], on_garbage: Callable[[ProtocolError], None],
                 on_close: Callable[[], None], bounded: bool,
                 on_made: Callable[[socket.socket], None] = lambda peer: None) -> None:
        self._on_made = on_made
        self._on_message, self._on_garbage, self._on_close = on_message, on_garbage, on_close
        self._bounded = bounded
        self._decoder = FrameDecoder()
        self.closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # sockets have no others
        self._transport = transport
        self._on_made(transport.get_extra_info("socket"))

    def data_received(self, data: bytes) -> None:
        if self.closing:
            return
        try:
            for entries in self._decoder.feed(data):
                self._on_message(from_wire(entries))
                if self.closing:
                    return
        except ProtocolError as error:
            self._on_garbage(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closing = True
        self._on_close()

    def send(self, message: object) -> None:
        """Queues a message; silently nothing once the connection is closing."""
        if self.closing:
            return
        self._transport.write(to_wire(message))
        if self._bounded and self._transport.get_write_buffer_size() > MAX_OUTPUT_BYTES:
            self.abort()

    def close(self) -> None:
        """Closes once what was sent is out."""
        self.closing = True
        self._transport.close()

    def abort(self) -> None:
        """Closes at once; what is unsent is lost."""
        self.closing = True
        self._transport.abort()
