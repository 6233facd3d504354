"""The report of a corpus, in words."""
import pytest

from gpt2_assist.corpus.documents import Document
from gpt2_assist.corpus.duplicates import Duplicates, without_duplicates
from gpt2_assist.corpus.private import Private, Removed, find_private
from gpt2_assist.corpus.reading import Corpus, read_corpus
from gpt2_assist.corpus.report import make_report

NO_DUPLICATES, NOTHING_PRIVATE = Duplicates(0, 0), Private(0, 0, ())


def report(count_tokens=lambda text: len(text) // 4, duplicates=NO_DUPLICATES, private=NOTHING_PRIVATE, skipped=None,
           repaired=None, text="word " * 4000, short=False, found=None, secret=(), removed=None):
    documents = [Document(text, "a.txt", short=short), Document(text + "more", "b.txt"), Document(text, "b.txt", 9)]
    corpus = Corpus(documents, skipped or {}, repaired or {}, found or {}, list(secret))
    return make_report(corpus, documents[:2], duplicates, private, count_tokens, removed)


def test_a_clean_corpus():
    assert report().lines("gpt2") == [
        "2 files, 2 documents, 40 thousand characters, 10 thousand tokens.",
        "Tokens per character 0.25: the tokenizer of gpt2 fits this text."]


def test_everything_that_is_to_be_said():
    lines = report(count_tokens=lambda text: len(text) * 7 // 10, duplicates=Duplicates(2, 5), short=True,
                   repaired={"Windows-1251": 1, "damaged UTF-8": 2}, secret=[".env"], removed=Removed(2, 1),
                   found={"a notebook, its cells": ["a.ipynb"], "a table": ["b.csv", "c.csv"]},
                   private=Private(3, 1, ("x:1: a password", "y:2: an e-mail address")),
                   skipped={"secret": 1, "binary": 3}).lines("mini")
    assert lines == [
        "2 files, 2 documents (1 of them short texts), 40 thousand characters, 28 thousand tokens.",
        "Left out: 3 binary, 1 secret, 2 exact and 5 near duplicates.",
        "Read 2 files, b.csv among them, as a table.", "Read a.ipynb as a notebook, its cells.",
        "Converted or mended, because not in sound UTF-8: 1 in Windows-1251, 2 in damaged UTF-8.",
        "Tokens per character 0.70: the tokenizer of mini splits this text into very small pieces; the model knows "
        "little of this language.",
        "Left out because of something private in it: 2 lines and 1 whole document.",
        "Warning: .env: a file whose name is one of secrets, read because you named it.",
        "Warning: the text holds 1 likely password or key and 3 e-mail addresses; the model may repeat such things to "
        "anybody who uses it, and --without-private leaves them out. Among them:",
        "  x:1: a password", "  y:2: an e-mail address"]


def test_of_many_kinds_the_most_frequent_are_told():
    found = {f"kind {number}": ["x"] * number for number in range(1, 12)}
    lines = report(found=found, removed=Removed(0, 0)).lines("m")
    assert [line for line in lines if line.startswith("Read")] == [
        *(f"Read {number} files, x among them, as kind {number}." for number in range(11, 3, -1)),
        "Read 6 more files as other kinds."]
    assert "Left out because of something private in it: nothing." in lines


def test_little_text():
    said = report(text="short ", count_tokens=lambda text: 1)
    assert said.tokens == 2 and said.characters == 16
    assert said.lines("gpt2")[-1].startswith("This is very little text: with fewer than 2,000 tokens")
    empty = make_report(Corpus([], {}, {}), [], Duplicates(1, 0), Private(0, 0, ()), len)
    assert empty.lines("gpt2")[:2] == ["0 files, 0 documents, 0 characters, 0 tokens.", "Left out: 1 exact duplicate."]


@pytest.mark.parametrize(("tokens", "words"), [
    (1, "1 token."), (1234, "1,234 tokens."), (9999, "9,999 tokens."), (340_400, "340 thousand tokens."),
    (999_400, "999 thousand tokens."), (999_999, "1.0 million tokens."), (1_149_000, "1.1 million tokens."),
    (9_960_000, "10 million tokens."), (2_500_000_000, "2.5 billion tokens.")])
def test_numbers_as_people_say_them(tokens, words):
    counts = iter([tokens, 0])
    assert report(count_tokens=lambda text: next(counts)).lines("gpt2")[0].endswith(f", {words}")


def test_from_files_to_words(tmp_path):
    (tmp_path / "a.txt").write_text("Once upon a time there was a king who lived in a castle.\n" * 3)
    (tmp_path / "b.txt").write_text("Once upon a time there was a king  who lived in a castle.\n" * 3)
    (tmp_path / "c.csv").write_text("Write to anna@company.org\n")
    corpus = read_corpus([str(tmp_path)])
    documents, counts = without_duplicates(corpus.documents)
    said = make_report(corpus, documents, counts, find_private(documents), lambda text: len(text.split()))
    assert (said.files, said.documents, said.short, said.duplicates) == (3, 2, 1, Duplicates(1, 0))
    assert said.vocabulary_fits and said.private.emails == 1
    assert said.lines("gpt2")[-1] == f"  {tmp_path}/c.csv:1: an e-mail address"
