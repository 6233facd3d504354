"""Texts in tables."""
import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt2_assist.corpus.documents import UnreadableFile, clean
from gpt2_assist.corpus.tables import rows


def of(text: str, column: str | None = None, tabs: bool = False) -> list[tuple[str, int]]:
    documents = rows(text, "x.csv", column, tabs).documents
    assert all(document.short and document.source == "x.csv" for document in documents)
    return [(document.text, document.line) for document in documents]


def found(text: str, column: str | None = None) -> str:
    return rows(text, "x.csv", column, False).found


def test_a_name_above_one_column_is_no_text():
    assert of("one\ntwo\n") == [("one", 1), ("two", 2)]
    assert of("text\none\n") == of("tweet\none\n", "tweet") == of("Überschrift\none\n") == [("one", 2)]
    assert of("kopf\nDer Hund bellt\nDie Katze ist da\n") == [("Der Hund bellt", 2), ("Die Katze ist da", 3)]
    assert of("kopf\nhund\nkatze\n") == [("kopf", 1), ("hund", 2), ("katze", 3)]
    assert of("Once upon a time\nThe end\n")[0] == ("Once upon a time", 1)
    assert found("Title\none\n") == "a table of one column, Title by its first row"
    assert found("one\ntwo\n") == "a table of one column without a name"


def test_a_column_that_is_not_there_is_said_of_any_table():
    for table, words in (("text\none\n", "no column tweet: it has text"), ("one\ntwo\n", "its first row is no row"),
                         ("id;text\n1;a\n2;b\n", "no column tweet: it has id, text")):
        with pytest.raises(UnreadableFile, match=words):
            of(table, "tweet")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_what_parts_the_columns_is_found(delimiter):
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter).writerows(
        [["nr", "Text", "when"], ["1,5", "Hello, you; there | and\tthere", "2020"], ["2,5", "line\nend", "2021"]])
    assert of(clean(file.getvalue())) == [("Hello, you; there | and\tthere", 2), ("line\nend", 3)]
    assert found(clean(file.getvalue())).endswith("(of nr, Text, when); texts from Text")
    assert of(clean(f"sep={delimiter}\r\n" + file.getvalue())) == [
        ("Hello, you; there | and\tthere", 3), ("line\nend", 4)]


def test_a_table_of_spreadsheets_in_europe():
    table = clean("\ufeffid;Titel;Preis\r\n1;Hallo, Welt, da;1,5\r\n2;zwei;2,5\r\n")
    assert of(table, "titel") == of(table, "2") == [("Hallo, Welt, da", 2), ("zwei", 3)]
    assert found(table, "Titel") == "a table of 3 columns parted by semicolons (of id, Titel, Preis); texts from Titel"
    assert found(table) == found(table, "Titel")  # the only column with several words in a cell
    with pytest.raises(UnreadableFile, match=r"several columns \(id, Titel, Wer\): choose one by its name with"):
        of("id;Titel;Wer\n1;Hallo, Welt;Anna Meier\n2;zwei Worte;Bob\n")


def test_a_table_without_names_has_numbers():
    table = "1;Hello you;2020\n2;World there;2021\n"
    assert of(table, "2") == of(table) == [("Hello you", 1), ("World there", 2)]
    table = "1;Hello you;Anna Meier\n2;World there;Bob Meier\n"
    with pytest.raises(UnreadableFile, match="3 columns and no row of names: choose one by its number"):
        of(table)


def test_sentences_with_semicolons_are_no_columns():
    assert of("text\nCome in; sit down.\nNo.\n") == [("Come in; sit down.", 2), ("No.", 3)]
    assert of("Come in; sit down.\nNo.\nYes.\n")[0] == ("Come in; sit down.", 1)


def test_empty_cells_at_the_ends_of_rows():
    assert of("id,text,,\n1,a,,\n2,b,,\n") == of("id,text,n\n1,a\n2,b,\n") == [("a", 2), ("b", 3)]
    assert found("id,text,n\n1\n2,b,1\n3,c,1\n").endswith("; 1 of its rows are shorter than the first")


def test_rows_over_several_lines_and_empty_ones():
    assert of('"one\n\nmore, ""quoted"""\n\n""\n"two"\n') == [('one\n\nmore, "quoted"', 1), ("two", 6)]


def test_one_of_several_columns():
    table = 'id,text,date\n1,"one, two",x\n2,,y\n3,three,z\n'
    assert of(table, "text") == [("one, two", 2), ("three", 4)]
    assert of(table.replace(",", "\t").replace('"one\t two"', "one, two"), "text", True) == of(table, "text")
    assert of(table) == of(table, "text")
    with pytest.raises(UnreadableFile, match="no column texts: it has id, text, date"):
        of(table, "texts")


@pytest.mark.parametrize(("table", "sentence"), [
    ("one\ntwo, three\n", "broken at line 2: it has 2 columns there and 1"),
    ('id;text\n1;a\n2;"b" c\n', "broken at line 3"),
    ('"one"two\n', "broken at line 1"), ('one\n"two\nthree', "broken at line 3")])
def test_broken_tables(table, sentence):
    with pytest.raises(UnreadableFile, match=sentence):
        of(table)


def test_tabs_need_no_quotes():
    assert of('"one" he said\n"two\n', tabs=True) == [('"one" he said', 1), ('"two', 2)]
    assert of('"one\ttab"\n', tabs=True) == [("one\ttab", 1)]


def test_a_field_of_any_length():
    assert of("x" * 300_000) == [("x" * 300_000, 1)]


@given(st.lists(st.text(st.characters(blacklist_categories=["Cs"])).map(clean), min_size=1), st.sampled_from(",;|\t"))
def test_what_a_writer_of_tables_writes_is_read(texts, delimiter):
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    writer.writerows([["n", "text"], *enumerate(texts)])
    read = of(file.getvalue(), "text", delimiter == "\t")
    assert [text for text, _ in read] == [text.strip("\n") for text in texts if text.strip()]
    lines = file.getvalue().split("\n")
    numbers = [number for number, text in enumerate(texts) if text.strip()]
    assert all(lines[line - 1].startswith(f"{number}{delimiter}") for (_, line), number in zip(read, numbers))
