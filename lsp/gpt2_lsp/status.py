"""What the server does and why it shows nothing, for status bars."""
from collections.abc import Callable

from gpt2_assist.errors import AssistError


class Status:
    """Tells `listener` whenever something changed. It hears the completer."""

    def __init__(self, listener: Callable[[dict], None]) -> None:
        self._listener = listener
        self._entries = {"state": "loading", "reason": "", "model": "", "latencyMs": None, "enabled": True,
                         "message": ""}
        self.better = ""
        """A sentence about a better model, to be said once, when the present one is there."""

    def entries(self) -> dict:
        return dict(self._entries)

    def configured(self, enabled: bool, model: str) -> None:
        """The user turned completions on or off, or chose a model."""
        if enabled != self._entries["enabled"] or not enabled:
            self._change(enabled=enabled, model=model, state="loading" if enabled else "off", message="",
                         reason="" if enabled else "off")
        else:
            self._change(model=model)

    def loading(self, words: str) -> None:
        self._change(state="loading", message=words[:1].upper() + words[1:] + ".")

    def ready(self) -> None:
        """The model is there."""
        reason = str(self._entries["reason"])
        self._change(state="ready", message=self.better, reason="" if reason.startswith("loading") else reason)
        self.better = ""

    def failed(self, error: AssistError) -> None:
        self._change(state="error", message=str(error))

    def shown(self, latency_ms: float) -> None:
        """A question was answered with text, so long after it came."""
        self._change(state="ready", reason="", message="", latencyMs=round(latency_ms, 1))

    def answered(self, reason: str) -> None:
        """A question was answered, for a reason with nothing."""
        if reason.startswith(("failed", "loading")) or not self._entries["enabled"]:
            self._change(reason=reason)
        else:
            self._change(state="ready", reason=reason)

    def looked_at(self, reason: str) -> None:
        """A document of which it is known why nothing is shown, or that nothing stands against it."""
        if reason or str(self._entries["reason"]).startswith(("off", "excluded", "too large")):
            self.answered(reason)

    def _change(self, **entries: object) -> None:
        changed = {**self._entries, **entries}
        if changed != self._entries:
            self._entries = changed
            self._listener(dict(changed))
