"""Where a model can run, found out without torch, whose import alone takes longer than a small model's load."""
import ctypes
import platform
import sys


def settled(name: str) -> str:
    """The device that a request's `auto`, cpu, cuda or mps means here; torch has the last word on all but cpu."""
    if name != "auto":
        return name
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "mps"
    return "cuda" if _cuda_devices() and _torch_has_cuda() else "cpu"


def _cuda_devices() -> int:
    """Graphics cards that NVIDIA's driver knows; 0 without a driver."""
    for name in ("libcuda.so.1", "nvcuda.dll"):
        try:
            driver = ctypes.CDLL(name)
        except OSError:
            continue
        count = ctypes.c_int(0)
        if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0:
            return count.value
    return 0


def _torch_has_cuda() -> bool:
    """Whether torch finds a card and was built for one as old as that."""
    import torch
    if not torch.cuda.is_available():
        return False
    built_for = [int(name.split("_")[1].rstrip("af")) for name in torch.cuda.get_arch_list()]
    major, minor = torch.cuda.get_device_capability()
    return 10 * major + minor >= min(built_for, default=0)
