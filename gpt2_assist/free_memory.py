"""How much memory there is to be had. Imports nothing heavy."""
from pathlib import Path

import psutil

_GROUP = Path("/sys/fs/cgroup")


def available_bytes() -> int:
    """What this process may still take of the machine's memory, or of its container's."""
    free = psutil.virtual_memory().available
    try:
        limit = int((_GROUP / "memory.max").read_text(encoding="ascii"))
        used = int((_GROUP / "memory.current").read_text(encoding="ascii"))
        lines = (_GROUP / "memory.stat").read_text(encoding="ascii").splitlines()
        files = next(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
    except (OSError, ValueError, StopIteration):  # no container, or none with a limit
        return free
    return min(free, max(0, limit - used + files))  # what is cached of files gives way
