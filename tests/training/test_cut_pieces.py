"""Pieces of a text cut for filling in: nothing is lost or seen that isn't there, and the same is drawn again."""
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from gpt2_assist.corpus.documents import Document
from gpt2_assist.text.infill import NEW, Infill, infill_of
from gpt2_assist.text.tokenizer import TextTokenizer
from gpt2_assist.training.finetuning.infill_pieces import MORE, CutPieces, Cutting, Lesson
from gpt2_assist.training.finetuning.texts import encoded
from gpt2_assist.training.rows import GIVEN, IGNORED, Pieces

FUNCTION = "def area_{}(width, height):\n    return width * height + {}  # größer 🙂\n"
DOCUMENTS = [Document(FUNCTION.format(number, number) * 4, "a") for number in range(30)] + [
    Document(f"A title {number}", "b", short=True) for number in range(20)]


@pytest.fixture(scope="module")
def tokenizer(infill_model) -> TextTokenizer:
    return TextTokenizer.from_folder(infill_model)


@pytest.fixture(scope="module", params=["SPM", "PSM", "both"])
def infill(request, tokenizer) -> Infill:
    return infill_of({**NEW, "order": request.param, "begin": "<|endoftext|>"}, tokenizer)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80) | st.sampled_from([document.text for document in DOCUMENTS]), st.integers(0, 2**31),
       st.integers(5, 200))
def test_a_cut_piece_holds_the_text_once_in_three_parts(tokenizer, infill, text, seed, room):
    body = np.array(tokenizer.encode(text, plain=True), np.int64)
    cutting = Cutting.of(tokenizer, infill)
    for cut in (cutting, Cutting(tokenizer, infill, cutting.healing, measured=True)):
        found = cut.cut(body, room, np.random.default_rng(seed))
        if found is None:
            assert len(text) < 3 or len(body) + 12 > room
            continue
        ids, targets = found
        assert len(ids) == len(targets) <= room
        whole = [*ids, tokenizer.end_of_text]
        controls = infill.ends - {tokenizer.end_of_text}
        assert all(target == following or target == GIVEN and (following in controls or cut.measured)
                   for target, following in zip(targets, whole[1:]))
        assert not set(targets.tolist()) & controls and targets[-1] == tokenizer.end_of_text
        first = whole.index(infill.middle)
        prompt, middle = whole[:first + 1], whole[first + 1:-1]
        before, after = infill.sides(prompt)
        if infill.order == "both":
            before, middle = middle, []
        data = b"".join(map(tokenizer.token_bytes, [*before, *middle, *after]))
        if len(body) + 12 <= room:
            assert data.decode() == tokenizer.decode(body.tolist()).lstrip("\ufffd")


def test_half_of_the_pieces_are_cut_others_in_each_pass_and_the_same_again(tokenizer):
    infill = infill_of({**NEW, "order": "SPM", "begin": "<|endoftext|>"}, tokenizer)
    text, cutting = encoded(tokenizer, DOCUMENTS, 1000), Cutting.of(tokenizer, infill)
    pieces, plain = CutPieces(text, 64, 3, cutting), Pieces(text, 64, 3)
    cut = []
    for epoch in range(3):
        rows = pieces.filled(pieces.rows(epoch))
        again = CutPieces(text, 64, 3, cutting)
        assert again.filled(again.rows(epoch)).ids.tobytes() == rows.ids.tobytes()
        assert rows.ids.shape[1] <= 64 and (rows.positions < 64).all()
        cut.append((rows.ids == infill.suffix).sum())
        assert (rows.targets == infill.suffix).sum() == 0
        whole = plain.filled(plain.rows(epoch))
        assert abs(rows.count - whole.count) < MORE * len(pieces.rows(epoch))
        short = [ids for ids in rows.ids if tokenizer.encode("<|startoftext|>")[0] in ids]
        assert short, "short texts are read whole too"
    count = len(plain.sample(1 << 30))
    assert count and len(set(cut)) > 1
    pieces_there = sum(len(row) for row in plain.rows(0))
    assert all(abs(number - pieces_there / 2) < 4 * pieces_there**0.5 for number in cut)


def test_rows_of_two_passes_can_be_filled_together_and_measuring_counts_what_is_filled_in(tokenizer):
    infill = infill_of({**NEW, "order": "SPM", "begin": "<|endoftext|>"}, tokenizer)
    text, cutting = encoded(tokenizer, DOCUMENTS, 1000), Cutting.of(tokenizer, infill)
    pieces = CutPieces(text, 64, 3, cutting)
    last, first = pieces.rows(4)[-1], pieces.rows(5)[0]
    both = pieces.filled([last, first])
    alone = [pieces.filled([row]) for row in (last, first)]
    assert [row[row >= 0].tolist() for row in both.targets] == [one.targets[one.targets >= 0].tolist() for one in alone]
    measured = CutPieces(text, 64, 0, Cutting(tokenizer, infill, cutting.healing, 1.0, True))
    rows = measured.filled(measured.sample(1 << 30))
    for ids, targets, segments in zip(rows.ids, rows.targets, rows.segments):
        for segment in range(segments.max() + 1):
            mine, counted = ids[segments == segment].tolist(), targets[segments == segment]
            if infill.middle in mine:
                place = mine.index(infill.middle)
                assert (counted[:place] == GIVEN).all() and (counted[place:] >= 0).all()
            assert (counted != IGNORED).all()


def test_a_model_gets_tokens_that_were_never_used_or_new_ones(infill_model, tiny_model, tmp_path):
    dice = torch.Generator().manual_seed(1)
    shutil.copy(tiny_model / "tokenizer.json", tmp_path)
    inner = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    names = ["<|im_start|>", "<filename>", "<gh_stars>", "<issue_start>", "<jupyter_code>", "<empty_output>"]
    inner.add_special_tokens(names)
    inner.save(str(tmp_path / "tokenizer.json"))
    ids = [inner.token_to_id(name) for name in names]
    embedding = torch.randn(inner.get_vocab_size(), 24, generator=dice)
    embedding[ids[1:]] = embedding[ids[1]] + 0.01 * torch.randn(5, 24, generator=dice)
    lesson = Lesson.of(TextTokenizer.from_folder(tmp_path), {}, embedding)
    assert lesson.new == tuple(ids[2:5]) and lesson.entries["prefix"] == "<gh_stars>"
    assert lesson.entries["begin"] == "<|endoftext|>" and lesson.infill.order == "SPM"
    embedding[ids[2:4]] = torch.randn(2, 24, generator=dice)  # only three are still alike, a file's name among them
    grown = TextTokenizer.from_folder(tmp_path)
    lesson = Lesson.of(grown, {}, embedding)
    assert lesson.new == tuple(range(len(embedding), len(embedding) + 3)) and grown.vocab_size == len(embedding) + 3
    assert [grown.token_bytes(id).decode() for id in lesson.new] == list(NEW.values())
    rows = lesson.rows(embedding, 4)
    assert rows.keys() == set(lesson.new) and not torch.equal(*list(rows.values())[:2])
    assert torch.equal(rows[lesson.new[0]], lesson.rows(embedding, 4)[lesson.new[0]])
    known = Lesson.of(TextTokenizer.from_folder(infill_model), {}, torch.randn(500, 24))
    assert known.new == () and known.entries == {} and known.rows(embedding, 1) == {}
