"""What the processes of one training must have in common. A single process is all of them."""

import torch
from torch import Tensor, distributed


@torch.no_grad()
def mean_over_processes(x: Tensor) -> Tensor:
    """The mean of what each process calls with, the same in all; all must call. It carries no gradient."""
    if not distributed.is_initialized():
        return x.detach()
    total = x.detach().clone()
    distributed.all_reduce(total)
    return total / distributed.get_world_size()


def as_the_first(x: Tensor) -> None:
    """Makes x, in place, that of the first process; all must call."""
    if distributed.is_initialized():
        distributed.broadcast(x, 0)
