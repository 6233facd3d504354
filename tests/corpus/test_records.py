"""Texts in JSON: line by line, in lists, inside of objects, and conversations."""
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt2_assist.corpus.documents import Document, UnreadableFile, clean
from gpt2_assist.corpus.records import json_lines, json_text


def of(value, column: str | None = None) -> list[str]:
    text = value if isinstance(value, str) else json.dumps(value)
    return [document.text for document in json_text(text, "x.json", column).documents]


def found(value, column: str | None = None) -> str:
    return json_text(json.dumps(value), "x.json", column).found


def test_json_lines():
    text = '{"text": "one\\n"}\n\n"two \\ud800\\u0000"\n{"text": "no", "tweet": "three"}\r\n{"text": ""}\n'
    assert json_lines(clean(text), "x", "tweet").documents == [
        Document("one", "x", 1, one_line=True), Document("two ", "x", 3, one_line=True),
        Document("three", "x", 4, one_line=True)]


@pytest.mark.parametrize(("line", "sentence"), [
    ("{", "Line 2 of x is no JSON."), ("[" * 100_000, "Line 2 of x is no JSON."), ("9" * 9999, "is no JSON."),
    ("[1]", "Line 2 of x has no text under text."), ('{"text": 5}', "has no text"), ("7", "has no text")])
def test_broken_json_lines(line, sentence):
    with pytest.raises(UnreadableFile, match=sentence):
        json_lines(f'"one"\n{line}\n"three"\n', "x", None)


@given(st.lists(st.text()))
def test_any_strings_of_json_are_read(texts):
    documents = json_lines("\n".join(map(json.dumps, texts)), "x", None).documents
    assert [document.text for document in documents] == [
        clean(text).strip("\n") for text in texts if clean(text).strip()]


def test_lines_with_empty_values_are_passed_over_and_counted():
    reading = json_lines('{"text": "a"}\n{"text": null}\n{"text": ""}\n{}\nnull\n{"id": 3}\n{"text": NaN}\n', "x", None)
    assert [document.text for document in reading.documents] == ["a"]
    assert reading.found == "JSON lines, texts from text, 6 of them empty"
    with pytest.raises(UnreadableFile, match="Line 1 of x has no text under text"):
        json_lines('{"a": 1}\n{"b": 2}\n', "x", None)


def test_a_last_line_that_is_still_written_is_passed_over():
    assert [document.text for document in json_lines('{"text": "a"}\n{"te', "x", None).documents] == ["a"]
    with pytest.raises(UnreadableFile, match="Line 2"):
        json_lines('{"text": "a"}\n{"te\n', "x", None)


@pytest.mark.parametrize(("value", "texts"), [
    (["a b", "", "c"], ["a b", "c"]),
    ([{"text": "a", "id": 1}, {"text": None}, {"id": 3}], ["a"]),
    ({"data": [{"content": "a"}, {"content": "b"}]}, ["a", "b"]),
    ({"version": 2, "notes": [{"quote": "a b"}, {"quote": "c d"}]}, ["a b", "c d"]),
    ({"version": 2, "things": [{"body": "a b"}]}, ["a b"]),
    ([{"tweet": {"full_text": "a", "id": "1"}}], ["a"]),
    ('window.YTD.tweets.part0 = [{"tweet": {"full_text": "a"}}]', ["a"]),
    ({"title": "t", "textContent": "a", "isTrashed": False}, ["a"]),
    ({"items": [{"content": {"title": "t", "text": "a"}}]}, ["a"]),
    ([{"text": ["a", "b"]}], ["a\nb"]),
    ([{"instruction": "do it", "input": "", "output": "done"}], ["do it\n\ndone"]),
    ('{"text": "a"}\n{"text": "b"}\n', ["a", "b"])])
def test_the_usual_forms(value, texts):
    assert of(value) == texts


def test_the_field_is_said_and_can_be_chosen():
    records = [{"title": "a b", "lede": "c d"}]
    with pytest.raises(UnreadableFile, match=r"several texts in each entry \(title, lede\): choose one"):
        of(records)
    assert of(records, "lede") == ["c d"] and found(records, "lede") == "a list in JSON, texts from lede"
    with pytest.raises(UnreadableFile, match="no field nosuch: it has title, lede"):
        of(records, "nosuch")


@pytest.mark.parametrize("text", [
    '{"name": "p", "files": ["a", "b c"], "scripts": {"test": "x y"}}', '{"references": [{"path": "./a"}]}', "[1, 2]",
    '[{"a": 1}]', "5", "[]", '{ // settings\n "a": 1,\n}', '{"a": [[1, 2], [3]]}', '{"lockfileVersion": 3}',
    '{"model": {}, "added_tokens": [{"content": "x"}]}'])
def test_settings_and_numbers_stay_as_they_stand(text):
    assert of(text) == [text]


def test_damaged_data_are_no_text():
    with pytest.raises(UnreadableFile, match="x.json is damaged: at line 1 it is no JSON"):
        of(json.dumps(["some words"] * 9000)[:-9])


@pytest.mark.parametrize("value", [
    {"name": "B", "messages": [{"from": "Bob", "text": "hi", "date": "x"},
                               {"type": "service", "actor": "Bob", "text": ""},
                               {"from": "Ann", "text": ["see ", {"type": "link", "text": "it"}]}]},
    {"messages": [{"role": "system", "content": "be kind"}, {"role": "Bob", "content": "hi"},
                  {"role": "Ann", "content": [{"type": "text", "text": "see it"}]}]},
    {"conversations": [{"from": "Bob", "value": "hi"}, {"from": "Ann", "value": "see it"}]},
    {"chat_messages": [{"sender": "Bob", "text": "hi"}, {"sender": "Ann", "text": "see it"}]},
    {"messages": [{"sender_name": "Ann", "timestamp_ms": 2, "content": "see it"},
                  {"sender_name": "Bob", "timestamp_ms": 1, "content": "hi"}]},
    {"messages": [{"author": {"name": "Bob"}, "content": "hi"}, {"author": {"name": "Ann"}, "content": "see it"}]},
    [{"type": "message", "user": "Bob", "text": "hi", "ts": "1"}, {"user": "Ann", "text": "see it", "ts": "2"}],
    {"current_node": "c", "mapping": {
        "a": {"message": None, "parent": None}, "x": {"message": {"content": "other branch"}, "parent": "a"},
        "b": {"message": {"author": {"role": "Bob"}, "content": {"parts": ["hi"]}}, "parent": "a"},
        "c": {"message": {"author": {"role": "Ann"}, "content": {"parts": ["see it"]}}, "parent": "b"}}}])
def test_conversations(value):
    assert of(value) == ["Bob: hi\nAnn: see it"] and found(value) == "a chat"
    if isinstance(value, dict):
        assert of([value, value]) == ["Bob: hi\nAnn: see it"] * 2
        assert of({"about": "", "chats": {"list": [value]}}) == ["Bob: hi\nAnn: see it"]
        assert json_lines(json.dumps(value) + "\n", "x", None).documents[0].text == "Bob: hi\nAnn: see it"


def test_names_that_facebook_mangles():
    assert of({"messages": [{"sender_name": "Zo\u00c3\u00ab", "content": "na\u00c3\u00afve"}]}) == ["Zoë: naïve"]


NAMES = st.sampled_from(["text", "data", "messages", "mapping", "content", "role", "parent"])


@given(st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=20))
def test_any_json_gives_documents_or_a_sentence(value):
    for read, text in ((json_text, json.dumps(value)), (json_lines, json.dumps(value) + "\n")):
        try:
            assert all(document.text.strip() for document in read(text, "x", None).documents)
        except UnreadableFile:
            pass
