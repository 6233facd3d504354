"""`gpt2-assist completion`: the script by which a shell completes our commands, flags and files."""
import argparse

from gpt2_assist.frontend.help import SUMMARIES, Help

_SHELLS = ("bash", "zsh", "fish")
_FILES, _FOLDERS = ("FILE", "PATH", "RECIPE"), ("FOLDER",)
"""What the values of flags and arguments are called where they are files or folders."""
_EXAMPLES = """examples:
  gpt2-assist completion bash > ~/.local/share/bash-completion/completions/gpt2-assist
  gpt2-assist completion zsh > "${fpath[1]}/_gpt2-assist"
  gpt2-assist completion fish > ~/.config/fish/completions/gpt2-assist.fish"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("completion", help=SUMMARIES["completion"],
                                   description="Print the script by which a shell completes commands, flags and files.",
                                   epilog=_EXAMPLES, formatter_class=Help)
    parser.add_argument("shell", metavar="SHELL", choices=_SHELLS, help=", ".join(_SHELLS))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    import shtab

    from gpt2_assist.commands.parser import parser
    whole = parser(SUMMARIES)
    _mark(whole)
    print(shtab.complete(whole, args.shell))
    return 0


def _mark(parser: argparse.ArgumentParser) -> None:
    """Says of each value whether it is a file or a folder."""
    import shtab
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                _mark(inner)
        elif action.metavar in _FILES:
            setattr(action, "complete", shtab.FILE)  # noqa: B010  # shtab's own attribute
        elif action.metavar in _FOLDERS:
            setattr(action, "complete", shtab.DIRECTORY)  # noqa: B010
