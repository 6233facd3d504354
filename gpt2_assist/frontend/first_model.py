"""The first use of all: the model that `auto` would best be is fetched once, where the network lets it.

A program calls this before it opens a model that nobody named. Editors don't: no key starts a download.
"""
import sys
import time
from pathlib import Path

from gpt2_assist import config
from gpt2_assist.console.terminal import on_interrupt
from gpt2_assist.errors import AssistError
from gpt2_assist.model.catalogue import Entry
from gpt2_assist.model.store import is_stored, missing_best, resolved

_AGAIN_S = 86_400
"""After a failure it isn't tried again for so long; `gpt2-assist pull` always tries."""
_FAILED = "first-model-failed"
"""The file in the home folder whose date says when that was."""


def default_model(given: str | None, fetching: bool) -> str:
    """The name of the model to open: the one that was `given`, else that of the settings. Where it is `auto`, the best
    that is there, after the best of all was fetched, if it may be (`fetching`). Raises UsageError where a setting is
    wrong."""
    name = given or config.read_settings().model
    if fetching and name == config.AUTO and not config.offline() and (entry := missing_best()) and _begun():
        _fetch(entry)
    return resolved(name)


def _fetch(entry: Entry) -> None:
    """Fetches it; where that fails, one line says so."""
    from gpt2_assist.frontend.fetching import fetch
    try:
        with on_interrupt(_stop):
            fetch(entry.name, patient=False, remark=f" ({entry.licence}), once; Ctrl-C: without it")
    except (AssistError, KeyboardInterrupt) as error:
        if not is_stored(entry.name):
            print(f"{str(error) or 'It was stopped.'} {resolved(config.AUTO)} opens instead; `gpt2-assist pull "
                  f"{entry.name}` tries again.", file=sys.stderr)
            return
    _failed().unlink(missing_ok=True)


def _stop() -> None:
    raise KeyboardInterrupt


def _begun() -> bool:
    """Whether it is to be tried now, which counts as a failure until it has come: whatever ends this process, the next
    one doesn't try at once. Where that can't be kept, nor could the model."""
    try:
        if 0 <= time.time() - _failed().stat().st_mtime < _AGAIN_S:
            return False
    except OSError:
        pass
    try:
        config.home().mkdir(parents=True, exist_ok=True)
        _failed().touch()
    except OSError:
        return False
    return True


def _failed() -> Path:
    return config.home() / _FAILED
