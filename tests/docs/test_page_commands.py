"""What the README and the pages of docs/ tell people to type works, as it stands there.

Each page has a home and a folder of its own, with the files that its commands speak of. A block is one of commands, or
is named in OTHERS; a command runs, or is named in SKIPPED. What is named there and stands in no page is an error too.
"""
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from pages import ROOT, Block, blocks, pages

from gpt2_assist import config

pytestmark = pytest.mark.timeout(1500)
A_COMMAND_S = 300
ALL = [block for page in pages() for block in blocks(page)]

OTHERS = {
    ("docs/daemon.md", 'model = "auto"'): "settings: read by test_the_settings_are_settings",
    ("docs/design.md", "gpt2-repl ─┐"): "a drawing",
    ("docs/design.md", "gpt2_assist/"): "the tree",
    ("docs/design.md", "gpt2-repl     "): "the commands' forms",
    ("docs/editors.md", "[language-server.gpt2]"): "Helix's settings: tests/editors/test_menu_editors.py reads them",
    ("docs/editors.md", "(with-eval-after-load 'eglot"): "Emacs' settings: read by the same test",
    ("docs/editors.md", "(with-eval-after-load 'lsp"): "Emacs' settings: read by the same test",
    ("docs/editors.md", '{"lsp"'): "Zed's settings: untried, as the page says",
    ("docs/finetune.md", "He had found"): "what a model wrote",
    ("docs/finetune.md", "import gpt2_assist"): "Python: run by test_the_calls_are_calls",
    ("docs/language-server.md", "{textDocument"): "a message's form",
    ("docs/language-server.md", "{token"): "a message's form",
    ("docs/language-server.md", "{session"): "a message's form",
    ("docs/language-server.md", "{uri"): "a message's form",
    ("docs/language-server.md", "{state"): "a message's form",
}
"""(page, how its first line begins): what the block is."""

_NETWORK, _LONG, _CARD = "needs the network", "measures for an hour, with other programs and texts", "needs a card"
SKIPPED = {
    "make repl": "installs, and fetches a model: tests/packaging installs, tests/model/test_first_model.py fetches",
    "make test": "is how this test is run",
    'make bench BENCH="latency"': "writes figures into a page: tests/benchmarks/test_page.py",
    'make bench BENCH="engine LLAMA=FOLDER BPE=FOLDER CACHE=FOLDER"': _LONG,
    'echo "Once upon a time" | make -s repl': "installs, and fetches a model",
    "gpt2-assist pull gpt2": _NETWORK,
    "gpt2-repl --model gpt2": "opens a model that the network brings",
    "gpt2-assist models import ollama:NAME[:TAG]": "needs Ollama's store: tests/model/test_ollama.py makes one",
    "gpt2-assist pretrain recipes/mini.toml --corpora FOLDER": "trains for two hours",
    ".venv/bin/python benchmarks/completions.py --corpora FOLDER --models mini,smollm2": _LONG,
    'gpt2-assist generate "The rain" --model gpt2-xl --device cuda --precision bf16': _CARD,
    "python benchmarks/gpu.py --bpe FOLDER": _CARD,
    "python benchmarks/gpu.py --profile --sizes 124M": _CARD,
    "python benchmarks/finetune.py --device cuda --models 124M --corpora FOLDER --bpe FOLDER": _CARD,
    "python benchmarks/finetune.py --device cuda --models 774M --methods lora --memory-gb 8 --corpora … --bpe …": _CARD,
    "python benchmarks/finetune.py --device cuda --models 1558M --methods lora --memory-gb 16 --corpora … --bpe …":
        _CARD,
    "python -m pytest tests/engine": "runs another part of the suite",
}
"""Command: why it doesn't run here."""

_SOON = " --steps 2 --context 64 --batch-tokens 128 --method lora --overwrite"
ADDED = {"gpt2-assist finetune --resume": " --steps 4", "gpt2-assist finetune": _SOON}
"""Flags behind what begins so: a training ends after seconds, and may take a name that another page's example had."""
BEFORE = {
    "README.md": ["gpt2-assist runs export mini --gguf FILE.gguf"],
    "docs/daemon.md": ["gpt2-assist daemon start"],
    "docs/finetune.md": ["gpt2-assist finetune wikinews_titles.csv --column title --run titles"],
    "docs/models.md": ["gpt2-assist runs export mini --gguf FILE.gguf", "gpt2-assist runs export mini FOLDER"],
    "docs/writing.md": ["gpt2-assist finetune ~/code --infill --run code"],
}
"""What somebody who reads the page has done already."""


def other(block: Block) -> tuple[str, str] | None:
    return next((key for key in OTHERS if block.page == key[0] and block.lines[0].startswith(key[1])), None)


TYPED = {page.relative_to(ROOT).as_posix(): [
    command for block in blocks(page) if not other(block) for command in block.commands()] for page in pages()}


@pytest.fixture
def world(tmp_path, monkeypatch) -> Iterator[Path]:
    """The folder in which commands are typed, by somebody with a home of their own."""
    monkeypatch.setenv("GPT2_ASSIST_CACHE", str(config.cache()))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GPT2_ASSIST_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    work = tmp_path / "work"
    for folder in (tmp_path / "notes", work / "notes"):
        folder.mkdir(parents=True)
        for page in pages():
            shutil.copy(page, folder)
    for folder in (tmp_path / "code", work / "gpt2_assist", work / "lsp"):
        shutil.copytree(ROOT / "gpt2_assist" / "text", folder, ignore=shutil.ignore_patterns("__pycache__"))
    design = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    (work / "tinyshakespeare.txt").write_text(design, encoding="utf-8")
    (work / "chapter.txt").write_text(design[:1000], encoding="utf-8")
    (work / "worn.txt").write_text("at the end of the day\nneedless to say\n", encoding="utf-8")
    sentences = [words for words in re.split(r"[.:;]\s", design) if words.isprintable() and '"' not in words]
    (work / "wikinews_titles.csv").write_text(
        "id;title\n" + "".join(f"{number};{sentence}\n" for number, sentence in enumerate(sentences)), encoding="utf-8")
    yield work
    subprocess.run(["gpt2-assist", "daemon", "stop"], stdout=subprocess.DEVNULL, timeout=A_COMMAND_S)


def typed(command: str, world: Path) -> None:
    """Types it into bash. Who reads standard input gets a line."""
    more = next((flags for begin, flags in ADDED.items() if command.startswith(begin)), "")
    done = subprocess.run(["bash", "-c", command + more], cwd=world, input="Once upon a time", capture_output=True,
                          text=True, encoding="utf-8", timeout=A_COMMAND_S)
    assert done.returncode == 0, f"{command}{more}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}"


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page, commands in TYPED.items() if set(commands) - set(SKIPPED)])
def test_the_commands_of_a_page_work(page, world):
    for command in [*BEFORE.get(page, []), *(command for command in TYPED[page] if command not in SKIPPED)]:
        typed(command, world)


@pytest.mark.slow
def test_the_calls_are_calls(world):
    """With two steps instead of hundreds, and where no folder has our package's name."""
    block, = [block for block in ALL if block.lines[0] == "import gpt2_assist"]
    code = textwrap.dedent("\n".join(block.lines)).replace("steps=200, sample_every=50", "steps=2, sample_every=1")
    done = subprocess.run([sys.executable, "-c", code], cwd=world.parent, capture_output=True, text=True,
                          timeout=A_COMMAND_S)
    assert done.returncode == 0, done.stderr


def test_the_settings_are_settings(world):
    block, = [block for block in ALL if block.lines[0].startswith('model = "auto"')]
    home = Path(os.environ["GPT2_ASSIST_HOME"])
    home.mkdir()
    (home / "settings.toml").write_text("\n".join(block.lines), encoding="utf-8")
    assert config.read_settings() == config.Settings()
    assert [line.split(" ")[0] for line in block.lines if line] == [field.name for field in fields(config.Settings)]


def test_what_does_not_run_is_named_and_what_is_named_is_there():
    assert {other(block) for block in ALL} - {None} == set(OTHERS)
    commands = {command for commands in TYPED.values() for command in commands}
    assert set(SKIPPED) <= commands, set(SKIPPED) - commands
    assert len(commands - set(SKIPPED)) > 25


def test_links_lead_somewhere():
    for page in [*pages(), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "editors").glob("*/README.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text(encoding="utf-8")):
            assert "://" in target or (page.parent / target).exists(), (page.name, target)
