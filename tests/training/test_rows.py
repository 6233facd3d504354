"""Packing loses nothing, and a document doesn't notice which others share its row."""
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpt2_assist.model.gpt2 import GPT2
from gpt2_assist.model.sizes import GPT2Config
from gpt2_assist.training.gradients import ParallelGradients
from gpt2_assist.training.rows import IGNORED, Pieces

LENGTHS = st.lists(st.integers(2, 40), min_size=1, max_size=30)


def stream(lengths: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Documents of the given lengths whose tokens are all different."""
    return np.arange(sum(lengths), dtype=np.uint32), np.concatenate([[0], np.cumsum(lengths)])


@given(LENGTHS, st.integers(2, 16), st.integers(0, 3))
def test_every_token_but_a_documents_first_is_a_target_once_a_pass(lengths, context, epoch):
    tokens, starts = stream(lengths)
    pieces = Pieces(tokens, starts, context, seed=5)
    filled = pieces.filled(pieces.rows(epoch))
    counted = filled.targets[filled.targets != IGNORED]
    assert sorted(counted) == sorted(set(range(len(tokens))) - set(starts[:-1].tolist()))
    assert (filled.ids[filled.targets != IGNORED] == counted - 1).all()
    assert filled.ids.shape[1] <= context and pieces.tokens == len(counted)


def test_the_order_is_another_in_each_pass_and_the_same_again():
    pieces = Pieces(*stream([9] * 50), 16, seed=1)
    first, second = pieces.rows(0), pieces.rows(1)
    assert first != second and pieces.rows(0) == first == Pieces(*stream([9] * 50), 16, seed=1).rows(0)
    assert Pieces(*stream([9] * 50), 16, seed=2).rows(0) != first


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("recompute", [False, True])
def test_packed_documents_give_the_loss_and_gradients_of_separate_ones(replicas, recompute):
    model = GPT2(GPT2Config(2, 2, 16, 32, 50))
    model.initialise(torch.Generator().manual_seed(1))
    dice = np.random.default_rng(3)
    lengths = [5, 9, 2, 30, 17, 3, 8, 31, 4]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    tokens = dice.integers(0, 50, sum(lengths)).astype(np.uint16)
    pieces = Pieces(tokens, starts, 32, seed=0)
    model.recompute = recompute
    gradients = ParallelGradients(model, 2, torch.float32, replicas)
    packed = pieces.filled(pieces.rows(0))
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
