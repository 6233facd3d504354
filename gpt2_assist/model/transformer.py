"""A decoder in plain torch; its parameters have the names and layouts of the description.

Shapes: B sequences, T positions, D width, V vocabulary, H heads, K heads of keys and values. Matrices are [in, out].
Blocks are pre-norm, as in Radford et al. 2019 ("Language Models are Unsupervised Multitask Learners") and Touvron et
al. 2023 ("LLaMA").
"""
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from gpt2_assist.architectures.description import Decoder
from gpt2_assist.errors import ModelError
from gpt2_assist.model.rotation import rotation

ACTIVATIONS = {"gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "gelu": F.gelu, "relu": F.relu, "silu": F.silu}
_RESIDUAL = ("output.weight", "down.weight")


class Matrix(nn.Module):
    """An affine map whose weight is stored [in, out]."""

    def __init__(self, width_in: int, width_out: int, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width_in, width_out))
        self.bias = nn.Parameter(torch.zeros(width_out)) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weight.t(), self.bias)


class RMSNorm(nn.Module):
    """Zhang and Sennrich 2019 ("Root Mean Square Layer Normalization"), in fp32."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(x.float(), self.weight.shape, self.weight.float(), self.epsilon).to(x.dtype)


class Block(nn.Module):
    def __init__(self, config: Decoder, layer: int) -> None:
        super().__init__()
        self._config, self._activation = config, ACTIVATIONS[config.activation]
        self._scale = None if config.scaled and not config.scaled_by_layer else 1 / config.divisor(layer)

        def matrix(role: str) -> Matrix:
            return Matrix(*config.matrix_shape(role), role in config.biases)
        self.attention_norm, self.qkv = _norm(config), matrix("qkv")
        if config.head_norms:
            self.query_norm, self.key_norm = (RMSNorm(config.head_width, config.epsilon) for _ in range(2))
        self.output, self.inner_norm = matrix("output"), _norm(config)
        self.up, self.down = matrix("up"), matrix("down")

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None, turns: torch.Tensor | None) -> torch.Tensor:
        x = x + self._attend(self.attention_norm(x), mask, turns)
        inner = self.up(self.inner_norm(x))
        if self._config.gated:
            gates, through = inner.chunk(2, dim=-1)
            return x + self.down(self._activation(gates) * through)
        return x + self.down(self._activation(inner))

    def _attend(self, x: torch.Tensor, mask: torch.Tensor | None, turns: torch.Tensor | None) -> torch.Tensor:
        config, (B, T, _) = self._config, x.shape
        widths = (config.attention_width, config.kv_width, config.kv_width)
        q, k, v = (part.view(B, T, -1, config.head_width).transpose(1, 2) for part in self.qkv(x).split(widths, dim=2))
        if config.head_norms:
            q, k = self.query_norm(q), self.key_norm(k)
        if turns is not None:
            q, k = rotated(q, turns), rotated(k, turns)
        if config.n_kv_head != config.n_head:
            k, v = (part.repeat_interleave(config.n_head // config.n_kv_head, dim=1) for part in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, scale=self._scale)
        return self.output(y.transpose(1, 2).reshape(B, T, config.attention_width))


class Embedding(Protocol):
    """Torch's, or one that a training puts in its place."""

    weight: torch.Tensor

    def __call__(self, ids: torch.Tensor, /) -> torch.Tensor: ...


class Transformer(nn.Module):
    """The whole model; its state_dict has the names and shapes of `config.shapes()`."""

    def __init__(self, config: Decoder) -> None:
        super().__init__()
        self.config = config
        # Not drawn here: drawing on the meta device, where loading begins, makes torch import a second's worth.
        self.embedding: Embedding = _table(config.vocab_size, config.n_embd)
        if config.positions == "learned":
            self.positions = _table(config.n_ctx, config.n_embd)
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        self.norm = _norm(config)
        if not config.tied:
            self.head = _table(config.vocab_size, config.n_embd)
        self.recompute = False
        """Whether blocks are run again in the backward pass instead of keeping what they computed (gradient
        checkpointing; Chen et al. 2016): a third more time for much less memory."""
        self._turns: torch.Tensor | None = None

    @property
    def head_weight(self) -> torch.Tensor:
        """[V, D]."""
        return self.embedding.weight if self.config.tied else self.head.weight

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Random weights as GPT-2 drew them: normal of 0.02, residual projections divided by sqrt(2 * layers)."""
        residual = (2 * self.config.n_layer) ** -0.5
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                scale = 0.02 * (residual if name.endswith(_RESIDUAL) else 1.0)
                parameter.normal_(0.0, scale, generator=generator)

    def hidden(self, ids: torch.Tensor, positions: torch.Tensor | None = None,
               mask: torch.Tensor | None = None) -> torch.Tensor:
        """ids [B, T] -> what the head sees, [B, T, D]. `positions` [T] or [B, T] default to 0 … T-1; `mask`, bool
        [B, 1, T, T], says what each position (third axis) sees, by default itself and all before it."""
        if positions is None:
            if ids.shape[1] > self.config.n_ctx:
                raise ModelError(f"{ids.shape[1]} tokens do not fit the model's context of {self.config.n_ctx}.")
            positions = torch.arange(ids.shape[1], device=ids.device)
        x, turns = self.embedding(ids), None
        if self.config.positions == "learned":
            x = x + self.positions(positions)
        else:
            turns = self._turned(ids.device, int(positions.max()) + 1)[positions]
        for block in self.layers:
            if self.recompute and torch.is_grad_enabled():
                x = checkpoint(block, x, mask, turns, use_reentrant=False, preserve_rng_state=False)
            else:
                x = block(x, mask, turns)
        return self.norm(x)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """ids [B, T] -> logits [B, T, V]."""
        return F.linear(self.hidden(ids), self.head_weight)

    def _turned(self, device: torch.device, count: int) -> torch.Tensor:
        """The rotations [at least `count`, 2, head width / 2]."""
        if self._turns is None or len(self._turns) < count or self._turns.device != device:
            made = rotation(self.config.head_width, self.config.rope_theta, -(-count // 256) * 256)
            self._turns = torch.from_numpy(made).to(device)
        return self._turns


def rotated(x: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """x [B, heads, T, d], each position turned by `turns` [T, 2, d / 2] or [B, T, 2, d / 2]."""
    if turns.dim() == 4:
        turns = turns[:, None]
    cosine, sine = turns[..., 0, :], turns[..., 1, :]
    first, second = x.float().chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1).to(x.dtype)


def _norm(config: Decoder) -> nn.Module:
    if config.norm == "rms":
        return RMSNorm(config.n_embd, config.epsilon)
    return nn.LayerNorm(config.n_embd, eps=config.epsilon)


def _table(rows: int, width: int) -> nn.Embedding:
    return nn.Embedding.from_pretrained(torch.empty(rows, width), freeze=False)
