"""How `--help` looks, and what it says of all commands, whose own modules it takes a while to import."""
import argparse
import textwrap

COMMANDS = {
    "write": {"generate": "continue a text"},
    "teach a model your texts": {
        "finetune": "teach a model your own texts",
        "runs": "what fine-tuning made",
        "originality": "say what of a text was copied",
        "pretrain": "make a model from nothing, by a recipe"},
    "models": {
        "pull": "fetch a model, or list those that can be fetched",
        "models": "list, show, remove or import models"},
    "keep it running": {
        "doctor": "check the installation and say what to do",
        "daemon": "start, stop, restart or watch the daemon",
        "completion": "print what makes a shell complete these commands"}}
"""By what people want; each command is in the module of its name beside this one."""
SUMMARIES = {name: summary for commands in COMMANDS.values() for name, summary in commands.items()}


class Help(argparse.HelpFormatter):
    """Prose is wrapped to the terminal; what has lines of its own, as examples have, stands as it is."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if "\n" in text else super()._fill_text(text, width, indent)


class GroupedHelp(Help):
    """Commands stand under what people want with them."""

    def _format_action(self, action: argparse.Action) -> str:
        if not isinstance(action, argparse._SubParsersAction):
            return super()._format_action(action)
        margin = max(map(len, SUMMARIES)) + 6
        return "\n".join(f"  {heading}:\n" + "".join(
            textwrap.fill(summary, self._width, initial_indent=f"    {name}".ljust(margin),
                          subsequent_indent=" " * margin) + "\n" for name, summary in commands.items())
                         for heading, commands in COMMANDS.items())
