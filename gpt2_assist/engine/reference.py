"""The slow and obvious engine: for every token a fresh pass of the whole window through model/transformer.py.

What the fast path computes is tested against this one.
"""
from collections.abc import Sequence

import torch

from gpt2_assist.engine.engine import Sampling, Token
from gpt2_assist.engine.samplers import mirostat_of
from gpt2_assist.engine.sampling import sample
from gpt2_assist.engine.window import window_start
from gpt2_assist.model.transformer import Transformer


@torch.inference_mode()
def reference_logits(model: Transformer, tokens: Sequence[int]) -> torch.Tensor:
    """Logits [V] of the token after `tokens`."""
    start = window_start(len(tokens), model.config.n_ctx)
    return model(torch.tensor([list(tokens[start:])]))[0, -1]


def reference_generate(model: Transformer, prompt: Sequence[int], sampling: Sampling, count: int,
                       index: int = 0) -> list[Token]:
    """`count` new tokens of sample `index`."""
    tokens, new, mirostat = list(prompt), [], mirostat_of(sampling)
    for number in range(count):
        logits = reference_logits(model, tokens).numpy()
        new.append(sample(logits, tokens, sampling, index, number, mirostat=mirostat))
        tokens.append(new[-1].id)
    return new
