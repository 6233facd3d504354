"""What front ends know of terminals: interrupts that stop a generation, and text that is safe to show."""
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_CONTROLS = {code: "\ufffd" for code in (*range(32), 127, *range(128, 160)) if chr(code) not in "\n\t"}


def visible(text: str) -> str:
    """`text` without control characters: a model or a file must not steer the user's terminal."""
    return text.translate(_CONTROLS)


def coloured(stream=None) -> bool:
    """Whether colours may be used on `stream` (standard output by default); NO_COLOR is respected."""
    stream = stream or sys.stdout
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def copied(text: str, coloured: bool) -> str:
    """Text that is safe to show, marked as copied: underlined, or in brackets where the terminal shows text alone."""
    return f"\x1b[4m{text}\x1b[24m" if coloured else f"⟦{text}⟧"


@contextmanager
def on_interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """Within the block the first Ctrl-C calls `stop`; a second one raises KeyboardInterrupt."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def first(number, frame):
        signal.signal(signal.SIGINT, signal.default_int_handler)
        stop()

    before = signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def without_echo() -> Iterator[None]:
    """Within the block, keys typed ahead don't show between the model's words; the next prompt gets them."""
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
    silent[3] &= ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSADRAIN, silent)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
