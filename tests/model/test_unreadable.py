"""Files that aren't what their names say, and what keeps right ones from being read: each is said by every reader."""
import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gpt2_assist.errors import AssistError, DataError, ModelError
from gpt2_assist.files.unreadable import unreadable
from gpt2_assist.model.importing import import_model
from gpt2_assist.model.tensors import ModelTensors
from gpt2_assist.model.weights import load_weights
from gpt2_assist.text.tokenizer import TextTokenizer

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 548105171\n"
PAGE = b"\n<!DOCTYPE html><html><head><title>Sign in</title></head></html>"
STAND_INS = [
    (POINTER, "pointer to a file in large-file storage"),
    (b"# xet version 0\nfilesize = 5\nhash = 'a'\n", "pointer to a file in large-file storage"),
    (PAGE, "is a web page"), (b'\xef\xbb\xbf<?xml version="1.0"?><Error/>', "is a web page"),
    (b"", "is empty"), (bytes(100_000), "nothing but zeros: it is still being downloaded"),
    (b"Entry not found", "begins with 'Entry not found'"), (b'{"error": "gated"}', "is a text that begins with"),
    (b"\xff" * 1000, "damaged or cut short"),
]


@pytest.fixture
def folder(tmp_path, monkeypatch, tiny_model):
    """A copy of the tiny model."""
    monkeypatch.setenv("GPT2_ASSIST_HOME", str(tmp_path / "home"))
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def importing_a_folder(folder: Path) -> None:
    import_model(folder)


def importing_a_file(folder: Path) -> None:
    import_model(folder / "model.safetensors", "other")


READERS = [ModelTensors, load_weights, importing_a_folder, importing_a_file]


@pytest.mark.parametrize(("content", "words"), STAND_INS)
@pytest.mark.parametrize("reader", READERS)
def test_what_lies_in_the_place_of_weights(folder, reader, content, words):
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(AssistError, match=words) as caught:
        reader(folder)
    assert str(folder / "model.safetensors") in str(caught.value)


@pytest.mark.parametrize(("content", "words"), STAND_INS)
def test_what_lies_in_the_place_of_a_pickle_is_no_code(folder, content, words):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(DataError, match=words):
        import_model(folder)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.999])
def test_a_file_cut_short_may_still_be_on_its_way(folder, reader, share):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:int(share * len(whole))])
    with pytest.raises(AssistError, match="cut short .*if it is not still being downloaded"):
        reader(folder)


@pytest.mark.parametrize("name", ["model.safetensors.part", "model.safetensors.crdownload", "Unconfirmed.crdownload"])
def test_a_folder_into_which_the_weights_are_still_being_downloaded(folder, name):
    (folder / "model.safetensors").rename(folder / name)
    for reader in (ModelTensors, importing_a_folder):
        with pytest.raises(AssistError, match=f"{name} is still being downloaded"):
            reader(folder)


@pytest.mark.parametrize("content, words", [(POINTER, "pointer to a file"), (PAGE, "web page")])
def test_what_lies_in_the_place_of_a_pickle_is_said_instead_of_that_it_may_carry_code(folder, content, words):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(content)
    for reader in (ModelTensors, load_weights):
        with pytest.raises(ModelError, match=words):
            reader(folder)


def test_a_link_to_nothing(folder):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("../blobs/gone")
    for reader in (ModelTensors, load_weights):
        with pytest.raises(ModelError, match="is a link to nothing"):
            reader(folder)


def test_files_of_other_programs(folder, tiny_model):
    tensors = load_file(tiny_model / "model.safetensors")
    torch.save(tensors, folder / "model.safetensors")
    with pytest.raises(ModelError, match="name it .bin and import that"):
        ModelTensors(folder)
    (folder / "model.safetensors").unlink()
    save_file(tensors, folder / "pytorch_model.bin")
    with pytest.raises(DataError, match="name it .safetensors"):
        import_model(folder)


def test_weights_of_another_shape(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 50257}))
    for reader in READERS:
        with pytest.raises(ModelError, match=r"wte.weight has the shape .*but config.json wants \[50257, 24\]"):
            reader(folder)


@pytest.mark.parametrize(("content", "words"), [
    (POINTER, "pointer"), (PAGE, "web page"), (b"", "is empty"), (b"{", "is no JSON"), (b"[" * 100_000, "is no JSON")])
@pytest.mark.parametrize("name", ["config.json", "card.json"])
def test_what_lies_in_the_place_of_a_json_file(folder, name, content, words):
    (folder / name).write_bytes(content)
    with pytest.raises(ModelError, match=words):
        importing_a_folder(folder)


def test_a_tokenizer_that_is_a_pointer(folder):
    (folder / "tokenizer.json").write_bytes(POINTER)
    with pytest.raises(ModelError, match="tokenizer.json is only a pointer"):
        TextTokenizer.from_folder(folder)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_marks_that_editors_put_before_json_change_nothing(folder, tiny_model, encoding):
    expected = TextTokenizer.from_folder(tiny_model).encode("The model")
    for path in folder.glob("*.json"):
        path.write_text(path.read_text(encoding="utf-8"), encoding=encoding)
    assert ModelTensors(folder).config == ModelTensors(tiny_model).config
    assert TextTokenizer.from_folder(folder).encode("The model") == expected
    model = json.loads((tiny_model / "tokenizer.json").read_text())["model"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]), encoding=encoding)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding=encoding)
    assert TextTokenizer.from_folder(folder).encode("The model") == expected


@pytest.mark.parametrize("reader", READERS)
def test_too_many_open_files_are_no_damage(folder, reader):
    try:
        reader(folder)  # imports what it needs
    except ModelError:
        pass
    shutil.rmtree(os.environ["GPT2_ASSIST_HOME"], ignore_errors=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with pytest.raises(OSError):
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        with pytest.raises(AssistError) as caught:
            reader(folder)
    finally:
        for handle in held:
            os.close(handle)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "too many files are open" in str(caught.value)


@pytest.mark.parametrize(("error", "words"), [
    (OSError(errno.EACCES, "Permission denied"), "may not be read by you"),
    (OSError(errno.EIO, "Input/output error"), "its disk fails"), (MemoryError(), "too little memory"),
    (Exception("Cannot allocate memory (os error 12)"), "too little memory"),
    (RuntimeError("unable to mmap 497772432 bytes from file </a>: Cannot allocate memory (12)"), "too little memory"),
    (OSError(errno.ESTALE, "Stale file handle"), "could not be read: Stale file handle"),
])
def test_what_the_system_says_is_no_damage(folder, error, words):
    said = str(unreadable(folder / "model.safetensors", error))
    assert words in said and "damaged" not in said and "fetch" not in said


def run(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "gpt2_assist.cli", *map(str, arguments)], capture_output=True,
                          text=True)


def test_models_show_says_what_is_wrong_and_list_goes_on(folder, tmp_path):
    (folder / "model.safetensors").write_bytes(POINTER)
    ran = run("models", "show", folder)
    assert ran.returncode == ModelError.exit_code and "n layer: " in ran.stdout and "is only a pointer" in ran.stderr
    ran = run("models", "show", folder, "--json")
    assert ran.returncode == ModelError.exit_code and "is only a pointer" in json.loads(ran.stdout)["problem"]
    shutil.copytree(folder, tmp_path / "home/models/broken")
    (tmp_path / "home/models/broken/card.json").write_bytes(PAGE)
    ran = run("models", "list")
    assert ran.returncode == 0 and "mini" in ran.stdout and "card.json is a web page" in ran.stderr


def test_a_worker_says_it_too(folder):
    (folder / "model.safetensors").write_bytes(POINTER)
    ran = run("generate", "Hello", "--model", folder)
    assert ran.returncode == ModelError.exit_code and "is only a pointer" in ran.stderr
