"""What the processes of one training must have in common. A single process is all of them."""

import torch
from torch import Tensor, distributed


@torch.no_grad()
def mean_over_processes(x: Tensor) -> Tensor:
    """The mean of what each process calls with, the same in all; all must call. It carries no
    gradient."""
    if not distributed.is_initialized():
        return x.detach()
    total = x.detach().clone()
    distributed.all_reduce(total)
    return total / distributed.get_world_size()


def rank_and_size() -> tuple[int, int]:
    """The number of this process, from 0 on, and how many there are."""
    if not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def gathered(x: Tensor) -> Tensor:
    """What each process calls with, on the CPU, one after the other along the first axis; all must
    call."""
    if not distributed.is_initialized():
        return x
    parts = [x] * distributed.get_world_size()
    distributed.all_gather_object(parts, x)
    return torch.cat(parts)


def from_all(x: Tensor) -> Tensor:
    """What each process calls with, of the same shape in all and on its own device, one after the
    other along the first axis; all must call. It carries no gradient."""
    if not distributed.is_initialized():
        return x.detach()
    x = x.detach().contiguous()
    parts = [torch.empty_like(x) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, x)
    return torch.cat(parts)


def as_the_first(x: Tensor) -> None:
    """Makes x, in place, that of the first process; all must call."""
    if distributed.is_initialized():
        distributed.broadcast(x, 0)
