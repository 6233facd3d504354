"""What every kernel and every model gives on fixed inputs, as one digest each.

Run as a script, it prints them as JSON: so processes that work by different forms can be compared.
"""
import hashlib
import json

import kernels
import numpy as np
import wild

from gpt2_assist.architectures.description import MATRICES
from gpt2_assist.engine.cpu.cpu_engine import CpuEngine
from gpt2_assist.model.bfloat16 import to_bf16
from gpt2_assist.model.packing import ALL_KINDS, KINDS, pack


def digests() -> dict[str, str]:
    """By the name of what was computed."""
    return {name: hashlib.sha256(b"".join(wild.bits(array).tobytes() for array in arrays)).hexdigest()
            for name, arrays in (_of_rows() | _of_products() | _of_models()).items()}


def _of_rows() -> dict[str, list[np.ndarray]]:
    found: dict[str, list[np.ndarray]] = {}
    for seed, mood in enumerate(wild.MOODS):
        dice = np.random.default_rng(seed)
        for width in wild.WIDTHS:
            x, weight, bias = (wild.wide(wild.numbers(dice, mood, (2, width))) for mood in (mood, "plain", "outlier"))
            query, out = wild.numbers(dice, mood, (2, 96))
            keys = to_bf16(wild.numbers(dice, mood, (96, 16)))
            for name, result in {
                    "layer_norm": kernels.layer_norm(x, weight[0], bias[0], width, 1e-5),
                    "int8 groups": kernels.quantise(x, "int8"), "int4 groups": kernels.quantise(x, "int4"),
                    "gelu_tanh": kernels.gelu_tanh(x), "gelu": kernels.gelu(x), "relu": kernels.relu(x),
                    "gated": kernels.gated(x, x[::-1]), "rms_norm": kernels.rms_norm(x, weight[0], width, 1e-5),
                    "add_to": kernels.add_to(x, bias, weight),
                    "scores_of": kernels.scores_of(query, keys), "softmax": kernels.softmax(x[0], width),
                    "mix_values": kernels.mix_values(query[:11], keys[:, :11].T, out),
                    "low_rank": kernels.low_rank(x, np.repeat(x[0][:, None], 16, axis=1)),
                    "widen_low_rank": kernels.widen_low_rank(out[None], query.reshape(1, 3, 32), out[None, None, :32]),
                    "scale_row": kernels.scale_row(x, query[0])}.items():
                found.setdefault(name, []).extend(result if isinstance(result, tuple) else [result])
    return found


def _of_products() -> dict[str, list[np.ndarray]]:
    found: dict[str, list[np.ndarray]] = {}
    for kind in ALL_KINDS:
        for seed, mood in enumerate(wild.MOODS):
            dice = np.random.default_rng(seed)
            for count in (1, 2, 3, 8):
                packed = pack(wild.numbers(dice, "outlier", (130, 50)), kind)
                x = wild.wide(wild.numbers(dice, mood, (count, 130)))
                found.setdefault(f"{kind} product", []).append(kernels.multiply(kind, packed, x))
    return found


def _of_models() -> dict[str, list[np.ndarray]]:
    tokens = np.random.default_rng(0).integers(211, size=50).tolist()
    found = {}
    for name in wild.MODELS:
        for kind in KINDS:
            engine = CpuEngine(wild.model(name, kind), threads=1)
            adapted = engine.add_adapter(wild.adapter(name, 5, MATRICES))
            found[f"{name} {kind}"] = [engine.all_logits(tokens), engine.all_logits(tokens, adapted)]
    return found


if __name__ == "__main__":
    print(json.dumps(digests()))
