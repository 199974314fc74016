"""Generated samples of which each process of a training makes and looks at its share."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from lit_gan.system.processes import gathered, rank_and_size
from lit_gan.system.watching import watched

T = TypeVar("T")


class Draw(Protocol):
    """A stream of generated samples."""

    def __call__(self, n: int) -> Tensor:
        """The next n samples."""

    def skip(self, n: int) -> None:
        """Passes over the next n samples; only called where several processes share a stream."""


def own_numbers(sizes: Sequence[int]) -> range:
    """The numbers of the samples in this process's share of the batches of a stream."""
    own = own_share(len(sizes))
    return range(sum(sizes[: own.start]), sum(sizes[: own.stop]))


def own_share(n: int) -> range:
    """The numbers of n batches that this process makes: whole batches, one after the other."""
    rank, world = rank_and_size()
    return range(n * rank // world, n * (rank + 1) // world)


def own_batches(draw: Draw, sizes: Sequence[int]) -> Iterator[tuple[range, Tensor]]:
    """This process's share of the batches of a stream, each with the numbers of its samples there.

    Every process starts the same stream and makes its share of it, so that what the processes
    gather in the order of rank is what one process would have made. A process without a share makes
    the first batch, with no numbers: it must keep none of it, but knows its shape.
    """
    own, start = own_share(len(sizes)), 0
    for number, size in enumerate(watched_once(sizes, "evaluating")):
        if number in own:
            yield range(start, start + size), draw(size)
        elif number == 0 and not own:
            yield range(0), draw(size)
        else:
            draw.skip(size)
        start += size


def watched_once(steps: Sequence[T], what: str) -> Iterable[T]:
    """The steps of a loop that every process goes through, as `watched` in the first one alone."""
    return watched(steps, len(steps), what) if rank_and_size()[0] == 0 else steps


def look_at_all(draw: Draw, sizes: Sequence[int], look: Callable[[Tensor], Tensor]) -> Tensor:
    """What `look` returns for all samples of a stream, on the CPU, the same in every process."""
    parts = [look(samples)[: len(numbers)] for numbers, samples in own_batches(draw, sizes)]
    return gathered(torch.cat(parts).cpu())
