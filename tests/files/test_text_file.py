"""Small files that people and editors write: the mark before them is no part of them."""
import json

import pytest

from gpt2_assist import runs
from gpt2_assist.files.text_file import read_json, read_text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-marked", "utf-16-be-marked"])
def test_it_is_read_whatever_mark_stands_before_it(tmp_path, encoding):
    words, path = '{"größe": "\ufeffcafé 😀"}\n', tmp_path / "file.json"
    marked = encoding.endswith("-marked")
    path.write_bytes((("\ufeff" if marked else "") + words).encode(encoding.removesuffix("-marked")))
    assert read_text(path) == words and read_json(path) == json.loads(words)


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"\xe9", b"\x00\xd8", b"[" * 100_000, b"", b"{'a': 1}"])
def test_what_is_none_is_a_value_error(tmp_path, data):
    (tmp_path / "file.json").write_bytes(data)
    with pytest.raises(ValueError):
        read_json(tmp_path / "file.json")


def test_a_runs_files_may_have_been_edited(tmp_path, monkeypatch):
    monkeypatch.setenv("GPT2_ASSIST_HOME", str(tmp_path))
    run = runs.new_run("mine", runs.RunRecord(base="mini"))
    run.write_best({"step": 5})
    for name in (runs.RUN_FILE, runs.BEST_FILE):
        (run.folder / name).write_text((run.folder / name).read_text(), encoding="utf-8-sig")
    assert run.record().base == "mini" and run.best() == {"step": 5}
