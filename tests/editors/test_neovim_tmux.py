"""Neovim in a terminal, with keys as from a keyboard: our plugin, and its own client with nothing of ours."""
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from neovim import MISSING, PLUGIN, open_in_terminal
from tmux import MISSING as NO_TMUX
from tmux import PATIENCE_S, Terminal

REASON = MISSING or NO_TMUX
pytestmark = [pytest.mark.editor, pytest.mark.slow, pytest.mark.skipif(bool(REASON), reason=REASON)]
PROSE = "She said that the "
"""What mini goes on with several words after."""
PLUGIN_SETUP = """
vim.opt.rtp:prepend([[{plugin}]])
require("gpt2_assist").setup({{
  cmd = {{ [[{python}]], "-m", "gpt2_lsp" }}, server = {{ confidence = 0, proseUnit = "paragraph", maxTokens = 16 }} }})
"""
BUILT_IN_SETUP = """
vim.lsp.config("gpt2", {{ cmd = {{ [[{python}]], "-m", "gpt2_lsp" }}, filetypes = {{ "text" }},
                         init_options = {{ confidence = 0, maxTokens = 16 }} }})
vim.lsp.enable("gpt2")
vim.lsp.inline_completion.enable()
vim.keymap.set("i", "<Tab>", function()
  if not vim.lsp.inline_completion.get() then return "<Tab>" end
end, {{ expr = true }})
"""


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "story.txt"


@pytest.fixture
def terminal(path, request) -> Iterator[Terminal]:
    setup = path.with_name("init.lua")
    wanted = getattr(request, "param", PLUGIN_SETUP)
    setup.write_text(wanted.format(plugin=PLUGIN, python=sys.executable), encoding="utf-8")
    terminal = open_in_terminal("-u", str(setup), str(path))
    try:
        terminal.until(lambda: "story.txt" in terminal.screen())
        terminal.press("i")
        terminal.until(lambda: "INSERT" in terminal.screen())
        yield terminal
    finally:
        terminal.close()


def settled(terminal: Terminal, seconds: float = PATIENCE_S) -> str:
    """The ghost text behind the cursor once it has stopped growing."""
    seen: list[str] = []

    def same() -> str:
        seen.append(terminal.behind_cursor())
        return seen[-1] if seen[-1].strip() and seen[-10:] == seen[-1:] * 10 else ""
    return terminal.until(same, seconds)


def saved(terminal: Terminal, path: Path) -> str:
    terminal.press("Escape")
    terminal.until(lambda: "INSERT" not in terminal.screen())
    terminal.type(":wq\r")
    terminal.until(lambda: path.exists() and path.read_text(encoding="utf-8"))
    return path.read_text(encoding="utf-8").removesuffix("\n")


def test_a_word_and_then_the_rest_is_taken(terminal, path):
    terminal.type(PROSE)
    whole = settled(terminal)
    terminal.press("M-Right")
    word = whole.split(" ")[0]
    assert word != whole
    assert terminal.until(lambda: f"{PROSE}{word}" in terminal.screen() and terminal.behind_cursor() != whole)
    rest = settled(terminal)
    assert rest.strip() == whole[len(word):].strip()
    terminal.press("Tab")
    terminal.until(lambda: terminal.behind_cursor() != rest)
    assert saved(terminal, path) == PROSE + whole


def test_typing_along_keeps_the_rest_and_typing_on_replaces_it(terminal, path):
    terminal.type(PROSE)
    whole = settled(terminal)
    for typed in range(1, 4):
        terminal.type(whole[typed - 1])
        terminal.until(lambda: terminal.behind_cursor().strip() == whole[typed:].strip())  # noqa: B023 awaited at once
    terminal.type("xylophone ")
    terminal.until(lambda: "xylophone" in terminal.screen() and whole[3:].strip() not in terminal.screen())
    assert saved(terminal, path) == f"{PROSE}{whole[:3]}xylophone "


def test_other_texts_come_round_and_nothing_stays_when_one_leaves(terminal, path):
    terminal.type(PROSE)
    first = settled(terminal)
    terminal.press("M-]")
    terminal.until(lambda: terminal.behind_cursor().strip() not in ("", first.strip()))
    terminal.press("M-[")
    terminal.until(lambda: terminal.behind_cursor() == first)
    terminal.press("Escape")
    terminal.until(lambda: first.strip() not in terminal.screen())
    assert saved(terminal, path) == PROSE


def test_off_shows_nothing_until_it_is_on_again(terminal, path):
    terminal.press("Escape")
    terminal.type(":Gpt2Assist disable\rA")
    terminal.until(lambda: "INSERT" in terminal.screen())
    terminal.type(PROSE)
    terminal.until(lambda: PROSE.strip() in terminal.screen())
    assert not terminal.behind_cursor().strip()
    terminal.press("Escape")
    terminal.type(":Gpt2Assist enable\rA")
    terminal.type("big ")
    assert settled(terminal)


@pytest.mark.parametrize("terminal", [BUILT_IN_SETUP], indirect=True)
def test_the_built_in_client_shows_and_takes_it(terminal, path):
    sentences = iter(range(1, 20))  # the client starts the server while one types, and asks only at a key

    def shown() -> str:
        terminal.type(f"{next(sentences)}. {PROSE}")
        try:
            return settled(terminal, seconds=2)
        except AssertionError:
            return ""
    whole = terminal.until(shown)
    terminal.press("Tab")
    terminal.until(lambda: terminal.behind_cursor() != whole)
    assert saved(terminal, path).endswith(f". {PROSE}{whole}")
