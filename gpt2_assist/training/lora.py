"""Low-rank adapters (Hu et al. 2021, "LoRA"): a frozen model learns by small matrices beside its own.

An adapter's folder has the files and names that `peft` gives one, so either program reads the other's.
"""
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from gpt2_assist.errors import ModelError, UsageError
from gpt2_assist.model.gpt2 import GPT2, Conv1D

TARGETS = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
_PREFIX = "base_model.model.transformer."


@dataclass(frozen=True)
class LoraShape:
    """What an adapter consists of."""

    rank: int = 8
    alpha: float = 16.0
    targets: tuple[str, ...] = ("attn.c_attn",)
    """Names of TARGETS, each in every block."""

    def __post_init__(self) -> None:
        if not 1 <= self.rank <= 1024 or not 0 < self.alpha <= 10_000:
            raise UsageError(f"An adapter's rank must be from 1 to 1024 and its alpha above 0, not {self.rank} and "
                             f"{self.alpha:g}.")
        wrong = [target for target in self.targets if target not in TARGETS]
        if wrong or not self.targets:
            raise UsageError(f"An adapter can't be put at {wrong[0] if wrong else 'nothing'}; "
                             f"choose from {', '.join(TARGETS)}.")

    @property
    def scale(self) -> float:
        return self.alpha / self.rank


class LoraConv1D(nn.Module):
    """A frozen Conv1D and, beside it, a product of two trained matrices [in, rank] and [rank, out]."""

    def __init__(self, base: Conv1D, shape: LoraShape, generator: torch.Generator) -> None:
        super().__init__()
        width_in, width_out = base.weight.shape
        self.weight, self.bias, self.scale = base.weight, base.bias, shape.scale
        bound = 1 / math.sqrt(width_in)  # as peft draws it: Kaiming's uniform with a = sqrt(5)
        self.down = nn.Parameter((2 * torch.rand(width_in, shape.rank, generator=generator) - 1) * bound)
        self.up = nn.Parameter(torch.zeros(shape.rank, width_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weight.t(), self.bias) + self.scale * ((x @ self.down) @ self.up)


def add_adapter(model: GPT2, shape: LoraShape, seed: int) -> None:
    """Freezes the model and puts a new adapter beside its projections; what it computes stays as it was."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for number in range(model.config.n_layer):
        for target in shape.targets:
            parent = model.get_submodule(f"h.{number}.{target.partition('.')[0]}")
            name = target.partition(".")[2]
            setattr(parent, name, LoraConv1D(getattr(parent, name), shape, generator))


def adapter_tensors(model: GPT2) -> dict[str, torch.Tensor]:
    """The adapter's matrices as peft names and turns them: A [rank, in] and B [out, rank], float32."""
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, LoraConv1D):
            found[f"{_PREFIX}{name}.lora_A.weight"] = module.down.detach().t().float().contiguous()
            found[f"{_PREFIX}{name}.lora_B.weight"] = module.up.detach().t().float().contiguous()
    return found


def write_adapter(folder: Path, tensors: dict[str, torch.Tensor], shape: LoraShape, base: str) -> None:
    """Fills a folder. Raises OSError where the disk refuses."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    except SafetensorError as error:  # how it reports a full disk
        raise OSError(str(error)) from None
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base, "r": shape.rank,
              "lora_alpha": shape.alpha, "lora_dropout": 0.0, "target_modules": list(shape.targets),
              "fan_in_fan_out": True, "bias": "none", "inference_mode": True}
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def read_adapter(folder: Path) -> tuple[LoraShape, dict[str, torch.Tensor]]:
    """What write_adapter, or peft, wrote. Raises ModelError where it is missing, damaged or of another kind."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS)
        targets = [config["target_modules"]] if isinstance(config["target_modules"], str) else config["target_modules"]
        named = tuple(target for target in TARGETS if any(
            re.fullmatch(f"(.*[.])?{re.escape(wanted)}", target) for wanted in targets))
        shape = LoraShape(int(config["r"]), float(config["lora_alpha"]), named)
        if config.get("peft_type", "LORA") != "LORA" or config.get("use_rslora") or config.get("use_dora"):
            raise ModelError(f"The adapter {folder} is of a kind that isn't known here.")
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        raise ModelError(f"The adapter {folder} is missing or damaged.") from None
    return shape, tensors


def merged(weights: dict[str, torch.Tensor], shape: LoraShape, adapter: dict[str, torch.Tensor],
           strength: float = 1.0, kind: torch.dtype | None = None) -> dict[str, torch.Tensor]:
    """The base's weights (by GPT2's names) with the adapter added, `strength` 0 being the base itself; others are left
    as they are. All become `kind`, one after the other, or stay of the kind that they are.

    Raises ModelError where the adapter is of another model.
    """
    changes = {}
    for name, down in adapter.items():
        if name.endswith(".lora_A.weight"):
            module = name.removeprefix(_PREFIX).removesuffix(".lora_A.weight")
            weight, up = weights.get(f"{module}.weight"), adapter.get(f"{_PREFIX}{module}.lora_B.weight")
            if weight is None or up is None or weight.shape != (down.shape[1], up.shape[0]):
                raise ModelError(f"The adapter's {module} doesn't fit its base model.")
            changes[f"{module}.weight"] = down, up
    result = {}
    for name, weight in weights.items():
        wanted = kind or weight.dtype
        if name in changes:
            down, up = changes[name]
            weight = torch.addmm(weight.float(), down.t().float(), up.t().float(), alpha=strength * shape.scale)
        result[name] = weight.to(wanted)
    return result
