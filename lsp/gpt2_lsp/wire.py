"""LSP over standard input and output: pygls, with documents of our own, fair order and logs without text."""
import asyncio
import json
import logging
import os
import re
import select
import stat
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcInvalidRequest
from pygls.lsp.server import LanguageServer
from pygls.protocol import (
    JsonRPCNotification,
    JsonRPCRequestMessage,
    LanguageServerProtocol,
    default_converter,
    lsp_method,
)

from gpt2_assist.errors import ProtocolError

LIMIT_BYTES = 64 * 1024 * 1024
"""A longer message ends the server: no editor sends it."""
STARTED_BY_HAND = "gpt2-lsp is started by an editor, which speaks to it: see docs/editors.md."
_LENGTH = re.compile(rb"content-length:[ \t]*([0-9]{1,18})[ \t]*\r?\n", re.IGNORECASE)
_PARENT_S = 1.0
"""How often it is looked whether the process that began this one is there."""
_log = logging.getLogger("gpt2_lsp")


class Protocol(LanguageServerProtocol):
    """pygls keeps no text: what it does with documents is replaced by the server's own handlers."""

    @lsp_method(types.INITIALIZE)
    def lsp_initialize(self, params: types.InitializeParams):
        result = yield from super().lsp_initialize(params)
        if isinstance(self._server, Server):
            result.capabilities.experimental = self._server.experimental
        return result

    @lsp_method(types.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(self, params: types.DidOpenTextDocumentParams):
        yield self.fm.features[types.TEXT_DOCUMENT_DID_OPEN], (params,), None

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams):
        yield self.fm.features[types.TEXT_DOCUMENT_DID_CHANGE], (params,), None

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: types.DidCloseTextDocumentParams):
        yield self.fm.features[types.TEXT_DOCUMENT_DID_CLOSE], (params,), None

    def handle_message(self, message: Any) -> None:
        """Whoever asks after a shutdown is answered too."""
        if self._shutdown and hasattr(message, "method") and hasattr(message, "id"):
            self._send_response(message.id, error=JsonRpcInvalidRequest().to_response_error())
        else:
            super().handle_message(message)

    def structure_message(self, data: dict[str, Any]) -> Any:
        """A message that is none is answered, where it has an id, and otherwise passed over."""
        try:
            return super().structure_message(data)
        except JsonRpcException as error:
            if "id" in data and "method" in data:
                self._send_response(data["id"], error=error.to_response_error())
            return JsonRPCNotification("$/invalid", "2.0", None)


class Server(LanguageServer):
    def __init__(self, name: str, version: str) -> None:
        super().__init__(name, version, protocol_cls=Protocol, converter_factory=_converter)
        self.experimental: dict | None = None
        """What the server can beyond the standard, for its capabilities."""

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Where it happened and of what kind it was: its words might hold the user's text."""
        places = "".join(traceback.format_tb(error.__traceback__)[-4:])
        _log.error("%s in %s\n%s", type(error).__name__, source.__name__, places)

    def serve(self) -> int:
        """Until the editor ends it or goes away. Returns the exit code; what still waits for the daemon then isn't
        waited for, so the process has to be left at once."""
        loop, parent = asyncio.new_event_loop(), os.getppid()
        try:
            return loop.run_until_complete(self._serve(parent))
        except ProtocolError as error:
            print(error, file=sys.stderr)
            return error.exit_code
        except KeyboardInterrupt:
            return 130
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(end.code is not None)

    async def _serve(self, parent: int) -> int:
        reader, self._editor_went = await _input(), asyncio.Event()
        self.protocol.set_writer(_Output(self._editor_went.set))
        reading = asyncio.ensure_future(self._read(reader))
        going = [asyncio.ensure_future(waiting) for waiting in (self._editor_went.wait(), _orphaned(parent))]
        await asyncio.wait([reading, *going], return_when=asyncio.FIRST_COMPLETED)
        if reading.done() and not reading.result():
            print(STARTED_BY_HAND, file=sys.stderr)
            return 2
        return 0 if self.protocol._shutdown else 1

    async def _read(self, reader: asyncio.StreamReader) -> bool:
        """Handles messages until there are no more; whether there were any.

        What a message has begun takes its first step before the next one is read: a question is a task, and takes the
        document's text in that step; it must not see a change that came after it.
        """
        any = False
        while body := await _body(reader):
            any = True
            try:
                message = json.loads(body, object_hook=self.protocol.structure_message)
            except (ValueError, RecursionError):
                message = None
            if hasattr(message, "jsonrpc"):
                self._handle(message)
            else:
                _log.error("A message came that is none of JSON-RPC.")
            await asyncio.sleep(0)
        return any

    def _handle(self, message: Any) -> None:
        try:
            self.protocol.handle_message(message)
        except Exception as error:
            self.report_server_error(error, JsonRpcException)


async def _body(reader: asyncio.StreamReader) -> bytes:
    """The next message's; empty at the end. Raises ProtocolError where one would be too long."""
    size = 0
    try:
        while True:
            line = await reader.readline()
            if not line or size and not line.strip():
                break
            found = _LENGTH.match(line)
            size = size or (int(found[1]) if found else 0)
            if size > LIMIT_BYTES:
                raise ProtocolError(f"A message of {size} bytes was announced; at most {LIMIT_BYTES} are allowed.")
        return await reader.readexactly(size) if line else b""
    except ValueError:  # a line without an end
        raise ProtocolError("What comes on standard input are no messages of the Language Server Protocol.") from None
    except (asyncio.IncompleteReadError, OSError):
        return b""


class _Output:
    """Standard output, as pygls wants it."""

    def __init__(self, refused: Callable[[], object]) -> None:
        """`refused` is called when nobody reads any more."""
        self._number, self._refused = sys.stdout.fileno(), refused

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                try:
                    rest = rest[os.write(self._number, rest):]
                except BlockingIOError:  # where input and output are one socket
                    select.select([], [self._number], [])
        except OSError:
            self._refused()

    def close(self) -> None:
        """Nothing is held back."""


async def _orphaned(parent: int) -> None:
    """Until the process that began this one is gone: another one may hold the other end of standard input."""
    while os.name == "nt" or os.getppid() == parent:
        await asyncio.sleep(_PARENT_S)


async def _input() -> asyncio.StreamReader:
    """Standard input without a thread where the system allows, which takes a fifth of a millisecond off each key."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    mode = os.fstat(sys.stdin.fileno()).st_mode
    if os.name != "nt" and (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    else:
        _feed_from_thread(loop, reader)
    return reader


def _feed_from_thread(loop: asyncio.AbstractEventLoop, reader: asyncio.StreamReader) -> None:
    import threading

    def feed() -> None:
        with suppress(OSError):  # a closed stream, a folder
            while data := os.read(sys.stdin.fileno(), 1 << 16):
                loop.call_soon_threadsafe(reader.feed_data, data)
        loop.call_soon_threadsafe(reader.feed_eof)

    threading.Thread(target=feed, daemon=True).start()


def _converter():
    """Parameters of methods that LSP doesn't know stay as they came: maps and lists."""
    converter = default_converter()
    converter.register_structure_hook(JsonRPCRequestMessage, lambda data, kind: kind(
        id=data["id"], method=data["method"], jsonrpc=data["jsonrpc"], params=data.get("params")))
    converter.register_structure_hook(JsonRPCNotification, lambda data, kind: kind(
        method=data["method"], jsonrpc=data["jsonrpc"], params=data.get("params")))
    return converter
