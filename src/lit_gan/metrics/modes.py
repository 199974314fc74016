"""Scores of points in the plane: the modes that G has found, and its distance from the data."""

import math
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from lit_gan.data import Source
from lit_gan.errors import UserError
from lit_gan.metrics.base import Suite
from lit_gan.metrics.protocol import EvalProtocol
from lit_gan.metrics.reading import subset_indices
from lit_gan.metrics.sharing import Draw, look_at_all

Points = Float[Tensor, "n 2"]


class ModeMetrics(Suite):
    """Modes held, share of high-quality points, reverse KL and sliced Wasserstein distance.

    Scores: `modes/wasserstein`, and for mixtures (data with `centers` and `std`) also `modes/held`,
    `modes/high_quality` and `modes/kl`.
    """

    SCORES: ClassVar = {"wasserstein": "min", "held": "max", "high_quality": "max", "kl": "min"}

    def prefix(self, source: Source) -> str:
        """Always "modes"."""
        return "modes"

    def prepare(self, source: Source, device: torch.device | str = "cpu") -> None:
        """Checks the data.

        Raises:
            UserError: they are no pairs of numbers.
        """
        if source.shape != (2,):
            raise UserError(
                f"metrics=modes is for points in the plane, but data={source.name} has none: choose "
                f"metrics=efficientnet_lite0 for images, metrics=ngrams for text, metrics=none for single numbers."
            )

    def compute(
        self, draw: Draw, source: Source, protocol: EvalProtocol, device: torch.device | str
    ) -> dict[str, float]:
        """The scores of `protocol.generated` points against as many real ones, on the CPU."""
        points = look_at_all(draw, protocol.batches(protocol.generated), Tensor.cpu)
        real = source.split(protocol.real_split)
        scores = {"wasserstein": sliced_wasserstein(real.images[subset_indices(real, len(points))], points)}
        if hasattr(source, "centers"):
            scores |= mode_scores(points, source.centers, source.std)
        return scores

    def describe(self, source: Source, protocol: EvalProtocol) -> dict[str, Any]:
        """The protocol, the data and the number of real points that are compared."""
        real = source.split(protocol.real_split)
        return super().describe(source, protocol) | {"real": min(protocol.generated, len(real))}


def mode_scores(points: Points, centers: Float[Tensor, "k 2"], std: float) -> dict[str, float]:
    """The measures of Lin et al. 2018 (PacGAN), section 4.1, after Srivastava et al. 2017 (VEEGAN).

    Returns:
        high_quality: the share of points within 3 `std` of the nearest centre.
        held: the number of modes with at least one such point.
        kl: reverse KL divergence in nats from the uniform distribution over modes to that of the
            points, each of which counts for its nearest centre; 0 to log k.
    """
    distance, nearest = torch.cdist(points, centers).min(1)
    good = distance <= 3 * std
    share = torch.bincount(nearest, minlength=len(centers)).double() / len(points)
    return {
        "held": float(len(nearest[good].unique())),
        "high_quality": good.double().mean().item(),
        "kl": torch.xlogy(share, share * len(centers)).sum().item(),
    }


def sliced_wasserstein(real: Points, points: Points, directions: int = 64) -> float:
    """The mean 1-Wasserstein distance of projections onto evenly spread directions of the plane.

    Rabin et al. 2011; a shift by v gives 2 |v| / pi. The larger set is cut to the size of the
    smaller.
    """
    n = min(len(real), len(points))
    angle = math.pi * torch.arange(directions) / directions
    axes = torch.stack([angle.cos(), angle.sin()])
    gaps = (real[:n] @ axes).sort(0).values - (points[:n] @ axes).sort(0).values
    return gaps.abs().mean().item()
