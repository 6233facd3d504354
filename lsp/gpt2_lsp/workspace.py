"""The open documents and whether each may be read: off, excluded, too large."""
from collections.abc import Iterator
from pathlib import Path

from gpt2_assist.files.exclusions import Exclusions
from gpt2_lsp.addresses import files
from gpt2_lsp.context import MAX_OTHERS
from gpt2_lsp.documents import Document
from gpt2_lsp.settings import EditorSettings


class Workspace:
    def __init__(self) -> None:
        self.settings = EditorSettings()
        self.folders: list[Path] = []
        self._documents: dict[str, Document] = {}
        """The last used last."""
        self._off: set[str] = set()
        self._exclusions = Exclusions([])

    def configure(self, settings: EditorSettings, folders: list[Path]) -> None:
        self.settings, self.folders = settings, folders
        self._exclusions = Exclusions(folders, settings.exclude, settings.max_file_kb * 1024)

    def open(self, document: Document) -> None:
        self._documents[document.uri] = document

    def close(self, uri: str) -> None:
        self._documents.pop(uri, None)
        self._off.discard(uri)

    def document(self, uri: str) -> Document | None:
        """An open document, which counts as used now."""
        document = self._documents.pop(uri, None)
        if document:
            self._documents[uri] = document
        return document

    def switch(self, uri: str, on: bool) -> None:
        """Turns completions on or off in one file."""
        (self._off.discard if on else self._off.add)(uri)

    def is_on(self, uri: str) -> bool:
        return uri not in self._off

    def reason(self, document: Document) -> str:
        """Why nothing is completed in a document; empty where something may be."""
        if not self.settings.enabled:
            return "off"
        if document.language in self.settings.disabled_languages:
            return "off in this language"
        if document.uri in self._off:
            return "off in this file"
        return self._unread(document)

    def others(self, document: Document) -> Iterator[Document]:
        """Other open documents that may be read, the last used first."""
        if not self.settings.other_files:
            return
        given = 0
        for other in reversed(list(self._documents.values())):
            if given < MAX_OTHERS and other is not document and not self._unread(other):
                given += 1
                yield other

    def _unread(self, document: Document) -> str:
        reasons = (self._exclusions.reason(file, document.size)
                   for file in files(document.uri, tuple(self.folders)))
        reason = next(filter(None, reasons), "")
        return reason or ("" if document.size <= self.settings.max_file_kb * 1024 else "too large")
