"""`gpt2-assist`: finds the subcommand and runs it.

Only the chosen subcommand's module is imported, so that `--version` and `daemon status` answer at once.
"""
import importlib
import sys

from gpt2_assist import __version__
from gpt2_assist.frontend.guard import guarded

_MODULES = {"generate": "generate", "pull": "pull", "models": "models", "daemon": "daemon", "pretrain": "pretrain",
            "finetune": "finetune", "runs": "runs", "originality": "originality",
            "doctor": "doctor"}


def main(argv: list[str] | None = None) -> int:
    """Runs one command line; returns its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    return guarded(lambda: _run(arguments))


def _run(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        print(f"gpt2-assist {__version__}")
        return 0
    from gpt2_assist import privacy
    from gpt2_assist.console.terminal import end_on_signals
    args = _parser(arguments).parse_args(arguments)
    end_on_signals()
    privacy.mend()
    return args.run(args)


def _parser(arguments: list[str]):
    import argparse

    from gpt2_assist.frontend.help import Help
    parser = argparse.ArgumentParser(
        prog="gpt2-assist", description="A private writing and coding companion on your own machine.",
        epilog='example:\n  gpt2-assist generate "Once upon a time" --max-new-tokens 60\n\n'
               "`gpt2-repl` opens a writing session.", formatter_class=Help)
    parser.add_argument("--version", action="version", version=f"gpt2-assist {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    chosen = _MODULES.get(arguments[0]) if arguments else None
    for module in [chosen] if chosen else dict.fromkeys(_MODULES.values()):
        importlib.import_module(f"gpt2_assist.commands.{module}").add_parser(subparsers)
    return parser


if __name__ == "__main__":
    sys.exit(main())
