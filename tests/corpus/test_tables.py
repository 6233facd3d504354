"""Texts in tables and JSON Lines."""
import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt2_assist.corpus.documents import Document, UnreadableFile, clean
from gpt2_assist.corpus.tables import json_lines, rows


def of(text: str, column: str | None = None, tabs: bool = False) -> list[tuple[str, int]]:
    documents = rows(text, "x.csv", column, tabs)
    assert all(document.short and document.source == "x.csv" for document in documents)
    return [(document.text, document.line) for document in documents]


def test_one_column_has_names_only_if_it_is_called_so():
    assert of("one\ntwo\n") == [("one", 1), ("two", 2)]
    assert of("text\none\n") == of("tweet\none\n", "tweet") == [("one", 2)]
    assert of("text\none\n", "tweet") == [("text", 1), ("one", 2)]


def test_rows_over_several_lines_and_empty_ones():
    assert of('"one\n\nmore, ""quoted"""\n\n""\n"two"\n') == [('one\n\nmore, "quoted"', 1), ("two", 6)]


def test_one_of_several_columns():
    table = 'id,text,date\n1,"one, two",x\n2,,y\n3,three,z\n'
    assert of(table, "text") == [("one, two", 2), ("three", 4)]
    assert of(table.replace(",", "\t").replace('"one\t two"', "one, two"), "text", True) == of(table, "text")
    with pytest.raises(UnreadableFile, match=r"several columns \(id, text, date\): choose one"):
        of(table)
    with pytest.raises(UnreadableFile, match="no column texts: it has id, text, date"):
        of(table, "texts")


@pytest.mark.parametrize(("table", "sentence"), [
    ("one\ntwo, three\n", "broken at line 2: it has 2 columns there and 1"),
    ('"one"two\n', "broken at line 1"), ('one\n"two\nthree', "broken at line 3")])
def test_broken_tables(table, sentence):
    with pytest.raises(UnreadableFile, match=sentence):
        of(table)


def test_tabs_need_no_quotes():
    assert of('"one" he said\n"two\n', tabs=True) == [('"one" he said', 1), ('"two', 2)]
    assert of('"one\ttab"\n', tabs=True) == [("one\ttab", 1)]


def test_a_field_of_any_length():
    assert of("x" * 300_000) == [("x" * 300_000, 1)]


@given(st.lists(st.text(st.characters(blacklist_categories=["Cs"])).map(clean), min_size=1), st.sampled_from(",\t"))
def test_what_a_writer_of_tables_writes_is_read(texts, delimiter):
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    writer.writerows([["n", "text"], *enumerate(texts)])
    found = of(file.getvalue(), "text", delimiter == "\t")
    assert [text for text, _ in found] == [text.strip("\n") for text in texts if text.strip()]
    lines = file.getvalue().split("\n")
    numbers = [number for number, text in enumerate(texts) if text.strip()]
    assert all(lines[line - 1].startswith(f"{number}{delimiter}") for (_, line), number in zip(found, numbers))


def test_json_lines():
    text = '{"text": "one\\n"}\n\n"two \\ud800\\u0000"\n{"text": "no", "tweet": "three"}\r\n{"text": ""}\n'
    assert json_lines(clean(text), "x", "tweet") == [
        Document("one", "x", 1, one_line=True), Document("two ", "x", 3, one_line=True),
        Document("three", "x", 4, one_line=True)]


@pytest.mark.parametrize(("line", "sentence"), [
    ("{", "Line 2 of x is no JSON."), ("[" * 100_000, "Line 2 of x is no JSON."), ("9" * 9999, "is no JSON."),
    ("[1]", "Line 2 of x has no text under text."), ('{"a": "b"}', "has no text"), ('{"text": 5}', "has no text"),
    ("null", "has no text")])
def test_broken_json_lines(line, sentence):
    with pytest.raises(UnreadableFile, match=sentence):
        json_lines(f'"one"\n{line}\n', "x", None)


@given(st.lists(st.text()))
def test_any_strings_of_json_are_read(texts):
    documents = json_lines("\n".join(map(json.dumps, texts)), "x", None)
    assert [document.text for document in documents] == [
        clean(text).strip("\n") for text in texts if clean(text).strip()]
