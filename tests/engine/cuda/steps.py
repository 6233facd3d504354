"""Steps over one random model, by the fused kernels and by their plain form. Without a card Triton's interpreter runs
the fused ones."""
import platform
import sys

import torch

from gpt2_assist.architectures.description import MATRICES, Decoder
from gpt2_assist.engine.cuda.plain import PlainKernels
from gpt2_assist.engine.cuda.pool import DevicePages
from gpt2_assist.engine.cuda.step import Step
from gpt2_assist.engine.cuda.weights import KINDS, AdapterTable, Weights
from gpt2_assist.model.adapter import Adapter, LoraShape

NO_BUILDS = (sys.platform, platform.machine()) != ("linux", "x86_64")
"""Whether Triton can't be installed here; elsewhere its lack is a failure."""
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
PAGES = 24


def rotary(architecture: str, **sizes: object) -> Decoder:
    """A small decoder of Llama's kind."""
    fields = {"n_layer": 2, "n_embd": 24, "head_width": 8, "n_inner": 40, "n_ctx": 150, "vocab_size": 211,
              "norm": "rms", "positions": "rotary", "activation": "silu", "gated": True, "biases": (), **sizes}
    return Decoder(architecture, **fields)


def random_weights(config: Decoder, seed: int) -> dict[str, torch.Tensor]:
    dice = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in config.shapes().items():
        values = torch.randn(shape, generator=dice) * (0.5 if len(shape) == 1 else shape[0] ** -0.5)
        weights[name] = values + 1 if "norm" in name and name.endswith("weight") else values
    return weights


def random_adapter(config: Decoder, rank: int, targets: tuple[str, ...] = MATRICES) -> Adapter:
    dice = torch.Generator().manual_seed(rank)
    pairs = {}
    for name, shape in config.shapes().items():
        module = name.removesuffix(".weight")
        if module.partition(".")[2].partition(".")[2] in targets:
            pairs[module] = tuple(torch.randn(size, generator=dice).mul(size[1] ** -0.5).numpy()
                                  for size in ((rank, shape[0]), (shape[1], rank)))
    return Adapter(LoraShape(rank, 2.0 * rank, targets), pairs)


def made(config: Decoder, precision: str, fused: bool) -> tuple[Step, DevicePages]:
    """A step with an adapter of rank 3 at all places and one of rank 20 at the first, as 1 and 2."""
    weights = Weights(config, random_weights(config, 1), precision, DEVICE)
    pool = DevicePages(config, KINDS[precision], 0, PAGES, DEVICE)
    pool.data.copy_(torch.randn(pool.data.shape, generator=torch.Generator().manual_seed(2)))  # of texts read before
    adapters = AdapterTable(config, KINDS[precision], DEVICE)
    adapters.add(random_adapter(config, 3), 1.0)
    adapters.add(random_adapter(config, 20, MATRICES[:1]), 0.5)
    if fused:
        from gpt2_assist.engine.cuda import launch
        if DEVICE == "cpu":  # the interpreter's time is that of programs; how many columns one takes changes no bit
            launch._COLUMNS, launch._CHUNK_COLUMNS = (128,), 128
        return Step(weights, pool, launch.Fused(weights, adapters, pool), DEVICE), pool
    return Step(weights, pool, PlainKernels(weights, adapters, pool), DEVICE), pool
