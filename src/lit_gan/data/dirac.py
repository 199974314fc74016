"""A point mass at zero: the smallest data set on which GANs fail to converge.

Mescheder et al. 2018, Definition 2.1.
"""

from collections.abc import Sequence

import torch

from lit_gan.data.source import Source, StoredSplit
from lit_gan.ranges import Count, checked


class Dirac(Source):
    """n samples, each the number 0.

    Args:
        n: samples in the data set.
    """

    @checked
    def __init__(self, name: str, shape: Sequence[int], n_classes: None, n: Count):
        super().__init__(name, shape, n_classes)
        self.n = n

    def load(self, which: str) -> StoredSplit:
        """Zeros [n, 1]."""
        return StoredSplit(torch.zeros(self.n, 1))
