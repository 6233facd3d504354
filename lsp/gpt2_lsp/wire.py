"""LSP over standard input and output: pygls, with documents of our own, fair order and logs without text."""
import asyncio
import logging
import os
import stat
import sys
import traceback
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.io_ import StdoutWriter, run_async
from pygls.lsp.server import LanguageServer
from pygls.protocol import (
    JsonRPCNotification,
    JsonRPCRequestMessage,
    LanguageServerProtocol,
    default_converter,
    lsp_method,
)

LIMIT_BYTES = 64 * 1024 * 1024
"""A longer message ends the server: no editor sends it."""
_log = logging.getLogger("gpt2_lsp")


class Protocol(LanguageServerProtocol):
    """pygls keeps no text: what it does with documents is replaced by the server's own handlers."""

    @lsp_method(types.INITIALIZE)
    def lsp_initialize(self, params: types.InitializeParams):
        result = yield from super().lsp_initialize(params)
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
        """Until the editor ends it or goes away. Returns the exit code."""
        self.protocol.set_writer(StdoutWriter(sys.stdout.buffer))
        try:
            asyncio.run(self._serve())
        except BrokenPipeError:
            return 1
        except SystemExit as end:
            return end.code
        return 0

    async def _serve(self) -> None:
        import threading
        self._stop_event = threading.Event()
        await run_async(self._stop_event, _InTurn(await _input()), self.protocol, _log, self.report_server_error)


class _InTurn:
    """Lets what a message has begun take its first step before the next message is read.

    A question is a task, and takes the document's text in that step: it must not see a change that came after it.
    """

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    async def readline(self) -> bytes:
        await asyncio.sleep(0)
        return await self._reader.readline()

    async def readexactly(self, size: int) -> bytes:
        if size > LIMIT_BYTES:
            raise BrokenPipeError
        try:
            return await self._reader.readexactly(size)
        except asyncio.IncompleteReadError:
            return b""


async def _input() -> asyncio.StreamReader:
    """Standard input without a thread where the system allows, which takes a fifth of a millisecond off each key."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    mode = os.fstat(sys.stdin.fileno()).st_mode
    if os.name != "nt" and (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode)):
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    else:
        _feed_from_thread(loop, reader)
    return reader


def _feed_from_thread(loop: asyncio.AbstractEventLoop, reader: asyncio.StreamReader) -> None:
    import threading

    def feed() -> None:
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
