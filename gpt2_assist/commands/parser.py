"""The command line's parser. Only the modules of commands that are asked about are imported, so that `daemon status`
answers at once."""
import argparse
import importlib
from collections.abc import Collection

from gpt2_assist import __version__
from gpt2_assist.frontend.help import SUMMARIES, GroupedHelp


def parser(whole: Collection[str]) -> argparse.ArgumentParser:
    """The command line's parser. It knows all about the commands in `whole`, and that there are others."""
    made = argparse.ArgumentParser(
        prog="gpt2-assist", description="A private writing and coding companion on your own machine.",
        epilog='example:\n  gpt2-assist generate "Once upon a time" --max-new-tokens 60\n\n'
               "`gpt2-repl` opens a writing session, and editors start `gpt2-lsp`.", formatter_class=GroupedHelp)
    made.add_argument("--version", action="version", version=f"gpt2-assist {__version__}")
    subparsers = made.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in SUMMARIES:
        if name in whole:
            importlib.import_module(f"gpt2_assist.commands.{name}").add_parser(subparsers)
        else:
            subparsers.add_parser(name)
    return made
