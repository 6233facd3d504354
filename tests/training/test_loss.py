import pytest
import torch
import torch.nn.functional as F

from gpt2_assist.training.loss import next_token_loss


@pytest.mark.parametrize("rows", [1, 31, 1024, 2100])
def test_loss_and_gradients_equal_the_plain_ones(rows):
    dice = torch.Generator().manual_seed(rows)
    hidden = torch.randn(rows, 12, generator=dice, requires_grad=True)
    weight = torch.randn(37, 12, generator=dice, requires_grad=True)
    targets = torch.randint(37, (rows,), generator=dice)
    plain = F.cross_entropy(hidden @ weight.t(), targets)
    expected = torch.autograd.grad(3 * plain, (hidden, weight))
    ours = next_token_loss(hidden, weight, targets)
    torch.testing.assert_close(ours, plain)
    for mine, other in zip(torch.autograd.grad(3 * ours, (hidden, weight)), expected):
        torch.testing.assert_close(mine, other)


def test_bfloat16_products_stay_near():
    dice = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(300, 64, generator=dice), torch.randn(500, 64, generator=dice) * 0.1
    targets = torch.randint(500, (300,), generator=dice)
    exact = F.cross_entropy(hidden @ weight.t(), targets)
    assert abs(next_token_loss(hidden, weight, targets, torch.bfloat16) - exact) < 0.02


def test_targets_that_dont_count_change_neither_loss_nor_gradients():
    dice = torch.Generator().manual_seed(5)
    hidden = torch.randn(90, 12, generator=dice, requires_grad=True)
    weight = torch.randn(37, 12, generator=dice, requires_grad=True)
    targets = torch.randint(37, (90,), generator=dice)
    targets[::3] = -1
    plain = F.cross_entropy(hidden @ weight.t(), targets, ignore_index=-1)
    ours = next_token_loss(hidden, weight, targets)
    torch.testing.assert_close(ours, plain)
    for mine, other in zip(torch.autograd.grad(ours, (hidden, weight)), torch.autograd.grad(plain, (hidden, weight))):
        torch.testing.assert_close(mine, other)


def test_a_frozen_head_gets_no_gradient():
    hidden, weight = torch.randn(40, 12, requires_grad=True), torch.randn(37, 12)
    loss = next_token_loss(hidden, weight, torch.randint(37, (40,)))
    loss.backward()
    assert weight.grad is None and hidden.grad.abs().sum() > 0
