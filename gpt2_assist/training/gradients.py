"""Gradients of a batch, computed by several threads that each take a part of its sequences.

One thread per core, each with single-threaded kernels, keeps all cores busy without a barrier inside every small
product; the parts' gradients are added in a fixed order, so the sum doesn't depend on which thread was first.
"""
import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from gpt2_assist.model.gpt2 import GPT2
from gpt2_assist.training.loss import next_token_loss


class ParallelGradients:
    """Adds a batch's gradients to the parameters of `model`."""

    def __init__(self, model: GPT2, threads: int, kind: torch.dtype) -> None:
        self._model, self._kind = model, kind
        self._replicas = [model] + [self._replica(model) for _ in range(threads - 1)]
        self._pool = ThreadPoolExecutor(threads, "gradients", initializer=torch.set_num_threads, initargs=(1,))

    @staticmethod
    def _replica(model: GPT2) -> GPT2:
        """A module with the same weights in memory and gradients of its own."""
        replica = copy.deepcopy(model)
        for shared, own in zip(model.parameters(), replica.parameters(), strict=True):
            own.data = shared.data
        return replica

    def accumulate(self, ids: np.ndarray, targets: np.ndarray, offsets: np.ndarray) -> float:
        """ids, targets [B, T]; offsets [B], the position of each sequence's first token. Returns the mean loss."""
        parts = [part for part in np.array_split(np.arange(len(ids)), len(self._replicas)) if len(part)]
        futures = [self._pool.submit(self._backward, replica, ids[part], targets[part], offsets[part],
                                     len(part) / len(ids))
                   for replica, part in zip(self._replicas, parts)]
        loss = sum(future.result() for future in futures)
        for replica in self._replicas[1:len(parts)]:
            for own, extra in zip(self._model.parameters(), replica.parameters(), strict=True):
                if own.grad is None:
                    own.grad = extra.grad
                else:
                    own.grad.add_(extra.grad)
                extra.grad = None
        return loss

    def _backward(self, replica: GPT2, ids: np.ndarray, targets: np.ndarray, offsets: np.ndarray,
                  share: float) -> float:
        positions = torch.from_numpy(offsets[:, None] + np.arange(ids.shape[1]))
        with torch.autocast("cpu", dtype=self._kind, enabled=self._kind != torch.float32):
            hidden = replica.hidden(torch.from_numpy(ids), positions)
        with torch.autocast("cpu", enabled=False):
            loss = next_token_loss(hidden.reshape(-1, hidden.shape[-1]), replica.wte.weight,
                                   torch.from_numpy(targets).reshape(-1), self._kind)
        (loss * share).backward()
        return loss.item() * share
