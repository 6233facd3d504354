"""`gpt2-repl`: opens a writing session in a terminal; without one, continues what standard input says."""
import argparse
import sys
from contextlib import suppress

from gpt2_assist import __version__
from gpt2_assist.console.terminal import end_on_signals
from gpt2_assist.errors import AssistError
from gpt2_assist.frontend.guard import guarded
from gpt2_assist.frontend.help import Help
from gpt2_assist.text.valid import valid

_EXAMPLE = """examples:
  gpt2-repl
  gpt2-repl --model gpt2 --session novel
  echo "Once upon a time" | gpt2-repl"""


def main(argv: list[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    return guarded(lambda: _run(argv))


def _run(argv: list[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="gpt2-repl", description="A writing session with a model on this machine.",
                                     epilog=_EXAMPLE, formatter_class=Help)
    parser.add_argument("--model", metavar="M", help="a store name, run or folder, or auto: the best that is there")
    parser.add_argument("--session", metavar="NAME", help="open this session, or begin it")
    parser.add_argument("--version", action="version", version=f"gpt2-repl {__version__}")
    args = parser.parse_args(argv)
    end_on_signals()
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    return _converse(args) if terminal else _continue_input(args)


def _continue_input(args: argparse.Namespace) -> int:
    from gpt2_assist import cli, privacy
    from gpt2_assist.frontend.first_model import default_model
    if args.session:
        print("Sessions need a terminal; --session is left aside.", file=sys.stderr)
    privacy.mend()
    return cli.main(["generate", "-", "--model", default_model(args.model, fetching=True)])


def _converse(args: argparse.Namespace) -> int:
    from prompt_toolkit import PromptSession

    from gpt2_assist import config, privacy
    from gpt2_assist.frontend.first_model import default_model
    from gpt2_assist.model.store import find_model, list_models
    from gpt2_assist.repl import commands
    from gpt2_assist.repl import settings as session_settings
    from gpt2_assist.repl.completer import CommandCompleter
    from gpt2_assist.repl.page import Page, Toolbar
    from gpt2_assist.repl.writer import Writer
    from gpt2_assist.writing.store import SessionStore
    privacy.mend()
    defaults = config.read_settings()
    model = find_model(default_model(args.model, fetching=True)).name
    store = SessionStore(config.sessions())
    names = store.names()
    known = args.session in names
    session = commands.reopen(store, args.session) if known else commands.new(store, model, args.session or "")
    if args.model:
        session.model = model
    page, toolbar = Page(), Toolbar(session.model, session.name)
    writer = Writer(page, toolbar, defaults.precision, defaults.device)
    writer.warm(session.model)
    state = commands.Commands(store, session, page, toolbar, writer)

    page.note(f"gpt2-assist {__version__} · {session.model} · Enter: the model goes on · Ctrl-C: stop · /help")
    if known:
        page.show(session.path)
    elif names:
        page.note(f"The last session is {names[0]}; /load {names[0]} opens it again.")
    prompt = PromptSession(
        "› ", multiline=True, key_bindings=_keys(), history=_history(config.home() / "history"),
        bottom_toolbar=lambda: toolbar.line(), complete_while_typing=False,
        completer=CommandCompleter(state.table, {
            "/model": lambda: [known.name for known in list_models()], "/load": store.names,
            "/set": lambda: session_settings.NAMES}))
    try:
        _loop(prompt, state)
    finally:
        writer.close()
        state.session.close()
        store.close()
    return 0


def _loop(prompt, state) -> None:
    from gpt2_assist.repl.commands import Quit
    while True:
        try:
            try:
                line = valid(prompt.prompt())
            except EOFError:
                line = "/quit"
            state.line(line)
            state.toolbar.session = state.session.name
        except KeyboardInterrupt:
            continue  # at the prompt it clears the line; twice during a generation it gives the prompt back
        except Quit:
            return
        except AssistError as error:
            state.page.note(str(error))


def _keys():
    from prompt_toolkit.key_binding import KeyBindings
    keys = KeyBindings()
    keys.add("enter")(lambda event: event.current_buffer.validate_and_handle())
    keys.add("escape", "enter")(lambda event: event.current_buffer.insert_text("\n"))
    return keys


def _history(path):
    """The lines entered in earlier sessions, in a file of the user's own; in memory where none can be made."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError:
        return InMemoryHistory()

    class ValidHistory(FileHistory):
        def store_string(self, string: str) -> None:
            with suppress(OSError):  # a full disk costs the history, not the session
                super().store_string(valid(string))
    return ValidHistory(str(path))


if __name__ == "__main__":
    sys.exit(main())
