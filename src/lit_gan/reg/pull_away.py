"""A regularizer of what D sees in the generated batch as a whole."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from lit_gan.game import Regularizer, Turn, at_least_float32, single_precision
from lit_gan.ranges import CountOrNone, Number, checked


class PullAway(Regularizer):
    """Mean squared cosine between D's features of any two generated samples, for G. Zhao et al.
    2017, Eq. 4.

    The paper takes the code of its autoencoder (`model=autoencoder`); with another D it is what its
    last layer sees. Each of several processes compares its own samples.

    Args:
        weight: multiplies the term; 0.1 in the paper.
    """

    @checked
    def __init__(self, weight: Number = 0.1, every: CountOrNone = None):
        super().__init__(weight, every)

    def g(self, turn: Turn) -> Float[Tensor, ""]:
        """From 0, all orthogonal, to 1, all parallel; 0 for one sample alone."""
        directions = F.normalize(at_least_float32(turn.fake.features), dim=1)
        with single_precision(directions.device):
            cosines = directions @ directions.T
        n = len(cosines)
        return (cosines.square().sum() - cosines.diagonal().square().sum()) / max(n * (n - 1), 1)
