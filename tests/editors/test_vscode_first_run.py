"""A new user's first minutes: a wrong path, a server that only crashes, an installation that fails, one that works."""
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from vscode_workbench import NOTIFICATIONS, SERVER, Workbench, lacking, pack, workbench, write_settings

pytestmark = [pytest.mark.editor, pytest.mark.slow, pytest.mark.timeout(300),
              pytest.mark.skipif(bool(lacking()), reason=lacking())]


@pytest.fixture(scope="module")
def code(tmp_path_factory) -> Iterator[Workbench]:
    with workbench(pack(), tmp_path_factory.mktemp("vscode")) as code:
        yield code


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "story.md").write_text("", encoding="utf-8")
    return tmp_path / "notes"


def test_a_wrong_path_is_named(code: Workbench, folder: Path):
    write_settings(folder / ".vscode", {"gpt2Assist.serverPath": "${workspaceFolder}/nowhere"})
    page = code.open(folder)
    assert f"is {folder}/nowhere, and no program is there" in page.notification("serverPath", 60)
    write_settings(folder / ".vscode", {"gpt2Assist.serverPath": str(SERVER), "gpt2Assist.model": "mini"})
    page.bar("^ ?mini", 30)


def test_a_server_that_only_crashes_is_given_up(code: Workbench, folder: Path):
    program = folder / "gpt2-lsp"
    program.write_text(f"#!{sys.executable}\nraise SystemExit('torch is broken')\n", encoding="utf-8")
    program.chmod(0o755)
    write_settings(folder / ".vscode", {"gpt2Assist.serverPath": str(program), "gpt2Assist.model": "mini"})
    page = code.open(folder)
    page.notification("The server ended 5 times within 3 minutes", 60)
    assert len(page.notifications()) == 1
    program.unlink()
    program.symlink_to(SERVER)
    page.button("Restart Server")
    page.bar("^ ?mini", 30)


def test_an_installation_says_why_it_fails_and_completes_where_it_works(code: Workbench, folder: Path, tmp_path: Path):
    wheel = tmp_path / "gpt2_assist-9-py3-none-any.whl"
    settings = {"gpt2Assist.model": "mini", "gpt2Assist.confidence": 0}
    write_settings(code.machine, settings)
    page = code.open(folder)
    page.notification("was not found", 60)
    page.button("Install")
    page.notification("Say what to install", 60)
    write_settings(code.machine, {**settings, "gpt2Assist.installSource": str(wheel)})
    install_again(page)
    sentence = page.notification("pip couldn't install", 60)
    assert wheel.name in sentence.removeprefix("gpt2-assist: pip couldn't install ").split(":", 1)[1]
    write_wheel(wheel)
    page.run("gpt2-assist: Install or Update Server")
    page.bar("^ ?mini", 60)
    page.warm_up("story.md")


def install_again(page: Workbench) -> None:
    """Runs the command until it knows what to install: VS Code reads a settings file some time after it was written."""
    stale = "Say what to install"
    while True:  # the test's own limit ends it
        page.run("Notifications: Clear All Notifications")
        page.wait(f"!{NOTIFICATIONS}.length")
        page.run("gpt2-assist: Install or Update Server")
        words = f"/{stale}|Making an environment|pip couldn't install/"
        page.wait(f"{NOTIFICATIONS}.some(item => {words}.test(item.textContent))", 60)
        if not any(stale in text for text in page.notifications()):
            return


def write_wheel(path: Path) -> None:
    """A package whose gpt2-lsp is that of the environment in which the tests run."""
    info = "gpt2_assist-9.dist-info"
    files = {
        "stand_in.py": f"import os\ndef main():\n    os.execv({str(SERVER)!r}, [{str(SERVER)!r}])\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: gpt2-assist\nVersion: 9\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\ngpt2-lsp = stand_in:main\n"}
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
        wheel.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD")))
