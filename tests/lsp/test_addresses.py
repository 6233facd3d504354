"""What may be read is the same whatever kind of address an editor has for it: with real work trees and ignore files."""
import os
from pathlib import Path
from urllib.parse import quote

import pytest
from gpt2_lsp.addresses import files, name
from gpt2_lsp.documents import Document
from gpt2_lsp.settings import EditorSettings
from gpt2_lsp.workspace import Workspace
from hypothesis import given
from hypothesis import strategies as st

KINDS = [
    "file://{path}", "FILE://{path}", "file://localhost{path}", "file://LOCALHOST{path}", "file://{path}#L3",
    "file://{path}?x", "file://{coded}", "file://{hexed}", "{path}", "file:{path}", "untitled:{path}",
    "untitled:{relative}", "untitled://{path}", "vscode-notebook-cell:{path}#W0sZmlsZQ%3D%3D",
    "vscode-notebook-cell://wsl%2Bubuntu{path}#W0", "Vscode-Notebook-Cell:{coded}#ch0", "vscode-notebook:{path}",
    "jupyter-notebook:{path}", "jupytext:{path}", "deepnote-notebook:{relative}#1", "vscode-interactive-input:{path}",
    "vscode-remote://ssh-remote%2Bhost{path}", "vscode-vfs://github/owner/repo/{path}", "vscode-userdata:{path}",
    "output:{path}", "git:{path}?%7B%22path%22%3A%22{coded}%22%2C%22ref%22%3A%22~%22%7D",
    'git:/elsewhere?{{"path":"{path}","ref":""}}', "git:{path}.git", "gitlens://7b22726566/{path}?x",
    "review:/elsewhere?{{\"a\": {{\"fileName\": \"{path}\"}}}}", "svn:/elsewhere?fsPath={path}", "oil://{path}",
    "pr:/elsewhere?uri=file%3A%2F%2F{hexed}",
    "fugitive://{tree}/.git//0/{relative}", "fugitive://{tree}/.git//1234567890abcdef/{relative}",
    "gitsigns://{tree}/.git//:0:{relative}", "diffview://{tree}/.git/:0:/{relative}",
    "diffview://{tree}/.git/1234567/{relative}", "fugitive://{tree}/.git/worktrees/w//0/{relative}",
    "zipfile://{path}::inner.txt", "zipfile://{tree}/all.zip::{relative}", "tarfile::{path}",
    "jar:file://{path}!/inner.txt", "jar:file://{tree}/all.jar!/{relative}", "view-source:file://{path}",
    "scp://host/{path}", "file:///sudo:root@localhost:{path}", "sftp://me@host:22{path}", "file:///ssh:host:{path}", "term://{path}//1:sh",
    "file://{tree}/open/../{relative}", "file://{tree}/./{relative}", "file://{tree}//{relative}",
    "file://{path}%00"]
SECRET = [
    "untitled:.env", ".env", "file:///c%3A/Users/me/.env", "file:///C:/Users/me/.env",
    "untitled:C:%5CUsers%5Cme%5C.env",
    "C:\\Users\\me\\.env", "c:/Users/me/.env", "file://server/share/.env", "\\\\server\\share\\.env",
    "file:///home/me/.ENV", "file:///home/me/.ssh/x", "file:///ssh:host:.env", "file:///home/me/.env.git",
    "git:/home/me/.env.git", "vscode-local:/c:/Users/me/id_rsa", "file:///home/me/%2Eenv", "file:///home/me/%252Eenv",
    "inmemory://model/.env", "walkthrough:/x?file=.env", "vscode-remote://wsl+x/home/me/.aws/credentials"]
OPEN = [
    "untitled:Untitled-1", "untitled:Untitled-1?x#y", "Untitled-1", "inmemory:model", "", ":", "untitled:",
    "vscode-scm:git/scm0/input?rootUri=file:///home/me/private", "output:tasks", "file:///", "vscode-remote://[bad",
    "buffer:3", "newuntitled:a b"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    (folder / ".git").mkdir()
    (folder / "private").mkdir()
    (folder / "open").mkdir()
    (folder / ".gitignore").write_text("private/\n")
    return folder


def workspace(*folders: Path) -> Workspace:
    made = Workspace()
    made.configure(EditorSettings(), list(folders))
    return made


def document(uri: str, text: str = "x\n") -> Document:
    made = Document(uri, "python", 1, "utf-16")
    made.replace_all(text)
    return made


def address(kind: str, tree: Path, relative: str) -> str:
    path = f"{tree}/{relative}"
    hexed = "".join(f"%{byte:02x}" for byte in path.encode())
    return kind.format(tree=tree, relative=relative, path=path, coded=quote(path, safe=""), hexed=hexed)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_ignored_is_so_by_every_kind_of_address(tree, kind):
    judged = workspace(tree)
    other = document(f"file://{tree}/open/notes.py")
    for relative, ignored in [("private/nb.ipynb", True), ("open/.env", True), ("open/nb.ipynb", False)]:
        one = document(address(kind, tree, relative))
        judged.open(one)
        judged.open(other)
        assert bool(judged.reason(one)) == ignored, one.uri
        assert (one in judged.others(other)) != ignored
        judged.close(one.uri)


@pytest.mark.parametrize("uri", SECRET)
def test_a_secret_name_is_one_on_any_machine(tree, uri):
    assert workspace(tree).reason(document(uri)).startswith("excluded: a file of secrets")


@pytest.mark.parametrize("uri", OPEN)
def test_what_has_no_path_is_read(tree, uri):
    (tree / "everything").mkdir(exist_ok=True)
    (tree / "everything" / ".gitignore").write_text("*\n")
    (tree / "everything" / ".git").mkdir(exist_ok=True)
    assert workspace(tree / "everything").reason(document(uri)) == ""


def test_links_names_in_other_encodings_and_rules_that_change_count_at_once(tree):
    (tree / "private" / "plain.txt").write_text("x")
    (tree / "open" / "link.txt").symlink_to(tree / "private" / "plain.txt")
    judged = workspace(tree)
    judged._exclusions._recheck_s = 0
    for kind in ("file://{path}", "untitled:{path}", "vscode-notebook-cell:{path}#W0"):
        assert judged.reason(document(address(kind, tree, "open/link.txt")))
    late = os.fsencode(tree) + b"/caf\xe9"
    os.mkdir(late)
    one = document(f"file://{tree}/caf%E9/x.py")
    assert judged.reason(one) == ""
    with open(late + b"/.gpt2ignore", "w") as file:
        file.write("*.py\n")
    assert judged.reason(one) == "excluded: by .gpt2ignore"


def test_a_folder_may_be_opened_by_an_address_of_another_kind(tree):
    assert files(f"vscode-remote://ssh-remote%2Bhost{tree}")[0] == tree
    assert files(f"file://localhost{quote(str(tree))}/") == (tree,)


@pytest.mark.parametrize("uri, expected", [
    ("file:///a/b%20c.py", "b c.py"), ("vscode-notebook-cell:/a/nb.ipynb#W0", "nb.ipynb"), ("untitled:Untitled-1", ""),
    ("file:///a/b%0Ac.py", "b c.py"), ("git:/a/b.py?x", "b.py"), ("file:///a/caf%E9.py", "caf\ufffd.py"), ("", "")])
def test_names_are_one_line(uri, expected):
    assert name(uri) == expected


@given(st.text(st.characters(max_codepoint=0x10FFFF)) | st.lists(st.sampled_from(
    ["file", ":", "/", "//", "?", "#", "%", "%2e", "%00", "%ff", "\\", "[", "]", "@", "!", "::", ".git", "{",
     "\"path\"", "x", "\ud800", "c:", "~", "\n"]), max_size=12).map("".join))
def test_no_address_is_too_odd(uri):
    one = workspace().reason(document(uri))
    assert isinstance(one, str) and isinstance(name(uri), str)
    name(uri).encode()
