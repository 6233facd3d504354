"""GGUF files whose headers lie: each is refused in a sentence, in little time and memory, before anything is made.

One test for each lie; thousands of damaged copies of a whole model's file besides.
"""
import struct
import subprocess
import sys
from pathlib import Path

import gguf_models
import numpy as np
import pytest

from gpt2_assist.model.gguf_reader import GGUFFile

U8, U32, F32, BOOL, TEXT, ARRAY = 0, 4, 6, 7, 8, 9
HUGE = (1 << 64) - 1


def text(words: str | bytes) -> bytes:
    data = words.encode() if isinstance(words, str) else words
    return struct.pack("<Q", len(data)) + data


def key(name: str, kind: int, value: bytes) -> bytes:
    return text(name) + struct.pack("<I", kind) + value


def array(kind: int, count: int, values: bytes = b"") -> bytes:
    return struct.pack("<IQ", kind, count) + values


def tensor(name: str, dimensions: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(dimensions)}QIQ", len(dimensions), *dimensions, kind, offset)


def file(tmp_path: Path, keys: list[bytes] = (), tensors: list[bytes] = (), data: int = 0, version: int = 3,
         counts: tuple[int, int] | None = None) -> Path:
    header = b"GGUF" + struct.pack("<IQQ", version, *(counts or (len(tensors), len(keys)))) + b"".join(
        (*keys, *tensors))
    path = tmp_path / "made.gguf"
    path.write_bytes(header + bytes(-len(header) % 32 + data))
    return path


@pytest.mark.parametrize("version", [2, 3])
def test_a_right_file_is_read(tmp_path, version):
    path = file(tmp_path, [key("a", U32, struct.pack("<I", 7)), key("b", F32, struct.pack("<f", 1e-5)),
                           key("c", BOOL, b"\1"), key("d", TEXT, text("é")),
                           key("e", ARRAY, array(TEXT, 2, text("x") + text(""))),
                           key("f", ARRAY, array(U32, 2, struct.pack("<II", 5, 6))),
                           key("g", ARRAY, array(ARRAY, 1, array(U8, 2, b"12")))],
                [tensor("one", (4, 2)), tensor("two", (3,), 1, 32)], 64, version)
    with GGUFFile(path) as read:
        assert [read.keys[name] for name in "abcde"] == [7, 1e-5, True, "é", ["x", ""]]
        assert read.keys["f"].tolist() == [5, 6] and read.keys["g"] is None
        assert read.tensors["one"].shape == (2, 4) and not read.numbers("two", np.dtype(np.float32)).any()


LIES = {
    "more tensors than bytes": ({"counts": (HUGE, 0)}, "tensors, for which it is too short"),
    "more keys than bytes": ({"counts": (0, 1 << 40)}, "keys, for which it is too short"),
    "more tensors than any model has": ({"counts": (100_000, 0), "data": 4_000_000}, "100,000 tensors"),
    "a name without an end": ({"keys": [struct.pack("<Q", HUGE) + b"a"]}, "too short|more than there is"),
    "a text without an end": ({"keys": [key("a", TEXT, struct.pack("<Q", HUGE - 8))]}, "more than there is"),
    "texts without an end": ({"keys": [key("a", ARRAY, array(TEXT, 1 << 61))]}, "texts, for which it is too short"),
    "more texts than any model has": ({"keys": [key("a", ARRAY, array(TEXT, 2_000_001, bytes(8 * 2_000_001)))]},
                                      "2,000,001 texts"),
    "numbers whose sum overflows": ({"keys": [key("a", ARRAY, array(U32, (1 << 62) + 1))]}, "numbers, for which"),
    "a type that is none": ({"keys": [key("a", 13, b"1234")]}, "type is 13"),
    "an array of a type that is none": ({"keys": [key("a", ARRAY, array(99, 1, bytes(12)))]}, "type is 99"),
    "arrays without an end": ({"keys": [key("a", ARRAY, array(ARRAY, 1 << 60))]}, "arrays, for which"),
    "arrays in arrays in arrays": ({"keys": [key("a", ARRAY, array(ARRAY, 1) * 5000)]}, "nested too deeply"),
    "a truth value that is none": ({"keys": [key("a", BOOL, b"\2")]}, "truth value"),
    "truth values that are none": ({"keys": [key("a", ARRAY, array(BOOL, 2, b"\1\2"))]}, "truth value"),
    "a text that is none": ({"keys": [key("a", TEXT, text(b"\xff"))]}, "no UTF-8"),
    "a key twice": ({"keys": [key("a", U8, b"1"), key("a", U8, b"2")]}, "'a' twice"),
    "a key without a name": ({"keys": [key("", U8, b"1")]}, "empty or too long"),
    "a key with a long name": ({"keys": [key("a" * 70_000, U8, b"1")]}, "empty or too long"),
    "an alignment of nothing": ({"keys": [key("general.alignment", U32, bytes(4))]}, "power of two"),
    "an alignment that is none": ({"keys": [key("general.alignment", U32, struct.pack("<I", 24))]}, "power of two"),
    "an alignment that is a text": ({"keys": [key("general.alignment", TEXT, text("32"))]}, "power of two"),
    "a tensor twice": ({"tensors": [tensor("a", (8,)), tensor("a", (8,), 0, 32)], "data": 64}, "'a' twice"),
    "a tensor without dimensions": ({"tensors": [tensor("a", ())], "data": 64}, "0 dimensions"),
    "a tensor of many dimensions": ({"tensors": [tensor("a", (1,) * 9)], "data": 64}, "9 dimensions"),
    "an axis of no length": ({"tensors": [tensor("a", (8, 0))], "data": 64}, "no length"),
    "sizes whose product overflows": ({"tensors": [tensor("a", (1 << 32, 1 << 32))], "data": 64}, "speaks of"),
    "an offset whose sum overflows": ({"tensors": [tensor("a", (8,), 0, HUGE - 31)], "data": 64}, "speaks of"),
    "an offset beyond the file": ({"tensors": [tensor("a", (8,), 0, 64)], "data": 64}, "where its header speaks of"),
    "an offset that isn't aligned": ({"tensors": [tensor("a", (8,), 0, 4)], "data": 64}, "alignment"),
    "tensors that overlap": ({"tensors": [tensor("a", (16,)), tensor("b", (8,), 0, 32)], "data": 64}, "overlap"),
    "tensors in the same place": ({"tensors": [tensor("a", (8,)), tensor("b", (8,))], "data": 64}, "overlap"),
    "numbers of no kind": ({"tensors": [tensor("a", (8,), 31)], "data": 64}, "kind 31, which isn't known"),
    "rows that the kind can't hold": ({"tensors": [tensor("a", (33,), 2)], "data": 64}, "Q4_0 can't hold"),
    "another version": ({"version": 4}, "version 4"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_told_from_the_truth(tmp_path, lie):
    made, words = LIES[lie]
    with pytest.raises(ValueError, match=words):
        GGUFFile(file(tmp_path, **made))


def test_a_file_that_shrinks_meanwhile_is_noticed(tmp_path):
    path = file(tmp_path, [], [tensor("a", (1024,))], 4096)
    with GGUFFile(path) as read:
        path.write_bytes(path.read_bytes()[:2000])
        with pytest.raises(ValueError, match="shorter"):
            read.numbers("a", np.dtype(np.float32))


@pytest.mark.parametrize("count, seed", [
    (2000, 1), pytest.param(100_000, 2, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_damaged_files_are_refused_in_a_sentence_and_little_memory(tmp_path, count, seed):
    own = gguf_models.decoder("llama", n_layer=1, n_embd=32, head_width=8, n_inner=32)
    path = gguf_models.write(tmp_path / "whole.gguf", own, gguf_models.random_parts(own), "Q4_1",
                             change=lambda writer: writer.add_array("nested", [[1, 2], [3, 4]]))
    out = subprocess.run([sys.executable, Path(__file__).with_name("damaged_gguf.py"), path, str(count), str(seed)],
                         capture_output=True, text=True, timeout=1700)
    assert out.returncode == 0, out.stderr[-3000:]
    outcomes = {line[8:]: int(line[:8]) for line in out.stdout.splitlines()}
    assert sum(outcomes.values()) == count and len(outcomes) > 25 and 0 < outcomes["read"] < count / 2
