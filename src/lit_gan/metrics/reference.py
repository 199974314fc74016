"""What real images come to: mean, covariance and the features that scores are taken against."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

Pool = Float[Tensor, "n f"]


class Moments:
    """Mean and unbiased covariance of features that come batch by batch.

    They are sums of products, of which nearly equal ones are subtracted in the end: float32 would
    lose the digits that a small FID consists of, so that they are kept in float64.

    Args:
        n: how many features have come so far; this and the other sums are added to in place.
        total: their sum.
        products: the sum of their products with each other.
    """

    ROWS = 1000
    """Features that are copied to float64 at a time."""

    def __init__(self, n: Int[Tensor, ""], total: Float[Tensor, " f"], products: Float[Tensor, "f f"]):
        self.n, self.total, self.products = n, total, products

    @classmethod
    def none(cls, width: int, device: torch.device) -> "Moments":
        """Those of no features yet, each of which will have `width` numbers."""
        zeros = partial(torch.zeros, dtype=torch.float64, device=device)
        return cls(torch.tensor(0, device=device), zeros(width), zeros(width, width))

    def add(self, pool: Pool) -> None:
        """Takes features in."""
        self.n += len(pool)
        for part in pool.split(self.ROWS):
            part = part.double()
            self.total += part.sum(0)
            self.products.addmm_(part.T, part)

    def mean(self) -> Float[Tensor, " f"]:
        """The mean of the features that have come so far."""
        return self.total / self.n

    def covariance(self) -> Float[Tensor, "f f"]:
        """The covariance of the features that have come, at least two."""
        return (self.products - self.n * self.mean().outer(self.mean())) / (self.n - 1)


class Reference:
    """The real images as the scores need them; what depends on them alone is computed once.

    Args:
        mean: the mean of the features of all images, in float64.
        root: R with R R^T = the covariance of these features, in float64.
        features: the features of those images that are compared one by one.
    """

    def __init__(self, mean: Float[Tensor, " f"], root: Float[Tensor, "f f"], features: Float[Tensor, "m f"]):
        self.mean, self.root, self.features = mean, root, features
        self.known: dict[Any, Tensor] = {}

    def once(self, key: Any, compute: Callable[[], Tensor]) -> Tensor:
        """What `compute` returns, from memory where it has been called for this key before."""
        if key not in self.known:
            self.known[key] = compute()
        return self.known[key]


def root(covariance: Float[Tensor, "f f"]) -> Float[Tensor, "f f"]:
    """R with R R^T = covariance."""
    values, vectors = torch.linalg.eigh(covariance)
    # Rounding makes the zeros of a covariance without full rank slightly negative.
    return vectors * values.clamp(min=0).sqrt()


def scoring_device(extracting: torch.device) -> torch.device:
    """The extractor's device, or the CPU if that is Apple's, which has no float64."""
    return torch.device("cpu") if extracting.type == "mps" else extracting


def to_scoring_device(features: Tensor) -> Tensor:
    """Features on the device where scores are computed."""
    return features.to(scoring_device(features.device))
