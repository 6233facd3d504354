"""Compiles the kernels of a whole step for a card that isn't there, as the engine would launch them, and prints of each
what the assembler says: `python compiled.py CAPABILITY PRECISION MODEL [ROWS]`, one JSON object a line. MODEL is a
width of GPT-2's, or one of OTHERS.
"""
import json
import re
import subprocess
import sys
import tempfile

import torch
import triton
from triton import knobs
from triton.backends.compiler import GPUTarget
from triton.backends.driver import DriverBase
from triton.runtime.jit import JITFunction

from gpt2_assist.architectures import gpt2
from gpt2_assist.architectures.description import Decoder
from gpt2_assist.engine.cuda import shapes
from gpt2_assist.engine.cuda.launch import Fused
from gpt2_assist.engine.cuda.pool import DevicePages
from gpt2_assist.engine.cuda.step import Step
from gpt2_assist.engine.cuda.weights import KINDS, AdapterTable, Weights

OTHERS = {
    "smollm2": Decoder("llama", 2, 9, 3, 576, 64, 1536, 2048, 49152, norm="rms", positions="rotary", activation="silu",
                       gated=True, biases=()),
    "qwen2": Decoder("qwen2", 2, 14, 2, 896, 64, 4864, 2048, 151936, norm="rms", positions="rotary", activation="silu",
                     gated=True, biases=("qkv",)),
    "qwen3": Decoder("qwen3", 2, 16, 8, 1024, 128, 3072, 2048, 151936, norm="rms", positions="rotary",
                     activation="silu", gated=True, biases=(), head_norms=True),
    "cerebras": gpt2.decoder(2, 17, 1088, 2048, 50257, activation="gelu", n_inner=4352, tied=False)}


class Absent(DriverBase):
    """A card of a capability, of which nothing but that is known."""

    def __init__(self, capability: int) -> None:
        self._target = GPUTarget("cuda", capability, 32)

    @classmethod
    def is_active(cls) -> bool:
        return True

    def get_current_target(self) -> GPUTarget:
        return self._target

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_active_torch_device(self) -> torch.device:
        return torch.device("cpu")

    def get_benchmarker(self):
        raise NotImplementedError

    def map_python_to_cpp_type(self, ty: str) -> str:
        raise NotImplementedError


def figures(kernel) -> dict:
    """What ptxas says of a kernel's code."""
    capability = kernel.metadata.target.arch
    name = f"sm_{capability}{'a' if capability >= 90 else ''}"
    assembler = knobs.nvidia.ptxas_blackwell if capability >= 100 else knobs.nvidia.ptxas
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(kernel.asm["ptx"])
        file.flush()
        said = subprocess.run([assembler.path, "-v", f"--gpu-name={name}", file.name, "-o", "/dev/null"],
                              capture_output=True, text=True, check=True).stderr
    spilled = sum(map(int, re.findall(r"(\d+) bytes spill", said)))
    text = kernel.asm["ptx"]
    return {"kernel": kernel.name, "registers": int(re.search(r"Used (\d+) registers", said)[1]), "spilled": spilled,
            "shared": kernel.metadata.shared, "warps": kernel.metadata.num_warps,
            "products": sorted(set(re.findall(r"(wgmma|mma\.sync|tcgen05\.mma)", text))),
            "contracted": len(re.findall(r"\bfma\.rn\.f32", text))}


def compiled(capability: int, precision: str, config: Decoder, batches: list[int]) -> list[dict]:
    """The kernels of decoding with these numbers of rows, and of a prefill."""
    triton.runtime.driver.set_active(Absent(capability))
    kept = {}
    run = JITFunction.run

    def compile_only(self, *args, grid, warmup, **more):
        kernel = run(self, *args, grid=grid, warmup=True, **more)
        kept[kernel.hash] = kernel
        return kernel

    JITFunction.run = compile_only
    weights = {name: torch.zeros(shape) for name, shape in config.shapes().items()}
    on_card = Weights(config, weights, precision, "cpu")
    pool = DevicePages(config, KINDS[precision], 0, 64, "cpu")
    step = Step(on_card, pool, Fused(on_card, AdapterTable(config, KINDS[precision], "cpu"), pool), "cpu")
    for count in batches:
        step.decode(count, config.n_ctx, 1)
    step.read(step.chunks[-1])
    return [figures(kernel) for kernel in kept.values()]


if __name__ == "__main__":
    capability, precision, model, *batches = sys.argv[1:]
    config = OTHERS.get(model) or gpt2.decoder(2, int(model) // 64, int(model), 1024, 50257)
    for kernel in compiled(int(capability), precision, config, [int(count) for count in batches] or shapes.BATCHES):
        print(json.dumps(kernel))
