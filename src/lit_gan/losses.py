"""The adversarial losses: what each player minimises. Logits in, means over the batch out."""

from collections.abc import Callable
from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from lit_gan.errors import UserError
from lit_gan.game import Discriminator, Generator, Loss, Scalar, Turn
from lit_gan.layers import ClassMargins
from lit_gan.ranges import NonNegative, Number, Positive, Range, Share, checked
from lit_gan.system.processes import mean_over_processes

Logits = Float[Tensor, " b"]


class NonSaturating(Loss):
    """-E log D(x) - E log(1 - D(G(z))) for D, -E log D(G(z)) for G. Goodfellow et al. 2014, section
    3.

    Args:
        real_label: alpha, D's target for real samples, in (0, 1]; below 1 it is one-sided label
            smoothing, which keeps an optimal D at or below alpha. Salimans et al. 2016, section
            3.4.
        flip: probability, below 0.5, with which D is told the other label, for each sample anew.
        g_weight: multiplies G's objective.

    Raises:
        UserError: a target or a probability out of its range.
    """

    boundary = 0.0

    @checked
    def __init__(
        self, real_label: Share = 1.0, flip: Annotated[float, Range(0, below=0.5)] = 0.0, g_weight: Number = 1.0
    ):
        super().__init__(g_weight)
        self.real_label, self.flip = real_label, flip

    def d(self, turn: Turn) -> Scalar:
        """Binary cross-entropy with real = alpha and fake = 0, summed over the two."""
        return self.cross_entropy(turn.real.logits, True) + self.cross_entropy(turn.fake.logits, False)

    def cross_entropy(self, logits: Logits, real: bool) -> Scalar:
        """Between what D says of samples and what it is told of them."""
        target = self.real_label * self.told(logits, real)
        return (target * F.softplus(-logits) + (1 - target) * F.softplus(logits)).mean()

    def told(self, logits: Logits, real: bool) -> Logits | int:
        """The label, 1 or 0, flipped now and then."""
        if self.flip == 0:
            return int(real)
        flipped = torch.rand(len(logits), device=logits.device) < self.flip
        return (flipped ^ real).float()

    def g(self, turn: Turn) -> Scalar:
        """The gradient does not vanish where D is sure."""
        return F.softplus(-turn.fake.logits).mean()


class Minimax(NonSaturating):
    """The zero-sum game: G minimises E log(1 - D(G(z))), which saturates. Goodfellow et al. 2014,
    Eq. 1."""

    zero_sum = True

    def g(self, turn: Turn) -> Scalar:
        """Log of the probability that D gives to "fake"."""
        return -F.softplus(turn.fake.logits).mean()


class Hinge(Loss):
    """E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))) for D, -E D(G(z)) for G. Miyato et al. 2018, Eqs.
    16 and 17."""

    boundary = 0.0

    def d(self, turn: Turn) -> Scalar:
        """Zero once every verdict is beyond its margin."""
        return F.relu(1 - turn.real.logits).mean() + F.relu(1 + turn.fake.logits).mean()

    def g(self, turn: Turn) -> Scalar:
        """Minus D's mean output."""
        return -turn.fake.logits.mean()


class MultiHinge(Loss):
    """The hinge of Crammer and Singer over K classes and "generated": E max(0, 1 - m(x, y)) + E max(0,
    1 - m(G, generated)) for D, E max(0, 1 - m(G, y)) for G. Kavalerov et al. 2019 (arXiv
    1912.04216v1).

    m(x, t) is by how much t is ahead of all others, as labels=multi_hinge has it. G's part is
    weighted 0.05 in the paper, beside reg=feature_matching_l1.
    """

    boundary = 0.0

    def check(self, G: Generator, D: Discriminator) -> None:
        """Refuses a D that names no classes.

        Raises:
            UserError: says which choice lets it.
        """
        if not isinstance(D.head, ClassMargins):
            raise UserError("loss=multi_hinge needs a D that names classes: set labels=multi_hinge, or loss=hinge.")

    def d(self, turn: Turn) -> Scalar:
        """Zero once every sample's class is ahead by its margin."""
        generated = turn.D.head.generated(turn.fake.features)
        return F.relu(1 - turn.real.logits).mean() + F.relu(1 - generated).mean()

    def g(self, turn: Turn) -> Scalar:
        """Zero once every generated sample's class is ahead by its margin."""
        return F.relu(1 - turn.fake.logits).mean()


class Wasserstein(Loss):
    """E D(G(z)) - E D(x) for the critic, -E D(G(z)) for G. Arjovsky et al. 2017, Eq. 2; Gulrajani
    et al. 2017, Eq. 2.

    It bounds nothing by itself: the critic needs a regularizer (weight_clip, gradient_penalty,
    spectral).
    """

    zero_sum = True

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
        belief: c, what G wants D to say of its samples. (0, 1, 1) is the paper's Eq. 9, (-1, 1, 0)
            its Eq. 8, where G minimises half of Pearson's chi-squared divergence.
        g_weight: multiplies G's objective.
    """

    @checked
    def __init__(self, fake: Number = 0.0, real: Number = 1.0, belief: Number = 1.0, g_weight: Number = 1.0):
        super().__init__(g_weight)
        self.fake, self.real, self.belief = fake, real, belief
        self.boundary = (fake + real) / 2

    def d(self, turn: Turn) -> Scalar:
        """Squared distances to `real` and to `fake`."""
        real, fake = turn.real.logits - self.real, turn.fake.logits - self.fake
        return 0.5 * (real.square().mean() + fake.square().mean())

    def g(self, turn: Turn) -> Scalar:
        """Squared distance to `belief`."""
        return 0.5 * (turn.fake.logits - self.belief).square().mean()


def logistic(lead: Logits) -> Logits:
    """-log sigmoid of a lead: the cost of a comparison in the standard form of the relativistic
    losses."""
    return F.softplus(-lead)


def squared(lead: Logits) -> Logits:
    """(lead - 1)^2: its cost in the least-squares form."""
    return (lead - 1).square()


def hinge(lead: Logits) -> Logits:
    """max(0, 1 - lead): its cost in the hinge form."""
    return F.relu(1 - lead)


class Relativistic(Loss):
    """D is to judge a real sample more real than a generated one, and G the other way round.
    Jolicoeur-Martineau 2018.

    E cost(D(x) - D(G(z))) for D, E cost(D(G(z)) - D(x)) for G, over pairs of one real and one
    generated sample: the paper's RGANs, of section 4. The real samples of G's turn are those of D's
    last one; the code of Huang et al. 2024 (R3GAN) draws others. With labels the two of a pair are of
    different classes mostly, as generated samples have labels of their own; that code gives them the
    labels of the real ones.

    Args:
        cost: what a lead of the one over the other costs the player who wants it large.
        g_weight: multiplies G's objective.
    """

    @checked
    def __init__(self, cost: Callable[[Tensor], Tensor], g_weight: Number = 1.0):
        super().__init__(g_weight)
        self.cost = cost

    def d(self, turn: Turn) -> Scalar:
        """Real samples are to lead."""
        return self.compare(turn.real.logits, turn.fake.logits)

    def g(self, turn: Turn) -> Scalar:
        """Generated samples are to lead; the real ones fall back for it."""
        return self.compare(turn.fake.logits, turn.real.logits)

    def compare(self, winners: Float[Tensor, " b"], losers: Float[Tensor, " c"]) -> Scalar:
        """The mean over pairs, as many as both sides fill."""
        n = min(len(winners), len(losers))
        return self.cost(winners[:n] - losers[:n]).mean()


class RelativisticAverage(Relativistic):
    """As above, but each sample against the mean of the other kind: the RaGANs of
    Jolicoeur-Martineau 2018, section 4.

    Half the sum of both directions, as in the author's code; the paper writes the sum. Each of several
    processes has the means of its own samples.
    """

    def compare(self, winners: Float[Tensor, " b"], losers: Float[Tensor, " c"]) -> Scalar:
        """Winners against the mean loser, and the mean winner against losers."""
        ahead, behind = self.cost(winners - losers.mean()), self.cost(winners.mean() - losers)
        return 0.5 * (ahead.mean() + behind.mean())


class Energy(Loss):
    """A loss of reconstruction errors: D is an autoencoder whose logits are minus its error. G
    wants a small error."""

    def check(self, G: Generator, D: Discriminator) -> None:
        """D must reconstruct.

        Raises:
            UserError: D is no autoencoder.
        """
        if not hasattr(D, "decoder"):
            raise UserError(
                f"loss={self.name} compares reconstruction errors and this D reconstructs nothing: "
                f"use it with model=autoencoder or model=autoencoder_mlp."
            )

    def g(self, turn: Turn) -> Scalar:
        """The mean error of D on the generated samples."""
        return -turn.fake.logits.mean()


class EBGAN(Energy):
    """E error(x) + E max(0, m - error(G(z))) for D, E error(G(z)) for G. Zhao et al. 2017, Eqs. 1
    and 2.

    Args:
        margin: m > 0, in units of the mean error of a number of a sample; beyond it D no longer
            pushes.
        g_weight: multiplies G's objective.

    Raises:
        UserError: a margin that is not positive.
    """

    @checked
    def __init__(self, margin: Positive = 1.0, g_weight: Number = 1.0):
        super().__init__(g_weight)
        self.margin = margin

    def d(self, turn: Turn) -> Scalar:
        """Real samples are reconstructed; generated ones only have to be bad enough."""
        return F.relu(self.margin + turn.fake.logits).mean() - turn.real.logits.mean()


class BEGAN(Energy):
    """E error(x) - k E error(G(z)) for D, E error(G(z)) for G. Berthelot et al. 2017, section 3.4.

    k is moved after each of D's objectives so that E error(G(z)) = gamma E error(x), and kept in
    [0, 1]; it follows the samples of D's turn, in the paper those of G's. The curves d/real and
    d/fake, minus the errors, give the paper's measure E error(x) + |gamma E error(x) - E
    error(G(z))|; the curve d/k is k.

    Args:
        gamma: the ratio of errors at the equilibrium, in (0, 1]; the lower, the sharper and the
            less diverse.
        lambda_k: how fast k moves; 0.001 in the paper.
        g_weight: multiplies G's objective.

    Raises:
        UserError: a ratio or a rate out of its range.
    """

    @checked
    def __init__(self, gamma: Share = 0.5, lambda_k: NonNegative = 0.001, g_weight: Number = 1.0):
        super().__init__(g_weight)
        self.gamma, self.lambda_k = gamma, lambda_k
        self.register_buffer("k", torch.zeros(()))

    def curves(self) -> dict[str, Scalar]:
        """k, as it has just been moved."""
        return {"k": self.k.clone()}

    def d(self, turn: Turn) -> Scalar:
        """With k as it was; then k follows the errors of all processes, of each part with
        `optim.accumulate`."""
        real, fake = -turn.real.logits.mean(), -turn.fake.logits.mean()
        objective = real - self.k.clone() * fake
        self.k.add_(self.lambda_k * mean_over_processes(self.gamma * real - fake)).clamp_(0, 1)
        return objective
