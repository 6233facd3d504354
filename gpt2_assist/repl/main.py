"""`gpt2-repl`: opens a writing session in a terminal; without one, continues what standard input says."""
import argparse
import os
import shlex
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from gpt2_assist import __version__
from gpt2_assist.console.terminal import end_on_signals, ended_by_signals, interrupted
from gpt2_assist.errors import AssistError
from gpt2_assist.frontend.guard import guarded
from gpt2_assist.frontend.help import Help

if TYPE_CHECKING:
    from gpt2_assist.config import Settings
    from gpt2_assist.writing.session import Session
    from gpt2_assist.writing.store import SessionStore

_EXAMPLE = """examples:
  gpt2-repl
  gpt2-repl --model gpt2 --session novel
  gpt2-repl -c
  echo "Once upon a time" | gpt2-repl"""


def main(argv: list[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    return guarded(lambda: _run(argv))


def _run(argv: list[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="gpt2-repl", description="A writing session with a model on this machine.",
                                     epilog=_EXAMPLE, formatter_class=Help)
    parser.add_argument("--model", metavar="M", help="a store name, run or folder, or auto: the best that is there")
    parser.add_argument("--session", metavar="NAME", help="open this session, or begin it")
    parser.add_argument("-c", "--continue", action="store_true", dest="go_on", help="go on with the last session")
    parser.add_argument("--plain", action="store_true", help="line by line, as on terminals that can't show a screen")
    parser.add_argument("--version", action="version", version=f"gpt2-repl {__version__}")
    args = parser.parse_args(argv)
    end_on_signals()
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    return _converse(args) if terminal else _continue_input(args)


def _continue_input(args: argparse.Namespace) -> int:
    from gpt2_assist import cli, privacy
    from gpt2_assist.frontend.first_model import default_model
    if args.session or args.go_on:
        print("Sessions need a terminal; what names one is left aside.", file=sys.stderr)
    if sys.stdin.isatty():
        print("Write the beginning of a text, and Ctrl-D on an empty line: what follows goes to standard output.",
              file=sys.stderr)
    privacy.mend()
    return cli.main(["generate", "-", "--model", default_model(args.model, fetching=True)])


def _converse(args: argparse.Namespace) -> int:
    import asyncio

    from gpt2_assist import config, privacy
    from gpt2_assist.frontend.first_model import default_model
    from gpt2_assist.model.store import find_model
    from gpt2_assist.repl.session_commands import new, reopen
    from gpt2_assist.writing.store import SessionStore
    privacy.mend()
    settings = config.read_settings()
    model = find_model(default_model(args.model, fetching=True)).name
    store = SessionStore(config.sessions())
    names = store.names()
    name = args.session or (names[0] if args.go_on and names else "")
    session = reopen(store, name) if name in names else new(store, model, name)
    if args.model and session.model != model:
        session.model = model
        with suppress(AssistError):  # the status says what isn't saved
            session.save()
    try:
        session = asyncio.run(_run_session(args, settings, store, session))
        latest = store.names()[:1]
    finally:
        store.close()
    if session.last or session.draft:
        again = "-c" if latest == [session.name] else f"--session {shlex.quote(session.name)}"
        print(f"{session.name} is saved; `gpt2-repl {again}` goes on with it.")
    return 0


async def _run_session(args: argparse.Namespace, settings: "Settings", store: "SessionStore",
                       session: "Session") -> "Session":
    """The session that was open at the end."""
    import asyncio

    from gpt2_assist import config
    from gpt2_assist.completion.daemon import Daemon
    from gpt2_assist.completion.offers import Offers
    from gpt2_assist.repl import line_mode
    from gpt2_assist.repl.open_session import OpenSession
    from gpt2_assist.repl.screen import keys
    from gpt2_assist.repl.screen.composer import Composer
    from gpt2_assist.repl.table import CommandCompleter, command_table
    from gpt2_assist.repl.writer import Writer
    plain = args.plain or not _capable()
    table = command_table(line_mode.KEYS if plain else keys.HELP)
    completer = CommandCompleter(table)
    vi, goes_on = settings.keys == "vi", settings.enter == "goes-on"
    front = line_mode.LineMode(table, completer, config.home() / "history", vi, goes_on) if plain else Composer(
        table, completer, vi, goes_on)
    face = front if isinstance(front, line_mode.LineMode) else front.screen
    daemon = Daemon("repl")
    writer = Writer(face, daemon, settings.precision, settings.device)
    state = completer.state = front.state = OpenSession(store, session, writer, face)
    if isinstance(front, Composer):
        front.offers = Offers(daemon, front.screen.changed)
    warming = asyncio.ensure_future(writer.warm(session.model))
    if session.last is None:
        others = [name for name in store.names() if name != session.name]
        face.note(f"gpt2-assist {__version__} · {session.model} · write, and Enter: the model goes on · /help"
                  + (f" · /load {others[0]} opens the last session" if others else ""))
    running = asyncio.ensure_future(front.run())
    try:
        with ended_by_signals(running.cancel):
            await running
    except asyncio.CancelledError:
        if not running.cancelled():
            raise
        raise SystemExit(interrupted()) from None
    finally:
        warming.cancel()
        state.session.close()
        await daemon.close()
    return state.session


def _capable() -> bool:
    """Whether the terminal can show a full screen."""
    return os.environ.get("TERM", "") not in ("", "dumb", "unknown") or sys.platform == "win32"


if __name__ == "__main__":
    sys.exit(main())
