"""Packing loses nothing, and a document doesn't notice which others share its row."""
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpt2_assist.architectures import gpt2
from gpt2_assist.model.transformer import Transformer
from gpt2_assist.training.gradients import ParallelGradients
from gpt2_assist.training.rows import GIVEN, Pieces, Text

LENGTHS = st.lists(st.integers(2, 40), min_size=1, max_size=30)


def text(lengths: list[int], given: list[int] | None = None) -> Text:
    """Documents of the given lengths whose tokens are all different."""
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return Text(np.arange(sum(lengths), dtype=np.uint32), starts, None if given is None else np.array(given, np.int64))


@given(LENGTHS, st.integers(2, 16), st.integers(0, 3), st.data())
def test_every_token_but_a_documents_first_ones_is_a_target_once_a_pass(lengths, context, epoch, data):
    marks = [data.draw(st.integers(0, length - 2)) for length in lengths]
    whole = text(lengths, marks)
    pieces = Pieces(whole, context, seed=5)
    filled = pieces.filled(pieces.rows(epoch))
    counted = filled.targets[filled.targets >= 0]
    wanted = [token for first, end, given in zip(whole.starts, whole.starts[1:], marks)
              for token in range(first + 1 + given, end)]
    assert sorted(counted) == wanted and filled.count == len(wanted)
    assert (filled.ids[filled.targets >= 0] == counted - 1).all()
    assert filled.ids.shape[1] <= context and filled.tokens == pieces.tokens == sum(lengths) - len(lengths)
    assert (filled.targets == GIVEN).sum() == sum(marks)
    assert all(len(ids) == length - 2 - given for ids, length, given in zip(whole.documents(), lengths, marks))


@given(LENGTHS, st.integers(2, 16), st.integers(1, 400))
def test_a_sample_is_taken_evenly_from_the_whole_text(lengths, context, tokens):
    pieces = Pieces(text(lengths), context, seed=5)
    rows = pieces.sample(tokens)
    taken = sorted(piece for row in rows for piece in row)
    assert len(set(taken)) == len(taken) and rows == Pieces(text(lengths), context, seed=5).sample(tokens)
    there = sum(len(range(0, length - 1, context)) for length in lengths)
    if tokens >= pieces.tokens:
        assert taken == list(range(there))
    else:
        count = len(taken)
        assert count == max(1, round(there * tokens / pieces.tokens))
        assert all(number * there // count <= piece < (number + 1) * there // count
                   for number, piece in enumerate(taken)), "one of each part"


def test_the_order_is_another_in_each_pass_and_the_same_again():
    pieces = Pieces(text([9] * 50), 16, seed=1)
    first, second = pieces.rows(0), pieces.rows(1)
    assert first != second and pieces.rows(0) == first == Pieces(text([9] * 50), 16, seed=1).rows(0)
    assert Pieces(text([9] * 50), 16, seed=2).rows(0) != first


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("recompute", [False, True])
def test_packed_documents_give_the_loss_and_gradients_of_separate_ones(replicas, recompute):
    model = Transformer(gpt2.decoder(2, 2, 16, 32, 50))
    model.initialise(torch.Generator().manual_seed(1))
    dice = np.random.default_rng(3)
    lengths = [5, 9, 2, 30, 17, 3, 8, 31, 4]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    tokens = dice.integers(0, 50, sum(lengths)).astype(np.uint16)
    pieces = Pieces(Text(tokens, starts), 32, seed=0)
    model.recompute = recompute
    gradients = ParallelGradients(model, 2, torch.float32, replicas)
    packed = pieces.filled(pieces.rows(0))
    assert packed.count == packed.tokens
    assert packed.segments is not None and len(packed.ids) < len(lengths)
    loss = gradients.accumulate(packed)
    mine = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    model.recompute = False
    total = 0.0
    for first, end in zip(starts[:-1], starts[1:]):
        ids = torch.from_numpy(tokens[first:end].astype(np.int64))
        part = torch.nn.functional.cross_entropy(model(ids[None, :-1])[0], ids[1:], reduction="sum")
        part.backward()
        total += part.item()
    count = packed.count
    assert loss == pytest.approx(total / count, rel=1e-5)
    for name, p in model.named_parameters():
        torch.testing.assert_close(mine[name], p.grad / count, rtol=1e-3, atol=1e-6)
