"""The commands of a session: which lines are one, and what each takes."""
import difflib
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from gpt2_assist.errors import UsageError
from gpt2_assist.repl.open_session import OpenSession

_NAME = re.compile(r"/[a-z]", re.IGNORECASE)
GROUPS = ("The text", "Other ways it could go", "How the model writes", "Sessions", "Else")


@dataclass(frozen=True)
class Command:
    name: str
    takes: str
    """Its arguments as help shows them: in brackets what can be left out; empty where it takes none."""
    group: str
    help: str
    run: Callable[[OpenSession, str], Awaitable[None]]
    names: Callable[[OpenSession], Iterable[str]] = lambda state: ()
    """What its argument may be, for completion."""


def is_command(line: str) -> bool:
    """Whether what was entered is a command: a line by itself that begins with a slash and a letter."""
    return bool(_NAME.match(line)) and "\n" not in line


def as_text(entered: str) -> str:
    """What was entered as text: of two slashes at its beginning the first only says that it is no command."""
    return entered[1:] if entered.startswith("//") else entered


async def run(table: dict[str, Command], state: OpenSession, line: str) -> None:
    """Does what a command says. Raises AssistError, and Quit where the user wants to leave."""
    name, _, argument = line.strip().partition(" ")
    command, argument = table.get(name.lower()), argument.strip()
    if command is None:
        near = difflib.get_close_matches(name, table, 1)
        hint = f"did you mean {near[0]}?" if near else "/help lists them."
        raise UsageError(f"There is no command {name}; {hint} (Text that begins with a slash begins with two.)")
    if argument and not command.takes:
        raise UsageError(f"{command.name} takes nothing behind it. (Text that begins with a slash begins with two.)")
    if not argument and command.takes and not command.takes.startswith("["):
        raise UsageError(f"{command.name} wants {command.takes}.")
    await command.run(state, argument)


def count(argument: str, most: int, default: int = 1) -> int:
    """A number of things as an argument; where there is none, the default. Raises UsageError."""
    if not argument:
        return default
    if not argument.isdecimal() or not 1 <= int(argument) <= most:
        raise UsageError(f"It must be a whole number from 1 to {most}, not {argument!r}.")
    return int(argument)
