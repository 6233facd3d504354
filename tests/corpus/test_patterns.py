"""Patterns of names, beside a slow reading of each path by itself."""
import fnmatch
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2_assist.corpus.patterns import is_pattern, matching, plain_part

PIECES = ["*", "**", "a", "b", "?", "[ab]", "*.md", "x*", ".*", ".h", "a*", "[!a]*", "nothing"]
TREE = ["a/b/x.md", "a/a/a/x.md", "b/a/y.txt", "b/x.md", "x.md", ".h/x.md", "a/.h/b/x.md", "a/.x.md", "xa/x/x/x.md",
        "a/b/xb/z"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    top = tmp_path_factory.mktemp("tree")
    for name in TREE:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text("")
    for link in ("a/up", "a/b/up", "xlink", "b/a/x"):
        (top / link).symlink_to(os.path.relpath(top, (top / link).parent))
    (top / "b/link.md").symlink_to("x.md")
    return top


def slow(top: Path, pieces: list[str]) -> set[str]:
    """All paths without linked folders on the way, each compared from its beginning to its end."""
    paths = [""] + [os.path.relpath(os.path.join(folder, name), top)
                    for folder, folders, names in os.walk(top) for name in folders + names]
    return {path for path in paths if fits(path.split("/") if path else [], pieces, top)}


def fits(names: list[str], pieces: list[str], top: Path) -> bool:
    if not pieces:
        return not names
    if pieces[0] == "**":
        if len(pieces) == 1:
            return not names  # the folder, in which everything is meant
        return fits(names, pieces[1:], top) or bool(names) and not names[0].startswith(".") and \
            (top / names[0]).is_dir() and not (top / names[0]).is_symlink() and fits(names[1:], pieces, top / names[0])
    if not names:
        return False
    here = top / names[0]
    if names[0] != pieces[0]:
        if names[0].startswith(".") and not pieces[0].startswith(".") or here.is_symlink() and here.is_dir():
            return False
        if not fnmatch.fnmatchcase(names[0], pieces[0]) or len(pieces) > 1 and not here.is_dir():
            return False
    return fits(names[1:], pieces[1:], here)


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=5))
@settings(max_examples=300, deadline=None)
def test_patterns_find_what_a_slow_reading_finds(tree, pieces):
    pieces = [piece for place, piece in enumerate(pieces) if piece != "**" or pieces[place - 1:place] != ["**"]]
    skipped = Counter()
    found = matching(os.path.join(tree, *pieces), lambda reason: skipped.update([reason]))
    assert found == sorted(found) and len(set(found)) == len(found)
    assert {os.path.relpath(path, tree).replace(".", "", os.path.relpath(path, tree) == ".") for path in found} == \
        slow(tree, pieces) or not is_pattern("/".join(pieces))


def test_the_part_without_stars():
    assert [plain_part(pattern) for pattern in ("*.md", "a/*.md", "/x/**/b", "./a/b*", "a//b/?")] == [
        "", "a", "/x", "./a", "a/b"]
    assert [is_pattern(name) for name in ("a.md", "a*", "a?", "[a]", "a*\0")] == [False, True, True, True, False]


def test_everything_here(tree, monkeypatch):
    monkeypatch.chdir(tree / "xa")
    assert matching("**", print) == ["."] and matching("nothing/**", print) == []


def test_folders_alone_where_a_slash_is_last(tree):
    assert matching(f"{tree}/*/", print) == [f"{tree}/{name}" for name in ("a", "b", "xa")]
    assert matching(f"{tree}/*.md/", print) == []
