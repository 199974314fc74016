"""What the processes of one training must have in common. A single process is all of them."""

from collections.abc import Iterable
from typing import TypeVar

import torch
from torch import Tensor, distributed

T = TypeVar("T")


@torch.no_grad()
def mean_over_processes(x: Tensor) -> Tensor:
    """The mean of what each process calls with, the same in all; all must call. It carries no
    gradient."""
    if not distributed.is_initialized():
        return x.detach()
    total = x.detach().clone()
    distributed.all_reduce(total)
    return total / distributed.get_world_size()


@torch.no_grad()
def average_over_processes(tensors: Iterable[Tensor]) -> None:
    """Makes each tensor, in place, its mean over the processes, in one message; all must call. A single
    process does not even look for them."""
    tensors = list(tensors) if distributed.is_initialized() else []
    if tensors:
        means = mean_over_processes(torch.cat([tensor.flatten() for tensor in tensors]))
        for tensor, mean in zip(tensors, means.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))


def rank_and_size() -> tuple[int, int]:
    """The number of this process, from 0 on, and how many there are."""
    if not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def from_each(x: T) -> list[T]:
    """What each process calls with, in the order of rank; all must call."""
    if not distributed.is_initialized():
        return [x]
    parts = [x] * distributed.get_world_size()
    distributed.all_gather_object(parts, x)
    return parts


def gathered(x: Tensor) -> Tensor:
    """What each process calls with, on the CPU, one after the other along the first axis; all must
    call."""
    parts = from_each(x)
    return torch.cat(parts) if len(parts) > 1 else x


def from_all(x: Tensor) -> Tensor:
    """What each process calls with, of the same shape in all and on its own device, one after the
    other along the first axis; all must call. It carries no gradient."""
    if not distributed.is_initialized():
        return x.detach()
    x = x.detach().contiguous()
    parts = [torch.empty_like(x) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, x)
    return torch.cat(parts)


def whole_batch(x: Tensor) -> Tensor:
    """The batch of which each process calls with its share, every so many-th row, in the order in which a
    single process has it; all must call. It carries no gradient."""
    return from_all(x).unflatten(0, (rank_and_size()[1], len(x))).transpose(0, 1).flatten(0, 1)


def as_the_first(x: Tensor) -> None:
    """Makes x, in place, that of the first process; all must call."""
    if distributed.is_initialized():
        distributed.broadcast(x, 0)
