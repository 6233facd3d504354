"""What the model reads of a document and of others, with real files and rules."""
from pathlib import Path

import pytest
from gpt2_lsp.context import Context
from gpt2_lsp.documents import Document
from gpt2_lsp.settings import EditorSettings
from gpt2_lsp.workspace import Workspace

WORDS = "def lighthouse_keeper(lantern, harbour): return lantern + harbour\n"
CHARACTERS = 400


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    (tmp_path / ".git").mkdir()
    made = Workspace()
    made.configure(EditorSettings(), [tmp_path])
    made._exclusions._recheck_s = 0
    for name in ("other.py", "here.py"):
        document = Document(f"file://{tmp_path}/{name}", "python", 1, "utf-16")
        document.replace_all(WORDS if name == "here.py" else WORDS + "TREASURE = 7\n")
        made.open(document)
    return made


def prompt(workspace: Workspace, context: Context, folder: Path) -> str:
    here = workspace.document(f"file://{folder}/here.py")
    return context.prompt(here, here.cursor(1, 0), lambda: workspace.others(here))


def test_what_may_not_be_read_any_more_leaves_the_context_at_once(workspace, tmp_path):
    context = Context(CHARACTERS)
    assert "TREASURE" in prompt(workspace, context, tmp_path)
    (tmp_path / ".gitignore").write_text("other.py\n")
    assert "TREASURE" not in prompt(workspace, context, tmp_path)
    (tmp_path / ".gitignore").unlink()
    context.forget()
    assert "TREASURE" in prompt(workspace, context, tmp_path)


def test_so_does_what_is_closed_and_what_gets_a_secret_name(workspace, tmp_path):
    context = Context(CHARACTERS)
    assert "TREASURE" in prompt(workspace, context, tmp_path)
    workspace.close(f"file://{tmp_path}/other.py")
    renamed = Document(f"file://{tmp_path}/.env", "python", 1, "utf-16")
    renamed.replace_all(WORDS + "TREASURE = 7\n")
    workspace.open(renamed)
    assert "TREASURE" not in prompt(workspace, context, tmp_path)


@pytest.mark.parametrize("size", [10, CHARACTERS, 3 * CHARACTERS, 100_000])
def test_of_a_long_line_the_model_reads_the_end_and_a_window_that_moves_in_steps(size):
    document, context = Document("untitled:Untitled-1", "plaintext", 1, "utf-16"), Context(CHARACTERS)
    document.replace_all("above\r\n" + "wörter 😀 " * (size // 9))
    begins = set()
    for _ in range(CHARACTERS // 4):
        cursor = document.replace((1, 10**9), (1, 10**9), "x")
        text = context.prompt(document, cursor, lambda: ())
        whole = document.text().replace("\r\n", "\n")
        assert whole.endswith(text) and min(len(whole), CHARACTERS // 4) <= len(text) <= CHARACTERS
        begins.add(len(whole) - len(text))
    assert len(begins) <= 3


def test_half_characters_are_never_read(workspace, tmp_path):
    other = workspace.document(f"file://{tmp_path}/other.py")
    other.replace_all("\ud83d " + WORDS)
    here = workspace.document(f"file://{tmp_path}/here.py")
    here.replace_all(WORDS + "\ude00")
    text = Context(CHARACTERS).prompt(here, here.cursor(1, 1), lambda: workspace.others(here))
    assert text.count("\ufffd") == 2
    text.encode()
