"""`gpt2-assist completion`: what each shell makes of its script."""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

SHELLS = ("bash", "zsh", "fish")
WORDS = {"gpt2-assist fine": {"finetune"}, "gpt2-assist runs s": {"show", "slim"},
         "gpt2-assist generate --max-n": {"--max-new-tokens"}, "gpt2-assist generate --file not": {"notes.txt"},
         "gpt2-assist finetune --method ": {"full", "lora"}}


@pytest.fixture
def folder(tmp_path) -> Path:
    """One with a text, and with each shell's script."""
    (tmp_path / "notes.txt").write_text("a text")
    for name in SHELLS:
        done = assist(name)
        assert done.returncode == 0 and done.stdout, done.stderr
        (tmp_path / f"script.{name}").write_text(done.stdout)
    return tmp_path


def assist(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "gpt2_assist", "completion", *words], capture_output=True, text=True,
                          timeout=60)


def wanted(name: str) -> str:
    found = shutil.which(name)
    if not found:
        pytest.skip(f"{name} isn't on the PATH")
    return found


def test_bash_completes_commands_flags_files_and_choices(folder):
    shell = wanted("bash")
    for line, expected in WORDS.items():
        code = ('source script.bash; COMP_WORDS=("${@}"); COMP_CWORD=$(($# - 1)); '
                '$(complete -p gpt2-assist | sed "s/.*-F \\([^ ]*\\).*/\\1/") gpt2-assist "${COMP_WORDS[COMP_CWORD]}" '
                '"${COMP_WORDS[COMP_CWORD-1]}"; printf "%s\\n" "${COMPREPLY[@]}"')
        done = subprocess.run([shell, "--norc", "-c", code, "bash", *line.split(" ")], capture_output=True, text=True,
                              cwd=folder, timeout=60)
        assert set(done.stdout.split()) == expected, (line, done)


def test_fish_completes_commands_flags_files_and_choices(folder):
    shell = wanted("fish")
    for line, expected in WORDS.items():
        code = f"source script.fish; complete -C {json.dumps(line)}"
        done = subprocess.run([shell, "--no-config", "-c", code], capture_output=True, text=True, cwd=folder,
                              timeout=60, env={**os.environ, "HOME": str(folder)})
        assert {found.split("\t")[0] for found in done.stdout.splitlines()} == expected, (line, done)


def test_zsh_completes_a_command_from_its_folder_of_functions(folder):
    shell = wanted("zsh")
    (folder / "functions").mkdir()
    (folder / "script.zsh").rename(folder / "functions" / "_gpt2-assist")
    terminal = pexpect.spawn(shell, ["-f"], cwd=folder, env={**os.environ, "TERM": "dumb"}, encoding="utf-8",
                             timeout=30)
    try:
        terminal.sendline('fpath=("$PWD/functions" $fpath); autoload -U compinit; compinit -u -D; print loa""ded')
        terminal.expect("loaded")
        terminal.send("gpt2-assist fine\t")
        terminal.expect("finetune")
    finally:
        terminal.close(force=True)


def test_another_shell_is_refused_in_a_sentence():
    done = assist("tcsh")
    assert done.returncode == 2 and "tcsh" in done.stderr and not done.stdout
