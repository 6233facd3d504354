"""The one fact on which the engine's exactness stands: a row's bits don't depend on its neighbours."""
import pytest
import torch

from gpt2_assist.engine import linear
from gpt2_assist.engine.linear import Linear


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("wide", "out"), [(24, 72), (256, 768), (768, 3072), (3072, 768), (1024, 1024)])
def test_a_row_has_the_same_bits_among_any_number_of_others(monkeypatch, packed, kind, wide, out):
    if not packed:
        monkeypatch.setattr(linear, "_can_pack", lambda: False)
    dice = torch.Generator().manual_seed(wide)
    weight, bias = torch.randn(out, wide, generator=dice), torch.randn(out, generator=dice)
    x = torch.randn(130, wide, generator=dice)
    product = Linear(weight, bias, kind, "cpu")
    whole = product(x)
    exact = x.double() @ weight.double().t() + bias
    assert (whole - exact).abs().max() < (1e-3 if kind == torch.float32 else 0.02 * exact.abs().max())
    for rows in (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 16, 31, 32, 33, 64, 65, 100):
        assert torch.equal(product(x[:rows]), whole[:rows])
        assert torch.equal(product(x[130 - rows:]), whole[130 - rows:])
