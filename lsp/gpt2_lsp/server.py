"""The language server's methods: what comes from the editor goes to documents and completer, and back."""
import asyncio
import re
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams

from gpt2_assist import __version__
from gpt2_assist.config import read_settings
from gpt2_assist.errors import AssistError
from gpt2_assist.model.store import better_to_be_had, list_models, resolved
from gpt2_lsp.addresses import files
from gpt2_lsp.completer import SUPERSEDED, Answer, Completer, Question
from gpt2_lsp.daemon import Daemon
from gpt2_lsp.documents import Cursor, Document
from gpt2_lsp.positions import units
from gpt2_lsp.settings import changed
from gpt2_lsp.status import Status
from gpt2_lsp.wire import Server
from gpt2_lsp.workspace import Workspace

INLINE = "gpt2/inlineCompletion"
STATUS = "gpt2/status"
_PAIRS = ("()", "[]", "{}", '""', "''", "``", "<>", "**", "__", "$$")
"""What editors insert at once for one key; the cursor is then in the middle."""
_LABEL = 60
"""Characters of a menu's entry."""
_MENU_S = 0.8
"""A menu that opens by itself asks within this of the last key."""
_WORD_END = re.compile(r"\w{0,60}\Z")


class Gpt2Server:
    """One editor's server."""

    def __init__(self) -> None:
        self.server = Server("gpt2-lsp", __version__)
        self._workspace = Workspace()
        self._daemon = Daemon()
        self._status = Status(self._tell_status)
        self._completer = Completer(self._daemon, self._status)
        self._wants_status = self._wants_finished = False
        self._menu_place: tuple[str, int, types.Position] | None = None
        """Document, version and position of the last menu's question."""
        self._tasks: set[asyncio.Task] = set()
        self._register()

    def serve(self) -> int:
        return self.server.serve()

    def _register(self) -> None:
        def feature(name: str, handler: Callable, options: Any = None) -> None:
            self.server.feature(name, options)(partial(handler))  # pygls writes on what it registers: no bound methods

        def command(name: str, handler: Callable) -> None:
            self.server.command(name)(partial(handler))

        feature(types.INITIALIZE, self._initialize)
        feature(types.INITIALIZED, self._initialized)
        feature(types.SHUTDOWN, self._shut_down)
        feature(types.TEXT_DOCUMENT_DID_OPEN, self._opened)
        feature(types.TEXT_DOCUMENT_DID_CHANGE, self._edited)
        feature(types.TEXT_DOCUMENT_DID_CLOSE, self._closed)
        feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION, self._configured)
        feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS, self._folders_changed)
        feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, self._inline, types.InlineCompletionOptions())
        feature(INLINE, self._streamed)
        feature("gpt2/accepted", self._accepted)
        feature("gpt2/dismissed", self._dismissed)
        command("gpt2.status", self._status_command)
        command("gpt2.toggle", self._toggle_command)
        command("gpt2.models", self._models_command)
        command("gpt2.model", self._model_command)
        command("gpt2.accepted", self._accepted_command)

    # Life.

    def _initialize(self, params: types.InitializeParams) -> None:
        options = params.initialization_options if isinstance(params.initialization_options, dict) else {}
        self._wants_status = options.get("statusNotifications") is True
        self._wants_finished = options.get("finishedNotifications") is True
        folders = [folder.uri for folder in params.workspace_folders or []] or [params.root_uri or ""]
        self._workspace.folders = [path for folder in folders for path in files(folder)]
        self._configure(options)
        streaming = options.get("streaming") is True
        if streaming:
            self.server.experimental = {"gpt2": {"streaming": True}}
        offered = params.capabilities.text_document
        if not streaming and not (offered and offered.inline_completion):
            self.server.feature(types.TEXT_DOCUMENT_COMPLETION,
                                types.CompletionOptions(trigger_characters=[".", "(", "="]))(partial(self._completion))

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

    # Documents.

    def _opened(self, params: types.DidOpenTextDocumentParams) -> None:
        item = params.text_document
        document = Document(item.uri, item.language_id, item.version, self._encoding)
        document.replace_all(item.text)
        self._completer.closed(item.uri)
        self._workspace.open(document)

    def _edited(self, params: types.DidChangeTextDocumentParams) -> None:
        document = self._workspace.document(params.text_document.uri)
        if document is None:
            return
        cursor = None
        for change in params.content_changes:
            if isinstance(change, types.TextDocumentContentChangePartial):
                start, end = change.range.start, change.range.end
                cursor = document.replace((start.line, start.character), (end.line, end.character), change.text)
                if change.text in _PAIRS:
                    cursor = Cursor(cursor.line, cursor.column - 1)
            else:
                document.replace_all(change.text)
                cursor = None
        document.version, document.changed = params.text_document.version, time.monotonic()
        if len(params.content_changes) != 1:
            cursor = None  # several cursors, or a tool that rewrites
        if self._workspace.reason(document):
            self._completer.closed(document.uri)
        else:
            self._completer.changed(document, cursor, self._workspace.settings,
                                    lambda: self._workspace.others(document))

    def _closed(self, params: types.DidCloseTextDocumentParams) -> None:
        self._workspace.close(params.text_document.uri)
        self._completer.closed(params.text_document.uri)

    # Questions.

    async def _inline(self, params: types.InlineCompletionParams) -> types.InlineCompletionList | None:
        context = params.context
        invoked = context.trigger_kind == types.InlineCompletionTriggerKind.Invoked
        uri, position = params.text_document.uri, params.position
        finished = self._finished(uri, position) if self._wants_finished and not invoked else None
        info = context.selected_completion_info
        answer, range, selected = await self._ask(uri, position, invoked, info, finished=finished)
        if answer.reason == SUPERSEDED:
            return None
        report = types.Command(
            title="Accepted", command="gpt2.accepted", arguments=[{"uri": uri, "session": answer.session}])
        return types.InlineCompletionList([
            types.InlineCompletionItem(selected + text, range=range, command=report) for text in answer.texts])

    async def _streamed(self, params: Any) -> dict:
        try:
            uri, version = params["textDocument"]["uri"], params["textDocument"].get("version")
            position = types.Position(int(params["position"]["line"]), int(params["position"]["character"]))
            context = params.get("context") or {}
            info = _selected(context.get("selectedCompletionInfo"))
            options = params.get("formattingOptions") or {}
            indent = " " * int(options.get("tabSize", 4)) if options.get("insertSpaces", True) else "\t"
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise JsonRpcInvalidParams(f"The parameters of {INLINE} lack something.") from error
        token = params.get("partialResultToken")

        def snapshot(session: int, text: str, final: bool) -> None:
            value = {"session": session, "sequence": next(numbers), "text": selected + text, "final": final}
            self.server.protocol.notify(types.PROGRESS, types.ProgressParams(token, value))

        numbers, selected = count(), info.text if info else ""
        document = self._workspace.document(uri)
        if document and version is not None and version != document.version:
            answer, range_ = Answer([], SUPERSEDED), None
        else:
            answer, range_, selected = await self._ask(
                uri, position, context.get("triggerKind") == 1, info,
                indent=indent if "insertSpaces" in options else "", snapshot=snapshot if token is not None else None)
        return {"session": answer.session, "reason": answer.reason,
                "items": [{"insertText": selected + text, "range": range_} for text in answer.texts]}

    async def _completion(self, params: types.CompletionParams) -> types.CompletionList | None:
        """Entries of a menu that begin with the word at the cursor, so that editors don't filter them away."""
        uri, position = params.text_document.uri, params.position
        document = self._workspace.document(uri)
        before = document.before(document.cursor(position.line, position.character), _LABEL) if document else ""
        answer, range, _ = await self._ask(uri, position, self._by_hand(document, position), None)
        if answer.reason == SUPERSEDED:
            return None
        word = _WORD_END.search(before)[0]
        start = types.Position(position.line, position.character - units(word, self._encoding))
        items = []
        for number, text in enumerate(answer.texts):
            label = (word + text).strip().split("\n")[0]
            items.append(types.CompletionItem(
                label=label if len(label) <= _LABEL else label[:_LABEL - 1] + "…", detail="gpt2-assist",
                kind=types.CompletionItemKind.Text, sort_text=str(number), filter_text=word or label,
                documentation=word + text if "\n" in text else None,
                insert_text_mode=types.InsertTextMode.AsIs,
                text_edit=types.TextEdit(types.Range(start, position), word + text)))
        return types.CompletionList(is_incomplete=True, items=items)

    def _by_hand(self, document: Document | None, position: types.Position) -> bool:
        """Whether the user opened the menu. The protocol's trigger kind doesn't tell; but a menu that opens by itself
        follows a key, and only once."""
        if document is None:
            return False
        place, before = (document.uri, document.version, position), self._menu_place
        self._menu_place = place
        return place == before or time.monotonic() - document.changed > _MENU_S

    async def _ask(self, uri: str, position: types.Position, invoked: bool, info: types.SelectedCompletionInfo | None,
                   **more: Any) -> tuple[Answer, types.Range, str]:
        """The answer, the range that its texts replace, and what the texts begin with. Nothing is awaited before the
        document's text is taken."""
        range = info.range if info else types.Range(position, position)
        selected = info.text if info else ""
        document = self._workspace.document(uri)
        if document is None:
            return Answer([], "excluded: the document is not open"), range, selected
        reason = self._workspace.reason(document)
        cursor = document.cursor(range.start.line, range.start.character)
        if not reason and not invoked and not info and _inside_word(document, cursor):
            reason = "inside a word"
        if reason:
            answer = Answer([], reason)
        else:
            end = document.cursor(range.end.line, range.end.character) if info else None
            question = Question(document, cursor, invoked, selected, end, **more)
            answer = await self._completer.answer(question, self._workspace.settings,
                                                  lambda: self._workspace.others(document))
        if answer.reason != SUPERSEDED:
            self._status.answered(answer.reason)
        return answer, range, selected

    def _finished(self, uri: str, position: types.Position):
        document = self._workspace.document(uri)
        version = document.version if document else None
        return lambda: self.server.protocol.notify(
            "gpt2/finished", {"uri": uri, "version": version, "position": position})

    # Reports and commands.

    def _accepted(self, params: Any) -> None:
        self._about_document(params, self._completer.accepted)

    def _dismissed(self, params: Any) -> None:
        self._about_document(params, self._completer.dismissed)

    def _about_document(self, params: Any, act) -> None:
        uri = params.get("textDocument", {}).get("uri") if isinstance(params, dict) else None
        if isinstance(uri, str) and self._workspace.document(uri):
            act(uri)

    def _accepted_command(self, *arguments: Any) -> None:
        self._accepted({"textDocument": arguments[0] if arguments else {}})

    def _status_command(self, *arguments: Any) -> dict:
        uri = arguments[0].get("uri") if arguments and isinstance(arguments[0], dict) else None
        document = self._workspace.document(uri) if isinstance(uri, str) else None
        if document:
            self._status.looked_at(self._workspace.reason(document))
        return self._status.entries()

    def _toggle_command(self, *arguments: Any) -> dict:
        wish = arguments[0] if arguments and isinstance(arguments[0], dict) else {}
        scope, uri = wish.get("scope", "all"), wish.get("uri")
        document = self._workspace.document(uri) if isinstance(uri, str) else None
        settings = self._workspace.settings
        if scope == "all":
            self._set({"enabled": _wish(wish, settings.enabled)})
        elif scope == "language" and (document or wish.get("language")):
            language = wish.get("language") or document.language
            off = set(settings.disabled_languages)
            (off.discard if _wish(wish, language not in off) else off.add)(language)
            self._set({"disabledLanguages": sorted(off)})
        elif scope == "file" and document:
            self._workspace.switch(uri, _wish(wish, self._workspace.is_on(uri)))
            self._completer.closed(uri)
        else:
            raise JsonRpcInvalidParams(f"gpt2.toggle can't switch {str(scope)[:20]!r} of what was named.")
        return self._status_command(*([{"uri": uri}] if document else []))

    async def _models_command(self, *arguments: Any) -> list[dict]:
        models = await asyncio.to_thread(list_models)
        return [{"name": model.name, "description": model.card.origin,
                 "current": model.name == self._workspace.settings.model} for model in models]

    async def _model_command(self, *arguments: Any) -> dict:
        if not arguments or not isinstance(arguments[0], str):
            raise JsonRpcInvalidParams("gpt2.model wants the name of a model.")
        self._configure({"model": arguments[0]})
        self._completer.forget()
        await self._loaded()
        return self._status.entries()

    def _tell_status(self, entries: dict) -> None:
        if self._wants_status:
            self.server.protocol.notify(STATUS, entries)

    def _say(self, sentence: str, kind: types.MessageType) -> None:
        self.server.window_show_message(types.ShowMessageParams(kind, sentence))

    @property
    def _encoding(self) -> str:
        return types.PositionEncodingKind(self.server.workspace.position_encoding).value


def _wish(wish: dict, on: bool) -> bool:
    """What a toggle wants: as said, or the other way round."""
    return wish["enabled"] if isinstance(wish.get("enabled"), bool) else not on


def _selected(info: Any) -> types.SelectedCompletionInfo | None:
    if info is None:
        return None
    start, end = (types.Position(int(info["range"][side]["line"]), int(info["range"][side]["character"]))
                  for side in ("start", "end"))
    return types.SelectedCompletionInfo(types.Range(start, end), str(info["text"]))


def _inside_word(document: Document, cursor: Cursor) -> bool:
    line = document.lines[cursor.line]
    around = line[max(0, cursor.column - 1):cursor.column], line[cursor.column:cursor.column + 1]
    return all(character == "_" or character.isalnum() for character in around)
