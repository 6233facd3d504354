"""What is never read: secrets always, and what ignore files exclude just as git itself says."""
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2_assist.files.exclusions import Exclusions
from gpt2_assist.files.ignore_rules import MAX_BYTES, parsed, verdict

SECRET = [
    ".env", ".ENV", ".env.production", "prod.env", ".envrc", "server.pem", "Server.KEY", "id_rsa", "id_rsa.pub.bak",
    "id_ed25519_work", ".ssh/config", "home/.AWS/config", ".gnupg/gpg.conf", ".netrc", "_netrc", ".npmrc", ".pypirc",
    "credentials", "credentials.json", "Credentials-old.xml", "vault.kdbx", "store.p12", "store.pfx",
    ".git-credentials", "secrets.yaml", "secrets.py", "secrets/db", "terraform.tfstate", "terraform.tfstate.backup",
    "prod.tfvars",
    "kubeconfig", "dev.kubeconfig", ".kube/config", ".docker/config.json", ".config/gcloud/access_tokens.db",
    ".config/gh/hosts.yml", ".git/config", "service-account-1.json", ".bash_history", ".pgpass", ".env~", "#.env#",
    ".#.env", ".env.swp", ".server.key.swp", ".id_rsa.swp", "server.key.bak", ".netrc.orig", ".env/bin/activate",
    ".env.", "site.jks", "AuthKey_1.p8",
    "Passwords.md", "Chrome Passwords.csv"]
HARMLESS = [
    "main.py", "environment.py", "env.py", "keys.py", "keyboard.key.py", "monkey", "ssh.md", "aws/readme.md",
    "secret.py", "shadow/dom.ts", "docker/config.json", "config.json", ".git/COMMIT_EDITMSG", "netrc.c", "passwords.py",
    "history.txt", "pem.c"]
PATTERNS = [
    "a", "b", "/a", "a/", "!a", "!a/", "*.x", "!*.x", "a/b", "a/**", "!a/**", "**/b", "a/**/b", "*", "!*", "*/", "!*/",
    "/*", "!/a", "a*", "?", "[ab]", "[!a]", "!b", "\\!a", "#a", "\\#a", "a/*", "!a/b", "!a/b/", "b/*.x", "!a/*", "  ",
    "a ", "a\\ ", "a\\\\ ", "**", "**/", "!**/", "/**/a", "a/b/**", "[a-", "[]a]", "[^]a]", "[a-c].x", "\\a", "a//b",
    "/", "!", "[[:alpha:]]", "[[:nope:]]", "[[:a]", "a**", "**a/b", "a/**b", "*a*.*x*", "**/a/**/b/**", "[a/b]",
    "a[/]b", "a\\", "a/b/", "[a-b-c]", "[--a]", "[\\]a]", "a\r", "\t", "[!!]a", "?*", "a/./b", "é", "[é]", "?.x"]
NAMES = ["a", "b", "c.x", "a.x", "!a", "#a", "a ", "é", "]", "-"]


def excluded(root: Path, name: str, **options) -> str:
    return Exclusions([root], **options).reason(root / name, 0)


@pytest.mark.parametrize("name", SECRET)
def test_files_of_secrets_are_never_read(tmp_path, name):
    (tmp_path / ".gitignore").write_text("!*\n")
    reason = excluded(tmp_path, name, patterns=["!*", "!" + name])
    assert reason.startswith("excluded: a file of secrets (")
    assert Exclusions([]).reason(tmp_path / name, 0) == reason


@pytest.mark.parametrize("name", HARMLESS)
def test_others_are_read(tmp_path, name):
    assert excluded(tmp_path, name) == ""


def test_both_names_of_a_link_count(tmp_path):
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "notes.txt").write_text("")
    (tmp_path / "plain.txt").write_text("")
    (tmp_path / "innocent.txt").symlink_to(tmp_path / ".ssh" / "notes.txt")
    (tmp_path / "folder").symlink_to(tmp_path / ".ssh")
    (tmp_path / ".env").symlink_to(tmp_path / "plain.txt")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for name, secret in (("innocent.txt", ".ssh"), ("folder/notes.txt", ".ssh"), (".env", ".env")):
        assert excluded(tmp_path, name) == f"excluded: a file of secrets ({secret})"
    assert excluded(tmp_path, "circle") == excluded(tmp_path, "plain.txt") == ""


def test_a_link_into_what_is_ignored_is_ignored(tmp_path):
    (tmp_path / ".gpt2ignore").write_text("private/\n")
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "diary.md").write_text("")
    (tmp_path / "diary.md").symlink_to(tmp_path / "private" / "diary.md")
    assert excluded(tmp_path, "diary.md") == "excluded: by .gpt2ignore"


def test_a_root_that_is_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / ".gpt2ignore").write_text("deep/*.md\n")
    for root in ("real", "link"):
        rules = Exclusions([tmp_path / root], ["/x.py"])
        for name in ("real", "link"):
            assert rules.reason(tmp_path / name / "deep" / "x.md", 0) == "excluded: by .gpt2ignore"
            assert rules.reason(tmp_path / name / "x.py", 0) == "excluded: by the setting exclude"


def test_the_reason_says_who_excludes(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".git" / "info" / "exclude").write_text("mine.txt\n")
    (tmp_path / ".gitignore").write_text("*.log\n")
    (tmp_path / ".gpt2ignore").write_text("drafts/\n!*.log\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / ".gitignore").write_text("!keep.log\n")
    answers = {
        "x.log": "excluded: by .gitignore", "folder/x.log": "excluded: by .gitignore", "folder/keep.log": "",
        "mine.txt": "excluded: by .gitignore", "drafts/a/b": "excluded: by .gpt2ignore", "drafts": "",
        "x.csv": "excluded: by the setting exclude", "x.py": ""}
    assert {name: excluded(tmp_path, name, patterns=["*.csv"]) for name in answers} == answers


def test_a_commit_message_is_no_file_that_git_ignores(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("*\n")
    assert excluded(tmp_path, "x.py") and not excluded(tmp_path, ".git/COMMIT_EDITMSG")


def test_a_root_above_or_below_the_work_tree(tmp_path):
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    subprocess.run(["git", "init", "-q", tree], check=True)
    (tmp_path / ".gitignore").write_text("*.a\n")
    (tmp_path / ".gpt2ignore").write_text("*.b\n")
    (tree / ".gitignore").write_text("*.c\n")
    for root in (tmp_path, tree, tree / "sub"):
        rules = Exclusions([root])
        assert rules.reason(tree / "sub" / "x.a", 0) == ""  # git looks no higher than the work tree
        assert rules.reason(tree / "sub" / "x.b", 0) == ("excluded: by .gpt2ignore" if root == tmp_path else "")
        assert rules.reason(tree / "sub" / "x.c", 0) == "excluded: by .gitignore"
    assert excluded(tmp_path, "x.a") == "excluded: by .gitignore"


def test_patterns_of_the_setting_hold_in_each_root(tmp_path):
    roots = [tmp_path / "one", tmp_path / "two"]
    rules = Exclusions(roots, ["/top.py", "deep/*.py"])
    for root in roots:
        assert rules.reason(root / "top.py", 0) and rules.reason(root / "deep" / "x.py", 0)
        assert not rules.reason(root / "other" / "top.py", 0)


def test_the_exclude_file_of_another_work_tree(tmp_path):
    run_git(tmp_path, "init", "-q", "main")
    main = tmp_path / "main"
    run_git(main, "-c", "user.name=x", "-c", "user.email=x", "commit", "-q", "--allow-empty", "-m", "x")
    run_git(main, "worktree", "add", "-q", tmp_path / "other")
    (main / ".git" / "info").mkdir(exist_ok=True)
    (main / ".git" / "info" / "exclude").write_text("mine.txt\n")
    assert excluded(tmp_path / "other", "mine.txt") == "excluded: by .gitignore"


@pytest.mark.parametrize("place", ["default", "named", "included"])
def test_the_users_own_ignore_file_for_all_that_git_keeps(tmp_path, monkeypatch, place):
    """The weakest of all: what a project takes back is read."""
    home, tree = tmp_path / "home", tmp_path / "tree"
    file = {"default": home / ".config" / "git" / "ignore", "named": home / "my ignores",
            "included": home / "my ignores"}[place]
    file.parent.mkdir(parents=True)
    file.write_text("*.log\n/notes/\n")
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL"):
        monkeypatch.delenv(name, raising=False)
    subprocess.run(["git", "init", "-q", str(tree)], check=True)
    if place == "named":
        subprocess.run(["git", "config", "--global", "core.excludesFile", "~/my ignores"], check=True)
    if place == "included":
        (home / "dotfiles").write_text("[core]\n\texcludesFile = ~/my ignores\n")
        subprocess.run(["git", "config", "--global", "include.path", str(home / "dotfiles")], check=True)
    assert excluded(tree, "a.log") and excluded(tree, "notes/a.txt") and not excluded(tree, "a/notes/b.txt")
    (tree / ".gitignore").write_text("!a.log\n")
    assert not excluded(tree, "a.log") and excluded(tree, "b.log")
    assert not excluded(tmp_path / "elsewhere", "a.log"), "git keeps nothing there"


def test_a_changed_ignore_file_is_read_again(tmp_path):
    rules = Exclusions([tmp_path], recheck_s=0)
    ignore = tmp_path / ".gpt2ignore"
    assert rules.reason(tmp_path / "x.py", 0) == ""
    ignore.write_text("*.py\n")
    assert rules.reason(tmp_path / "x.py", 0)
    ignore.write_text("*.js\n" * 2)
    assert rules.reason(tmp_path / "x.py", 0) == ""
    ignore.unlink()
    assert rules.reason(tmp_path / "x.js", 0) == ""


@pytest.mark.slow
def test_ignore_files_that_are_no_text(tmp_path):
    ignore = tmp_path / ".gitignore"
    for content in (random.Random(0).randbytes(20_000), b"\0\xff\n*.py\n", b"\xef\xbb\xbf*.py\n",
                    b"*.py\n" + b"x" * 2 * MAX_BYTES):
        ignore.write_bytes(content)
        assert excluded(tmp_path, "x.txt") == ""
    assert excluded(tmp_path, "x.py") == "excluded: by .gitignore"
    ignore.unlink()
    ignore.mkdir()
    assert excluded(tmp_path, "x.py") == ""
    ignore.rmdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(ignore)  # reading would wait for ever
        assert excluded(tmp_path, "x.py") == ""


def test_sizes(tmp_path):
    (tmp_path / "large").write_bytes(b"x" * 3000)
    rules = Exclusions([tmp_path], max_bytes=2048)
    assert rules.reason(tmp_path / "large") == rules.reason(tmp_path / "new", 2049) == "too large: more than 2 KiB"
    assert rules.reason(tmp_path / "large", 2048) == rules.reason(tmp_path / "new") == ""


def test_no_path_is_too_odd(tmp_path):
    rules = Exclusions([tmp_path])
    for name in ("nul\0", "x" * 5000, "\udcff", "..", "/", ""):
        assert isinstance(rules.reason(Path(name)), str)


@pytest.mark.parametrize("pattern", [
    "*a" * 40 + "*b", "**/*a/" * 40 + "b", "a*" * 40 + "b/**/c", "[a-z]*" * 60 + "b"])
def test_no_pattern_takes_long(pattern):
    patterns = parsed(pattern.encode())
    began = time.perf_counter()
    verdict(patterns, [b"a" * 255] * 60, False)
    assert time.perf_counter() - began < 1


def test_a_known_answer_costs_nearly_nothing(tmp_path):
    rules = Exclusions([tmp_path], recheck_s=60)
    path = tmp_path / "a" / "b" / "c" / "x.py"
    rules.reason(path, 10)
    rounds = []
    for _ in range(20):
        began = time.perf_counter()
        for _ in range(50):
            rules.reason(path, 10)
        rounds.append((time.perf_counter() - began) / 50)
    assert min(rounds) < 50e-6


def test_the_import_is_light():
    done = subprocess.run([sys.executable, "-X", "importtime", "-c", "import gpt2_assist.files.exclusions"],
                          capture_output=True, text=True, check=True)
    assert not {"asyncio", "numpy", "subprocess", "torch"} & {
        line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}


@given(st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=6), st.data())
@settings(max_examples=60, deadline=None)
def test_ignored_is_what_git_ignores(tmp_path_factory, patterns, data):
    compare_to_git(tmp_path_factory.mktemp("tree"), data.draw(st.randoms(use_true_random=False)), patterns)


def test_ignored_is_what_git_ignores_with_any_characters(tmp_path):
    for seed in range(25):
        chance = random.Random(seed)
        patterns = ["".join(chance.choices("ab.x*?[]!/\\-^ :#", k=chance.randint(1, 7))) for _ in range(4)]
        (tmp_path / str(seed)).mkdir()
        compare_to_git(tmp_path / str(seed), chance, patterns)


def compare_to_git(root: Path, chance: random.Random, patterns: list[str]) -> None:
    """Plants a tree with ignore files in some folders, and asks git and us about each of its files."""
    run_git(root, "init", "-q")
    (root / ".git" / "info").mkdir(exist_ok=True)
    write_patterns(root / ".git" / "info" / "exclude", chance, PATTERNS)
    files = plant(root, chance, patterns, 0)
    names = [os.fsencode(file.relative_to(root)) for file in files]
    said = run_git(root, "check-ignore", "--no-index", "-z", "--stdin", input=b"\0".join(names)).split(b"\0")
    rules = Exclusions([root])
    for file, name in zip(files, names):
        assert bool(rules.reason(file, 0)) == (name in said), name


def plant(folder: Path, chance: random.Random, patterns: list[str], depth: int) -> list[Path]:
    if chance.random() < (0.9 if depth == 0 else 0.3):
        write_patterns(folder / ".gitignore", chance, patterns)
    files = []
    for name in chance.sample(NAMES, chance.randint(1, 4)):
        if depth < 3 and chance.random() < 0.5:
            (folder / name).mkdir()
            files += plant(folder / name, chance, patterns, depth + 1)
        else:
            (folder / name).touch()
            files.append(folder / name)
    return files


def write_patterns(file: Path, chance: random.Random, patterns: list[str]) -> None:
    lines = chance.choices(patterns + PATTERNS[:20], k=chance.randint(1, 4))
    file.write_bytes("\n".join(lines).encode() + chance.choice([b"", b"\n"]))


def run_git(folder: Path, *arguments, input: bytes = b"") -> bytes:
    """Git without the user's own settings and ignore files. Finding nothing is no error."""
    environment = dict(os.environ, GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_NOSYSTEM="1", XDG_CONFIG_HOME=str(folder),
                       HOME=str(folder))
    done = subprocess.run(["git", *arguments], cwd=folder, env=environment, input=input, capture_output=True)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout
