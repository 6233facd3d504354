"""What is built of the project installs and works where nothing else is, with all that it says it needs."""
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from lsprotocol import types
from pygls.lsp.client import LanguageClient

import gpt2_assist

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
ROOT = Path(__file__).parents[2]
MODEL = "gpt2_assist/models/mini"
BIN = "Scripts" if os.name == "nt" else "bin"
INSTALLING_S = 900


def run(*words: str | Path, seconds: float = 120, **more) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, encoding="utf-8",
                          timeout=seconds, **more)
    assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, Path]:
    """(sdist, wheel): the wheel is made of the sdist, so the sdist holds all that it takes."""
    tree, target = tmp_path_factory.mktemp("tree") / "source", tmp_path_factory.mktemp("dist")
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", ".venv", "build", "*.egg-info", "__pycache__",
                                                              "node_modules", "shared"))
    run(sys.executable, "-m", "build", "-o", target, tree, seconds=INSTALLING_S)
    return next(target.glob("*.tar.gz")), next(target.glob("*.whl"))


@pytest.fixture(scope="module")
def alone(built, tmp_path_factory) -> Path:
    """The programs' folder of an environment with the wheel and what it declares."""
    folder = tmp_path_factory.mktemp("alone")
    run(sys.executable, "-m", "venv", folder)
    install(folder / BIN, built[1])
    return folder / BIN


def install(programs: Path, *words: str | Path) -> None:
    run(programs / "python", "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", *words,
        seconds=INSTALLING_S)


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    """Nothing of this checkout's is found, and the home is a fresh one."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return {**kept, "GPT2_ASSIST_HOME": str(tmp_path_factory.mktemp("home"))}


def test_both_hold_the_model_and_the_licences_and_neither_holds_the_tests(built):
    sdist, wheel = built
    with zipfile.ZipFile(wheel) as archive:
        inside = {name: archive.read(name) for name in archive.namelist()}
    with tarfile.open(sdist) as archive:
        source = {name.partition("/")[2] for name in archive.getnames()}
    for path in (ROOT / MODEL).iterdir():
        name = f"{MODEL}/{path.name}"
        assert hashlib.sha256(inside[name]).digest() == hashlib.sha256(path.read_bytes()).digest() and name in source
    for licence in ("LICENSE", "LICENCES.md"):
        assert any(name.endswith(f".dist-info/licenses/{licence}") for name in inside) and licence in source
    assert {"CHANGELOG.md", "constraints.txt", "pyproject.toml"} <= source
    assert not [name for name in [*inside, *source] if name.startswith(("tests", "benchmarks", "editors"))]


def test_the_commands_work_where_nothing_else_is_installed(alone, environment, tmp_path):
    assert run(alone / "gpt2-assist", "--version", env=environment) == f"gpt2-assist {gpt2_assist.__version__}\n"
    wanted = [sys.executable, "-m", "gpt2_assist"], [alone / "gpt2-assist"]
    texts = [run(*program, "generate", "The rain had", "--model", "mini", "--max-new-tokens", "12", "--seed", "1",
                 env=environment, cwd=tmp_path) for program in wanted]
    assert texts[0] == texts[1] != ""
    assert "mini" in run(alone / "gpt2-assist", "models", env=environment)
    assert "gpt2-assist" in run(alone / "gpt2-assist", "completion", "bash", env=environment)
    prompted = run(alone / "gpt2-repl", "--model", "mini", input="Once upon a time", env=environment, cwd=tmp_path)
    assert prompted.strip()


def test_a_model_is_taught_there_and_what_an_extra_brings_is_named(alone, environment, tmp_path):
    (tmp_path / "notes").mkdir()
    for number in range(12):
        (tmp_path / "notes" / f"{number}.txt").write_text(f"On day {number} the rain came over the hills again. " * 30)
    (tmp_path / "notes" / "page.html").write_text("<p>A page.</p>")
    said = run(alone / "gpt2-assist", "finetune", "notes", "--model", "mini", "--steps", "2", "--context", "64",
               "--batch-tokens", "128", env=environment, cwd=tmp_path)
    assert "need gpt2-assist[documents]" in said
    assert said.splitlines()[-1] == "What draws the curve as a picture is installed with gpt2-assist[plots]."
    assert run(alone / "gpt2-assist", "generate", "On day", "--model", "run1", "--max-new-tokens", "4", env=environment)


async def test_the_language_server_completes_there(alone, environment, tmp_path):
    client = LanguageClient("tests", "1")
    await client.start_io(str(alone / "gpt2-lsp"), env=environment, cwd=tmp_path)
    try:
        begun = await client.initialize_async(types.InitializeParams(
            capabilities=types.ClientCapabilities(), initialization_options={"model": "mini", "confidence": 0,
                                                                             "deadlineMs": 10000}))
        assert begun.server_info.version == gpt2_assist.__version__
        client.initialized(types.InitializedParams())
        text = "The old man went down to the sea and looked at the "
        client.text_document_did_open(types.DidOpenTextDocumentParams(
            types.TextDocumentItem("untitled:notes", "plaintext", 1, text)))
        await client.workspace_execute_command_async(types.ExecuteCommandParams("gpt2.model", ["mini"]))
        found = await client.text_document_inline_completion_async(types.InlineCompletionParams(
            types.InlineCompletionContext(types.InlineCompletionTriggerKind.Invoked),
            types.TextDocumentIdentifier("untitled:notes"), types.Position(0, len(text))))
        assert found.items and found.items[0].insert_text.strip()
        await client.shutdown_async(None)
        client.exit(None)
        await client._server.wait()
    finally:
        if client._server.returncode is None:
            client._server.kill()
        await client.stop()


def test_the_sdist_installs_too(built, alone, environment, tmp_path):
    run(alone / "python", "-m", "pip", "uninstall", "-q", "-y", "gpt2-assist")
    install(alone, "--no-deps", built[0])
    listed = json.loads(run(alone / "gpt2-assist", "models", "--json", "list", env=environment, cwd=tmp_path))
    assert any(model["name"] == "mini" for model in listed)
    assert run(alone / "gpt2-assist", "generate", "The rain", "--model", "mini", "--max-new-tokens", "4",
               env=environment, cwd=tmp_path)
