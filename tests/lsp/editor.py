"""An editor without a screen: a real client process's end of LSP, for tests."""
import asyncio
import os
import sys
from contextlib import asynccontextmanager
from itertools import count
from types import SimpleNamespace

from lsprotocol import types
from pygls.lsp.client import LanguageClient

AUTOMATIC, INVOKED = types.InlineCompletionTriggerKind.Automatic, types.InlineCompletionTriggerKind.Invoked
_END_S = 30
"""A server that takes longer to end has a fault."""
PROSE = "The old man went down to the sea and looked at the "


class Editor:
    """One server process and its documents."""

    def __init__(self) -> None:
        self.client = LanguageClient("tests", "1")
        self.snapshots: list[dict] = []
        self.statuses: asyncio.Queue = asyncio.Queue()
        self.messages: list[str] = []
        self.finished: asyncio.Queue = asyncio.Queue()
        self.texts: dict[str, str] = {}
        self._versions: dict[str, int] = {}
        self._tokens = count()
        self.snapshot_came = asyncio.Event()
        self.client.feature(types.PROGRESS)(lambda params: self._heard(params))
        self.client.feature("gpt2/status")(lambda params: self.statuses.put_nowait(params))
        self.client.feature("gpt2/finished")(lambda params: self.finished.put_nowait(params))
        self.client.feature(types.WINDOW_SHOW_MESSAGE)(lambda params: self.messages.append(params.message))

    def _heard(self, params: types.ProgressParams) -> None:
        self.snapshots.append(params.value)
        self.snapshot_came.set()

    async def start(self, options: dict, capabilities: types.ClientCapabilities | None = None, root: str | None = None,
                    ) -> types.InitializeResult:
        await self.client.start_io(sys.executable, "-m", "gpt2_lsp", env=dict(os.environ))
        result = await self.client.initialize_async(types.InitializeParams(
            capabilities=capabilities or types.ClientCapabilities(), root_uri=root, initialization_options=options))
        self.client.initialized(types.InitializedParams())
        return result

    @property
    def pid(self) -> int:
        return self.client._server.pid

    async def stop(self) -> None:
        if self.client._server.returncode is None:
            try:
                async with asyncio.timeout(_END_S):
                    await self.client.shutdown_async(None)
                    self.client.exit(None)
                    await self.client._server.wait()
            except TimeoutError:
                self.client._server.kill()
                await self.client._server.wait()
                raise
        await self.client.stop()

    def open(self, uri: str, text: str, language: str = "plaintext") -> None:
        self.texts[uri], self._versions[uri] = text, 1
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(
            types.TextDocumentItem(uri, language, 1, text)))

    def change(self, uri: str, start: types.Position, end: types.Position, text: str) -> None:
        """One change in the protocol's own terms; `texts` is the caller's to keep."""
        self._versions[uri] += 1
        self.client.text_document_did_change(types.DidChangeTextDocumentParams(
            types.VersionedTextDocumentIdentifier(self._versions[uri], uri),
            [types.TextDocumentContentChangePartial(types.Range(start, end), text)]))

    def type(self, uri: str, text: str) -> None:
        """Adds at the end of the document."""
        end = self.end(uri)
        self.texts[uri] += text
        self.change(uri, end, end, text)

    def end(self, uri: str) -> types.Position:
        """The position at the end of the document, in utf-16."""
        lines = self.texts[uri].split("\n")
        return types.Position(len(lines) - 1, len(lines[-1].encode("utf-16-le", "surrogatepass")) // 2)

    def ask(self, uri: str, kind: types.InlineCompletionTriggerKind = AUTOMATIC, position: types.Position | None = None,
            info: types.SelectedCompletionInfo | None = None) -> asyncio.Future:
        """The standard's question, at the end of the document unless said otherwise. It is sent at once."""
        params = types.InlineCompletionParams(types.InlineCompletionContext(kind, info),
                                              types.TextDocumentIdentifier(uri), position or self.end(uri))
        return self.client.protocol.send_request_async(types.TEXT_DOCUMENT_INLINE_COMPLETION, params)

    async def texts_at(self, uri: str, kind: types.InlineCompletionTriggerKind = AUTOMATIC,
                       position: types.Position | None = None) -> list[str]:
        result = await self.ask(uri, kind, position)
        return [item.insert_text for item in result.items]

    def ask_streamed(self, uri: str, kind: int = 2, version: int | None = None) -> asyncio.Future:
        """Our own question, at the end of the document."""
        end = self.end(uri)
        return self.client.protocol.send_request_async("gpt2/inlineCompletion", {
            "textDocument": {"uri": uri, "version": self._versions[uri] if version is None else version},
            "position": {"line": end.line, "character": end.character}, "context": {"triggerKind": kind},
            "partialResultToken": f"t{next(self._tokens)}"})

    async def command(self, name: str, *arguments) -> object:
        result = await self.client.workspace_execute_command_async(
            types.ExecuteCommandParams(command=name, arguments=list(arguments)))
        return SimpleNamespace(**result) if isinstance(result, dict) else result

    async def status(self, **wanted: object):
        """The next status that has these entries."""
        while True:
            status = await self.statuses.get()
            if all(getattr(status, name) == value for name, value in wanted.items()):
                return status


@asynccontextmanager
async def editor(options: dict | None = None, **more):
    """A started one. Nothing is too unlikely to be shown, and whole texts are waited for, so that tests see text."""
    one = Editor()
    defaults = {"confidence": 0, "deadlineMs": 10_000, "statusNotifications": True}
    one.result = await one.start({**defaults, **(options or {})}, **more)
    try:
        yield one
    finally:
        await one.stop()
