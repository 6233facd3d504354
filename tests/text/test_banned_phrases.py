"""The watch for banned phrases against plain searches in whole texts, also after it went back."""
import codecs

from hypothesis import given
from hypothesis import strategies as st

from gpt2_assist.text.banned import BannedPhrases, BannedWatch

letters = st.sampled_from("abAB ßéİſ😀\ufffd")
phrase_lists = st.lists(st.lists(letters, min_size=1, max_size=6).map("".join), min_size=1, max_size=5)
tokens = st.lists(letters, max_size=3).map("".join).map(str.encode) | st.binary(max_size=3) | st.sampled_from(
    [b"\xf0\x9f", b"\x98\x80", b"\xc3", b"\x9f", b"\xa9"])


def held(data: bytes, phrases: list[str]) -> bool:
    """Whether the text of these bytes holds a phrase; a character that is not finished is none."""
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(data).casefold()
    return any(phrase.casefold() in text for phrase in phrases)


@given(phrase_lists, st.lists(tokens, max_size=25))
def test_the_text_that_stays_never_holds_a_phrase_and_what_has_settled_stays(phrases, drawn):
    watch, kept = BannedWatch(BannedPhrases([], phrases)), []
    for token in drawn:
        settled = watch.settled
        place = watch.feed(token)
        assert (place is not None) == held(b"".join([*kept, token]), phrases)
        kept.append(token)
        if place is not None:
            assert settled <= place < len(kept)
            del kept[place:]
            watch.rewind(place)
        assert settled <= watch.settled <= len(kept) == watch.tokens


@given(phrase_lists, st.lists(tokens, max_size=12))
def test_a_watch_that_begins_behind_settled_tokens_finds_the_same(phrases, drawn):
    watch, kept = BannedWatch(BannedPhrases([], phrases)), []
    for token in drawn:
        place = watch.feed(token)
        if place is not None:
            watch.rewind(place)
            del kept[place:]
            continue
        kept.append(token)
        if watch.settled == len(kept):
            other = BannedWatch(BannedPhrases([], phrases))
            for known in kept:
                other.feed(known)
            other.settle_all()
            for following in (b"ab", b"a", b"\xc3", b"\x9f", b"b"):
                assert (found := watch.feed(following)) == other.feed(following)
                assert watch.settled == other.settled
                if found is not None:
                    break
            return


@given(phrase_lists, st.lists(tokens, max_size=12))
def test_tokens_that_hold_a_phrase_are_known(phrases, drawn):
    banned = BannedPhrases(drawn, phrases)
    for id, token in enumerate(drawn):
        try:
            text = token.decode()
        except UnicodeDecodeError:
            assert id not in banned.held_by
        else:
            assert (id in banned.held_by) == any(phrase.casefold() in text.casefold() for phrase in phrases)
