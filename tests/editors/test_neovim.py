"""Our plugin, and Neovim's own inline completion, in a real Neovim with the bundled model."""
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from neovim import MISSING, PLUGIN, Neovim

pytestmark = [pytest.mark.editor, pytest.mark.skipif(bool(MISSING), reason=MISSING)]
PROSE = "The old man went down to the sea and looked at the "
SERVER = [sys.executable, "-m", "gpt2_lsp"]


@pytest.fixture
def nvim(tmp_path):
    """With our plugin and a prose file, in insert mode at the end of its text."""
    (tmp_path / "story.txt").write_text(PROSE, encoding="utf-8")
    editor = Neovim("--cmd", f"set rtp^={PLUGIN}", str(tmp_path / "story.txt"))
    try:
        editor.lua("local cmd = ...; vim.cmd.runtime('plugin/gpt2_assist.lua'); "
                   "require('gpt2_assist').setup({cmd = cmd, server = {confidence = 0, proseUnit = 'paragraph', "
                   "maxTokens = 16}})", SERVER)
        editor.input("A")
        editor.until("vim.api.nvim_get_mode().mode == 'i'")
        yield editor
    finally:
        editor.close()


def settled(editor: Neovim) -> str:
    """The ghost text once it has stopped growing."""
    shown = editor.wait_for_ghost()
    editor.until("require('gpt2_assist.client').last_status.state == 'ready'")
    for _ in range(200):
        editor.lua("vim.wait(20)")
        if editor.ghost() == shown:
            return shown
        shown = editor.ghost()
    raise AssertionError("the ghost text never settles")


def test_ghost_text_comes_and_tab_takes_it_in_one_step_of_undo(nvim):
    shown = settled(nvim)
    nvim.input("<Tab>")
    nvim.until("#table.concat(vim.fn.getline(1, '$'), '\\n') > arguments[1]", len(PROSE))
    assert nvim.text() == PROSE + shown
    nvim.input("<Esc>u")
    nvim.until("vim.api.nvim_get_mode().mode == 'n'")
    assert nvim.text() == PROSE


@pytest.mark.slow
def test_a_word_a_line_and_the_rest_are_taken_while_the_rest_stays(nvim):
    shown = settled(nvim)
    nvim.input("<M-Right>")
    nvim.until("#table.concat(vim.fn.getline(1, '$'), '\\n') > arguments[1]", len(PROSE))
    word = nvim.text()[len(PROSE):]
    assert word and shown.startswith(word) and len(word) < len(shown)
    assert nvim.ghost() == shown[len(word):]
    nvim.input("<Tab>")
    nvim.until("#table.concat(vim.fn.getline(1, '$'), '\\n') >= arguments[1]", len(PROSE + shown))
    assert nvim.text() == PROSE + shown


@pytest.mark.slow
def test_typing_along_shrinks_the_ghost_and_typing_against_it_removes_it(nvim):
    shown = settled(nvim)
    nvim.input(shown[0])
    nvim.until("vim.fn.getline(1) == arguments[1]", PROSE + shown[0])
    assert nvim.ghost() == shown[1:]
    nvim.input("<BS>")
    nvim.until("vim.fn.getline(1) == arguments[1]", PROSE)
    assert nvim.wait_for_ghost() == shown
    other = "q" if shown[0] != "q" else "z"
    nvim.input(other)
    nvim.until("vim.fn.getline(1) == arguments[1]", PROSE + other)
    assert nvim.ghost() != shown[1:]


@pytest.mark.slow
def test_cycling_shows_other_texts_and_comes_back(nvim):
    first = settled(nvim)
    nvim.input("<M-]>")
    second = nvim.wait_for_ghost(other=first)
    assert second != first
    nvim.input("<M-[>")
    assert nvim.wait_for_ghost(other=second) == first


@pytest.mark.slow
def test_moving_away_and_leaving_insert_mode_remove_it(nvim):
    shown = settled(nvim)
    nvim.input("<Home>")
    nvim.until("vim.api.nvim_win_get_cursor(0)[2] == 0")
    assert nvim.ghost() != shown
    nvim.input("<End>")
    nvim.wait_for_ghost()
    nvim.input("<Esc>")
    nvim.until("vim.api.nvim_get_mode().mode == 'n'")
    assert nvim.ghost() == ""


@pytest.mark.slow
def test_the_menu_hides_it(nvim):
    settled(nvim)
    nvim.lua("vim.schedule(function() vim.fn.complete(vim.fn.col('.'), {'alpha', 'beta'}) end)")
    nvim.until("vim.fn.pumvisible() == 1")
    assert nvim.ghost() == ""


@pytest.mark.slow
def test_off_shows_nothing_and_on_again_does(nvim):
    settled(nvim)
    nvim.lua("vim.cmd('Gpt2Assist disable')")
    nvim.until("require('gpt2_assist.client').last_status.enabled == false")
    nvim.input("and")
    nvim.until("vim.fn.getline(1) == arguments[1]", PROSE + "and")
    assert nvim.ghost() == "" and "off" in nvim.lua("return require('gpt2_assist').status()")
    nvim.lua("vim.cmd('Gpt2Assist enable')")
    nvim.until("require('gpt2_assist.client').last_status.enabled == true")
    nvim.input(" the")
    nvim.wait_for_ghost()


@pytest.mark.slow
def test_a_killed_server_is_started_again_at_the_next_key(nvim):
    settled(nvim)
    pids = subprocess.run(["pgrep", "-P", str(nvim._process.pid)], capture_output=True, text=True).stdout.split()
    assert pids
    for pid in pids:
        os.kill(int(pid), signal.SIGKILL)
    nvim.until("#vim.lsp.get_clients({name = 'gpt2-assist'}) == 0")
    nvim.input("a")
    nvim.wait_for_ghost()


@pytest.mark.slow
def test_health_says_what_is_there(nvim):
    settled(nvim)
    nvim.input("<Esc>")
    nvim.lua("vim.cmd('checkhealth gpt2_assist')")
    report = nvim.text()
    assert "gpt2-assist" in report and "The server runs for 1 buffer" in report and "ERROR" not in report


def test_the_help_is_found_and_names_every_key_and_action(nvim, tmp_path):
    shutil.copytree(PLUGIN / "doc", tmp_path / "doc")
    nvim.input("<Esc>")
    nvim.lua("vim.opt.rtp:append(...); vim.cmd('helptags ' .. (...) .. '/doc'); vim.cmd('noautocmd help gpt2-assist')",
             str(tmp_path))
    text = nvim.text()
    keys = nvim.lua("return require('gpt2_assist.config').defaults.keys")
    assert all(f'{name} = "{key}"' in text and f"\n{key} " in text for name, key in keys.items())
    actions = nvim.lua("return vim.fn.getcompletion('Gpt2Assist ', 'cmdline')")
    assert actions and all(f":Gpt2Assist {action}" in text for action in actions)


def test_a_missing_server_is_said_once(tmp_path):
    (tmp_path / "a.txt").write_text(PROSE, encoding="utf-8")
    editor = Neovim("--cmd", f"set rtp^={PLUGIN}", str(tmp_path / "a.txt"))
    try:
        editor.lua("said = {}; vim.notify = function(text) table.insert(said, text) end; "
                   "require('gpt2_assist').setup({cmd = {'no-such-gpt2-lsp'}})")
        editor.input("Amore")
        editor.until("#said > 0")
        assert editor.lua("return said") == [
            "gpt2-assist: there is no program no-such-gpt2-lsp; set cmd to .venv/bin/gpt2-lsp of your clone."]
    finally:
        editor.close()


def test_the_built_in_client_shows_and_takes_it_with_nothing_of_ours(tmp_path):
    path = Path(tmp_path / "story.txt")
    path.write_text(PROSE, encoding="utf-8")
    editor = Neovim(str(path))
    try:
        if not editor.lua("return vim.lsp.inline_completion ~= nil"):
            pytest.skip("needs Neovim 0.12: vim.lsp.inline_completion is not in this one")
        editor.lua("vim.lsp.config('gpt2', {cmd = ..., filetypes = {'text'}, init_options = {confidence = 0}}); "
                   "vim.lsp.enable('gpt2'); vim.lsp.inline_completion.enable(); "
                   "vim.keymap.set('i', '<Tab>', function() if not vim.lsp.inline_completion.get() then return '<Tab>' "
                   "end end, {expr = true}); vim.bo.filetype = 'text'", SERVER)
        editor.until("(vim.lsp.get_clients({name = 'gpt2'})[1] or {}).initialized")
        editor.input("A")
        shown = editor.wait_for_ghost("nvim.lsp.inline_completion")
        editor.input("<Tab>")
        editor.until("#vim.fn.getline(1) > arguments[1]", len(PROSE))
        assert editor.text().startswith(PROSE + shown.split("\n")[0][:3])
    finally:
        editor.close()
