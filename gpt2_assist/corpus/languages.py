"""Which encoding of one country bytes are in, where what they then say can be told to be a language.

Nothing is guessed: an encoding counts only if its letters make an alphabet, in words whose capitals stand where they
should, and with the letters (or the words) that are common in the language; where two count, they must say the same.
"""
import re
from collections import Counter
from collections.abc import Iterator

_LATIN = {
    "English": ("éèêëïöüñçàâîôû", "the of and to a in is it was that said", "cp1252 mac_roman cp850"),
    "German": ("äöüß", "der die und das ist nicht ein zu den mit", "cp1252 mac_roman cp850"),
    "French": ("àâæçéèêëîïôœùûüÿ", "le la les de et des un une est pas que", "cp1252 mac_roman cp850"),
    "Spanish": ("áéíñóúü", "el la los de y que en un una no es", "cp1252 mac_roman cp850"),
    "Portuguese": ("áàâãçéêíóôõúü", "o os de e que em um uma não para do da", "cp1252 mac_roman cp850"),
    "Italian": ("àèéìíòóùú", "il la di e che un una per non del è", "cp1252 mac_roman cp850"),
    "Catalan": ("àçéèíïóòúü", "el la els de i que en un una per", "cp1252"),
    "Dutch": ("éèëïóöüá", "de het een en van is niet dat in te", "cp1252 cp850"),
    "Swedish": ("åäöé", "och det att i en som är på inte av", "cp1252 mac_roman cp850"),
    "Danish": ("æøåéòóôêü", "og det at i en som er på ikke av af", "cp1252 mac_roman cp850"),
    "Icelandic": ("áéíóúýðþæö", "og að er í á sem ekki það við", "cp1252"),
    "Polish": ("ąćęłńóśźż", "i w na się nie z że to do jest", "cp1250 iso8859_2 cp852"),
    "Czech": ("áčďéěíňóřšťúůýž", "a se na v je že to s ne by", "cp1250 iso8859_2 cp852"),
    "Slovak": ("áäčďéíĺľňóôŕšťúýž", "a sa na v je že to s nie by", "cp1250 iso8859_2 cp852"),
    "Hungarian": ("áéíóöőúüű", "a az és hogy nem is egy van meg", "cp1250 iso8859_2 cp852"),
    "Croatian": ("čćđšž", "i je u na se da su za ne od in", "cp1250 iso8859_2 cp852"),
    "Romanian": ("ăâîşţșț", "și şi de în la nu a un o care", "cp1250 iso8859_2"),
    "Turkish": ("çğıöşüâîû", "ve bir bu da de için ne çok o", "cp1254"),
    "Lithuanian": ("ąčęėįšųūž", "ir yra kad į ne su iš tai", "cp1257"),
    "Latvian": ("āčēģīķļņšūž", "un ir ka no ar uz par tas", "cp1257"),
    "Estonian": ("äöüõšž", "ja on ei et see ta oli kui", "cp1257 cp1252"),
}
"""(letters besides English ones, the commonest words, encodings) of languages in Latin letters."""
_OTHER = (
    ("cyrillic", re.compile("[\u0400-\u045f\u0490\u0491]"), "оеаинтсрвлі", 0.4,
     ("cp1251", "koi8_u", "cp866", "iso8859_5", "mac_cyrillic")),
    ("greek", re.compile("[\u0386-\u03ce]"), "αοιετσνηρίυκς", 0.5, ("cp1253", "iso8859_7")),
    ("hebrew", re.compile("[\u05b0-\u05f4]"), "יוהלאתרבםמ", 0.5, ("cp1255",)),
    ("arabic", re.compile("[\u0621-\u0652\u067e\u0686\u0698\u06a9\u06af\u06cc]"), "اليمونرتبهد", 0.5,
     ("cp1256", "iso8859_6")),
    ("thai", re.compile("[\u0e01-\u0e3a\u0e3f-\u0e5b]"), "านรอกเงมยลวดทส่้ิี", 0.6, ("cp874",)))
"""(name, letters, the commonest of them, their least share, encodings)."""
_NAMES = {
    "cp1252": "Windows-1252", "cp1250": "Windows-1250", "cp1251": "Windows-1251", "cp1253": "Windows-1253",
    "cp1254": "Windows-1254", "cp1255": "Windows-1255", "cp1256": "Windows-1256", "cp1257": "Windows-1257",
    "cp874": "Windows-874", "koi8_u": "KOI8", "cp866": "DOS-866", "cp850": "DOS-850", "cp852": "DOS-852",
    "iso8859_2": "ISO-8859-2", "iso8859_5": "ISO-8859-5", "iso8859_6": "ISO-8859-6", "iso8859_7": "ISO-8859-7",
    "mac_roman": "Mac Roman", "mac_cyrillic": "Mac Cyrillic", "cp932": "Shift JIS", "euc_jp": "EUC-JP",
    "cp949": "EUC-KR", "gb18030": "GB 18030", "big5hkscs": "Big5"}
_SIGNS = frozenset("«»„“”‚‘’‹›–—…•·°§©®™€£¥¢№¿¡¼½¾×÷±²³µ¹†‡‰ºª¨´\xa0ˇ˘˙˛˝،؛؟״׳฿")
_WORD = re.compile(r"[^\W\d_]+")
_IN_WORD = re.compile(r"(?<=[^\W\d_])[^\x00-\x7f\w’‘·\xa0–—…»«”“´­\u200c\u200d\u0300-\u036f\u0591-\u05c7\u064b-\u0652"
                      r"\u0e30-\u0e4e](?=[^\W\d_])")
_BESIDE_ASCII = re.compile("[A-Za-z](?=[\u2e80-\ud7ff])|[\u2e80-\ud7ff](?=[A-Za-z])")
_SPACED = re.compile("[\u2e80-\u9fff](?= [\u2e80-\u9fff])")
_MIXED_SHARE = 0.2
_SAMPLE_BYTES = 1 << 16
_LEAST_LETTERS = 8
"""Of an alphabet that isn't Latin, for it to be certain."""
_BAD_SHARE = 0.05


def told(content: bytes) -> tuple[str, str] | None:
    """(Python's name of the encoding, its usual name) of bytes that aren't UTF-8; None where it isn't certain."""
    sample = content[:_SAMPLE_BYTES]
    found = [*_asian(sample), *_other(sample), *_latin(sample)]
    if not found:
        return None
    least = min(odd for *_, odd in found)
    found = sorted((entry for entry in found if entry[3] == least), key=lambda entry: -entry[2])
    encoding, text, score, _ = found[0]
    rival = max((other for _, another, other, _ in found if another != text), default=None)
    if rival is not None and score <= 1.3 * rival:
        return None
    return encoding, _NAMES[encoding]


def _read(sample: bytes, encoding: str) -> str | None:
    """None where more than a few bytes are none of the encoding's."""
    text = sample.decode(encoding, "replace")
    return None if text.count("\ufffd") * 200 > len(text) + 400 else text.replace("\ufffd", "")


Candidate = tuple[str, str, float, float]
"""(encoding, text, how like the language it is, the share of what is odd in it)."""


def _asian(sample: bytes) -> Iterator[Candidate]:
    """Those of Japanese, Korean and Chinese, by what most of their characters are."""
    for encoding, share in (("cp932", _japanese), ("euc_jp", _japanese), ("cp949", _korean), ("gb18030", _simplified),
                            ("big5hkscs", _traditional)):
        text = _read(sample, encoding)
        if text is None:
            continue
        wide = [character for character in text if character > "\x7f"]
        if len(wide) < _LEAST_LETTERS // 2 or not share(wide):
            continue
        odd = (len(_BESIDE_ASCII.findall(text)) + (encoding != "cp949") * len(_SPACED.findall(text))) / len(wide)
        if odd <= _MIXED_SHARE:
            yield encoding, text, 1.0, 0.0


def _share(wide: list[str], of) -> float:
    return sum(map(of, wide)) / len(wide)


def _japanese(wide: list[str]) -> bool:
    kana = _share(wide, lambda character: "\u3041" <= character <= "\u3096" or "\u30a1" <= character <= "\u30fc")
    return kana >= 0.2 and _share(wide, lambda character: "\u3000" <= character <= "\u9fff"
                                  or "\uff01" <= character <= "\uff5e" or character in _SIGNS) >= 0.95


def _korean(wide: list[str]) -> bool:
    """Most are of the 2,350 syllables that are written."""
    codes = [character.encode("cp949", "ignore") for character in wide if "\uac00" <= character <= "\ud7a3"]
    return sum(len(code) == 2 and min(code) > 0xA0 for code in codes) >= 0.8 * len(wide)


def _simplified(wide: list[str]) -> bool:
    """Most are of the 3,755 that GB 2312 counts among the commonest."""
    return _is_chinese(wide, "gb2312", 0xB0, 0xD7)


def _traditional(wide: list[str]) -> bool:
    return _is_chinese(wide, "big5", 0xA4, 0xC6)


def _is_chinese(wide: list[str], encoding: str, first: int, last: int) -> bool:
    han = [character for character in wide if "\u3400" <= character <= "\u9fff"]
    common = [character for character in han
              if (code := character.encode(encoding, "ignore")) and first <= code[0] <= last]
    marks = _share(wide, lambda character: "\u3000" <= character <= "\u303f" or "\uff01" <= character <= "\uff5e"
                   or character in _SIGNS)
    return len(han) / len(wide) + marks >= 0.95 and len(common) >= 0.85 * len(han) > 0


def _other(sample: bytes) -> Iterator[Candidate]:
    """Those of languages in letters that aren't Latin."""
    for _, letter, common, least, encodings in _OTHER:
        for encoding in encodings:
            text = _read(sample, encoding)
            if text is None:
                continue
            letters = letter.findall(text)
            odd = _bad(text, letter) / max(1, len(letters))
            share = sum(character.lower() in common for character in letters) / max(1, len(letters))
            if len(letters) >= _LEAST_LETTERS and odd <= _BAD_SHARE and share >= least:
                yield encoding, text, share, odd


def _bad(text: str, letter: re.Pattern[str]) -> int:
    """Characters beyond ASCII that are neither letters nor usual signs, and words that no one would write so."""
    odd = sum(not (letter.match(character) or character in _SIGNS) for character in text if character > "\x7f")
    return odd + _odd_words(text) + len(re.findall(f"[A-Za-z](?={letter.pattern})|{letter.pattern}(?=[A-Za-z])", text))


def _odd_words(text: str) -> int:
    """Places where a sign stands inside a word, a capital behind a small letter, or letters of two scripts."""
    odd = len(_IN_WORD.findall(text))
    for word in _WORD.findall(text):
        if word.isascii():
            continue
        odd += sum(before.islower() and after.isupper() for before, after in zip(word, word[1:]))
        latin = sum(character < "\u0250" for character in word)
        odd += 0 < latin < len(word)
    return odd


def _latin(sample: bytes) -> Iterator[Candidate]:
    """Those of languages in Latin letters with others among them."""
    texts = {encoding: text for encoding in dict.fromkeys(
        name for _, _, names in _LATIN.values() for name in names.split())
        if (text := _read(sample, encoding)) is not None}
    odd = {encoding: _odd_words(text) for encoding, text in texts.items()}
    for letters, words, names in _LATIN.values():
        for encoding in names.split():
            text = texts.get(encoding)
            if text is None:
                continue
            beyond = [character for character in text.lower() if character > "\x7f" and character != "\u0307"]
            strange = sum(character not in letters and character not in _SIGNS for character in beyond)
            share = (strange + odd[encoding]) / max(1, len(beyond))
            if beyond and share <= _BAD_SHARE:
                yield encoding, text, _share_of_words(text, words.split()), share


def _share_of_words(text: str, words: list[str]) -> float:
    counts = Counter(word.lower() for word in _WORD.findall(text))
    return sum(counts[word] for word in words) / max(1, counts.total())


def is_western(content: bytes) -> bool:
    """Whether bytes may well be Windows-1252: few are beyond ASCII, and what they say looks like words."""
    text = content.decode("cp1252", "replace")
    beyond = sum(character > "\x7f" for character in text)
    return 10 * beyond <= 3 * len(text) and 3 * (_odd_words(text) + text.count("\ufffd")) <= beyond + 3
