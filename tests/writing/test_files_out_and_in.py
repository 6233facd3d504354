"""Sessions go out as text, Markdown and JSON and come back; other tools' stories come in; what is none is refused."""
import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpt2_assist.errors import DataError
from gpt2_assist.writing.exporting import as_json, as_markdown, export, would_replace
from gpt2_assist.writing.importing import import_session, story_of


def story(folder, content, name="story.json"):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return str(path)


@pytest.fixture
def imported(store, tmp_path):
    sessions = []

    def read(content, name="story.json"):
        sessions.append(import_session(store, tmp_path, story(tmp_path, content, name), "mini"))
        return sessions[-1]
    yield read
    for session in sessions:
        session.close()


def without_name(session):
    content = json.loads(as_json(session))
    del content["session"]
    return content


def test_json_brings_the_whole_tree_back(session, reply, imported):
    session.write("Once ")
    reply(session, "a day")
    reply(session, "a night", 1, {"model_hash": "abc"})
    session.edit("Twice a night")
    session.undo()
    session.bookmark("here", 2)
    session.hide(2)
    session.settings, session.memory, session.banned, session.bias = {"top_k": 3}, "fox", ["é"], [["a", 1.5]]
    again = imported(as_json(session))
    assert without_name(again) == without_name(session)
    assert again.text == "Once a night" and again.name == "story"
    session.goto(0)
    assert without_name(imported(as_json(session))) == without_name(session)


def test_markdown_says_who_wrote_and_comes_back_as_text(session, reply, imported):
    session.write("---\nOnce")
    reply(session, " a day")
    text = as_markdown(session)
    assert text.startswith('---\ntitle: "s"\ndate: "2')
    assert text.endswith('models: ["m"]\nown: "57%"\n---\n\n---\nOnce a day\n')
    assert imported(text, "story.md").text == "---\nOnce a day"
    for plain in ("No header\n---", "---\nNo header: a break\n\n---\nIt goes on."):
        assert imported(plain + "\n", "plain.md").text == plain


def test_plain_text_comes_in_as_it_stands(imported):
    session = imported("\ufeffOne\r\n\r\nTwo\n", "My novel.txt")
    assert session.text == "One\n\nTwo" and session.name == "My novel" and session.last.author == "user"
    assert imported("Again", "My novel.txt").name == "My novel-2"


def test_a_long_text_comes_in_as_several_passages_that_end_with_paragraphs(imported):
    text = "\n\n".join("word " * (place % 700) for place in range(0, 3000, 37)).rstrip("\n")
    path = imported(text, "long.txt").path
    assert "".join(passage.text for passage in path) == text and len(path) > 9
    assert all(passage.text.endswith("\n") for passage in path[:-1])


def test_koboldai_lites_saves_come_in(imported):
    session = imported({"gamestarted": True, "prompt": "Once", "memory": "A fox.", "authorsnote": "sad", "actions": [
        " a day", "", " came"], "actions_metadata": {}, "worldinfo": [], "savedsettings": {}})
    assert session.text == "Once a day came"
    assert [passage.author for passage in session.path] == ["user", "model", "model"]
    assert (session.memory, session.note) == ("A fox.", "sad")


@pytest.mark.parametrize("actions", [
    {"actions": {"actions": {"1": {"Selected Text": " came"}, "0": {"Selected Text": " a day", "Options": [
        {"text": " a night", "Pinned": False}]}}, "action_count": 1}},
    {"actions": [" a day", " came"], "actions_metadata": {"0": {"Selected Text": " a day", "Alternative Text": [
        {"Text": " a night", "Pinned": False}]}}}])
def test_koboldais_stories_come_in_with_their_alternatives(imported, actions):
    session = imported({"prompt": "Once", "authornote": "sad", **actions})
    assert session.text == "Once a day came" and session.note == "sad"
    assert [passage.text for passage in session.children(1)] == [" a night", " a day"]


def test_mikupads_sessions_come_in(imported):
    session = imported({"prompt": [
        {"type": "user", "content": "Once"}, {"content": " a", "prob": 0.5}, {"content": " day"},
        {"type": "user", "content": "!"}], "memoryTokens": {"prefix": "[", "text": "fox", "suffix": "]"},
        "authorNoteTokens": {"text": ""}, "authorNoteDepth": 2})
    assert [(passage.author, passage.text) for passage in session.path] == [
        ("user", "Once"), ("model", " a day"), ("user", "!")]
    assert (session.memory, session.note, session.note_depth) == ("[fox]", "", 2)


@pytest.mark.parametrize("content, words", [
    ("{}", "no story that is known"), ("[1]", "no story that is known"), ("{", "no JSON"),
    ({"actions": [1, 2], "prompt": 3}, "damaged"),
    ({"prompt": [{"type": "model"}]}, "damaged"),
    ({"format": "gpt2-assist session", "version": 99}, "newer"),
    ({"format": "gpt2-assist session", "version": 1, "passages": [{"number": 1, "parent": 1}]}, "damaged")])
def test_what_is_no_story_gets_a_sentence(tmp_path, content, words):
    with pytest.raises(DataError, match=words):
        story_of(story(tmp_path, content), "mini")


def test_files_that_cant_be_read_get_a_sentence(tmp_path):
    with pytest.raises(DataError, match="can't be read"):
        story_of(str(tmp_path / "nothing.txt"), "mini")
    (tmp_path / "picture.txt").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(DataError, match="no text"):
        story_of(str(tmp_path / "picture.txt"), "mini")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3), max_leaves=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(st.data())
def test_a_damaged_story_is_read_or_refused(tmp_path, store, data):
    passage = {"number": 1, "parent": 0, "author": "user", "text": "a", "how": {}, "time": 1.0, "chosen": 0}
    ours = {"format": "gpt2-assist session", "version": 1, "model": "m", "current": 1, "path": [1], "settings": {},
            "memory": "", "note": "", "note_depth": 3, "banned": [], "bias": [], "passages": [passage]}
    other = data.draw(st.sampled_from([ours, passage, {"prompt": [{"type": "user", "content": "a"}]}, {
        "prompt": "a", "actions": [{"Selected Text": "b", "Options": [{"text": "c"}]}], "memory": ""}]))
    key = data.draw(st.sampled_from(sorted(other)))
    broken = {**other, key: data.draw(VALUES)}
    content = {**ours, "passages": [broken]} if other is passage else broken
    try:
        session = import_session(store, tmp_path, story(tmp_path, content), "mini")
    except DataError:
        return
    as_json(session)
    as_markdown(session)
    session.close()


def test_an_export_ends_no_file_of_somebody_elses_unasked(session, tmp_path):
    session.write("Once")
    path = str(tmp_path / "story.txt")
    assert not would_replace(path)
    export(session, path)
    assert not would_replace(path)
    with open(path, "a", encoding="utf-8") as file:
        file.write("a line that the user added")
    assert would_replace(path)
    assert not would_replace(os.devnull)
    (tmp_path / "empty.txt").touch()
    assert not would_replace(str(tmp_path / "empty.txt"))
