"""Several processes that train one model, as `torchrun` starts them: each computes a part of a step's gradients."""
import os

import torch
import torch.distributed as dist


class Team:
    """One process alone, or all that torchrun started; the first has rank 0."""

    def __init__(self) -> None:
        self.size, self.rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
        if self.size > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")

    def add(self, parameters: list[torch.nn.Parameter]) -> None:
        """Each one's gradient becomes the sum of those of all processes, of which some may have none."""
        if self.size > 1:
            for parameter in parameters:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                dist.all_reduce(parameter.grad)

    def sum(self, value: float) -> float:
        if self.size == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64, device="cuda" if dist.get_backend() == "nccl" else "cpu")
        dist.all_reduce(total)
        return total.item()
