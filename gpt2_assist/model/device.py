"""The devices that torch can compute on here."""
import torch

from gpt2_assist.errors import ModelError, UsageError


def choose_device(name: str) -> str:
    """The device that `name` means here. Raises ModelError where torch lacks it."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return next(kind for kind in ("cuda", "mps", "cpu") if there[kind])
    if name not in there:
        raise UsageError(f"There is no device {name}; choose auto, cpu, cuda or mps.")
    if not there[name]:
        raise ModelError(f"This machine's torch has no {name}; use --device cpu.")
    return name
