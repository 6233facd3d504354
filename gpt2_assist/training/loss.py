"""The cross entropy of the next token without ever holding the logits of a whole batch.

A batch of 8192 tokens and a vocabulary of 8192 has 256 MB of logits; touching fresh pages for them costs more time
than the product itself. Here the logits exist for `ROWS` positions at a time, in buffers that each thread keeps,
and the gradient is formed in the same pass.
"""
import threading

import torch

ROWS = 1024
"""Positions of a product: with fewer, adding up the head's gradients costs more than computing them."""
_FEW = 32
"""Positions whose logits are widened to float32 at a time: they stay in the processor's cache."""
_kept = threading.local()


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, weight, targets, kind):  # hidden [N, D], weight [V, D], targets [N]
        N, V = max(1, int((targets >= 0).sum())), weight.shape[0]
        hidden, small_weight = hidden.to(kind), weight.to(kind)
        narrow, wide = _buffers(V, kind, weight.device)
        total = torch.zeros((), dtype=torch.float32, device=weight.device)
        hidden_grad = torch.empty_like(hidden)
        weight_grad = None
        for start in range(0, len(hidden), ROWS):
            x, target = hidden[start:start + ROWS], targets[start:start + ROWS]
            scores = narrow[:len(x)]
            torch.mm(x, small_weight.t(), out=scores)
            for first in range(0, len(x), _FEW):
                total += _softmax(scores[first:first + _FEW], target[first:first + _FEW], N, wide)
            torch.mm(scores, small_weight, out=hidden_grad[start:start + ROWS])
            if weight.requires_grad:
                part = torch.mm(scores.t(), x)
                weight_grad = part.to(weight.dtype) if weight_grad is None else weight_grad.add_(part)
        ctx.save_for_backward(hidden_grad, weight_grad)
        return total / N

    @staticmethod
    def backward(ctx, *grads):
        grad, = grads
        hidden_grad, weight_grad = ctx.saved_tensors
        return hidden_grad.mul_(grad), None if weight_grad is None else weight_grad.mul_(grad), None, None


def _softmax(scores: torch.Tensor, targets: torch.Tensor, count: int, wide: torch.Tensor) -> torch.Tensor:
    """The summed loss of a few rows of scores [n, V], in whose place their gradients come; `wide` is float32 room."""
    logits = wide[:len(scores)]
    counts = (targets >= 0).to(torch.float32)[:, None]
    targets = targets.clamp_min(0)[:, None]
    logits.copy_(scores)
    logits.sub_(logits.amax(dim=1, keepdim=True))
    chosen = logits.gather(1, targets)
    logits.exp_()
    mass = logits.sum(dim=1, keepdim=True)
    logits.mul_(counts / (mass * count))
    logits.scatter_add_(1, targets, counts / -count)
    scores.copy_(logits)
    return ((mass.log() - chosen) * counts).sum()


def _buffers(vocabulary, kind, device):
    key = (vocabulary, kind, device)
    if getattr(_kept, "key", None) != key:
        _kept.key = key
        _kept.pair = (torch.empty(ROWS, vocabulary, dtype=kind, device=device),
                      torch.empty(_FEW, vocabulary, dtype=torch.float32, device=device))
    return _kept.pair


def next_token_loss(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor,
                    kind: torch.dtype = torch.float32) -> torch.Tensor:
    """Mean cross entropy in nats: hidden [N, D], the head's weight [V, D], targets [N], of which negative ones don't
    count. Products run in `kind`.

    The result can be differentiated once.
    """
    return _ChunkedCrossEntropy.apply(hidden, weight, targets, kind)
