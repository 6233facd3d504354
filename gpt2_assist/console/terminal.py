"""What front ends know of terminals: interrupts that stop a generation, and text that is safe to show."""
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import NoReturn

_CONTROLS = {code: "\ufffd" for code in (*range(32), 127, *range(128, 160)) if chr(code) not in "\n\t"}


_NARROWEST = 8
"""Columns: less is a terminal that is being made."""
_TIED = "\N{NO-BREAK SPACE}"
_ENDINGS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
_stopped_by = int(signal.SIGINT)
_unwinding = False


def visible(text: str) -> str:
    """`text` without control characters: a model or a file must not steer the user's terminal."""
    return text.translate(_CONTROLS)


def coloured(stream=None) -> bool:
    """Whether colours may be used on `stream` (standard output by default); NO_COLOR is respected."""
    stream = stream or sys.stdout
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def copied(text: str, coloured: bool) -> str:
    """Text that is safe to show, marked as copied: underlined, or in brackets where the terminal shows text alone."""
    return f"\x1b[4m{text}\x1b[24m" if coloured else f"⟦{text}⟧"


def wrapped(text: str, columns: int, whole_words: bool = True) -> str:
    """`text` with lines of at most so many columns, broken between words; what stands in backticks is one word. Words
    that are longer stay whole, for the terminal to break, or are broken where `whole_words` doesn't say so."""
    from wcwidth import wrap  # not above: clients start without it
    parts = text.split("`")
    joined = "`".join(tied(part) if number % 2 and number < len(parts) - 1 and len(part) < columns - 2
                      else part for number, part in enumerate(parts))
    lines = [wrap(line, max(_NARROWEST, columns), break_long_words=not whole_words, break_on_hyphens=False,
                  replace_whitespace=False, propagate_sgr=False) or [""] for line in joined.split("\n")]
    return "\n".join(part for line in lines for part in line).replace(_TIED, " ")


def columns_shown() -> int:
    """Columns of the terminal that standard output is, as it is now: what COLUMNS says may be of another one, or of
    before it was resized."""
    try:
        columns = os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError, AttributeError):  # it is none
        columns = 0
    return columns or shutil.get_terminal_size().columns


def fitted(text: str) -> str:
    """`text` for standard output: wrapped if that is a terminal."""
    return wrapped(text, columns_shown()) if sys.stdout.isatty() else text


def fitted_parts(parts: Iterable[str]) -> str:
    """Parts of a line for standard output; where it is wrapped they stay whole, if they can."""
    if not sys.stdout.isatty():
        return "  ".join(parts)
    columns = columns_shown()
    return fitted("  ".join(tied(part) if len(part) <= columns else part for part in parts))


def tied(text: str) -> str:
    """`text` as one word for `wrapped`, which makes spaces of its spaces again."""
    return text.replace(" ", _TIED)


def barred(text: str, columns: int | None = None) -> str:
    """`text` with a bar before each line, by which a model's words are told from ours; wrapped, if `columns` are given.
    """
    bar = "│ "
    try:
        bar.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        bar = "| "
    lines = wrapped(text, columns - len(bar), whole_words=False) if columns else text
    return "\n".join((bar + line).rstrip() for line in lines.split("\n"))


def end_on_signals() -> None:
    """From now on a signal that ends this process unwinds it, so that terminal and files are left in order.

    A signal that its parent has it ignore (nohup) stays ignored.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    for number in _ENDINGS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _unwind)


def _interrupt(number: int, frame: object) -> NoReturn:
    global _unwinding
    _unwinding = True
    raise KeyboardInterrupt


def _unwind(number: int, frame: object) -> NoReturn:
    global _unwinding, _stopped_by
    _unwinding, _stopped_by = True, number
    signal.signal(number, _again(number))
    raise SystemExit(128 + number)


def unwinding() -> bool:
    """Whether a signal has ended what this process does: a fault after it may come of a library's import that it cut
    off."""
    return _unwinding


def _again(number: int):
    """What a signal does the second time. A terminal that is closed hangs up twice: by the system and by its shell."""
    if number == getattr(signal, "SIGHUP", None):
        return signal.SIG_IGN
    return _interrupt if number == signal.SIGINT else signal.SIG_DFL


def interrupted() -> int:
    """The exit code of a work that was stopped: 130 by Ctrl-C, and otherwise as a shell gives it for the signal."""
    return 128 + _stopped_by


@contextmanager
def on_interrupt(stop: Callable[[], None], ended: bool = False) -> Generator[None]:
    """Within the block the first Ctrl-C calls `stop`; a second one raises KeyboardInterrupt.

    With `ended`, so does a signal that asks for the end; a second one ends the process, but for a terminal's end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def first(number, frame):
        global _stopped_by
        _stopped_by = number
        for other in before:
            signal.signal(other, _again(other))
        stop()

    endings = [number for number in _ENDINGS if ended and signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, first) for number in [signal.SIGINT, *endings]}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def ended_by_signals(end: Callable[[], object]) -> Generator[None]:
    """Within the block, a signal that asks for the end has the running event loop call `end`; see `interrupted`."""
    import asyncio
    loop = asyncio.get_running_loop()

    def heard(number: int, frame: object) -> None:
        global _stopped_by, _unwinding
        _stopped_by, _unwinding = number, True
        loop.call_soon_threadsafe(end)

    before = {number: signal.signal(number, heard) for number in _ENDINGS
              if signal.getsignal(number) is not signal.SIG_IGN}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def without_echo() -> Generator[None]:
    """Within the block, keys typed ahead don't show between the model's words; the next prompt gets them, whatever
    signals come meanwhile, also after the program was suspended."""
    try:
        import termios
    except ImportError:  # Windows, whose console shows nothing unless somebody reads
        yield
        return
    if not sys.stdin.isatty():
        yield
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    silent = list(before)
    silent[3] = silent[3] & ~termios.ECHO | termios.NOFLSH

    def again(*heard: object) -> None:
        termios.tcsetattr(terminal, termios.TCSADRAIN, silent)

    again()
    resumed = signal.signal(signal.SIGCONT, again)  # a shell has set its own modes meanwhile
    try:
        yield
    finally:
        signal.signal(signal.SIGCONT, resumed)
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
