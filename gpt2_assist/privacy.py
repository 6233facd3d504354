"""What this program makes of its own accord is its user's alone: folders 0700, files 0600, whatever the umask.

A program begins with `files.modes.begin`, from which on every new file is private, and calls that others make do their
work within `private`; `mend` sees to what earlier versions made. What the user asks for by name is made within
`files.modes.as_asked`.
"""
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from gpt2_assist import config
from gpt2_assist.files.modes import begin, end, make_private, tighten

_OURS = {"home": ("models", "runs", "prepared", "locks", "hub", "history", "error.log", "settings.toml", "presets.json",
                  "catalogue.toml", "first-model-failed", "sessions.sqlite",
                  "sessions.sqlite-wal", "sessions.sqlite-shm", "sessions.sqlite-journal"),
         "cache": ("kernels", "triton")}
"""What lies in our folders. One that holds anything else too may be no folder of ours alone, and keeps its own mode."""


@contextmanager
def private() -> Generator[None]:
    """Within the block this process makes private files; for a program whose umask is its own affair."""
    begin()
    try:
        mend()
        yield
    finally:
        end()


def mend() -> None:
    """Closes to others what earlier versions left open to them, as far as it is ours."""
    for name, ours in _OURS.items():
        folder = Path(os.path.realpath(getattr(config, name)()))
        with suppress(OSError):
            there = os.listdir(folder)
            if folder.name == "gpt2-assist" or set(there) <= set(ours):
                tighten(folder)
            for name in set(there) & set(ours):
                if tighten(folder / name):
                    make_private(folder / name)
