"""`gpt2-assist models`: what it prints for people and for programs."""
import argparse
import json
import shutil

import pytest

from gpt2_assist import config
from gpt2_assist.commands import models, pull
from gpt2_assist.errors import ModelError


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch, tiny_model):
    monkeypatch.setenv("GPT2_ASSIST_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(config, "BUNDLED_MODELS", tmp_path / "bundled")
    shutil.copytree(tiny_model, tmp_path / "bundled" / "mini")


@pytest.fixture
def command(capsys):
    parser = argparse.ArgumentParser(prog="gpt2-assist")
    subparsers = parser.add_subparsers()
    for family in (models, pull):
        family.add_parser(subparsers)

    def run(*arguments: str) -> str:
        parsed = parser.parse_args(arguments)
        assert parsed.run(parsed) == 0
        return capsys.readouterr().out

    return run


def test_a_model_comes_is_shown_and_goes(command, tiny_model):
    assert "mine is imported" in command("models", "import", str(tiny_model), "--name", "mine")
    listed = command("models")
    assert listed == command("models", "list")
    assert [line.split()[0] for line in listed.splitlines()] == ["mini", "mine"]
    assert "bundled" in listed.splitlines()[0] and "bundled" not in listed.splitlines()[1]
    shown = command("models", "show", "mine")
    assert f"origin: imported from {tiny_model}" in shown
    assert "n layer: 2" in shown and "parameters: " in shown and "SHA-256 of model.safetensors: " in shown
    assert command("models", "remove", "mine") == "Removed mine.\n"
    assert "mine" not in command("models")


def test_programs_read_json(command, tiny_model):
    assert json.loads(command("models", "import", str(tiny_model), "--name", "mine", "--json"))["name"] == "mine"
    for words in (["models", "--json"], ["models", "list", "--json"], ["models", "--json", "list"]):
        assert [model["name"] for model in json.loads(command(*words))] == ["mini", "mine"]
    shown = json.loads(command("models", "show", "mine", "--json"))
    assert shown["sizes"]["n_layer"] == 2 and shown["card"]["tokenizer"] == "byte-level BPE"
    assert shown["size_bytes"] == sum(shown["files"].values())
    assert json.loads(command("models", "remove", "mine", "--json")) == {"removed": "mine"}


def test_a_card_steers_no_terminal(command, tiny_model, tmp_path):
    shutil.copytree(tiny_model, tmp_path / "loud")
    (tmp_path / "loud" / "card.json").write_text(json.dumps({
        "origin": "there\x1b[2J", "licence": "MIT\x1b[31m\nor not", "data": "\x9b31m", "tokenizer": "x"}), "utf-8")
    shutil.copytree(tmp_path / "loud", tmp_path / "bundled" / "loud")
    for shown in (command("models"), command("models", "show", "loud")):
        assert "MIT\ufffd[31m" in shown and "\x1b" not in shown and "\x9b" not in shown
    assert len(command("models").splitlines()) == 2


def test_the_bundled_model_stays(command):
    with pytest.raises(ModelError, match="came with the program"):
        command("models", "remove", "mini")
    assert "mini" in command("models")


@pytest.mark.parametrize("words", [["pull"], ["models"], ["models", "list"], ["models", "show"], ["models", "remove"],
                                   ["models", "import"]])
def test_every_command_has_an_example(command, capsys, words):
    with pytest.raises(SystemExit) as caught:
        command(*words, "--help")
    assert caught.value.code == 0
    assert f"example:\n  gpt2-assist {' '.join(words)}" in capsys.readouterr().out
