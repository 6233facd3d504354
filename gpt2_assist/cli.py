"""`gpt2-assist`: finds the subcommand, runs it, and turns errors into one sentence and an exit code.

Only the chosen subcommand's module is imported, so that `--version` and `daemon status` answer at once.
"""
import importlib
import sys
from collections.abc import Collection

from gpt2_assist import __version__
from gpt2_assist.errors import AssistError, OutputError

_INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    """Runs one command line; returns its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    return guarded(lambda: _run(arguments))


def guarded(work) -> int:
    """The exit code of `work()`; what it raises becomes a sentence on the error stream."""
    code = _said(_begin) or _said(work)
    return _said(lambda: sys.stdout and sys.stdout.flush()) or code


def _begin() -> None:
    from gpt2_assist import privacy, streams  # here, so that Ctrl-C finds us soon after the start
    streams.ready()
    privacy.begin()


def _said(work) -> int:
    try:
        return work() or 0
    except AssistError as error:
        from gpt2_assist.streams import silence
        from gpt2_assist.terminal import visible
        if isinstance(error, OutputError):
            silence()
        if str(error):
            print(visible(str(error)), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return _INTERRUPTED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except MemoryError:
        print("There is too little memory for this: end some programs and try again.", file=sys.stderr)
        return AssistError.exit_code
    except Exception as error:
        from gpt2_assist.terminal import interrupted, unwinding
        return interrupted() if unwinding() else _unexpected(error)


def _run(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        print(f"gpt2-assist {__version__}")
        return 0
    from gpt2_assist import privacy
    from gpt2_assist.terminal import end_on_signals
    command = next((word for word in arguments if not word.startswith("-")), "")
    args = parser([command]).parse_args(arguments)
    end_on_signals()
    privacy.mend()
    return args.run(args)


def parser(whole: Collection[str]):
    """The command line's parser. It knows all about the commands in `whole`, and that there are others."""
    import argparse

    from gpt2_assist.commands.help import SUMMARIES, GroupedHelp
    parser = argparse.ArgumentParser(
        prog="gpt2-assist", description="A private writing and coding companion on your own machine.",
        epilog='example:\n  gpt2-assist generate "Once upon a time" --max-new-tokens 60\n\n'
               "`gpt2-repl` opens a writing session, and editors start `gpt2-lsp`.", formatter_class=GroupedHelp)
    parser.add_argument("--version", action="version", version=f"gpt2-assist {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in SUMMARIES:
        if name in whole:
            importlib.import_module(f"gpt2_assist.commands.{name}").add_parser(subparsers)
        else:
            subparsers.add_parser(name)
    return parser


def _unexpected(error: Exception) -> int:
    import traceback

    from gpt2_assist import config
    try:
        path = config.home() / "error.log"
        place = f"the details could not be written to {path}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8", errors="replace") as log:
            traceback.print_exception(error, file=log)
        place = f"the details are in {path}"
    except AssistError as none:
        place = f"there is no place for the details. {none}".removesuffix(".")
    except OSError:
        pass
    print(f"Something went wrong inside gpt2-assist ({type(error).__name__}); {place}.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
