"""Prompts with text on both sides of the cursor: nothing is lost or mistaken, and one key more changes little."""
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2_assist.errors import ModelError
from gpt2_assist.model.card import Card, read_card, write_card
from gpt2_assist.text.infill import NEW, ORDERS, Infill, Piece, infill_of, reserve, shares
from gpt2_assist.text.tokenizer import TextTokenizer

CONTROLS = [*NEW.values(), "<|file_sep|>", "<|repo_name|>", "<|endoftext|>"]
texts = st.lists(st.text(max_size=12) | st.sampled_from([*CONTROLS, "def ", "\n    return ", "the ", "🙂é語"]),
                 max_size=12).map("".join)


@pytest.fixture(scope="module")
def tokenizer(infill_model) -> TextTokenizer:
    return TextTokenizer.from_folder(infill_model)


@pytest.fixture(scope="module")
def infill(tokenizer) -> Infill:
    return infill_of({}, tokenizer)


@pytest.mark.parametrize("order", ORDERS)
@settings(max_examples=150, deadline=None)
@given(before=texts, after=texts, others=st.lists(st.tuples(texts, texts), max_size=3), name=texts)
def test_a_prompt_gives_both_sides_back_whatever_they_hold(tokenizer, infill, order, before, after, others, name):
    infill = replace(infill, order=order)
    encode = lambda text: tokenizer.encode(text, plain=True)  # noqa: E731
    beside = [Piece(encode(path), encode(text)) for path, text in others]
    ids = infill.prompt(encode(before), encode(after), 1 << 20, beside, encode(name), encode("a repository"))
    first, second = infill.sides(ids)
    assert b"".join(map(tokenizer.token_bytes, first)).decode() == before
    assert b"".join(map(tokenizer.token_bytes, second)).decode() == after
    for control in (infill.prefix, infill.suffix, infill.middle):
        assert ids.count(control) == 1
    assert ids.count(infill.file) == len(others) + bool(encode(name))
    assert ids.count(infill.repository) == 1 and tokenizer.end_of_text not in ids


@pytest.mark.parametrize("order", ORDERS)
@given(before=st.integers(0, 400), after=st.integers(0, 400), room=st.integers(16, 300), others=st.integers(0, 300))
def test_what_does_not_fit_is_cut_far_from_the_cursor(infill, order, before, after, room, others):
    infill = replace(infill, order=order, begin=7)
    wanted = list(range(1000, 1000 + before)), list(range(2000, 2000 + after))
    beside = [Piece([], range(3000, 3000 + others))] if others else []
    ids = infill.prompt(*wanted, room, beside)
    assert len(ids) <= room and ids[0] == 7
    first, second = infill.sides(ids)
    assert wanted[0][before - len(first):] == first and wanted[1][:len(second)] == second
    kept = sum(3000 <= id < 4000 for id in ids)
    assert kept <= room // 4
    assert len(first) == before or len(ids) >= room - room // 8 - 9, "more of the prefix would have fitted"
    assert len(second) == after or len(second) >= (room - kept - 8) // 8 * 2, "the suffix has its share"


@given(after=st.integers(0, 300), room=st.integers(24, 300))
def test_while_one_types_the_cuts_stay_for_an_eighth_of_the_room(after, room):
    """So, with the suffix in front, a key costs its own token, and the prefix anew only once in so many."""
    seen = [shares(before, after, room) for before in range(1200)]
    cuts = [(before - kept, kept_after) for before, (kept, kept_after) in enumerate(seen)]
    changes = [place for place in range(1, len(cuts)) if cuts[place] != cuts[place - 1]]
    assert all(later - earlier >= room // 8 for earlier, later in zip(changes, changes[3:]))
    assert len(changes) <= 1200 // (room // 8) + 3


@given(st.integers(4, 4096), st.integers(0, 10_000))
def test_room_is_left_for_what_is_filled_in(n_ctx, count):
    left = reserve(n_ctx, count)
    assert n_ctx // 8 <= left <= n_ctx // 2
    assert left >= min(count, n_ctx // 2)
    assert reserve(n_ctx, 0) == left or count > n_ctx // 8, "to read ahead is to read what will be asked"


def test_only_tokens_that_the_vocabulary_has_are_known(tokenizer, infill, tiny_model):
    assert infill_of({}, TextTokenizer.from_folder(tiny_model)) is None
    assert (infill.order, infill.begin) == ("PSM", None)
    assert {infill.prefix, infill.suffix, infill.middle, infill.file, infill.repository, *tokenizer.ends} == infill.ends
    plain = TextTokenizer.from_folder(tiny_model)
    with pytest.raises(ModelError, match="fim_prefix"):
        infill_of({**NEW, "order": "PSM"}, plain)
    with pytest.raises(ModelError, match="no control token"):
        infill_of({**NEW, "order": "PSM", "prefix": "e"}, tokenizer)


def test_a_token_that_the_files_call_ordinary_is_still_none_of_the_users(tiny_model, tmp_path):
    """As Qwen's tokenizer.json has them."""
    from tokenizers import AddedToken, Tokenizer
    inner = Tokenizer.from_file(str(tiny_model / "tokenizer.json"))
    inner.add_tokens([AddedToken(name, special=False, normalized=False) for name in NEW.values()])
    inner.save(str(tmp_path / "tokenizer.json"))
    tokenizer = TextTokenizer.from_folder(tmp_path)
    infill = infill_of({}, tokenizer)
    ids = tokenizer.encode("a <|fim_middle|> b", plain=True)
    assert infill.middle not in ids and tokenizer.decode(ids) == "a <|fim_middle|> b"
    assert tokenizer.ordinary_tokens()[infill.middle:] == []


@pytest.mark.parametrize("entries, words", [
    ({"prefix": "<a>", "suffix": "<b>"}, "order"), ({"order": "SPM", "prefix": "<a>"}, "suffix"),
    ({"order": "PSM", "prefix": "<a>", "suffix": "<b>"}, "middle"),
    ({"order": "MPS", "prefix": "<a>", "suffix": "<b>", "middle": "<c>"}, "order"),
    ({**NEW, "order": "SPM", "prefix": ""}, "prefix"), ({**NEW, "order": "SPM", "prefix": 5}, "prefix"),
    ({**NEW, "order": "SPM", "ends": "<x>"}, "ends"), ({**NEW, "order": "SPM", "ends": [5]}, "ends"),
    ({**NEW, "order": "SPM", "more": "<x>"}, "more")])
def test_a_cards_infill_entry_is_checked(tmp_path, entries, words):
    write_card(tmp_path, Card(infill=entries))
    with pytest.raises(ModelError, match=words):
        read_card(tmp_path)


def test_cards_without_the_entry_stay_readable(tmp_path):
    (tmp_path / "card.json").write_text('{"origin": "old"}', encoding="utf-8")
    assert read_card(tmp_path).infill == {}
    write_card(tmp_path, Card(infill={**NEW, "order": "SPM", "begin": "<|endoftext|>", "ends": ["<x>"]}))
    assert read_card(tmp_path).infill["begin"] == "<|endoftext|>"
