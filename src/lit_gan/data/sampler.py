"""The order of the training images: endless, shuffled, a pure function of (seed, position)."""

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor


@lru_cache(maxsize=2)
def permutation(n: int, seed: int, epoch: int, device: torch.device) -> Int[Tensor, " n"]:
    """The order of the n images in one data epoch."""
    return torch.from_numpy(np.random.default_rng((seed, epoch)).permutation(n)).to(device)


def random_choice(among: int, n: int, seed: int) -> Int[Tensor, " n"]:
    """The indices of n of so many images, in an order that is the same for every n."""
    return torch.from_numpy(np.random.default_rng(seed).permutation(among)[:n])


class EndlessSampler:
    """Indices into n images without end; each data epoch is a new permutation of all of them.

    A position counts the images consumed before, over all data epochs and all ranks. Batches run
    across the border of two data epochs, so that nothing is dropped.

    Args:
        n: the images that it goes over.
        among: the images of which these n are a random choice, decided by the seed alone; a larger
            n contains a smaller one. None: there are no others.
    """

    def __init__(
        self,
        n: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | str = "cpu",
        among: int | None = None,
    ):
        self.n, self.seed, self.rank, self.world_size = n, seed, rank, world_size
        self.device = torch.device(device)
        self.chosen = None if among in (None, n) else random_choice(among, n, seed).to(self.device)

    def take(self, position: int, count: int) -> Int[Tensor, " b"]:
        """This rank's indices, every `world_size`-th, of the `count` ones from `position` on."""
        pieces = []
        for epoch in range(position // self.n, (position + count - 1) // self.n + 1):
            first = epoch * self.n
            order = permutation(self.n, self.seed, epoch, self.device)
            pieces.append(order[max(position - first, 0) : position + count - first])
        taken = torch.cat(pieces)[self.rank :: self.world_size]
        return taken if self.chosen is None else self.chosen[taken]


class Batches:
    """Batches of indices without end; each `iter()` starts at what `position()` then returns."""

    def __init__(self, sampler: EndlessSampler, count: int, position: Callable[[], int]):
        self.sampler, self.count, self.position = sampler, count, position

    def __iter__(self) -> Iterator[Int[Tensor, " b"]]:
        """This rank's share of the indices of each batch of `count` images."""
        position = self.position()
        while True:
            yield self.sampler.take(position, self.count)
            position += self.count
