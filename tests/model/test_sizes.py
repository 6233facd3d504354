"""The names and shapes that follow from a model's sizes, and sizes that are none."""
import pytest
import torch

from gpt2_assist.errors import ModelError
from gpt2_assist.model.gpt2 import GPT2
from gpt2_assist.model.sizes import GPT2Config, expected_shapes, parameter_count

GOOD = {"n_layer": 3, "n_head": 5, "n_embd": 35, "n_ctx": 77, "vocab_size": 331}


def test_shapes_are_those_of_the_torch_model_in_its_order():
    config = GPT2Config(**GOOD)
    with torch.device("meta"):
        model = GPT2(config)
    assert list(expected_shapes(config).items()) == [(name, tuple(value.shape))
                                                     for name, value in model.state_dict().items()]
    assert parameter_count(config) == sum(value.numel() for value in model.parameters())
    assert parameter_count(GPT2Config(12, 12, 768, 1024, 50257)) == 124_439_808


@pytest.mark.parametrize("wrong", [{"n_layer": 0}, {"n_embd": 36}, {"vocab_size": "331"}, {"n_ctx": -1},
                                   {"layer_norm_epsilon": "small"}, {"layer_norm_epsilon": 0},
                                   {"layer_norm_epsilon": float("nan")}])
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(ModelError):
        GPT2Config(**{**GOOD, **wrong})
