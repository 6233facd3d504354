"""What editors tell of their documents."""
import time
from collections.abc import Callable

from lsprotocol import types

from gpt2_lsp.completer import Completer
from gpt2_lsp.documents import Cursor, Document
from gpt2_lsp.workspace import Workspace

_PAIRS = ("()", "[]", "{}", '""', "''", "``", "<>", "**", "__", "$$")
"""What editors insert at once for one key; the cursor is then in the middle."""


class DocumentMethods:
    """Keeps the workspace's documents as the editor has them, and tells the completer of each change."""

    def __init__(self, workspace: Workspace, completer: Completer, encoding: Callable[[], str]) -> None:
        """`encoding`: of the editor's positions, once that is settled."""
        self._workspace, self._completer, self._encoding = workspace, completer, encoding

    def features(self) -> dict[str, Callable]:
        return {types.TEXT_DOCUMENT_DID_OPEN: self._opened, types.TEXT_DOCUMENT_DID_CHANGE: self._edited,
                types.TEXT_DOCUMENT_DID_CLOSE: self._closed}

    def _opened(self, params: types.DidOpenTextDocumentParams) -> None:
        item = params.text_document
        document = Document(item.uri, item.language_id, item.version, self._encoding())
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
