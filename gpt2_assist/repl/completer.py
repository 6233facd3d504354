"""Completion of commands, and of the names that they take."""
from collections.abc import Callable, Iterable, Iterator

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document


class CommandCompleter(Completer):
    """Completes a line that begins with a slash; `names` gives each command's possible arguments, asked each time."""

    def __init__(self, commands: Iterable[str], names: dict[str, Callable[[], Iterable[str]]]) -> None:
        self._commands, self._names = list(commands), names

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        line = document.text_before_cursor
        if not line.startswith("/") or "\n" in line:
            return
        command, space, argument = line.partition(" ")
        if space:
            candidates, typed = self._names.get(command, lambda: ())(), argument
        else:
            candidates, typed = self._commands, command
        for candidate in candidates:
            if candidate.startswith(typed):
                yield Completion(candidate, start_position=-len(typed))
