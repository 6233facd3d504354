"""What is said of a text: shares, spans and likeness as slow counts have them, and sentences that hold."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2_assist.originality.index import CopyIndex
from gpt2_assist.originality.likeness import ShortTexts, short_documents
from gpt2_assist.originality.report import Originality, measure

PIECES = st.lists(st.text("ab\n", max_size=25), max_size=4)


def ids(text: str) -> list[int]:
    return [ord(letter) for letter in text]


def decode(tokens: list[int]) -> str:
    return "".join(map(chr, tokens))


def index_of(texts: list[str]) -> CopyIndex:
    return CopyIndex.build([np.array(ids(text), np.uint32) for text in texts],
                           [(f"{number}.txt", 1) for number in range(len(texts))],
                           [np.array([text[:place].count("\n") for place in range(len(text))], int) for text in texts])


def measured(texts: list[str], text: str, **options) -> Originality:
    return measure(index_of(texts), ids(text), decode, **options)


@given(PIECES, st.text("ab\n", max_size=30), st.integers(1, 10))
@settings(max_examples=200, deadline=None)
def test_shares_and_spans_are_what_a_slow_search_counts(texts, text, n):
    found = measured(texts, text, n=n)
    size = min(n, len(text))
    grams = [text[start:start + size] for start in range(len(text) - size + 1)] if text else []
    copied = [any(gram in other for other in texts) for gram in grams]
    assert found.copied_share == pytest.approx(sum(copied) / len(copied) if copied else 0)
    all_spans = {(start, end) for start in range(len(text)) for end in range(start + 1, len(text) + 1)
                 if any(text[start:end] in other for other in texts)}
    whole = {(start, end) for start, end in all_spans if end - start >= size
             and not {(start - 1, end), (start, end + 1)} & all_spans}
    assert [span[:2] for span in found.spans] == sorted(whole)
    for start, end, path, line in found.spans:
        other = texts[int(path.removesuffix(".txt"))]
        assert line in [1 + other[:place].count("\n") for place in range(len(other))
                        if other.startswith(text[start:end], place)]
    assert found.tokens == len(text) and found.n == n
    assert found.longest == len(found.longest_text) == max([end - start for start, end in all_spans], default=0)
    assert (found.longest_source is None) == (found.longest == 0)
    assert found.longest_text in text and all(line and "\n" not in line for line in found.lines())


def grams_of(text: str) -> set[str]:
    return {text[start:start + 4] for start in range(len(text) - 3)} or {text}


@given(st.lists(st.text("ab \u00e9\U0001f600", max_size=9), max_size=6), st.text("ab \u00e9\U0001f600", max_size=9))
@settings(max_examples=300, deadline=None)
def test_the_nearest_is_what_sets_say(texts, text):
    found = ShortTexts(texts).nearest(text)
    likeness = [len(grams_of(text.strip()) & grams_of(other.strip())) / len(
        grams_of(text.strip()) | grams_of(other.strip())) for other in texts]
    if not texts:
        assert found is None
        return
    number, value = found
    assert value == pytest.approx(max(likeness)) and likeness[number] == pytest.approx(value)
    if text.strip() in [other.strip() for other in texts]:
        assert value == 1.0 and texts[number].strip() == text.strip()


def test_surrogates_are_no_harm():
    assert ShortTexts(["\ud800abc", "x"]).nearest("\ud800abc") == (0, 1.0)


def test_a_title_beside_other_titles():
    titles = ["The Old Man and the Sea", "Old Men at Sea", "", "x" * 100]
    near = measured(titles, " The Old Man and the Tea\n").near
    assert (near.text, near.path, near.line) == (titles[0], "0.txt", 1) and 0.6 < near.likeness < 1
    assert measured(titles, titles[1]).near.likeness == 1.0
    assert measured(titles, "x" * 100).near is None
    assert measured(["x" * 100], "short").near is None
    assert measured(titles, "").near is None


def test_short_texts_once_for_many():
    index = index_of(["first title", "y" * 80, "second title"])
    shorts = short_documents(index, decode)
    for text, path in (("first title!", "0.txt"), ("second titles", "2.txt")):
        assert measure(index, ids(text), decode, shorts=shorts).near.path == path
        assert measure(index, ids(text), decode, shorts=shorts) == measure(index, ids(text), decode)


def test_what_is_said():
    story = "Once upon a time\nthere was a fox who could not sleep, and so it walked all night through the wood."
    said = measured([story, "other"], "Here there was a fox who could sing.").lines()
    assert said[0] == "6 of the text's 8 words (75 %) stand so in the training texts."
    assert said[1] == "The longest copied piece has 6 words (0.txt, line 2): “there was a fox who could”"
    assert "21 of the text's 21 words (100 %)" in measured([story], story).lines()[0]
    assert measured([story], "time").lines()[0] == "The text, 1 word, stands in the training texts as a whole."
    assert measured([story], "tame").lines()[0] == "The text, 1 word, does not stand in the training texts as a whole."
    assert "Nothing of it stands in the training texts." in measured([story], "XYZ" * 9).lines()
    assert measured([story], "Ewes could run and pay all bills.").lines()[0].startswith("Nothing of it is copied")
    assert measured([story], "").lines() == ["The text is empty."]
    assert measured(["A Title"], "A Title").lines()[-1] == "It is a copy of a whole text (0.txt, line 1)."
    assert measured(["abcde"], "abcdf").lines()[-1].startswith(
        "The most similar short text shares 33 % of its characters' runs (0.txt, line 1): “abcde”")


def test_much_is_told_shortly():
    pieces = [chr(200 + number) * 9 for number in range(15)]
    said = measured(pieces, "|".join(pieces)).lines()
    assert sum(line.startswith("In line 1: ") for line in said) == 10
    assert "There are 5 more copied pieces." in said
    assert f"In line 1: 1 word as in 1.txt, line 1: “{pieces[1]}”" in said
    assert len(measured(["word " * 200], "word " * 200).lines()[1]) < 300


def test_controls_are_not_shown():
    index = CopyIndex.build([np.array(ids("\x1b[2Jabcdefgh"))], [("\x1b]0;x\x07.txt", 1)])
    said = "\n".join(measure(index, ids("\x1b[2Jabcdefgh"), decode).lines())
    assert "\x1b" not in said and "\x07" not in said and "abcdefgh" in said
