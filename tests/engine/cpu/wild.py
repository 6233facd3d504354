"""Numbers and models as wild as a kernel may meet them, and what it means that two results are the same."""
import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from safetensors.numpy import save_file

from gpt2_assist.architectures import architecture, gpt2
from gpt2_assist.architectures.description import Decoder
from gpt2_assist.architectures.parts import take_apart
from gpt2_assist.model.adapter import Adapter, LoraShape
from gpt2_assist.model.prepared import Prepared, open_prepared, prepare

MOODS = ("plain", "zeros", "negative zeros", "equal", "tiny", "subnormal", "huge", "outlier", "scattered",
         "alternating", "halves")
WIDTHS = (1, 3, 24, 63, 64, 65, 130, 768)
MODELS = {"narrow": gpt2.decoder(n_layer=2, n_head=3, n_embd=24, n_ctx=50, vocab_size=211),
          "whole tiles": gpt2.decoder(n_layer=2, n_head=3, n_embd=96, n_ctx=50, vocab_size=211),
          "odd heads": gpt2.decoder(n_layer=1, n_head=3, n_embd=60, n_ctx=50, vocab_size=211),
          "relative": gpt2.decoder(n_layer=2, n_head=3, n_embd=24, n_ctx=50, vocab_size=211, n_inner=70, tied=False,
                                   activation="gelu", scaled_by_layer=True),
          "llama": Decoder("llama", 2, 6, 2, 36, 6, 33, 50, 211, norm="rms", positions="rotary", activation="silu",
                           gated=True, biases=()),
          "qwen3": Decoder("qwen3", 2, 4, 1, 40, 20, 96, 50, 211, norm="rms", positions="rotary", activation="silu",
                           gated=True, biases=("qkv", "output"), head_norms=True, tied=False, rope_theta=50.0)}
_FOLDER = TemporaryDirectory(prefix="g2a-")


def numbers(dice: np.random.Generator, mood: str, shape: tuple[int, ...]) -> np.ndarray:
    """float32 numbers; an outlier is 60 times what the others deviate, in one column."""
    drawn = dice.standard_normal(shape)
    if mood == "zeros":
        drawn = np.zeros(shape)
    elif mood == "negative zeros":
        drawn = np.where(drawn < 0, -0.0, 0.0)
    elif mood == "equal":
        drawn = np.full(shape, drawn.flat[0])
    elif mood == "tiny":
        drawn *= 1e-30
    elif mood == "subnormal":
        drawn *= 10.0 ** dice.integers(-45, -36)
    elif mood == "huge":
        drawn *= 1e30
    elif mood == "outlier":
        drawn[..., dice.integers(shape[-1])] *= 60
    elif mood == "scattered":
        drawn *= 10.0 ** dice.integers(-30, 30, shape)
    elif mood == "alternating":
        drawn = np.where(np.arange(drawn.size).reshape(shape) % 2, -30.0, 30.0) + drawn
    elif mood == "halves":  # exactly between two whole numbers, where the largest one is 127
        drawn = np.rint(drawn * 50) + 0.5
        drawn[..., ::32] = 127
    return drawn.astype(np.float32)


def wide(values: np.ndarray) -> np.ndarray:
    """[..., n] padded with zeros to a multiple of 64."""
    return np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, -values.shape[-1] % 64)])


def bits(values: np.ndarray) -> np.ndarray:
    """What is compared: the bits of every number, any NaN like any other."""
    values = np.ascontiguousarray(values)
    if values.dtype == np.float32:
        return np.where(np.isnan(values), np.float32(np.nan), values).view(np.uint32)
    return values


def assert_same(one, other) -> None:
    """Two arrays, or tuples of arrays, have the same bits."""
    if isinstance(one, tuple):
        assert len(one) == len(other)
        for mine, theirs in zip(one, other):
            assert_same(mine, theirs)
    else:
        np.testing.assert_array_equal(bits(one), bits(other))


@cache
def model(name: str, precision: str) -> Prepared:
    """Random weights like real ones: a few channels of the stream, and a few inputs of matrices, are far out."""
    config, folder = MODELS[name], Path(_FOLDER.name) / name
    if not folder.exists():
        folder.mkdir()
        dice = np.random.default_rng(config.n_embd)
        own = architecture(config.architecture)
        parts, tensors = own.hub_parts(config), {}
        for tensor, shape in config.shapes().items():
            tensors |= take_apart(parts[tensor], _tensor(dice, tensor, shape))
        save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(own.to_hub(config)), encoding="utf-8")
    return open_prepared(prepare(folder, precision))


def adapter(name: str, rank: int, targets: tuple[str, ...]) -> Adapter:
    """One that changes much, in all its layers but the last."""
    config, dice = MODELS[name], np.random.default_rng(rank)
    shapes = config.shapes()
    modules = [f"layers.{layer}.{target}" for layer in range(max(1, config.n_layer - 1)) for target in targets]
    return Adapter(LoraShape(rank, 2.0 * rank, targets), {
        module: (numbers(dice, "outlier", (rank, shapes[f"{module}.weight"][0])) * np.float32(0.1),
                 numbers(dice, "plain", (shapes[f"{module}.weight"][1], rank)) * np.float32(0.1))
        for module in modules})


def _tensor(dice: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    drawn = dice.standard_normal(shape) * (1 if len(shape) == 2 and name.startswith("layers.") else 0.3)
    if name.endswith("norm.weight"):
        drawn += 1
    if name.startswith(("embedding", "positions")):
        drawn[:, shape[1] // 2] += 20
    elif name.endswith(("output.weight", "down.weight")):
        drawn[:, shape[1] // 3] *= 60
        drawn[shape[0] // 5] *= 60
    elif name.endswith("up.bias"):
        drawn[shape[0] // 2:] -= 30  # a group that GELU makes nearly zero
    return drawn.astype(np.float32)
