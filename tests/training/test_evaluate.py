import math

import numpy as np
import pytest
import torch

from gpt2_assist.architectures import gpt2
from gpt2_assist.model.transformer import Transformer
from gpt2_assist.training.pretraining.evaluate import bits_per_byte


@pytest.mark.parametrize("length", [1, 15, 16, 17, 24, 40])
def test_every_token_is_scored_once_with_at_least_half_a_context(length):
    model = Transformer(gpt2.decoder(1, 1, 8, 16, 11))
    model.initialise(torch.Generator().manual_seed(0))
    ids = np.append(np.random.default_rng(length).integers(0, 10, length - 1), 10)
    text = [10, *ids.tolist()]
    nats, start, end = 0.0, 0, min(16, length)
    scored = 0
    while scored < length:
        logits = model(torch.tensor([text[start:end]])).log_softmax(-1)[0]
        for place in range(scored, end):
            nats -= logits[place - start, text[place + 1]].item()
        scored = end
        start, end = scored + 1 - 8, min(scored + 1 - 8 + 16, length)
    assert bits_per_byte(model, [ids], [7]) == pytest.approx(nats / math.log(2) / 7, rel=1e-5)
