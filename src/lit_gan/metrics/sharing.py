"""Generated samples of which each process of a training makes and looks at its share."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from lit_gan.system.processes import gathered, rank_and_size
from lit_gan.system.watching import watched


class Draw(Protocol):
    """A stream of generated samples."""

    def __call__(self, n: int) -> Tensor:
        """The next n samples."""

    def skip(self, n: int) -> None:
        """Passes over the next n samples; only called where several processes share a stream."""


def own_batches(draw: Draw, sizes: Sequence[int]) -> Iterator[tuple[range, Tensor]]:
    """This process's share of the batches of a stream, each with the numbers of its samples there.

    Every process starts the same stream and makes whole batches of it, one after the other, so that
    what the processes gather in the order of rank is what one process would have made. A process
    without a share makes the first batch, with no numbers: it must keep none of it, but knows its
    shape.
    """
    rank, world = rank_and_size()
    own = range(len(sizes) * rank // world, len(sizes) * (rank + 1) // world)
    start = 0
    for number, size in enumerate(watched(sizes, len(sizes), "evaluating") if rank == 0 else sizes):
        if number in own:
            yield range(start, start + size), draw(size)
        elif number == 0 and not own:
            yield range(0), draw(size)
        else:
            draw.skip(size)
        start += size


def look_at_all(draw: Draw, sizes: Sequence[int], look: Callable[[Tensor], Tensor]) -> Tensor:
    """What `look` returns for all samples of a stream, on the CPU, the same in every process."""
    parts = [look(samples)[: len(numbers)] for numbers, samples in own_batches(draw, sizes)]
    return gathered(torch.cat(parts).cpu())
