"""Weights read by numpy: the same numbers that safetensors' own reader gives, and no trust in headers."""
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save, save_file

from gpt2_assist.architectures import gpt2
from gpt2_assist.model.safetensors_file import FLOATING, SafetensorsFile
from gpt2_assist.model.tensors import ModelTensors

TYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


@pytest.mark.parametrize("kind", TYPES)
def test_every_number_type_becomes_float32(tiny_model, tmp_path, kind):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    stored = {name: value.to(kind) for name, value in load_file(tiny_model / "model.safetensors").items()}
    save_file(stored, folder / "model.safetensors")
    tensors = ModelTensors(folder)
    for name, (part,) in gpt2.hub_parts(tensors.config).items():
        ours, value = tensors.read_matrix(name), stored[part.name]
        assert ours.dtype == np.float32 and np.array_equal(ours, value.float().numpy())


def test_odd_shapes_and_other_types_may_stand_beside(tmp_path):
    stored = {"scalar": torch.tensor(2.5), "none": torch.zeros(0, 4), "mask": torch.ones(3, 3, dtype=torch.bool),
              "odd": torch.arange(7, dtype=torch.bfloat16), "whole": torch.arange(5)}
    save_file(stored, tmp_path / "x.safetensors", metadata={"format": "pt"})
    file = SafetensorsFile(tmp_path / "x.safetensors")
    assert file.metadata == {"format": "pt"} and file.entries.keys() == stored.keys()
    for name in ("scalar", "none", "odd"):
        assert np.array_equal(file.numbers(name), stored[name].float().numpy())
    with pytest.raises(ValueError):
        file.numbers("scalar")[...] = 1


def test_reading_weights_needs_no_torch(tiny_model):
    program = ("import sys, pathlib; from gpt2_assist.model import tensors, prepared, card, store, numpy_forward;"
               "import gpt2_assist.loading.calibration; path = pathlib.Path(sys.argv[1]);"
               "numpy_forward.all_logits(tensors.ModelTensors(path), [1, 2]);"
               "prepared.open_prepared(prepared.prepare(path, 'int8')); print('torch' in sys.modules)")
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", program, str(tiny_model)], cwd=root, capture_output=True, text=True,
                          check=True).stdout == "False\n"


CONTENT = save({"a": torch.arange(6, dtype=torch.float32).reshape(2, 3), "b": torch.ones(5, dtype=torch.float16)})
LENGTH = int.from_bytes(CONTENT[:8], "little")
HEADER, DATA = json.loads(CONTENT[8:8 + LENGTH]), CONTENT[8 + LENGTH:]


def assembled(header: bytes, data: bytes = DATA) -> bytes:
    return len(header).to_bytes(8, "little") + header + data


def accepts(path: Path) -> bool:
    """Whether the file is taken; then all that it holds can be read."""
    try:
        file = SafetensorsFile(path)
    except (OSError, ValueError):
        return False
    for name in [name for name, entry in file.entries.items() if entry.kind in FLOATING]:
        assert file.numbers(name).shape == file.entries[name].shape
    return True


def theirs_accept(path: Path) -> bool:
    try:
        with safe_open(path, framework="pt") as file:
            return all(file.get_tensor(name) is not None for name in list(file.keys()))
    except (OSError, SafetensorError, ValueError, TypeError):
        return False


def test_the_file_that_the_damage_starts_from_is_good(tmp_path):
    (tmp_path / "x").write_bytes(assembled(json.dumps(HEADER).encode() + b"   "))
    assert accepts(tmp_path / "x")


NUMBERS = st.sampled_from([-1, 0, 1, 2, 3, 5, 10, 24, 34, 35, 2 ** 31, 2 ** 64, 10 ** 30, 1.0, True, None, "3"])


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["a", "b"]), st.sampled_from(["dtype", "shape", "data_offsets", "more"]),
       st.lists(NUMBERS, max_size=4) | NUMBERS | st.sampled_from(["F32", "F64", "BF16", "F16", "X9", {}, []]))
def test_a_changed_header_never_leads_outside_the_file(tmp_path_factory, name, entry, value):
    path = tmp_path_factory.getbasetemp() / "changed"
    path.write_bytes(assembled(json.dumps({**HEADER, name: {**HEADER[name], entry: value}}).encode()))
    assert not accepts(path) or theirs_accept(path)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | st.tuples(st.integers(0, len(CONTENT)), st.binary(max_size=9)).map(
    lambda change: CONTENT[:change[0]] + change[1] + CONTENT[change[0] + len(change[1]):]))
def test_any_bytes_are_taken_only_where_safetensors_takes_them(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "bytes"
    path.write_bytes(content)
    assert not accepts(path) or theirs_accept(path)


@pytest.mark.parametrize("content", [
    b"", b"\0" * 8, b"\xff" * 8 + CONTENT[8:], CONTENT[:-1], CONTENT + b"\0", CONTENT[:LENGTH],
    assembled(b"[" * 5000), assembled(b"[]"), assembled(b"{}"), assembled(b'{"__metadata__": 5}', b""),
    assembled(b'{"__metadata__": {"a": 5}}', b""), assembled(json.dumps(HEADER).encode()[:-1]),
    assembled(json.dumps({"a": HEADER["a"]}).encode()), assembled(json.dumps({**HEADER, "c": HEADER["b"]}).encode()),
    assembled(json.dumps(HEADER).encode().replace(b'"b"', b'"a"')), assembled(b'{"a": ' + b"9" * 5000 + b"}"),
], ids=["empty", "no header", "endless header", "cut", "longer", "cut header", "nested", "list", "data without tensors",
        "metadata", "metadata of numbers", "open", "hole", "overlap", "one name twice", "a long number"])
def test_damage_of_every_kind(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    assert not accepts(tmp_path / "x")
