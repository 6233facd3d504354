"""The packed extension in a real VS Code, with the bundled model in a real daemon: what a user does at the keyboard."""
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_models import make_model
from vscode_workbench import SERVER, Page, Workbench, lacking, pack, workbench, write_settings

pytestmark = [pytest.mark.editor, pytest.mark.slow, pytest.mark.timeout(300),
              pytest.mark.skipif(bool(lacking()), reason=lacking())]

PROSE = "The old man went down to the sea and looked at the "
LONGER = "She said that the "
"""What mini goes on with several words after."""
READY = "^ ?mini( · <? ?[0-9]+ ms| · nothing confident)?$"
SETTINGS = {"gpt2Assist.serverPath": str(SERVER), "gpt2Assist.model": "mini", "gpt2Assist.confidence": 0}
"""Nothing is too unlikely to be shown, so that tests see text."""


@pytest.fixture(scope="module")
def notes(tmp_path_factory) -> Path:
    """A folder with a file for each test."""
    folder = tmp_path_factory.mktemp("notes")
    write_settings(folder / ".vscode", SETTINGS)
    for name in ("words", "along", "away", "cycle", "off", "language", "file", "killed", "finish", "plain", "warm"):
        (folder / f"{name}.md").write_text("", encoding="utf-8")
    (folder / ".env").write_text("", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def code(tmp_path_factory) -> Iterator[Workbench]:
    with workbench(pack(), tmp_path_factory.mktemp("vscode")) as code:
        yield code


@pytest.fixture(scope="module")
def page(code: Workbench, notes: Path) -> Page:
    page = code.open(notes)
    page.bar(READY, 60)
    page.warm_up("warm.md")
    return page


def test_a_word_and_then_the_rest_is_taken(page: Page, notes: Path):
    page.open("words.md")
    page.type(LONGER)
    whole = page.ghost()
    assert whole.count(" ") > 1
    page.press("Control+ArrowRight")
    rest = page.ghost(but=whole)
    assert whole.endswith(rest) and whole.removesuffix(rest).strip() == whole.split()[0]
    page.press("Tab")
    page.saved()
    assert (notes / "words.md").read_text(encoding="utf-8") == LONGER + whole


def test_typing_along_leaves_the_rest_in_place(page: Page):
    page.open("along.md")
    page.type(LONGER)
    whole = page.ghost()
    page.record()
    page.type(whole[:6], delay=60)
    page.wait_for_ghost(whole[6:])
    assert page.recorded() == [whole[typed:] for typed in range(7)]


def test_ghost_text_goes_when_the_cursor_does(page: Page):
    page.open("away.md")
    page.type(PROSE)
    page.ghost()
    page.press("Home")
    page.no_ghost()


def test_other_texts_are_asked_for_and_come_round(page: Page):
    page.open("cycle.md")
    page.type(PROSE)
    first = page.ghost()
    page.press("Alt+]")
    second = page.ghost(but=first)
    page.press("Alt+]")
    third = page.ghost(but=second)
    assert len({first, second, third}) == 3
    page.press("Alt+[", "Alt+[")
    page.wait_for_ghost(first)


def test_off_shows_nothing_until_it_is_on_again(page: Page):
    page.open("off.md")
    page.run("gpt2-assist: Toggle Completions")
    page.bar("off$")
    page.type(PROSE)
    page.run("gpt2-assist: Toggle Completions")
    page.bar(READY)
    page.no_ghost()
    page.type("big ")
    page.ghost()


@pytest.mark.parametrize("scope, where", [("language", "This Language"), ("file", "This File")])
def test_off_in_one_place_leaves_others_on(page: Page, notes: Path, scope: str, where: str):
    page.open(f"{scope}.md")
    page.run(f"gpt2-assist: Toggle Completions in {where}")
    page.type(PROSE)
    page.bar(f"off in this {scope}$")
    page.no_ghost()
    page.run(f"gpt2-assist: Toggle Completions in {where}")
    page.bar(READY)
    page.type("big ")
    page.ghost()


def test_a_file_of_secrets_is_left_alone_and_the_bar_says_why(page: Page):
    page.open(".env")
    page.type("password = ")
    assert page.bar("excluded").strip() == "mini · excluded"
    page.no_ghost()
    page.click_bar()
    page.quick_pick("Turn off in this file")
    page.press("Escape")
    page.open("plain.md")
    page.bar(READY)


def test_models_are_there_to_choose_from(page: Page):
    page.open("plain.md")
    page.run("gpt2-assist: Switch Model")
    assert "current" in page.quick_pick("mini")
    page.press("Enter")
    page.type(PROSE)
    page.ghost()


def test_a_killed_server_comes_back_by_itself(page: Page, code: Workbench):
    page.open("killed.md")
    page.type(PROSE)
    page.ghost()
    [pid] = code.language_servers()
    os.kill(pid, signal.SIGKILL)
    page.bar("^ ?gpt2-assist")
    page.bar(READY, 30)
    assert code.language_servers() not in ([], [pid])
    page.type("big ")
    page.ghost(seconds=30)


def test_a_text_that_came_late_grows_where_it_stands(page: Page, code: Workbench, notes: Path, slow_model: Path):
    """The model is so slow, and the deadline so short, that VS Code first gets only the beginning."""
    servers = code.language_servers()
    write_settings(notes / ".vscode", {**SETTINGS, "gpt2Assist.model": str(slow_model), "gpt2Assist.deadlineMs": 1,
                                       "gpt2Assist.proseUnit": "paragraph", "gpt2Assist.maxTokens": 512})
    page.bar(f"^ ?{slow_model.name}")
    page.warm_up("finish.md")
    page.record()
    page.type(PROSE)
    page.wait("window.recorded.some((text, at) => text && window.recorded[at + 1]?.startsWith(text))")
    assert code.language_servers() == servers


@pytest.fixture(scope="module")
def slow_model(tmp_path_factory) -> Path:
    """Random weights, enough of them for a millisecond a token. Ghost text ends before what is no character."""
    return make_model(tmp_path_factory.mktemp("models") / "slow", n_layer=12, n_head=12, n_embd=384, n_ctx=1024,
                      printable=True)
