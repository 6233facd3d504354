"""`gpt2-assist`: runs one command line. What isn't needed for it isn't imported."""
import sys

from gpt2_assist import __version__
from gpt2_assist.frontend.guard import guarded


def main(argv: list[str] | None = None) -> int:
    """Runs one command line; returns its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    return guarded(lambda: _run(arguments))


def _run(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        print(f"gpt2-assist {__version__}")
        return 0
    from gpt2_assist import privacy
    from gpt2_assist.commands.parser import parser
    from gpt2_assist.console.terminal import end_on_signals
    command = next((word for word in arguments if not word.startswith("-")), "")
    args = parser([command]).parse_args(arguments)
    end_on_signals()
    privacy.mend()
    return args.run(args)


if __name__ == "__main__":
    sys.exit(main())
