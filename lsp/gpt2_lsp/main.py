"""`gpt2-lsp`: the language server on standard input and output."""
import argparse
import logging
import os
import sys

from gpt2_assist import __version__
from gpt2_assist.frontend.guard import guarded


def main(argv: list[str] | None = None) -> int:
    return guarded(lambda: _run(argv))


def _run(argv: list[str] | None) -> int:
    parser = argparse.ArgumentParser(
        prog="gpt2-lsp", description="Completions for editors, by the Language Server Protocol.",
        epilog="Editors start it; docs/editors.md says how.")
    parser.add_argument("--version", action="version", version=f"gpt2-lsp {__version__}")
    parser.add_argument("--stdio", action="store_true", help="speak on standard input and output (always so)")
    parser.add_argument("--clientProcessId", help=argparse.SUPPRESS)  # vscode-languageclient says it
    parser.parse_args(argv)
    from gpt2_lsp.wire import STARTED_BY_HAND
    if sys.stdin.isatty():
        print(STARTED_BY_HAND, file=sys.stderr)
        return 2
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.WARNING)
    logging.getLogger("pygls").setLevel(logging.CRITICAL + 1)  # its lines hold what is typed
    from gpt2_lsp.server import Gpt2Server
    code = Gpt2Server().serve()
    sys.stderr.flush()
    os._exit(code)
