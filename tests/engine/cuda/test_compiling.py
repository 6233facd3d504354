"""The fused kernels compile for cards that aren't here, and ask for no more than a small one has."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from steps import NO_BUILDS

SHARED_OF_A_SMALL_CARD = 99 << 10
"""Bytes that a program can have on compute capability 8.6, 8.9 and 12.0."""


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.skipif(NO_BUILDS, reason="Triton has no builds for this platform")
@pytest.mark.parametrize(("capability", "precision", "model", "batch"), [
    (90, "bf16", 768, 1), (89, "int8", 1024, 8), (89, "fp32", 256, 1), (90, "bf16", "smollm2", 1),
    (89, "int8", "qwen2", 8), (89, "bf16", "qwen3", 2), (89, "fp32", "smollm2", 1), (90, "bf16", "cerebras", 1)])
def test_they_compile_and_fit(capability, precision, model, batch):
    script = Path(__file__).with_name("compiled.py")
    said = subprocess.run([sys.executable, script, *map(str, (capability, precision, model, batch))], check=True,
                          capture_output=True, text=True,
                          env={name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"})
    kernels = [json.loads(line) for line in said.stdout.splitlines()]
    kept = {"product_norm_cache"} if model == "cerebras" or isinstance(model, int) else {"product_norm_heads", "keep"}
    assert {kernel["kernel"] for kernel in kernels} | {"product_mixed_parts"} == kept | {
        "embed", "attend", "product_mixed_parts", "product_norm_inner", "product_plain_parts", "head", "choose",
        "measure", "combine", "product_plain_stream"}
    for kernel in kernels:
        assert kernel["shared"] <= SHARED_OF_A_SMALL_CARD
        assert kernel["spilled"] <= 256
        if precision == "fp32":
            continue  # its products are multiplications and additions in one instruction each
        assert kernel["contracted"] == 0, "a product and a sum in one instruction would have other bits"
        if kernel["kernel"].partition("_")[0] in ("product", "attend", "head"):
            assert kernel["products"] == ["mma.sync"], "other matrix instructions may have other bits"
