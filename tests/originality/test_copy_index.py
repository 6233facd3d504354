"""The index of training data: places and lines, and folders that hold it whole, or damaged and said to be."""
import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2_assist.errors import DataError, StorageError
from gpt2_assist.originality.index import CopyIndex
from gpt2_assist.originality.matcher import continuations, matches

TEXTS = ["one\ntwo\n\nthree", "", "\n\nfour\n", "five", "\n"]
SOURCES = [("a.txt", 1), ("b.txt", 1), ("b.txt", 10), ("a.txt", 5), ("c.txt", 1)]


def of_characters(texts: list[str], sources: list[tuple[str, int]]) -> CopyIndex:
    documents = [np.array([ord(letter) for letter in text], np.uint16) for text in texts]
    lines = [np.array([text[:place].count("\n") for place in range(len(text))], int) for text in texts]
    return CopyIndex.build(documents, sources, lines)


@given(st.lists(st.text("a\n", max_size=8), max_size=6), st.integers(1, 1000))
@settings(deadline=None)
def test_each_token_has_its_place(texts, first):
    index = of_characters(texts, [(f"{number}.txt", first + number) for number in range(len(texts))])
    position = 0
    for number, text in enumerate(texts):
        assert index.document(number).tolist() == [ord(letter) for letter in text]
        for place in range(len(text)):
            assert index.place(position + place) == (f"{number}.txt", first + number + text[:place].count("\n"))
        position += len(text) + 1


def test_a_token_of_several_lines():
    index = CopyIndex.build([np.array([5, 6, 7])], [("a", 3)], [np.array([1, 1, 4])])
    assert [index.place(position)[1] for position in range(3)] == [4, 4, 7]


def test_without_lines_all_is_at_the_first():
    index = CopyIndex.build([np.array([1, 2]), np.array([3, 4])], [("a", 3), ("b", 9)])
    assert [index.place(position) for position in (0, 1, 3, 4)] == [("a", 3)] * 2 + [("b", 9)] * 2


def test_what_is_saved_is_loaded(tmp_path):
    for texts in ([], [""], TEXTS, ["a\uffff", "\uffff"]):
        index = of_characters([text.replace("\uffff", "z") for text in texts], SOURCES[:len(texts)])
        if "\uffff" in "".join(texts):  # an id that is the separator of smaller ones
            index = CopyIndex.build([np.array([97, 65535]), np.array([65535])], SOURCES[:2])
        index.save(tmp_path / "copies")
        loaded = CopyIndex.load(tmp_path / "copies")
        for name in ("text", "order", "heads", "documents", "breaks"):
            array = getattr(loaded, name)
            assert array.dtype == getattr(index, name).dtype and np.array_equal(array, getattr(index, name))
            assert not array.flags.writeable
        assert loaded.paths == index.paths
        asked = [111, 110, 101, 10, 65535, 97, 65535, 70000, -1, 2**40, 10]
        assert [part.tolist() for part in matches(loaded, asked)] == [part.tolist() for part in matches(index, asked)]
        assert len(list((tmp_path / "copies").iterdir())) == 6


def test_a_separator_is_no_token():
    small, large = ([np.array([1, top]), np.array([2])] for top in (65534, 65535))
    for documents, kind in ((small, np.uint16), (large, np.uint32)):
        index = CopyIndex.build(documents, SOURCES[:2])
        assert index.text.dtype == kind
        separator = int(index.text[2])
        assert matches(index, [1, int(documents[0][1]), separator, 2])[0].tolist() == [1, 2, 0, 1]
        assert continuations(index, [int(documents[0][1])]).tolist() == []


def test_a_failed_saving_leaves_the_old_index(tmp_path):
    of_characters(TEXTS, SOURCES).save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    other = of_characters(["something else"], [("x", 1)])
    other.breaks = np.array([object()])  # can't be written; the four before it can
    with pytest.raises(ValueError):
        other.save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_disk_that_refuses(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="can't be written"):
        of_characters(TEXTS, SOURCES).save(tmp_path / "file" / "copies")


def test_what_is_wrong_with_a_folder_is_said(tmp_path):
    with pytest.raises(DataError, match=f"There is no index of training data in {tmp_path}"):
        CopyIndex.load(tmp_path)
    of_characters(TEXTS, SOURCES).save(tmp_path)
    contents = tmp_path / "index.json"
    whole = json.loads(contents.read_text())
    contents.write_text(json.dumps(whole | {"version": 0}))
    with pytest.raises(DataError, match="another version"):
        CopyIndex.load(tmp_path)
    for wrong in ("", "{", "[]", "null", "{}", "[" * 100_000, '{"version": 1, "files": [], "paths": []}',
                  '{"version": 1, "files": {}, "paths": []}', json.dumps(whole | {"paths": [1, 2, 3]}),
                  json.dumps(whole | {"paths": ["a"]}), json.dumps(whole | {"files": whole["files"] | {"text": 1}}),
                  json.dumps(whole | {"files": whole["files"] | {"text": {"file": "../x.npy", "crc32": 0}}}),
                  json.dumps(whole | {"files": whole["files"] | {"heads": whole["files"]["order"]}})):
        contents.write_text(wrong)
        with pytest.raises(DataError, match=f"The file {contents} of the index of training data is damaged"):
            CopyIndex.load(tmp_path)
    contents.write_text(json.dumps(whole))
    for entry in whole["files"].values():
        path = tmp_path / entry["file"]
        data = path.read_bytes()
        path.unlink()
        with pytest.raises(DataError, match=f"The file {path} of the index of training data is missing"):
            CopyIndex.load(tmp_path)
        for wrong in (b"", data[:-1], data[:40], data[:-1] + bytes([data[-1] ^ 1]), b"x" * len(data)):
            path.write_bytes(wrong)
            with pytest.raises(DataError, match=f"The file {path} of the index of training data is damaged"):
                CopyIndex.load(tmp_path)
        path.write_bytes(data)
    CopyIndex.load(tmp_path)


@pytest.mark.parametrize("made_up", [40, pytest.param(200, marks=pytest.mark.slow)])
def test_made_up_arrays_lead_nowhere_outside(tmp_path, made_up):
    chance = random.Random(0)
    for _ in range(made_up):
        index = of_characters(["abcab\ncab", "bca"], SOURCES[:2])
        name = chance.choice(["text", "order", "heads", "documents", "breaks"])
        array = getattr(index, name).copy()
        if array.size:
            array[chance.randrange(len(array))] = chance.choice([0, 1, 97, 65535, 9, 30000, array.max()])
            if array.dtype == np.int32 and chance.random() < 0.5:
                array[chance.randrange(len(array))] = chance.choice([-1, -2**31, 2**31 - 1])
        setattr(index, name, array)
        index.save(tmp_path)
        try:
            loaded = CopyIndex.load(tmp_path)
        except DataError as error:
            assert str(error).endswith("is damaged.")
            continue
        lengths, _ = matches(loaded, [ord(letter) for letter in "xabcabcabcab\ncabbcaab"])
        assert (lengths <= 21).all()
        for tokens in ([], [97], [98, 99], [10]):
            assert len(continuations(loaded, tokens)) <= loaded.letters
