"""CMMD: how far apart two sets of images are for CLIP."""

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from lit_gan.data import Source, to_uint8
from lit_gan.metrics.feature_suite import FeatureSuite
from lit_gan.metrics.protocol import EvalProtocol
from lit_gan.metrics.real import n_real
from lit_gan.metrics.reference import Pool, to_scoring_device
from lit_gan.metrics.sharing import Draw, look_at_all, watched_once
from lit_gan.system.processes import rank_and_size
from lit_gan.system.random_numbers import keeping_random_state

SIGMA = 10
"""The width of the kernel. Jayasumana et al. 2024, `cmmd/distance.py`."""
SCALE = 1000
"""What the discrepancy is multiplied by, to be read more easily."""
BLOCK = 1000
"""Features whose kernel with all others is in memory at once."""


class CMMD(FeatureSuite):
    """CMMD, Jayasumana et al. 2024: the squared MMD of CLIP's features, `clip/cmmd`, 0 or more.

    By the biased estimate of Gretton et al. 2012, Eq. 5, as in the authors' `cmmd/distance.py`.

    The generated images of the protocol are compared with at most 10,000 real ones.

    Args:
        extractor: gives features of length 1; of other lengths the kernel would be too narrow.
    """

    SCORES: ClassVar = {"cmmd": "min"}

    def lacks_images(self, source: Source) -> str:
        """What is wrong with data that are no images."""
        return f"metrics=cmmd compares images, and data={source.name} has none"

    def compute(
        self, draw: Draw, source: Source, protocol: EvalProtocol, device: torch.device | str
    ) -> dict[str, float]:
        """The score; torch's random numbers are left as they were.

        The generated images are rounded to uint8, as files would be.
        """
        real = self.real.reference(source, protocol).features
        with keeping_random_state(device):
            torch.manual_seed(protocol.seed + rank_and_size()[0])  # G may draw noise of its own
            generated = look_at_all(draw, protocol.batches(protocol.generated), self.features)
        return {"cmmd": cmmd(real, generated.to(real.device)).item()}

    def features(self, images: Tensor) -> Pool:
        """What the extractor sees in generated images."""
        return to_scoring_device(self.extractor(to_uint8(images)).pool)

    def describe(self, source: Source, protocol: EvalProtocol) -> dict[str, Any]:
        """The protocol, the data, the number of real images that are compared, and the extractor."""
        real = min(n_real(source.split(protocol.real_split), protocol), self.real.KEPT)
        return super().describe(source, protocol) | {"real": real} | self.extractor.identity()


def cmmd(x: Pool, y: Pool) -> Float[Tensor, ""]:
    """1000 times the squared MMD of the kernel exp(-|x - y|^2 / (2 sigma^2)), in float64.

    It is the biased estimate, Gretton et al. 2012, Eq. 5, which compares each feature also with
    itself: 0 for equal sets, and never negative.
    """
    discrepancy = mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y)
    return SCALE * discrepancy.clamp(min=0)


def mean_kernel(x: Pool, y: Pool) -> Float[Tensor, ""]:
    """The mean of the kernel over all pairs.

    Features of length 1 are so near each other that it is above 0.98, and float32 would leave the
    score four digits behind the point.
    """
    y, total = y.double(), y.new_zeros((), dtype=torch.float64)
    for part in watched_once(x.double().split(BLOCK), "comparing features"):
        total += torch.cdist(part, y).square_().div_(-2 * SIGMA**2).exp_().sum()
    return total / (len(x) * len(y))
