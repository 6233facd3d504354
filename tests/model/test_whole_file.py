"""Files that are there whole or not at all."""
import os

import pytest

from gpt2_assist.files.whole_file import whole_file


def test_the_new_file_takes_the_old_ones_place(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with whole_file(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new" and list(tmp_path.iterdir()) == [path]


def test_an_error_on_the_way_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError):
        with whole_file(path) as file:
            file.write(b"half")
            raise RuntimeError
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_removed_but_not_what_another_one_writes(tmp_path):
    path, others = tmp_path / "x", tmp_path / ".other.1.part"
    others.write_bytes(b"")
    os.utime(others, (0, 0))
    with whole_file(path) as file:
        left = next(part for part in tmp_path.iterdir() if part.name.startswith(".x."))
        with whole_file(path) as second:
            second.write(b"second")
        assert left.exists()
        file.write(b"first")
    assert path.read_bytes() == b"first"
    left.write_bytes(b"")
    os.utime(left, (0, 0))
    with whole_file(path):
        assert not left.exists()
    assert set(tmp_path.iterdir()) == {path, others}
