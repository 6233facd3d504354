"""What a run's run.json says, written by this version, by an earlier one, or by nobody in his right mind."""
import json
from dataclasses import asdict, replace

import pytest

from gpt2_assist import config
from gpt2_assist.errors import DataError
from gpt2_assist.runs import FORMAT, RUN_FILE, Run, RunRecord, list_runs, new_run


@pytest.fixture
def run(tmp_path, monkeypatch) -> Run:
    monkeypatch.setenv("GPT2_ASSIST_HOME", str(tmp_path))
    assert config.home() == tmp_path
    return new_run("mine", RunRecord(base="mini", base_path=str(tmp_path), paths=["notes.txt"], tokens=7))


def test_it_says_again_what_it_was_told(run):
    changed = replace(run.record(), held_out="a tenth", ready=True)
    run.write_record(changed)
    assert run.record() == changed and run.record().tokens == 7 and [one.name for one in list_runs()] == ["mine"]


def test_an_earlier_versions_says_less_and_a_later_ones_more(run):
    told = {"format": FORMAT, "base": "mini", "base_path": "/b", "settings": {"method": "lora"}, "colour": "blue"}
    (run.folder / RUN_FILE).write_text(json.dumps(told))
    assert run.record() == RunRecord(base="mini", base_path="/b", settings={"method": "lora"})


@pytest.mark.parametrize("name, value", [
    ("paths", "notes.txt"), ("settings", []), ("base", None), ("tokens", "many"), ("validation", "0.1"),
    ("short", "yes"), ("column", 3), ("format", 2), ("format", None)])
def test_one_that_makes_no_sense_is_damaged(run, name, value):
    (run.folder / RUN_FILE).write_text(json.dumps({"format": FORMAT, **asdict(run.record()), name: value}))
    with pytest.raises(DataError, match="damaged or of another version"):
        run.record()
