import pytest
import torch
import torch.nn.functional as F

from gpt2_assist.training.loss import next_token_loss


@pytest.mark.parametrize("rows", [1, 255, 256, 700])
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
