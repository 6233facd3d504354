"""Which files are never read: those that hold secrets, whatever anybody sets, those that ignore files and settings
exclude, and those that are too large."""
import os
import re
import time
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from pathlib import Path

from gpt2_assist.files.ignore_rules import IgnoreFiles, Pattern, parsed, verdict

OWN_IGNORE_FILE = ".gpt2ignore"
MAX_BYTES = 1 << 20
_ANSWERS = 4096
"""Files whose answers are remembered."""

SECRETS = (
    # what programs take their passwords from
    ".env", ".env.*", "*.env", ".envrc", ".netrc", "_netrc", ".authinfo", ".authinfo.*", ".npmrc", ".pypirc", ".pgpass",
    "pgpass.conf", ".my.cnf", ".mylogin.cnf", ".htpasswd", ".msmtprc", ".fetchmailrc", ".s3cfg", ".boto",
    ".dockercfg", ".databrickscfg", ".vault-token", ".vault_pass*", ".terraformrc", "terraform.rc", ".git-credentials",
    "credentials*", ".credentials*", "secrets", "secrets.*", ".secrets", ".secrets.*", "auth.json",
    "client_secret*.json", "service-account*.json", "service_account*.json", "serviceaccount*.json", "wp-config.php",
    "passwords", "passwords.txt", "passwords.md", "passwords.csv", "passwords.json", "passwords.org",
    "*passwords.csv", "logins.json", "local.settings.json", "*.publishsettings", "kubeconfig", "kubeconfig.*",
    "*.kubeconfig", "*.tfstate", "*.tfstate.*", "*.tfvars", "*.tfvars.json", "*.ovpn",
    # keys, and what keeps them
    "*.pem", "*.key", "*.p8", "*.p12", "*.pfx", "*.pkcs12", "*.ppk", "*.jks", "*.keystore", "*.keytab", "*.kdb",
    "*.kdbx", "*.agekey", "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "id_xmss*", "secring.*", "wallet.dat",
    # what was typed at prompts, passwords among it
    ".*_history", ".histfile",
    # folders
    ".ssh", ".aws", ".gnupg", ".gpg", ".azure", ".kube", ".oci", ".password-store", ".snowsql")
"""Names of files and folders, in small letters, anywhere in a path."""
SECRET_PLACES = (
    (".config", "gcloud"), (".docker", "config.json"), (".git", "config"), ("etc", "gshadow"), ("etc", "shadow"),
    ("gh", "hosts.yml"), ("glab-cli", "config.yml"), ("share", "keyrings"))
"""Names that hold secrets only inside a folder of a certain name: (folder, what is in it)."""
_ASKED_EVERY_S = 600
"""Git takes some milliseconds, which a keystroke may have to wait for."""
_WHERE_GIT_LOOKS = ("GIT_CONFIG_GLOBAL", "XDG_CONFIG_HOME", "HOME")
_COPIES = re.compile(r"^[.]?#|#$|~$|(?:[.](?:bak|backup|copy|old|orig|save|sw[a-p]|tmp|[0-9]+|rej))+$")
"""What editors and people put around the name of a copy."""


class Exclusions:
    """The rules of one set of folders, as the user opened them."""

    def __init__(self, roots: Sequence[Path], patterns: Sequence[str] = (), max_bytes: int = MAX_BYTES,
                 recheck_s: float = 1.0) -> None:
        """`patterns` are those of the setting, as in an ignore file in each of the roots. An answer stands for
        `recheck_s` seconds before ignore files are looked at again."""
        names = [name for root in roots for name in (os.path.abspath(root), os.path.realpath(root))]
        self._roots = [Path(name) for name in dict.fromkeys(names)]
        self._patterns = parsed(b"\n".join(os.fsencode(pattern) for pattern in patterns))
        self._max_bytes, self._recheck_s = max_bytes, recheck_s
        self._files = IgnoreFiles()
        self._answers: dict[str, tuple[float, str]] = {}

    def reason(self, path: Path, size: int | None = None) -> str:
        """Why a file may not be read; empty if it may. `size` in bytes is looked up where it isn't given.

        A link is judged by its own name and by that of what it leads to.
        """
        return self._excluded(os.fspath(path)) or self._too_large(path, size)

    def _too_large(self, path: Path, size: int | None) -> str:
        if size is None:
            try:
                size = os.stat(path).st_size
            except (OSError, ValueError):
                return ""
        return f"too large: more than {self._max_bytes // 1024} KiB" if size > self._max_bytes else ""

    def _excluded(self, path: str) -> str:
        now = time.monotonic()
        answer = self._answers.get(path)
        if answer is None or now - answer[0] >= self._recheck_s:
            if len(self._answers) >= _ANSWERS:
                self._answers.clear()
            answer = self._answers[path] = now, self._judged(path)
        return answer[1]

    def _judged(self, path: str) -> str:
        own = os.path.abspath(path)
        try:
            real = os.path.realpath(own)
        except (OSError, ValueError):
            real = own
        for name in dict.fromkeys((own, real)):
            reason = _secret(name) or self._ignored(Path(name))
            if reason:
                return reason
        return ""

    def _ignored(self, path: Path) -> str:
        roots = [root for root in self._roots if root in path.parents]
        tree = next((folder for folder in path.parents if os.path.exists(folder / ".git")), None)
        base = tree or min(roots, key=lambda root: len(root.parts), default=path.parent)
        top = min((base, *roots), key=lambda folder: len(folder.parts))
        lists = [(root, "the setting exclude", [(root, self._patterns)]) for root in roots or [base] if self._patterns]
        lists.append((top, OWN_IGNORE_FILE, self._levels(top, path, OWN_IGNORE_FILE)))
        if ".git" not in path.parts:  # a commit message is written there
            levels = self._levels(base, path, ".gitignore")
            if tree:
                of_user = _users_ignore_file(tree, int(time.monotonic() / _ASKED_EVERY_S),
                                             *map(os.environ.get, _WHERE_GIT_LOOKS))
                levels[:0] = [(tree, self._files.patterns(file)) for file in (
                    of_user, _common_folder(tree / ".git") / "info" / "exclude")]
            lists.append((base, ".gitignore", levels))
        return next((f"excluded: by {name}" for start, name, levels in lists if _ignores(levels, start, path)), "")

    def _levels(self, start: Path, path: Path, name: str) -> list[tuple[Path, list[Pattern]]]:
        """The ignore files called `name` from a folder down to that of `path`: (folder, its patterns)."""
        folders = [folder for folder in reversed(path.parents) if folder == start or start in folder.parents]
        return [(folder, self._files.patterns(os.path.join(folder, name))) for folder in folders]


def is_secret(path: str) -> bool:
    """Whether an absolute path, by its own names alone, is one of a file of secrets."""
    return bool(_secret(path))


def _secret(path: str) -> str:
    names = [name.casefold() for name in Path(path).parts[1:]]
    found = next((name for name in names if _is_secret_name(name)), None)
    if found is None:
        found = next((second for first, second in zip(names, names[1:]) if (first, second) in SECRET_PLACES), None)
    return "" if found is None else f"excluded: a file of secrets ({found})"


def _ignores(levels: Iterable[tuple[Path, list[Pattern]]], start: Path, path: Path) -> bool:
    """Whether ignore files exclude a path, or a folder above it and below `start`: what is in an excluded folder can't
    be taken back. Of the files in a path's folders the deepest that is about it decides."""
    names = [os.fsencode(name) for name in path.parts]
    deepest_first = [(len(folder.parts), patterns) for folder, patterns in levels if patterns][::-1]
    for end in range(len(start.parts) + 1, len(names) + 1):
        for depth, patterns in deepest_first:
            said = verdict(patterns, names[depth:end], end < len(names)) if depth < end else None
            if said is not None:
                if said:
                    return True
                break
    return False


@lru_cache(maxsize=4096)
def _is_secret_name(name: str) -> bool:
    """Whether the name, in small letters, is one of a file or folder of secrets, or of a copy of one."""
    names = _names_of_secrets()
    name = name.rstrip(". ")  # Windows passes over these
    return bool(names(name) or names(_COPIES.sub("", name)) or names(_COPIES.sub("", name).removeprefix(".")))


@cache
def _names_of_secrets():
    """Tells whether a whole name is one of SECRETS."""
    from fnmatch import translate
    return re.compile("|".join(translate(name) for name in SECRETS)).match


@lru_cache(maxsize=64)
def _users_ignore_file(tree: Path, period: int, settings: str | None, folder: str | None, home: str | None) -> Path:
    """Git's ignore file for all that the user has (`core.excludesFile`, or where it lies by default), as git says in a
    work tree; asked again in each period, and where the environment says otherwise where git looks."""
    import shutil
    import subprocess  # not above: this is needed seldom, and only in what git keeps
    try:
        git = shutil.which("git")
        if git is None or not os.path.isabs(git):  # Windows looks into the present folder first, which may be anyone's
            raise FileNotFoundError
        for where in (["-C", str(tree), "config"], ["config", "--global"]):  # a tree of somebody else's git refuses
            done = subprocess.run([git, *where, "--path", "--get", "core.excludesFile"], capture_output=True,
                                  stdin=subprocess.DEVNULL, timeout=5)
            if done.returncode in (0, 1):
                break
        named = os.fsdecode(done.stdout.removesuffix(b"\n")) if done.returncode == 0 else ""
    except (OSError, subprocess.SubprocessError):  # there is no git: its default is still the user's wish
        named = ""
    return Path(named) if named else Path(folder or Path(home or "~", ".config")).expanduser() / "git" / "ignore"


@lru_cache(maxsize=64)
def _common_folder(git: Path) -> Path:
    """Git's own folder, which in other work trees and submodules is elsewhere."""
    try:
        if git.is_file():
            git = git.parent / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
            common = git / "commondir"
            if common.is_file():
                git = git / common.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        pass
    return git
