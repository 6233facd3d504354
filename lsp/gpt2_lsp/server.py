"""The language server's life: what it tells the editor about itself, its settings, the model behind it."""
import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any

from lsprotocol import types

from gpt2_assist import __version__
from gpt2_assist.completion.daemon import Daemon
from gpt2_assist.config import read_settings
from gpt2_assist.errors import AssistError
from gpt2_assist.model.store import better_to_be_had, resolved
from gpt2_lsp.addresses import files
from gpt2_lsp.command_methods import CommandMethods
from gpt2_lsp.completer import Completer
from gpt2_lsp.completion_methods import CompletionMethods
from gpt2_lsp.document_methods import DocumentMethods
from gpt2_lsp.settings import changed
from gpt2_lsp.status import Status
from gpt2_lsp.wire import Server
from gpt2_lsp.workspace import Workspace

STATUS = "gpt2/status"


class Gpt2Server:
    """One editor's server."""

    def __init__(self) -> None:
        self.server = Server("gpt2-lsp", __version__)
        self._workspace = Workspace()
        self._daemon = Daemon("lsp")
        self._status = Status(self._tell_status)
        self._completer = Completer(self._daemon, self._status)
        self._documents = DocumentMethods(self._workspace, self._completer, self._encoding)
        self._completions = CompletionMethods(self._workspace, self._completer, self._status, self._encoding,
                                              self._notify)
        self._commands = CommandMethods(self._workspace, self._completer, self._status, self._set, self._choose)
        self._wants_status = False
        self._tasks: set[asyncio.Task] = set()
        self._register()

    def serve(self) -> int:
        return self.server.serve()

    def _register(self) -> None:
        life: dict[str, Callable] = {
            types.INITIALIZE: self._initialize, types.INITIALIZED: self._initialized, types.SHUTDOWN: self._shut_down,
            types.WORKSPACE_DID_CHANGE_CONFIGURATION: self._configured,
            types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS: self._folders_changed}
        options = {types.TEXT_DOCUMENT_INLINE_COMPLETION: types.InlineCompletionOptions()}
        # pygls writes on what it registers: no bound methods
        for name, handler in {**life, **self._documents.features(), **self._completions.features()}.items():
            self.server.feature(name, options.get(name))(partial(handler))
        for name, handler in {**self._commands.commands(), **self._completions.commands()}.items():
            self.server.command(name)(partial(handler))

    def _initialize(self, params: types.InitializeParams) -> None:
        options = params.initialization_options if isinstance(params.initialization_options, dict) else {}
        self._wants_status = options.get("statusNotifications") is True
        self._completions.wants_finished = options.get("finishedNotifications") is True
        folders = [folder.uri for folder in params.workspace_folders or []] or [params.root_uri or ""]
        self._workspace.folders = [path for folder in folders for path in files(folder)]
        self._configure(options)
        streaming = options.get("streaming") is True
        if streaming:
            self.server.experimental = {"gpt2": {"streaming": True}}
        offered = params.capabilities.text_document
        if not streaming and not (offered and offered.inline_completion):
            menu = types.CompletionOptions(trigger_characters=[".", "(", "="])
            self.server.feature(types.TEXT_DOCUMENT_COMPLETION, menu)(partial(self._completions.menu))

    def _initialized(self, params: types.InitializedParams) -> None:
        self._load()

    def _shut_down(self, params: None) -> None:
        self._completer.forget()
        self._begin(self._daemon.close())

    def _configure(self, wanted: Any) -> None:
        settings, complaints = changed(self._workspace.settings, wanted)
        try:
            model = settings.model or read_settings().model
            if better := better_to_be_had(model):
                self._status.better = better
            settings = replace(settings, model=resolved(model))
        except AssistError as error:
            complaints.append(str(error))
        self._workspace.configure(settings, self._workspace.folders)
        self._status.configured(settings.enabled, settings.model)
        for complaint in complaints:
            self._say(complaint, types.MessageType.Warning)

    def _configured(self, params: types.DidChangeConfigurationParams) -> None:
        wanted = params.settings if isinstance(params.settings, dict) else {}
        self._set(wanted.get("gpt2Assist"))

    def _set(self, wanted: Any) -> None:
        """Takes new settings; what was written under others is forgotten."""
        before = self._workspace.settings
        self._configure(wanted)
        if self._workspace.settings != before:
            self._completer.forget()
            if (before.enabled, before.model) != (self._workspace.settings.enabled, self._workspace.settings.model):
                self._load()

    def _folders_changed(self, params: types.DidChangeWorkspaceFoldersParams) -> None:
        gone = {path for folder in params.event.removed for path in files(folder.uri)}
        new = [path for folder in params.event.added for path in files(folder.uri)]
        folders = [folder for folder in self._workspace.folders if folder not in gone] + new
        self._workspace.configure(self._workspace.settings, folders)

    def _load(self) -> None:
        """Has the daemon load the model, so that the first key finds it ready. Off means that it isn't touched."""
        if self._workspace.settings.enabled:
            self._begin(self._loaded())

    def _begin(self, work: Coroutine) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _loaded(self) -> None:
        model = self._workspace.settings.model
        self._status.loading("the model is being loaded")
        try:
            await self._daemon.load(model)
        except AssistError as error:
            if model == self._workspace.settings.model:
                self._status.failed(error)
        else:
            if model == self._workspace.settings.model:
                self._status.ready()

    async def _choose(self, model: str) -> None:
        """Takes another model, and waits until it is there."""
        self._configure({"model": model})
        self._completer.forget()
        await self._loaded()

    def _tell_status(self, entries: dict) -> None:
        if self._wants_status:
            self._notify(STATUS, entries)

    def _say(self, sentence: str, kind: types.MessageType) -> None:
        self.server.window_show_message(types.ShowMessageParams(kind, sentence))

    def _encoding(self) -> str:
        return types.PositionEncodingKind(self.server.workspace.position_encoding).value

    def _notify(self, method: str, params: Any) -> None:
        self.server.protocol.notify(method, params)
