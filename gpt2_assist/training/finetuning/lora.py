"""Training of low-rank adapters (Hu et al. 2021, "LoRA"): a frozen model learns by small matrices beside its own."""
import json
import math
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from gpt2_assist.model.adapter import (
    CONFIG,
    TOKENS,
    WEIGHTS,
    Adapter,
    LoraShape,
    stored_adapter,
    stored_modules,
    stored_rows,
)
from gpt2_assist.model.transformer import Embedding, Matrix, Transformer


class LoraMatrix(nn.Module):
    """A frozen matrix and, beside it, a product of two trained matrices [in, rank] and [rank, out]."""

    def __init__(self, base: Matrix, shape: LoraShape, generator: torch.Generator) -> None:
        super().__init__()
        width_in, width_out = base.weight.shape
        self.weight, self.bias, self.scale = base.weight, base.bias, shape.scale
        bound = 1 / math.sqrt(width_in)  # as peft draws it: Kaiming's uniform with a = sqrt(5)
        self.down = nn.Parameter((2 * torch.rand(width_in, shape.rank, generator=generator) - 1) * bound)
        self.up = nn.Parameter(torch.zeros(shape.rank, width_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weight.t(), self.bias) + self.scale * ((x @ self.down) @ self.up)


class TaughtRows(nn.Module):
    """A frozen embedding, and a few rows that are trained in place of its own or behind them."""

    ids: torch.Tensor

    def __init__(self, base: Embedding, rows: dict[int, torch.Tensor]) -> None:
        super().__init__()
        self.weight = base.weight
        self.rows = nn.Parameter(torch.stack(list(rows.values())).float())
        self.register_buffer("ids", torch.tensor(list(rows)), persistent=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        mine = ids[..., None] == self.ids
        x = F.embedding(ids.clamp_max(len(self.weight) - 1), self.weight)
        return torch.where(mine.any(-1, keepdim=True), (mine.to(self.rows.dtype) @ self.rows).to(x.dtype), x)


def add_adapter(model: Transformer, shape: LoraShape, seed: int, rows: dict[int, torch.Tensor] | None = None) -> None:
    """Freezes the model and puts a new adapter beside its projections; what it computes stays as it was, but for tokens
    that get new `rows`."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for number in range(model.config.n_layer):
        for target in shape.targets:
            layer = model.layers[number]
            setattr(layer, target, LoraMatrix(getattr(layer, target), shape, generator))
    if rows:
        model.embedding = TaughtRows(model.embedding, rows)


def adapter_tensors(model: Transformer) -> dict[str, torch.Tensor]:
    """The adapter's matrices as peft names and turns them, A [rank, in] and B [out, rank], and the rows of tokens that
    it has: float32."""
    stored = stored_adapter(dict(_pairs(model)), model.config)
    if isinstance(model.embedding, TaughtRows):
        stored[stored_rows(model.config)[1]] = model.embedding.rows.detach()
    return {name: matrix.clone().contiguous() for name, matrix in stored.items()}


def present_adapter(model: Transformer, shape: LoraShape) -> Adapter:
    """The adapter as it is now, for an engine."""
    rows = {}
    if isinstance(taught := model.embedding, TaughtRows):
        rows = dict(zip(taught.ids.tolist(), taught.rows.detach().cpu().numpy().copy()))
    return Adapter(shape, {name: (down.cpu().numpy(), up.cpu().numpy()) for name, (down, up) in _pairs(model)}, rows)


def _pairs(model: Transformer) -> Iterator[tuple[str, tuple[torch.Tensor, torch.Tensor]]]:
    """By module A [rank, in] and B [out, rank], float32."""
    for name, module in model.named_modules():
        if isinstance(module, LoraMatrix):
            down, up = (matrix.detach().t().float().contiguous() for matrix in (module.down, module.up))
            yield name, (down, up)


def write_adapter(folder: Path, model: Transformer, shape: LoraShape, base: str) -> None:
    """Fills a folder with the adapter of `model`. Raises OSError where the disk refuses."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        save_file(adapter_tensors(model), folder / WEIGHTS, metadata={"format": "pt"})
    except SafetensorError as error:  # how it reports a full disk
        raise OSError(str(error)) from None
    modules, inputs_first = stored_modules(shape, model.config)
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base, "r": shape.rank,
              "lora_alpha": shape.alpha, "lora_dropout": 0.0, "target_modules": modules,
              "fan_in_fan_out": inputs_first, "bias": "none", "inference_mode": True}
    if isinstance(model.embedding, TaughtRows):
        config[TOKENS] = {stored_rows(model.config)[0]: model.embedding.ids.tolist()}
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
