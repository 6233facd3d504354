"""Text in any usual encoding, damaged or not, and what is none."""
import codecs
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt2_assist.corpus.documents import clean
from gpt2_assist.corpus.encodings import UnknownEncoding, decoded

PROSE = "Grüße aus Köln, “café” – naïve 😀.\nSecond line: żółć.\n"
WESTERN = "Grüße aus Köln, “café” – naïve.\nSecond line: à la carte.\n"


TOLD = {
    "cp1251": "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему.",
    "koi8-r": "Всё смешалось в доме Облонских. Жена узнала, что муж был в связи с гувернанткой.",
    "cp866": "Всё смешалось в доме Облонских. Жена узнала, что муж был в связи с гувернанткой.",
    "iso8859-5": "Як умру, то поховайте мене на могилі, серед степу широкого, на Вкраїні милій.",
    "cp1250": "Litwo! Ojczyzno moja! ty jesteś jak zdrowie; ile cię trzeba cenić, ten tylko się dowie.",
    "iso8859-2": "Když se Řehoř Samsa jednou ráno probudil z nepokojných snů, shledal, že se v posteli proměnil.",
    "cp852": "Mikor egy reggel Gregor Samsa nyugtalan álmából felébredt, szörnyű féreggé változva találta magát.",
    "cp1252": "Longtemps, je me suis couché de bonne heure, et après le père est allé à la forêt.",
    "mac_roman": "Als Gregor Samsa eines Morgens erwachte, fand er sich in seinem Bett; es war schön für später.",
    "cp850": "En un lugar de la Mancha, no ha mucho tiempo que vivía un hidalgo; el niño está aquí.",
    "cp1254": "Gregor Samsa bir sabah bunaltıcı düşlerden uyandığında, kendini dev bir böceğe dönüşmüş buldu.",
    "cp1257": "Kartą gyveno senelis ir senelė. Jie turėjo vištelę margytę. Višta padėjo kiaušinį. Žąsys.",
    "cp1253": "Όταν ο Γκρέγκορ Σάμσα ξύπνησε ένα πρωί από ανήσυχα όνειρα, βρέθηκε στο κρεβάτι του.",
    "cp1255": "בראשית ברא אלהים את השמים ואת הארץ והארץ היתה תהו ובהו וחשך על פני תהום",
    "cp1256": "كان يا ما كان في قديم الزمان ملك عادل يحكم بلادا واسعة وكان له ثلاث بنات جميلات",
    "cp874": "กาลครั้งหนึ่งนานมาแล้ว มีพระราชาองค์หนึ่งปกครองเมืองด้วยความยุติธรรม",
    "shift_jis": "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。",
    "euc_jp": "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。",
    "iso2022_jp": "吾輩は猫である。名前はまだ無い。",
    "gb18030": "从前有座山，山里有座庙，庙里有个老和尚在给小和尚讲故事。春眠不觉晓，处处闻啼鸟。",
    "big5": "從前有座山，山裡有座廟，廟裡有個老和尚在給小和尚講故事。春眠不覺曉，處處聞啼鳥。",
    "euc_kr": "옛날 옛적에 한 나라에 착한 왕이 살고 있었습니다. 그 왕에게는 아름다운 공주가 있었습니다."}
LATER = ("It was a dark and stormy night.\r\n" * 20).encode()


@pytest.mark.parametrize(("content", "name"), [
    (PROSE.encode(), ""), (PROSE.encode("utf-8-sig"), ""), (PROSE.replace("\n", "\r\n").encode(), ""),
    (PROSE.replace("\n", "\r").encode(), ""), (PROSE.encode("utf-16"), "UTF-16"), (PROSE.encode("utf-32"), "UTF-32"),
    (codecs.BOM_UTF16_BE + PROSE.encode("utf-16-be"), "UTF-16"),
    (codecs.BOM_UTF32_BE + PROSE.encode("utf-32-be"), "UTF-32"),
    (PROSE.encode("utf-16-le"), "UTF-16"), (PROSE.encode("utf-16-be"), "UTF-16"), (PROSE.encode("utf-32-le"), "UTF-32"),
    (PROSE.encode("utf-32-be"), "UTF-32"), (PROSE.replace("\n", "\ufeff\n").encode(), ""),
    (PROSE.replace(" ", "\u2060 \u200b").encode(), ""), (PROSE.replace("\n", "\u2028").encode(), "")])
def test_one_text_in_many_encodings(content, name):
    assert decoded(content) == (PROSE, name)


@pytest.mark.parametrize("encoding", TOLD)
def test_encodings_of_many_countries_are_told_and_named(encoding):
    text = TOLD[encoding]
    read, name = decoded((text + "\n").encode(encoding) + LATER)
    assert (read, bool(name)) == (text + "\n" + LATER.decode().replace("\r", ""), True)
    assert decoded((text + "\n").encode(encoding) * 50)[0] == (text + "\n") * 50
    if encoding != "iso2022_jp":
        assert decoded((text + "\n").encode(encoding) + text.encode())[0] == text + "\n" + text


@pytest.mark.parametrize("width", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_wide_characters_without_a_mark(width):
    for text in TOLD.values():
        assert decoded((text + "\n").encode(width))[0] == text + "\n"


@pytest.mark.parametrize("first", TOLD)
def test_what_is_read_wrongly_is_read_by_no_name(first):
    """Text in any encoding is read rightly or refused, as often as one may cut it short."""
    content = TOLD[first].encode(first)
    for end in range(20, len(content)):
        try:
            read = decoded(content[:end])
        except UnknownEncoding:
            continue
        assert read is not None
        wanted = content[:end].decode(first, "ignore")
        assert read[0] in (wanted, wanted + read[0][-1]) or not letters_of(wanted) > 12, (first, end, read)


def letters_of(text: str) -> int:
    return sum(character > "\x7f" for character in text)


def test_what_is_not_certain_is_refused():
    for content in (b"x\xb2y a\xb7b c\xd7d q\xb4\xf7r", bytes(range(160, 256)) * 9):
        with pytest.raises(UnknownEncoding):
            decoded(content)


def test_windows_1252():
    assert decoded(WESTERN.encode("cp1252")) == (WESTERN, "Windows-1252")
    assert decoded((WESTERN + "\x9d").encode("latin-1", "replace") + b"caf\xe9\x81") is not None


def test_both_encodings_in_one_file():
    content = PROSE.encode() + WESTERN.encode("cp1252") + PROSE.encode()
    assert decoded(content) == (PROSE + WESTERN + PROSE, "Windows-1252")


def test_damage_spoils_nothing_around_it():
    content = PROSE.encode()
    cut = content.replace("ü".encode(), b"\xc3", 1)
    assert decoded(cut) == (PROSE.replace("ü", "", 1), "damaged UTF-8")
    nul = (PROSE * 50).encode() + b"\0 end"
    assert decoded(nul) == (PROSE * 50 + " end", "damaged UTF-8")


@pytest.mark.parametrize("content", [
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"text\0more", bytes(range(256)) * 4, random.Random(0).randbytes(9999),
    b"\x7fELF" + bytes(99), b"\x01\x02\x03abc", b"ab\0c", b"hello\0 world",
    random.Random(2).randbytes(4000) + bytes(96),
    codecs.BOM_UTF16_LE + random.Random(1).randbytes(9998)])
def test_what_is_no_text(content):
    assert decoded(content) is None


def test_empty_is_text():
    assert decoded(b"") == ("", "")


@given(st.binary())
def test_any_bytes_give_clean_text_or_none(content):
    try:
        read = decoded(content)
    except UnknownEncoding:
        read = None
    if read is not None:
        read[0].encode()
        assert not re.search("[\0\r]", read[0])


@given(st.text(st.characters(blacklist_categories=["Cc", "Cs"], blacklist_characters="\ufffd")), st.sampled_from([
    ("utf-8", b""), ("utf-8", codecs.BOM_UTF8), ("utf-16-le", codecs.BOM_UTF16_LE),
    ("utf-16-be", codecs.BOM_UTF16_BE)]))
def test_sound_text_comes_back_whole(text, encoding):
    assert decoded(encoding[1] + text.encode(encoding[0]))[0] == clean(text)
