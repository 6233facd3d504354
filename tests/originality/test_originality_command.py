"""`gpt2-assist originality`: over a real run folder, from an argument, a file and standard input."""
import argparse
import io
import json
import shutil

import numpy as np
import pytest

from gpt2_assist.commands import originality
from gpt2_assist.errors import DataError, UsageError
from gpt2_assist.originality.index import CopyIndex
from gpt2_assist.runs import RunRecord, new_run
from gpt2_assist.text.tokenizer import TextTokenizer

STORY = "The lighthouse keeper had not spoken to anybody for eleven days.\nThen a boat came out of the fog."


@pytest.fixture
def run_folder(tmp_path, monkeypatch, tiny_model):
    monkeypatch.setenv("GPT2_ASSIST_HOME", str(tmp_path / "home"))
    run = new_run("run1", RunRecord())
    shutil.copy(tiny_model / "tokenizer.json", run.tokenizer)
    tokens = TextTokenizer.from_folder(run.folder).encode(STORY)
    CopyIndex.build([np.array(tokens, np.uint32)], [("story.txt", 1)]).save(run.folder / "copies")
    return run.folder


@pytest.fixture
def command(capsys):
    parser = argparse.ArgumentParser(prog="gpt2-assist")
    originality.add_parser(parser.add_subparsers())

    def run(*arguments: str) -> str:
        parsed = parser.parse_args(["originality", *arguments])
        assert parsed.run(parsed) == 0
        return capsys.readouterr().out

    return run


def test_a_copy_is_found_wherever_the_text_comes_from(command, run_folder, tmp_path, monkeypatch):
    copied = "The lighthouse keeper had not spoken to anybody"
    said = command(copied)
    assert said.startswith("8 of the text's 8 words (100 %) stand so") and "(story.txt, line 1)" in said
    assert copied in said
    (tmp_path / "text.txt").write_text(copied + "\n", encoding="utf-8")
    assert command("--file", str(tmp_path / "text.txt"), "--run", "run1") == said
    for arguments in ([], ["-"]):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(copied.encode() + b"\n")))
        assert command(*arguments) == said
    assert command("") == "The text is empty.\n"


def test_programs_read_json(command, run_folder):
    copied = json.loads(command("The lighthouse keeper had not spoken to anybody", "--json"))
    assert copied["copied_share"] == 1.0 and copied["longest"] == copied["tokens"] and copied["near"] is None
    assert copied["spans"] == [[0, copied["tokens"], "story.txt", 1]] and copied["n"] == 8
    own = json.loads(command("Zebras jump quickly! 12345 & 67890 QWERTY {}", "--json", "-n", "4"))
    assert own["copied_share"] < 0.2 and own["n"] == 4


def test_what_is_wrong_is_said(command, run_folder, tmp_path):
    with pytest.raises(DataError, match="no run 'other'"):
        command("text", "--run", "other")
    with pytest.raises(UsageError, match="-n must be a whole number from 1 on, not 0"):
        command("text", "-n", "0")
    with pytest.raises(UsageError, match="Give the text once"):
        command("text", "--file", str(tmp_path / "x"))
    with pytest.raises(DataError, match="can't be read"):
        command("--file", str(tmp_path / "x"))
    next((run_folder / "copies").glob("order-*.npy")).write_bytes(b"")
    with pytest.raises(DataError, match="order-[0-9a-f]*.npy of the index of training data is damaged"):
        command("text")
    shutil.rmtree(run_folder / "copies")
    with pytest.raises(DataError, match="run run1 has no index of its training data"):
        command("text")
