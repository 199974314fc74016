"""Points in the plane, for experiments that take seconds.

Gulrajani et al. 2017, Figure 1 and `gan_toy.py`.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from sklearn.datasets import make_swiss_roll
from torch import Tensor

from lit_gan.data.source import Source, SplitSeed, StoredSplit
from lit_gan.ranges import Count, NonNegative, checked


def ring(n: Count, radius: NonNegative) -> Float[Tensor, "n 2"]:
    """n points at equal distances on a circle.

    Args:
        n: number of points.
        radius: radius of the circle, before the division by `scale`.
    """
    angle = 2 * math.pi * torch.arange(n) / n
    return radius * torch.stack([angle.cos(), angle.sin()], 1)


def grid(n: Count, spacing: NonNegative) -> Float[Tensor, "n*n 2"]:
    """The n x n points of a square grid around the origin.

    Args:
        n: points in each row and column.
        spacing: from each to the next, before the division by `scale`.
    """
    ticks = spacing * (torch.arange(n) - (n - 1) / 2)
    return torch.cartesian_prod(ticks, ticks)


class Gaussians(Source):
    """A mixture of round Gaussians of equal weight; the label of a point is its centre.

    `centers` [k, 2] and `std` describe the mixture after the division by `scale`, as the points
    have it.

    Args:
        centers: the centres of the k Gaussians.
        std: the standard deviation around each.
        scale: divides the centres and the standard deviation.
        n: points per split.
        seed: decides the noise around the centres; the splits differ.
    """

    splits = ("train", "test")

    @checked
    def __init__(
        self,
        name: str,
        shape: Sequence[int],
        n_classes: Count,
        centers: Float[Tensor, "k 2"],
        std: NonNegative,
        scale: NonNegative,
        n: Count,
        seed: SplitSeed,
    ):
        super().__init__(name, shape, n_classes)
        self.centers, self.std, self.n, self.seed = centers / scale, std / scale, n, seed

    def load(self, which: str) -> StoredSplit:
        """n points, whose centres take turns."""
        generator = torch.Generator().manual_seed(2 * self.seed + self.splits.index(which))
        labels = torch.arange(self.n) % len(self.centers)
        noise = torch.randn(self.n, 2, generator=generator)
        return StoredSplit(self.centers[labels] + self.std * noise, labels)


class SwissRoll(Source):
    """A spiral: scikit-learn's swiss roll seen from the side.

    The points are `make_swiss_roll(noise)[:, [0, 2]] / scale`.

    Args:
        noise: standard deviation of what is added to each point, before the division by `scale`.
        scale: divides the points.
        n: points per split.
        seed: decides the points; the splits differ.
    """

    splits = ("train", "test")

    @checked
    def __init__(
        self,
        name: str,
        shape: Sequence[int],
        n_classes: None,
        noise: NonNegative,
        scale: NonNegative,
        n: Count,
        seed: SplitSeed,
    ):
        super().__init__(name, shape, n_classes)
        self.noise, self.scale, self.n, self.seed = noise, scale, n, seed

    def load(self, which: str) -> StoredSplit:
        """n points."""
        points, _ = make_swiss_roll(self.n, noise=self.noise, random_state=2 * self.seed + self.splits.index(which))
        return StoredSplit(torch.from_numpy(points[:, [0, 2]] / self.scale).float())
