"""Gradients of a batch, computed by several threads that each take a part of its rows.

One thread per core, each with single-threaded kernels, keeps all cores busy without a barrier inside every small
product; the parts' gradients are added in a fixed order, so the sum doesn't depend on which thread was first.
"""
import copy
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
import torch
from torch import nn

from gpt2_assist.model.transformer import Transformer
from gpt2_assist.training.loss import next_token_loss
from gpt2_assist.training.rows import Rows


class ParallelGradients:
    """Adds a batch's gradients to those of the parameters of `model` that are trained."""

    def __init__(self, model: Transformer, threads: int, kind: torch.dtype, replicas: int | None = None) -> None:
        """`replicas` threads, by default one per core, share the work; each has gradients of its own, so where these
        are large one thread whose kernels take all cores is better."""
        replicas = replicas or threads
        self._model, self._kind = model, kind
        self._device = model.embedding.weight.device
        self._replicas = [model] + [self._replica(model) for _ in range(replicas - 1)]
        self._pool = ThreadPoolExecutor(replicas, "gradients", initializer=torch.set_num_threads,
                                        initargs=(max(1, threads // replicas),))

    @staticmethod
    def _replica(model: Transformer) -> Transformer:
        """A module with the same weights in memory and gradients of its own."""
        own = {id(p): nn.Parameter(p.data) if p.requires_grad else p for p in model.parameters()}
        return copy.deepcopy(model, own)

    def accumulate(self, rows: Rows, weight: float = 1.0) -> float:
        """Adds the gradients of the rows' mean loss times `weight`; returns the mean loss in nats."""
        loss = self._shared(rows, weight)
        for replica in self._replicas[1:]:
            for mine, extra in zip(self._model.parameters(), replica.parameters(), strict=True):
                if extra.grad is None or extra is mine:
                    continue
                if mine.grad is None:
                    mine.grad = extra.grad
                else:
                    mine.grad.add_(extra.grad)
                extra.grad = None
        return loss

    def loss(self, rows: Rows) -> float:
        """The rows' mean loss in nats, without gradients."""
        return self._shared(rows, None)

    def _shared(self, rows: Rows, weight: float | None) -> float:
        """Each thread's part of the rows, the first threads' first. Without a weight there are no gradients."""
        parts = [part for part in np.array_split(np.arange(len(rows.ids)), len(self._replicas)) if len(part)]
        tokens = max(1, rows.count)
        futures = [self._pool.submit(self._backward, replica, rows.part(part), tokens, weight)
                   for replica, part in zip(self._replicas, parts)]
        wait(futures)  # where one lacks memory, others hold it: what follows begins when all have let go
        return sum([future.result() for future in futures])

    def close(self) -> None:
        self._pool.shutdown()

    def _backward(self, replica: Transformer, rows: Rows, tokens: int, weight: float | None) -> float:
        share = rows.count / tokens
        if not share:
            return 0.0
        with torch.set_grad_enabled(weight is not None):
            loss = self._loss(replica, rows)
        if weight is not None:
            (loss * (share * weight)).backward()
        return loss.item() * share

    def _loss(self, replica: Transformer, rows: Rows) -> torch.Tensor:
        ids, positions, targets = (torch.from_numpy(array).to(self._device)
                                   for array in (rows.ids, rows.positions, rows.targets))
        mask = None if rows.segments is None else _mask(torch.from_numpy(rows.segments).to(self._device))
        with torch.autocast(self._device.type, dtype=self._kind, enabled=self._kind != torch.float32):
            hidden = replica.hidden(ids, positions, mask)
        with torch.autocast(self._device.type, enabled=False):
            return next_token_loss(hidden.reshape(-1, hidden.shape[-1]), replica.head_weight, targets.reshape(-1),
                                   self._kind)


def _mask(segments: torch.Tensor) -> torch.Tensor:
    """segments [B, T] -> bool [B, 1, T, T]: each position sees those of its own document up to itself."""
    same = segments[:, :, None] == segments[:, None, :]
    return torch.tril(same)[:, None]
