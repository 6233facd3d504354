"""A batch's gradients by several threads."""
import threading

import numpy as np
import pytest
import torch

from gpt2_assist.architectures import gpt2
from gpt2_assist.model.transformer import Transformer
from gpt2_assist.training.gradients import ParallelGradients
from gpt2_assist.training.rows import plain_rows


class OneFails(Transformer):
    """In one thread it fails at once; in the other it is at work until somebody knows that, for a second at most."""

    def __init__(self) -> None:
        super().__init__(gpt2.decoder(n_layer=1, n_head=1, n_embd=8, n_ctx=8, vocab_size=11))
        self.initialise(torch.Generator().manual_seed(1))
        self.first, self.known, self.was_known = threading.Lock(), threading.Event(), []

    def __deepcopy__(self, memo: dict) -> "OneFails":
        return self

    def hidden(self, *arguments):
        if self.first.acquire(blocking=False):
            raise MemoryError
        self.was_known.append(self.known.wait(1))
        return super().hidden(*arguments)


def test_where_one_thread_fails_none_is_still_at_work_when_that_is_known():
    """Else a training that goes on in smaller portions would find the memory that the others still hold missing too."""
    model = OneFails()
    gradients = ParallelGradients(model, 2, torch.float32)
    ids = np.zeros((4, 8), np.int64)
    with pytest.raises(MemoryError):
        gradients.accumulate(plain_rows(ids, ids, np.zeros(4, np.int64)))
    model.known.set()
    gradients.close()
    assert model.was_known == [False]
