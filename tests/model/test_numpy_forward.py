"""The plain numpy pass beside the torch model."""
import numpy as np
import pytest
import torch

from gpt2_assist.errors import ModelError
from gpt2_assist.model.numpy_forward import all_logits
from gpt2_assist.model.tensors import ModelTensors
from gpt2_assist.model.weights import load_model


def test_logits_are_those_of_torch(tiny_model):
    tokens = torch.randint(400, (64,), generator=torch.Generator().manual_seed(3)).tolist()
    with torch.no_grad():
        expected = load_model(tiny_model)(torch.tensor([tokens]))[0].numpy()
    ours = all_logits(ModelTensors(tiny_model), tokens)
    assert ours.dtype == np.float32
    assert np.abs(ours - expected).max() < 1e-4 * np.abs(expected).max()
    with pytest.raises(ModelError, match="65 tokens do not fit"):
        all_logits(ModelTensors(tiny_model), [*tokens, 1])
