"""The adversarial losses: what each player minimises. Logits in, means over the batch out."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from lit_gan.game import Loss, Turn

Scalar = Float[Tensor, ""]


class NonSaturating(Loss):
    """-E log D(x) - E log(1 - D(G(z))) for D, -E log D(G(z)) for G. Goodfellow et al. 2014, section 3."""

    def d(self, turn: Turn) -> Scalar:
        """Binary cross-entropy with real = 1 and fake = 0, summed over the two."""
        return F.softplus(-turn.real.logits).mean() + F.softplus(turn.fake.logits).mean()

    def g(self, turn: Turn) -> Scalar:
        """The gradient does not vanish where D is sure."""
        return F.softplus(-turn.fake.logits).mean()


class Minimax(NonSaturating):
    """The zero-sum game: G minimises E log(1 - D(G(z))), which saturates. Goodfellow et al. 2014, Eq. 1."""

    def g(self, turn: Turn) -> Scalar:
        """Log of the probability that D gives to "fake"."""
        return -F.softplus(turn.fake.logits).mean()


class Hinge(Loss):
    """E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))) for D, -E D(G(z)) for G. Miyato et al. 2018, Eqs. 16 and 17."""

    def d(self, turn: Turn) -> Scalar:
        """Zero once every verdict is beyond its margin."""
        return F.relu(1 - turn.real.logits).mean() + F.relu(1 + turn.fake.logits).mean()

    def g(self, turn: Turn) -> Scalar:
        """Minus D's mean output."""
        return -turn.fake.logits.mean()


class Wasserstein(Loss):
    """E D(G(z)) - E D(x) for the critic, -E D(G(z)) for G. Arjovsky et al. 2017, Eq. 2; Gulrajani et al. 2017, Eq. 2.

    It bounds nothing by itself: the critic needs a regularizer (weight_clip, gradient_penalty, spectral).
    """

    def d(self, turn: Turn) -> Scalar:
        """Minus the estimated distance."""
        return turn.fake.logits.mean() - turn.real.logits.mean()

    def g(self, turn: Turn) -> Scalar:
        """Minus the critic's mean output."""
        return -turn.fake.logits.mean()


class LeastSquares(Loss):
    """Half the squared distance to a target for each kind of sample. Mao et al. 2017, Eq. 2.

    Args:
        fake: a, D's target for generated samples.
        real: b, D's target for real samples.
        belief: c, what G wants D to say of its samples. (0, 1, 1) is the paper's Eq. 9, (-1, 1, 0) its Eq. 8.
    """

    def __init__(self, fake: float = 0.0, real: float = 1.0, belief: float = 1.0):
        super().__init__()
        self.fake, self.real, self.belief = fake, real, belief

    def d(self, turn: Turn) -> Scalar:
        """Squared distances to `real` and to `fake`."""
        real, fake = turn.real.logits - self.real, turn.fake.logits - self.fake
        return 0.5 * (real.square().mean() + fake.square().mean())

    def g(self, turn: Turn) -> Scalar:
        """Squared distance to `belief`."""
        return 0.5 * (turn.fake.logits - self.belief).square().mean()
