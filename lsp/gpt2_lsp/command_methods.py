"""What users ask for by commands: status, on and off, models."""
import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pygls.exceptions import JsonRpcInvalidParams

from gpt2_assist.model.store import list_models
from gpt2_lsp.completer import Completer
from gpt2_lsp.status import Status
from gpt2_lsp.workspace import Workspace


class CommandMethods:
    def __init__(self, workspace: Workspace, completer: Completer, status: Status, change: Callable[[dict], None],
                 choose: Callable[[str], Awaitable[None]]) -> None:
        """`change` takes new settings, `choose` another model, which is there when it returns."""
        self._workspace, self._completer, self._status = workspace, completer, status
        self._change, self._choose = change, choose

    def commands(self) -> dict[str, Callable]:
        return {"gpt2.status": self._status_command, "gpt2.toggle": self._toggle_command,
                "gpt2.models": self._models_command, "gpt2.model": self._model_command}

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
            self._change({"enabled": _wish(wish, settings.enabled)})
        elif scope == "language" and (language := wish.get("language") or (document.language if document else "")):
            off = set(settings.disabled_languages)
            (off.discard if _wish(wish, language not in off) else off.add)(language)
            self._change({"disabledLanguages": sorted(off)})
        elif scope == "file" and document:
            self._workspace.switch(document.uri, _wish(wish, self._workspace.is_on(document.uri)))
            self._completer.closed(document.uri)
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
        await self._choose(arguments[0])
        return self._status.entries()


def _wish(wish: dict, on: bool) -> bool:
    """What a toggle wants: as said, or the other way round."""
    return wish["enabled"] if isinstance(wish.get("enabled"), bool) else not on
