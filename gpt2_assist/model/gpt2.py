"""GPT-2 in plain torch, with the parameter names and layouts of the hub's files.

Shapes: B sequences, T positions, D width, V vocabulary. The four projections of a block keep the [in, out]
layout of the original Conv1D. The architecture is that of Radford et al. 2019 ("Language Models are Unsupervised
Multitask Learners"): pre-norm blocks, learned positions, tanh GELU, and a head tied to the token embedding.
"""
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from gpt2_assist.errors import ModelError
from gpt2_assist.model.sizes import GPT2Config


class Conv1D(nn.Module):
    """An affine map whose weight is stored [in, out]."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width_in, width_out))
        self.bias = nn.Parameter(torch.zeros(width_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weight.t(), self.bias)


class Attention(nn.Module):
    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.n_head = config.n_head
        self.c_attn = Conv1D(config.n_embd, 3 * config.n_embd)
        self.c_proj = Conv1D(config.n_embd, config.n_embd)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        B, T, D = x.shape
        q, k, v = (part.view(B, T, self.n_head, D // self.n_head).transpose(1, 2)
                   for part in self.c_attn(x).split(D, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        return self.c_proj(y.transpose(1, 2).reshape(B, T, D))


class MLP(nn.Module):
    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.c_fc = Conv1D(config.n_embd, 4 * config.n_embd)
        self.c_proj = Conv1D(4 * config.n_embd, config.n_embd)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.attn = Attention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.mlp = MLP(config)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        x = x + self.attn(self.ln_1(x), mask)
        return x + self.mlp(self.ln_2(x))


class GPT2(nn.Module):
    """The whole model; its state_dict has the hub's names without `transformer.`."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.config = config
        # Not drawn here: drawing on the meta device, where loading begins, makes torch import a second's worth.
        self.wte = nn.Embedding.from_pretrained(torch.empty(config.vocab_size, config.n_embd), freeze=False)
        self.wpe = nn.Embedding.from_pretrained(torch.empty(config.n_ctx, config.n_embd), freeze=False)
        self.h = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.recompute = False
        """Whether blocks are run again in the backward pass instead of keeping what they computed (gradient
        checkpointing; Chen et al. 2016): a third more time for much less memory."""

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Random weights as GPT-2 drew them: normal of 0.02, residual projections divided by sqrt(2 * layers)."""
        residual = (2 * self.config.n_layer) ** -0.5
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                scale = 0.02 * (residual if name.endswith("c_proj.weight") else 1.0)
                parameter.normal_(0.0, scale, generator=generator)

    def hidden(self, ids: torch.Tensor, positions: torch.Tensor | None = None,
               mask: torch.Tensor | None = None) -> torch.Tensor:
        """ids [B, T] -> what the head sees, [B, T, D]. `positions` [T] or [B, T] default to 0 … T-1; `mask`, bool
        [B, 1, T, T], says what each position (third axis) sees, by default itself and all before it."""
        if positions is None:
            if ids.shape[1] > self.config.n_ctx:
                raise ModelError(f"{ids.shape[1]} tokens do not fit the model's context of {self.config.n_ctx}.")
            positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.wte(ids) + self.wpe(positions)
        for block in self.h:
            if self.recompute and torch.is_grad_enabled():
                x = checkpoint(block, x, mask, use_reentrant=False, preserve_rng_state=False)
            else:
                x = block(x, mask)
        return self.ln_f(x)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """ids [B, T] -> logits [B, T, V]."""
        return F.linear(self.hidden(ids), self.wte.weight)
