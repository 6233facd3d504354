"""What editors ask for: completions streamed, inline or in a menu; and what they tell of what they showed."""
import re
import time
from collections.abc import Callable
from itertools import count
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams

from gpt2_lsp.completer import SUPERSEDED, Answer, Completer, Question
from gpt2_lsp.documents import Cursor, Document
from gpt2_lsp.positions import units
from gpt2_lsp.status import Status
from gpt2_lsp.workspace import Workspace

INLINE = "gpt2/inlineCompletion"
_LABEL = 60
"""Characters of a menu's entry."""
_MENU_S = 0.8
"""A menu that opens by itself asks within this of the last key."""
_WORD_END = re.compile(r"\w{0,60}\Z")


class CompletionMethods:
    """Questions in the protocol's words to the completer, and its answers back."""

    def __init__(self, workspace: Workspace, completer: Completer, status: Status, encoding: Callable[[], str],
                 notify: Callable[[str, Any], None]) -> None:
        """`encoding`: of the editor's positions, once that is settled; `notify` sends a notification's method and
        parameters."""
        self._workspace, self._completer, self._status = workspace, completer, status
        self._encoding, self._notify = encoding, notify
        self.wants_finished = False
        """Whether the editor wants to hear when the rest of a text is there."""
        self._menu_place: tuple[str, int, types.Position] | None = None
        """Document, version and position of the last menu's question."""

    def features(self) -> dict[str, Callable]:
        """All but the menu's, which only some editors get."""
        return {types.TEXT_DOCUMENT_INLINE_COMPLETION: self._inline, INLINE: self._streamed,
                "gpt2/accepted": self._accepted, "gpt2/dismissed": self._dismissed}

    def commands(self) -> dict[str, Callable]:
        return {"gpt2.accepted": self._accepted_command}

    async def _inline(self, params: types.InlineCompletionParams) -> types.InlineCompletionList | None:
        context = params.context
        invoked = context.trigger_kind == types.InlineCompletionTriggerKind.Invoked
        uri, position = params.text_document.uri, params.position
        finished = self._finished(uri, position) if self.wants_finished and not invoked else None
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
            self._notify(types.PROGRESS, types.ProgressParams(token, value))

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

    async def menu(self, params: types.CompletionParams) -> types.CompletionList | None:
        """Entries of a menu that begin with the word at the cursor, so that editors don't filter them away."""
        uri, position = params.text_document.uri, params.position
        document = self._workspace.document(uri)
        before = document.before(document.cursor(position.line, position.character), _LABEL) if document else ""
        answer, range, _ = await self._ask(uri, position, self._by_hand(document, position), None)
        if answer.reason == SUPERSEDED:
            return None
        found = _WORD_END.search(before)
        word = found[0] if found else ""
        start = types.Position(position.line, position.character - units(word, self._encoding()))
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
        return lambda: self._notify(
            "gpt2/finished", {"uri": uri, "version": version, "position": position})

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
