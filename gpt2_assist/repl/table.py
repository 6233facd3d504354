"""All commands, and what /help says of them."""
from collections.abc import Iterator

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from gpt2_assist.errors import UsageError
from gpt2_assist.repl import choosing_commands, session_commands, setting_commands, text_commands
from gpt2_assist.repl.commands import GROUPS, Command
from gpt2_assist.repl.face import Part
from gpt2_assist.repl.open_session import OpenSession

Keys = tuple[tuple[str, str], ...]


def command_table(keys: Keys) -> dict[str, Command]:
    """By their names. `keys`, and what they do, stand in the help."""
    async def help_me(state: OpenSession, argument: str) -> None:
        if not argument:
            await state.face.page("Help", _help(table, keys))
            return
        name = f"/{argument.lstrip('/')}"
        if name not in table:
            raise UsageError(f"There is no command {name}; /help lists them.")
        state.face.note(f"{name} {table[name].takes}: {table[name].help}")

    commands = (*text_commands.COMMANDS, *choosing_commands.COMMANDS, *setting_commands.COMMANDS,
                *session_commands.COMMANDS, Command("/help", "[COMMAND]", "Else", "this", help_me,
                                                    lambda state: [name[1:] for name in table]))
    table = {command.name: command for command in commands}
    return table


def _help(table: dict[str, Command], keys: Keys) -> list[Part]:
    parts: list[Part] = [("strong", "Keys\n")]
    parts += [("", f"  {key:17} {does}\n") for key, does in keys]
    for group in GROUPS:
        parts.append(("strong", f"\n{group}\n"))
        parts += [("", f"  {f'{command.name} {command.takes}':17} {command.help}\n") for command in table.values()
                  if command.group == group]
    return parts


class CommandCompleter(Completer):
    """Completes a line that is a command, and what it takes."""

    def __init__(self, table: dict[str, Command]) -> None:
        self._table = table
        self.state: OpenSession | None = None

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        line = document.text_before_cursor
        if not line.startswith("/") or "\n" in line:
            return
        name, space, typed = line.partition(" ")
        if not space:
            candidates, typed = iter(self._table), name
        elif name in self._table and self.state:
            candidates = iter(self._table[name].names(self.state))
        else:
            return
        for candidate in candidates:
            if candidate.startswith(typed):
                yield Completion(candidate, start_position=-len(typed))
