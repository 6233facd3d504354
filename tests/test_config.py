"""The user's settings file: what it may say, and that what makes no sense is said with the entry and its range."""
import subprocess
import sys

import pytest

from gpt2_assist.config import Settings, read_settings
from gpt2_assist.errors import UsageError


@pytest.fixture
def settings_file(tmp_path, monkeypatch):
    monkeypatch.setenv("GPT2_ASSIST_HOME", str(tmp_path))
    return tmp_path / "settings.toml"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_it_is_read_as_editors_write_it(settings_file, encoding):
    settings_file.write_text('model = "mein Modell ä"\r\nthreads = 3\r\nunload_after_s = 5\r\n', encoding=encoding)
    assert read_settings() == Settings(model="mein Modell ä", threads=3, unload_after_s=5.0)


def test_without_a_file_and_with_an_empty_one_all_is_as_chosen(settings_file):
    assert read_settings() == Settings()
    settings_file.touch()
    assert read_settings() == Settings()


@pytest.mark.parametrize(("entry", "words"), [
    ("threads = -1", "threads of .* must be a whole number from 0 to 256, not -1"),
    ("threads = 1000", "threads of .* must be a whole number from 0 to 256, not 1000"),
    ("threads = 2.5", "threads of .* must be a whole number from 0 to 256, not 2.5"),
    ("threads = true", "threads of .* must be a whole number"), ("cache_mb = -5", "cache_mb of .* from 0 to 1,048,576"),
    ("cache_mb = 99999999999", "cache_mb of .* from 0 to 1,048,576"),
    ("unload_after_s = -1", "unload_after_s of .* must be a number from 0 to 31,536,000, not -1"),
    ("unload_after_s = nan", "unload_after_s"), ("exit_after_s = inf", "exit_after_s"),
    ("exit_after_s = 0", "exit_after_s of .* must be a number from 0.1 to"),
    ("shrink_after_s = -0.1", "shrink_after_s"),
    ("replace_after_s = 0", "replace_after_s"), ("model = 5", "model of .* must be a text, not 5"),
    ('precision = "int9"', "precision of .* must be one of auto, fp32, bf16, int8, int4, not 'int9'"),
    ('device = "gpu"', "device of .* must be one of auto, cpu, cuda, mps, not 'gpu'"),
    ("precision = ['int8']", "precision of .* must be one of"),
    ("speed = 3", "unknown entry: speed. The entries are: "),
    (f"model = {list(range(1000))}", "must be a text, not .*…"), ("threads", "can't be read"),
    ("threads = 1\nthreads = 2", "can't be read"), ("x = " + "[" * 5000, "can't be read|nested"),
])
def test_what_makes_no_sense_is_said(settings_file, entry, words):
    settings_file.write_text(entry)
    with pytest.raises(UsageError, match=words) as caught:
        read_settings()
    assert str(settings_file) in str(caught.value) and len(str(caught.value)) < 600


def test_a_file_that_is_no_text_is_said(settings_file):
    settings_file.write_bytes(b"\xff\xfa\x00model")
    with pytest.raises(UsageError, match="can't be read"):
        read_settings()
    settings_file.unlink()
    settings_file.mkdir()
    with pytest.raises(UsageError, match="can't be read: Is a directory"):
        read_settings()


def run(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "gpt2_assist.cli", *map(str, arguments)], capture_output=True,
                          text=True)


@pytest.mark.parametrize("command", [["pretrain"], pytest.param(["finetune", "--check"], marks=pytest.mark.slow)])
@pytest.mark.parametrize("threads", ["-1", "1000"])
def test_threads_of_commands_have_the_same_range(command, threads, tmp_path):
    (tmp_path / "text.txt").write_text("Once upon a time.")
    ran = run(*command, tmp_path / "text.txt", "--threads", threads)
    assert ran.returncode == UsageError.exit_code
    assert "--threads must be from" in ran.stderr and f"to 256, not {threads}" in ran.stderr


@pytest.mark.slow
def test_a_training_on_a_card_that_there_is_not_gets_the_sentence_that_others_get(tmp_path):
    import torch
    if torch.cuda.is_available():
        pytest.skip("there is one")
    (tmp_path / "text.txt").write_text("Once upon a time. " * 50)
    said = []
    for command in (["finetune", tmp_path / "text.txt"], ["finetune", tmp_path / "text.txt", "--plan"],
                    ["generate", "Hello"]):
        ran = run(*command, "--device", "cuda")
        said.append((ran.returncode, ran.stderr))
    assert said == [(3, "This machine's torch has no cuda; use --device cpu.\n")] * 3
