"""The files that paths, folders and patterns of names stand for, without those that are never read."""
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpt2_assist.corpus.patterns import is_pattern, matching, plain_part
from gpt2_assist.errors import DataError
from gpt2_assist.files.exclusions import Exclusions, is_secret
from gpt2_assist.files.ignore_rules import IgnoreFiles, verdict

_BY_GIT = "ignored by .gitignore"
STANDARD_INPUT, STANDARD_INPUT_NAME = "-", "standard input"


@dataclass(frozen=True)
class Found:
    """A file to read."""

    path: str
    named: bool
    """Whether the user named it itself, and must hear why where it can't be read."""


class Finder:
    """Finds files in an order that is the same everywhere, each once, and counts those that it leaves out."""

    def __init__(self, max_file_bytes: int) -> None:
        self.skipped: Counter[str] = Counter()
        self.secret: list[str] = []
        """Files of secrets that the user named."""
        self._limit = max_file_bytes
        self._seen: set[str] = set()

    def files(self, paths: Sequence[str]) -> Iterator[Found]:
        """Those that `paths` stand for; `~` is the user's home. Raises DataError where there is no such file."""
        for path in paths:
            if not os.path.lexists(path):
                path = os.path.expanduser(path)
            if path == STANDARD_INPUT:
                yield from self._named(path)
            elif os.path.isdir(path):
                yield from self._in_folder(path, self._rules(path), _git_ignores(Path(os.path.abspath(path))))
            elif _is_there(path):
                yield from self._named(path)
            else:
                yield from self._matching(path)

    def _rules(self, folder: str) -> Exclusions:
        return Exclusions([Path(folder)], max_bytes=self._limit, recheck_s=float("inf"))

    def _named(self, path: str) -> Iterator[Found]:
        """A file of secrets is read where the user names it itself, not by another name that leads to it."""
        if path != STANDARD_INPUT and _why(self._rules(os.path.dirname(path) or "."), path, 0) == "secret":
            if not is_secret(os.path.abspath(path)):
                raise DataError(f"{shown(path)} leads to {shown(os.path.realpath(path))}, which has the name of a file "
                                "of secrets; it is read only where you name that file itself.")
            self.secret.append(shown(path))
        if self._is_new(path):
            yield Found(path, True)

    def _matching(self, pattern: str) -> Iterator[Found]:
        skipped = self.skipped.total()
        names = matching(pattern, self._skip) if is_pattern(pattern) else []
        if not names and skipped == self.skipped.total():
            raise DataError(f"There is no file or folder {shown(pattern)}.")
        base = plain_part(pattern) or os.curdir
        rules, ignored = self._rules(base), _git_ignores(Path(os.path.abspath(base)))
        for name in names:
            yield from self._in_folder(name, rules, ignored) if os.path.isdir(name) else \
                self._allowed([name], rules, ignored)

    def _in_folder(self, top: str, rules: Exclusions, ignored_itself: bool = False) -> Iterator[Found]:
        """Links to folders are not followed. In a folder that git ignores itself, git has nothing to say."""
        for folder, folders, names in os.walk(top, onerror=lambda error: self._skip("unreadable")):
            for name in list(folders):
                if name == ".git":
                    folders.remove(name)
                elif os.path.islink(os.path.join(folder, name)):
                    self._skip("linked")
                elif name.startswith("."):
                    self._skip("hidden")
                    folders.remove(name)
            folders.sort()
            yield from self._allowed([os.path.join(folder, name) for name in sorted(names)], rules, ignored_itself)

    def _allowed(self, paths: Sequence[str], rules: Exclusions, ignored_itself: bool = False) -> Iterator[Found]:
        for path in filter(self._is_new, paths):
            try:
                state = os.stat(path)
            except OSError:
                self._skip("unreadable")
                continue
            reason = _why(rules, path, state.st_size)
            if ignored_itself and reason == _BY_GIT:
                reason = ""
            if not reason and os.path.basename(path).startswith("."):
                reason = "hidden"
            if not reason and not stat.S_ISREG(state.st_mode):
                reason = "unreadable"
            if reason:
                self._skip(reason)
            else:
                yield Found(path, False)

    def _is_new(self, path: str) -> bool:
        real = os.path.realpath(path) if path != STANDARD_INPUT else path
        known = real in self._seen
        self._seen.add(real)
        return not known

    def _skip(self, reason: str) -> None:
        self.skipped[reason] += 1


def _is_there(path: str) -> bool:
    """Raises DataError where a path can't be followed, or leads nowhere."""
    try:
        os.stat(path)
    except PermissionError as error:
        raise DataError(f"{shown(path)} can't be read: {error.strerror}.") from None
    except (OSError, ValueError):
        if os.path.islink(path):
            raise DataError(f"{shown(path)} is a link that leads nowhere.") from None
        return False
    return True


def shown(path: str) -> str:
    """A path as valid text, which names of files need not be."""
    valid = path.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return STANDARD_INPUT_NAME if path == STANDARD_INPUT else valid


def _why(rules: Exclusions, path: str, size: int) -> str:
    """Why a file isn't read, in a few words; empty if it may be."""
    reason = rules.reason(Path(path), size)
    if reason.startswith("excluded: a file of secrets"):
        return "secret"
    return reason.replace("excluded: by", "ignored by").partition(":")[0]


def _git_ignores(folder: Path) -> bool:
    """Whether an ignore file of git's above a folder excludes it, or a folder that it is in."""
    tree = next((above for above in (folder, *folder.parents) if os.path.exists(above / ".git")), folder)
    names = [os.fsencode(name) for name in folder.parts]
    files = IgnoreFiles()
    for end in range(len(tree.parts) + 1, len(names) + 1):
        for depth in range(end - 1, len(tree.parts) - 1, -1):
            said = verdict(files.patterns(Path(*folder.parts[:depth]) / ".gitignore"), names[depth:end], True)
            if said:
                return True
            if said is not None:
                break
    return False
