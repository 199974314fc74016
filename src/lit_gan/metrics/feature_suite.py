"""What suites that compare the features of images have in common."""

import torch

from lit_gan.data import Source
from lit_gan.errors import UserError
from lit_gan.metrics.base import Suite
from lit_gan.metrics.extractors import Extractor
from lit_gan.metrics.protocol import EvalProtocol
from lit_gan.metrics.real import RealFeatures


class FeatureSuite(Suite):
    """Scores of what one extractor sees in generated images, beside what it has seen in real ones.

    Args:
        extractor: gives the features that are compared.
    """

    def __init__(self, extractor: Extractor):
        self.extractor, self.real = extractor, RealFeatures(extractor)

    def prefix(self, source: Source) -> str:
        """The extractor's name."""
        return self.extractor.prefix(source)

    def prepare(self, source: Source, device: torch.device | str = "cpu") -> None:
        """Loads the extractor.

        Raises:
            UserError: the data are not images, or the extractor has no weights or cannot work on
                them.
        """
        if len(source.shape) != 3:
            raise UserError(
                f"{self.lacks_images(source)}: choose metrics=modes for points, metrics=ngrams for text, "
                f"metrics=none for single numbers."
            )
        self.extractor.prepare(source, device)

    def lacks_images(self, source: Source) -> str:
        """What is wrong with data that are no images."""
        return f"data={source.name} has no images"

    def measure_real(self, source: Source, protocol: EvalProtocol) -> None:
        """Measures the real images of a protocol, unless the cache folder knows them already.

        Raises:
            UserError: there are fewer than two images, or one that cannot be read.
        """
        self.real.reference(source, protocol)
