"""Prepared weights: what the file holds, and when it is made again."""
import json
import math
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_torch
from safetensors.torch import save_file

from gpt2_assist import config as settings
from gpt2_assist.errors import ModelError, StorageError, UsageError
from gpt2_assist.model import store
from gpt2_assist.model.packing import KINDS, pack, unpack
from gpt2_assist.model.prepared import open_prepared, prepare
from gpt2_assist.model.tensors import ModelTensors
from gpt2_assist.model.weights import load_weights

ROOT = Path(__file__).resolve().parents[2]
PREPARED = shutil.ignore_patterns("prepared-*")
"""A daemon of another test may have prepared the shared model already."""


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("GPT2_ASSIST_HOME", str(tmp_path / "home"))


@pytest.fixture
def folder(tiny_model, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "model", ignore=PREPARED))


def is_made_again(folder: Path, precision: str = "int8") -> bool:
    """Whether `prepare` makes a file; one that it leaves alone must be whole, and so must the one it makes."""
    heard = []
    path = prepare(folder, precision, heard.append)
    assert path == folder / f"prepared-{precision}.safetensors"
    made, weights = open_prepared(path), ModelTensors(folder)
    assert made.config == weights.config
    assert np.array_equal(made.arrays["positions.weight"], weights.read_matrix("positions.weight"))
    assert np.array_equal(made.arrays["layers.1.up.weight"], pack(weights.read_matrix("layers.1.up.weight"),
                                                                   precision))
    assert not heard or (heard == sorted(heard) and heard[-1] == 1)
    return bool(heard)


@pytest.mark.parametrize("precision", KINDS)
def test_the_file_holds_the_model_in_the_kernels_order(folder, precision):
    prepared, weights = open_prepared(prepare(folder, precision)), ModelTensors(folder)
    assert prepared.config == weights.config and prepared.precision == precision
    assert prepared.parameters == sum(value.numel() for value in load_torch(folder / "model.safetensors").values())
    stored = load_weights(folder)[1]
    assert prepared.arrays.keys() == stored.keys()
    for name, value in stored.items():
        ours, value = prepared.arrays[name], value.numpy()
        assert not ours.flags.writeable
        if name == "embedding.weight":
            kind = "int8" if precision == "int4" else precision
            assert np.array_equal(ours, pack(value.T, kind))
            assert np.abs(unpack(ours, kind, *value.T.shape).T - value).max() <= np.abs(value).max() / 100
        elif name == "positions.weight":
            assert np.array_equal(ours, value)
        elif value.ndim == 2:
            assert np.array_equal(ours, pack(value, precision))
        else:
            multiple = 64 if "norm." in name else 32
            assert ours.dtype == np.float32 and len(ours) % multiple == 0 and len(ours) - len(value) < multiple
            assert np.array_equal(ours[:len(value)], value) and not ours[len(value):].any()


def test_it_is_a_safetensors_file_that_can_be_used_where_it_lies(folder):
    path = prepare(folder, "int8")
    prepared, theirs = open_prepared(path), load_file(path)
    assert theirs.keys() == prepared.arrays.keys()
    assert all(np.array_equal(value, theirs[name]) for name, value in prepared.arrays.items())
    assert all(value.ctypes.data % 64 == 0 for value in prepared.arrays.values())
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    assert start % 4096 == 0
    entries = json.loads(content[8:start])
    assert entries.pop("__metadata__")["precision"] == "int8"
    assert all(entry["data_offsets"][0] % 64 == 0 for entry in entries.values())


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_weights_in_half_precision_are_prepared_too(folder, kind):
    save_file({name: value.to(kind) for name, value in load_torch(folder / "model.safetensors").items()},
              folder / "model.safetensors")
    assert is_made_again(folder)


def test_it_is_made_once(folder):
    assert is_made_again(folder) and not is_made_again(folder)
    assert is_made_again(folder, "bf16") and not is_made_again(folder, "int8")


def touched(folder, other):
    os.utime(folder / "model.safetensors", ns=(1, 1))


def other_weights(folder, other):
    shutil.copyfile(other / "model.safetensors", folder / "model.safetensors")


def other_weights_of_the_same_size_and_date(folder, other):
    date = (folder / "model.safetensors").stat().st_mtime_ns
    other_weights(folder, other)
    os.utime(folder / "model.safetensors", ns=(date, date))


def other_heads(folder, other):
    entries = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**entries, "n_head": 2}))


def other_file_names(folder, other):
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    names = load_torch(folder / "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": dict.fromkeys(names, "model-00001-of-00001.safetensors")}))


@pytest.mark.parametrize("change", [touched, other_weights, other_weights_of_the_same_size_and_date, other_heads,
                                    other_file_names])
def test_a_file_of_other_weights_is_made_again(folder, other_tiny_model, change):
    assert is_made_again(folder)
    change(folder, other_tiny_model)
    assert is_made_again(folder) and not is_made_again(folder)


def test_a_prepared_file_that_came_from_another_model_is_made_again(folder, other_tiny_model, tmp_path):
    assert is_made_again(folder)
    copied = Path(shutil.copytree(other_tiny_model, tmp_path / "copy"))
    shutil.copy2(folder / "prepared-int8.safetensors", copied)
    assert is_made_again(copied)
    moved = folder.rename(tmp_path / "moved")
    assert not is_made_again(moved), "it went along with its own weights"


def header(content: bytes, old: bytes, new: bytes) -> bytes:
    assert content.count(old) >= 1 and len(old) == len(new)
    return content.replace(old, new, 1)


@pytest.mark.parametrize("damage", [
    lambda content: b"", lambda content: content[:100], lambda content: content[:-1], lambda content: content + b"\0",
    lambda content: content[:20000], lambda content: b"\xff" * 16 + content[16:],
    lambda content: header(content, b'"format": "3"', b'"format": "0"'),
    lambda content: header(content, b'"precision": "int8"', b'"precision": "int4"'),
    lambda content: header(content, b'\\"n_layer\\": 2', b'\\"n_layer\\": 9'),
    lambda content: header(content, b'"__metadata__"', b'"__metadatas_"'),
    lambda content: header(content, b'"dtype": "U8"', b'"dtype": "I8"'),
    lambda content: header(content, b'"layers.0.qkv.bias"', b'"layers.0.qkv.dias"'),
    lambda content: header(content, b"sources", b"sauces!"),
], ids=["empty", "cut header", "cut", "longer", "half", "no length", "version", "precision", "sizes", "no metadata",
        "type", "name", "no sources"])
def test_a_damaged_file_is_refused_and_made_again(folder, damage):
    path = prepare(folder, "int8")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ModelError, match="made again"):
        open_prepared(path)
    assert is_made_again(folder) and not is_made_again(folder)


def test_a_model_mapped_before_stays_as_it_was(folder, other_tiny_model):
    before = open_prepared(prepare(folder, "int8"))
    kept = {name: value.copy() for name, value in before.arrays.items()}
    other_weights(folder, other_tiny_model)
    assert is_made_again(folder)
    assert all(np.array_equal(value, kept[name]) for name, value in before.arrays.items())


PREPARE = ("import sys, pathlib; from gpt2_assist.model.prepared import prepare; from gpt2_assist.errors import *\n"
           "try:\n    print(prepare(pathlib.Path(sys.argv[1]), 'int8'))\n"
           "except AssistError as error:\n    sys.exit(str(error))\n")


def start(folder: Path, before: str = "") -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", before + PREPARE, str(folder)], cwd=ROOT, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_processes_that_prepare_at_once_do_no_harm(folder):
    racing = [start(folder) for _ in range(4)]
    assert {process.communicate(timeout=100)[0] for process in racing} == {f"{folder}/prepared-int8.safetensors\n"}
    assert not is_made_again(folder)
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.skipif(sys.platform == "win32", reason="file sizes can't be limited there")
def test_a_full_disk_is_said_and_leaves_nothing(folder):
    names = {path.name for path in folder.iterdir()}
    process = start(folder, "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000,) * 2)\n")
    said = process.communicate(timeout=100)[1]
    assert process.returncode == 1 and "can't be prepared" in said and "Traceback" not in said
    assert {path.name for path in folder.iterdir()} == names


@pytest.fixture
def unwritable(tiny_model, monkeypatch):
    """A model in a folder that this process may read only, and a home that it may write."""
    user = os.geteuid() if hasattr(os, "geteuid") else None
    if user is None:
        pytest.skip("there are no such folders on this system")
    with tempfile.TemporaryDirectory() as parent:
        parent = Path(parent).resolve()
        folder = parent / "model"
        shutil.copytree(tiny_model, folder, ignore=PREPARED)
        (parent / "home").mkdir()
        monkeypatch.setenv("GPT2_ASSIST_HOME", str(parent / "home"))
        if user == 0:  # whom no permission stops
            shutil.chown(parent / "home", 65534)
            parent.chmod(0o755)
            for path in (folder, *folder.iterdir()):
                path.chmod(0o755)
            os.seteuid(65534)
        else:
            folder.chmod(0o555)
        try:
            yield folder
        finally:
            os.seteuid(user)
            folder.chmod(0o755)


def test_where_the_models_folder_can_not_be_written_the_home_takes_the_file(unwritable):
    names = {path.name for path in unwritable.iterdir()}
    path = prepare(unwritable, "int8")
    assert path.parent.parent == settings.home() / "prepared" and path.name == "prepared-int8.safetensors"
    assert stat.S_ISREG(path.stat().st_mode) and open_prepared(path).config == ModelTensors(unwritable).config
    heard = []
    assert prepare(unwritable, "int8", heard.append) == path and not heard
    assert {path.name for path in unwritable.iterdir()} == names


def test_a_home_that_refuses_too_is_said(unwritable):
    (settings.home() / "prepared").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="can't be prepared"):
        prepare(unwritable, "int8")


def test_a_bundled_model_stays_as_it_came(folder, tmp_path, monkeypatch, other_tiny_model):
    monkeypatch.setattr(settings, "BUNDLED_MODELS", tmp_path)
    names = {path.name for path in folder.iterdir()}
    first = prepare(folder, "int8")
    assert first.parent.parent == settings.home() / "prepared"
    assert {path.name for path in folder.iterdir()} == names
    other_weights(folder, other_tiny_model)
    second = prepare(folder, "int8")
    assert second != first and not first.exists(), "what an earlier version needed makes room"


def test_the_store_counts_shows_and_removes_what_was_prepared(folder):
    with store.new_model("mine") as made:
        shutil.copytree(folder, made, dirs_exist_ok=True)
    before = store.find_model("mine")
    path = prepare(before.path, "int8")
    after = store.find_model("mine")
    assert after.card == before.card and [model.name for model in store.list_models()][-1] == "mine"
    assert dict(after.files())[path.name] == path.stat().st_size
    assert after.size_bytes == sum(entry.stat().st_size for entry in after.path.iterdir())
    store.remove_model("mine")
    assert list(settings.models().iterdir()) == []


@pytest.mark.parametrize("stored, name", [("h.0.ln_1.weight", "layers.0.attention_norm.weight"),
                                          ("h.1.attn.c_attn.weight", "layers.1.qkv.weight"),
                                          ("wpe.weight", "positions.weight"), ("wte.weight", "embedding.weight")])
def test_weights_that_are_no_numbers_are_refused(folder, stored, name):
    tensors = {key: value.clone() for key, value in load_torch(folder / "model.safetensors").items()}
    tensors[stored].view(-1)[3] = math.inf
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ModelError, match=f"{name} holds something infinite"):
        prepare(folder, "int8")
    assert not list(folder.glob("*prepared*"))


def test_what_is_wrong_with_the_model_is_said(folder, tmp_path):
    with pytest.raises(UsageError, match="int3 is not available; choose int8, int4, bf16, fp32"):
        prepare(folder, "int3")
    with pytest.raises(ModelError, match="missing"):
        open_prepared(folder / "prepared-int8.safetensors")
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-10])
    with pytest.raises(ModelError, match="damaged or cut short"):
        prepare(folder, "int8")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="no weights"):
        prepare(folder, "int8")
