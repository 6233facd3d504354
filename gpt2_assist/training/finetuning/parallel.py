"""Several processes that train one model, as `torchrun` starts them: each computes a part of a step's gradients, and
may keep but a part of the model."""
import os
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

from gpt2_assist.errors import UsageError
from gpt2_assist.model.transformer import Transformer

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor
    from typing_extensions import TypeIs


def take_device(device: str) -> None:
    """Each process of a machine has a graphics card of its own, and they talk as suits the device. Raises UsageError
    where there are fewer cards."""
    if device == "cuda" and "LOCAL_RANK" in os.environ:
        number = int(os.environ["LOCAL_RANK"])
        if number >= torch.cuda.device_count():
            raise UsageError(f"There are {torch.cuda.device_count()} graphics cards here, fewer than processes: give "
                             "torchrun a smaller --nproc-per-node.")
        torch.cuda.set_device(number)
    if _size() > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if device == "cuda" else "gloo")


def _size() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


class ProcessGroup:
    """One process alone, or all that torchrun started and that took their devices; the first has rank 0."""

    def __init__(self) -> None:
        self.size, self.rank = _size(), int(os.environ.get("RANK", "0"))

    def add(self, parameters: list[torch.nn.Parameter]) -> None:
        """Each one's gradient becomes the sum of those of all processes, of which some may have none."""
        if self.size > 1:
            for parameter in parameters:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                dist.all_reduce(parameter.grad)

    def sum(self, value: float) -> float:
        return sum(self._gathered(value))

    def _gathered(self, value: float) -> list[float]:
        """Of each process, in the order of their ranks."""
        if self.size == 1:
            return [value]
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        values = torch.zeros(self.size, dtype=torch.float64, device=device)
        values[self.rank] = value
        dist.all_reduce(values)
        return values.tolist()

    def least(self, value: float) -> float:
        """The smallest of what the processes have; all must ask."""
        return -max(self._gathered(-value))

    def any(self, here: bool) -> bool:
        """Whether it is so in any of the processes; all must ask."""
        return self.sum(float(here)) > 0

    def share_out(self, model: Transformer) -> None:
        """From now on each process keeps a part of every matrix, of its gradient and so of the optimiser's state, and
        has a block whole only while that computes (FSDP2, after Zhao et al. 2023). Gradients become the sums of those
        of all processes by themselves; what is computed on one is computed on all."""
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method  # half a second
        mesh = init_device_mesh("cuda" if dist.get_backend() == "nccl" else "cpu", (self.size,))
        for parameter in model.parameters():  # those of transposed files are not, and can't be shared out so
            parameter.data = parameter.data.contiguous()
        for module in (*model.layers, model):
            shared = fully_shard(module, mesh=mesh)
            shared.set_gradient_divide_factor(1.0)
            shared.set_force_sum_reduction_for_comms(True)  # what gloo has
        register_fsdp_forward_method(model, "hidden")


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor with the parts of all processes, on the CPU if it was shared out; all must ask."""
    return tensor.full_tensor().cpu() if _is_shared_out(tensor) else tensor


def part_like(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Of a whole tensor what a process keeps of one that is shared out as `like`; else the tensor, on its device."""
    tensor = tensor.to(like.device)
    if not _is_shared_out(like):
        return tensor
    from torch.distributed.tensor import distribute_tensor
    return distribute_tensor(tensor, like.device_mesh, like.placements)


def _is_shared_out(tensor: torch.Tensor) -> "TypeIs[DTensor]":
    return hasattr(tensor, "full_tensor")
