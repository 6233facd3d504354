"""Numba kernels and their cache; imports no torch.

What numba compiles is kept on disk in a folder named after these very sources, the compiler and the processor: numba
itself looks only at the file that a function stands in, not at those it calls.
"""
import hashlib
import os
from pathlib import Path

import llvmlite
import numba
from platformdirs import user_cache_path


def _cache_folder() -> Path:
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__} {os.environ.get('GPT2_ASSIST_SIMD')}".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return user_cache_path("gpt2-assist") / "kernels" / digest.hexdigest()[:16]


numba.config.CACHE_DIR = str(_cache_folder())
