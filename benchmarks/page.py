"""Measures again what a page shows, and writes it there, with the machine and the day.

What a benchmark printed stands in a page between two comments, of which the first says by which command:

    <!-- NAME: FILE.py --flag WORD --> … <!-- /NAME -->

Words of capitals are folders: they are given here, and the page never says which.

`python benchmarks/page.py [NAME…] [WORD=FOLDER…] [--page docs/performance.md]`; without names, all sections whose
folders are given
"""
import argparse
import datetime
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

HERE = Path(__file__).parent
ROOT = HERE.parent
SECTION = re.compile(r"<!-- (?P<name>[\w-]+): (?P<command>.+?) -->\n(?P<shown>.*?)<!-- /(?P=name) -->", re.DOTALL)
FOLDER = re.compile(r"[A-Z]+")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="NAME | WORD=FOLDER")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "performance.md")
    args = parser.parse_args()
    given = dict(word.split("=", 1) for word in args.words if "=" in word)
    folders = {word: str(Path(folder).absolute()) for word, folder in given.items()}
    names = [word for word in args.words if "=" not in word]
    commands = {found["name"]: found["command"] for found in SECTION.finditer(args.page.read_text(encoding="utf-8"))}
    if unknown := sorted(set(names) - set(commands)):
        parser.error(f"{args.page} has no section {', '.join(unknown)}; it has {', '.join(commands)}")
    failed = False
    for name in names or commands:
        lacking = sorted(set(folders_of(commands[name])) - set(folders))
        if lacking:
            print(f"{name} is left as it is: give {' and '.join(f'{word}=FOLDER' for word in lacking)}.",
                  file=sys.stderr)
            failed = failed or name in names
        elif (printed := measured(commands[name], folders)) is None:
            print(f"{name} is left as it is: its command failed.", file=sys.stderr)
            failed = True
        else:
            print(printed)
            write(args.page, name, f"{machine()}, {day()}: `benchmarks/{commands[name]}`.\n\n{printed.strip()}\n")
    return int(failed)


def folders_of(command: str) -> Iterator[str]:
    return (word for word in shlex.split(command) if FOLDER.fullmatch(word))


def measured(command: str, folders: dict[str, str]) -> str | None:
    """What the command printed, in the project's folder; None where it failed."""
    file, *rest = shlex.split(command)
    done = subprocess.run([sys.executable, str(HERE / file), *(folders.get(word, word) for word in rest)],
                          cwd=ROOT, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    return None if done.returncode else done.stdout


def write(page: Path, name: str, shown: str) -> None:
    """Puts it where the section's last figures stand. The page is read again: each section may take hours."""
    text = SECTION.sub(lambda found: found[0].replace(found["shown"], shown) if found["name"] == name else found[0],
                       page.read_text(encoding="utf-8"))
    fresh = page.with_name(f".{page.name}")
    fresh.write_text(text, encoding="utf-8")
    os.replace(fresh, page)


def machine() -> str:
    """The processor, its cores and the memory, as the system names them."""
    processor = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        processor = found[1] if found else processor
    elif sys.platform == "darwin":
        processor = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True,
                                   text=True).stdout.strip() or processor
    return f"{processor}, {os.cpu_count()} cores, {psutil.virtual_memory().total / 1e9:.0f} GB, {platform.system()}"


def day() -> str:
    return f"{datetime.date.today():%-d %B %Y}" if os.name != "nt" else f"{datetime.date.today():%d %B %Y}"


if __name__ == "__main__":
    sys.exit(main())
