"""The names and shapes that follow from a model's sizes, and sizes that are none."""
import pytest
import torch

from gpt2_assist.architectures import gpt2
from gpt2_assist.errors import ModelError
from gpt2_assist.model.transformer import Transformer

GOOD = {"n_layer": 3, "n_head": 5, "n_embd": 35, "n_ctx": 77, "vocab_size": 331}


def test_shapes_are_those_of_the_torch_model_in_its_order():
    config = gpt2.decoder(**GOOD)
    with torch.device("meta"):
        model = Transformer(config)
    assert list(config.shapes().items()) == [(name, tuple(value.shape))
                                             for name, value in model.state_dict().items()]
    assert config.parameters() == sum(value.numel() for value in model.parameters())
    assert gpt2.decoder(12, 12, 768, 1024, 50257).parameters() == 124_439_808


@pytest.mark.parametrize("wrong", [{"n_layer": 0}, {"n_embd": 36}, {"vocab_size": "331"}, {"n_ctx": -1},
                                   {"epsilon": "small"}, {"epsilon": 0},
                                   {"epsilon": float("nan")}])
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(ModelError):
        gpt2.decoder(**{**GOOD, **wrong})
