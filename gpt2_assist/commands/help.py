"""How `--help` looks."""
import argparse
import textwrap
from collections.abc import Mapping, Sequence
from functools import partial


class Help(argparse.HelpFormatter):
    """Prose is wrapped to the terminal; what has lines of its own, as examples have, stands as it is."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if "\n" in text else super()._fill_text(text, width, indent)


def grouped(groups: Mapping[str, Sequence[str]]) -> partial:
    """A formatter that shows commands under the heading that each has in `groups`."""
    return partial(_GroupedHelp, groups=groups)


class _GroupedHelp(Help):
    def __init__(self, prog: str, groups: Mapping[str, Sequence[str]]) -> None:
        super().__init__(prog)
        self._groups = groups

    def _format_action(self, action: argparse.Action) -> str:
        if not isinstance(action, argparse._SubParsersAction):
            return super()._format_action(action)
        summaries = {command.dest: command.help for command in action._get_subactions()}
        margin = max(map(len, summaries)) + 6
        return "\n".join(f"  {heading}:\n" + "".join(
            textwrap.fill(summaries[name], self._width, initial_indent=f"    {name}".ljust(margin),
                          subsequent_indent=" " * margin) + "\n" for name in names)
                         for heading, names in self._groups.items())
