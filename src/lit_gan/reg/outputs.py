"""Regularizers of the discriminator's outputs: what it says of two views of a sample, of a batch,
over time."""

from collections.abc import Callable

import torch

from lit_gan.game import Discriminator, Generator, Images, Regularizer, Scalar, Turn, Verdict, at_least_float32
from lit_gan.layers import WrongShape
from lit_gan.ranges import Count, CountOrNone, Number, Positive, Probability, Share, WholeOrNone, checked
from lit_gan.system.processes import mean_over_processes

Augmentation = Callable[[Images], Images]


class Consistency(Regularizer):
    """CR: E (D(x) - D(T(x)))^2 on real images, for D. Zhang et al. 2020, Eq. 3.

    Args:
        T: changes each image of a batch in its own random way that leaves what it shows; gradients
            need not pass.
        weight: lambda, 10 in the paper.
    """

    @checked
    def __init__(self, T: Augmentation, weight: Number = 10.0, every: CountOrNone = None):
        super().__init__(weight, every)
        self.T = T

    def check(self, G: Generator, D: Discriminator) -> None:
        """Refuses samples that are no images, as T is for those.

        Raises:
            UserError: the samples are points or texts.
        """
        if len(G.shape) != 3:
            way_out = "use reg=latent_consistency, which asks nothing of them"
            raise WrongShape(G, f"reg={self.name} flips and shifts images", way_out)

    def d(self, turn: Turn) -> Scalar:
        """The mean over the real logits."""
        return (turn.real.logits - turn.D(self.T(turn.x_real), turn.y).logits).square().mean()


class BalancedConsistency(Consistency):
    """bCR: the same on generated images, too. Zhao et al. 2021, section 3.1, Algorithm 1.

    Args:
        weight: lambda_real and lambda_fake, both 10 in the paper.
    """

    def d(self, turn: Turn) -> Scalar:
        """On real images plus on generated ones."""
        fake = turn.fake.logits - turn.D(self.T(turn.x_fake), turn.y_fake).logits
        return super().d(turn) + fake.square().mean()


class LatentConsistency(Regularizer):
    """zCR: samples of nearby latents should look alike to D and be unlike. Zhao et al. 2021,
    section 3.2, Algorithm 2.

    d_weight * E (D(G(z)) - D(G(z + dz)))^2 for D, -g_weight * E (G(z) - G(z + dz))^2 for G, dz from
    N(0, sigma^2). The paper writes G's as a squared norm; here it is the mean over pixels, so that
    it means the same at any size. Together with `balanced_consistency` this is the paper's ICR,
    for which StudioGAN has d_weight 20.
    Both samples are made here, as other regularizers may have changed those of the turn; noise that
    G draws for each sample counts as a difference. Codes beside z stay as they are.

    Args:
        d_weight, g_weight: lambda_dis and lambda_gen, 5 and 0.5.
        sigma: the standard deviation of dz.

    Raises:
        UserError: sigma is not positive.
    """

    counts_on_samples = True

    @checked
    def __init__(
        self, d_weight: Number = 5.0, g_weight: Number = 0.5, sigma: Positive = 0.05, every: CountOrNone = None
    ):
        super().__init__(every=every)
        self.d_weight, self.g_weight, self.sigma = d_weight, g_weight, sigma

    def pair(self, turn: Turn) -> tuple[Images, Images]:
        """G(z) and G(z + dz)."""
        own, codes = turn.G.own_and_appended(turn.z)
        nearby = torch.cat([own + self.sigma * torch.randn_like(own), codes], 1)
        return turn.G(turn.z, turn.y_fake), turn.G(nearby, turn.y_fake)

    def d(self, turn: Turn) -> Scalar:
        """D should not see the difference."""
        hangs_on_g = turn.x_fake.requires_grad and not turn.x_fake.is_leaf  # a leaf is for D's slope alone, as r2's
        with torch.set_grad_enabled(hangs_on_g):
            x, nearby = self.pair(turn)
        return self.d_weight * (turn.D(x, turn.y_fake).logits - turn.D(nearby, turn.y_fake).logits).square().mean()

    def g(self, turn: Turn) -> Scalar:
        """G should make one."""
        x, nearby = (at_least_float32(samples) for samples in self.pair(turn))
        return -self.g_weight * (x - nearby).square().mean()


class LeCam(Regularizer):
    """E (D(x) - a_F)^2 + E (D(G(z)) - a_R)^2, a_R and a_F moving averages of D's outputs. Tseng et
    al. 2021, Eqs. 3-5.

    The averages are those of the updates before this one, 0 before the first, and plain means until
    1 / (1 - decay) outputs have come: of an update's last part with `optim.accumulate`, of all
    processes together. The authors' code has a ReLU inside each square, which their Eq. 3 does not have.

    The paper has the term from the first update on, and so has the default here. The authors' code
    for BigGAN, whose runs on CIFAR-10 are of 250,000 updates, adds it after 1,000; until then its
    averages are the last outputs, and they keep 0.9 at each update.

    Args:
        weight: lambda; 0.3 in the authors' runs on CIFAR-10.
        decay: share of the moving averages that is kept at each update; 0.99 in the paper.
        start: generator updates without the term, in which the averages move all the same; None for
            none.

    Raises:
        UserError: a decay outside [0, 1), or a start below 0.
    """

    @checked
    def __init__(
        self,
        weight: Number = 0.3,
        decay: Probability = 0.99,
        start: WholeOrNone = None,
        every: CountOrNone = None,
    ):
        super().__init__(weight, every)
        self.decay, self.start = decay, start or 0
        for name in ("real", "fake"):
            self.register_buffer(name, torch.zeros(()))
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))

    def d(self, turn: Turn) -> Scalar | None:
        """Real outputs to where the fake ones have been, and the reverse."""
        if self.start and turn.game.global_step < self.start:
            return None
        real, fake = turn.real.logits - self.fake, turn.fake.logits - self.real
        return real.square().mean() + fake.square().mean()

    def project(self, turn: Turn) -> None:
        """Moves the averages after D's update."""
        if turn.player == "d":
            self.updates += 1
            share = (1 / self.updates).clamp(min=1 - self.decay).to(self.real)
            for average, verdict in ((self.real, turn.real), (self.fake, turn.fake)):
                average.lerp_(mean_over_processes(verdict.logits.mean()).to(average), share)


class TopK(Regularizer):
    """Only those samples teach G that D finds most real. Sinha et al. 2020, Algorithm 1.

    All of G's turn is cut to these samples, real ones and labels too, so that losses of pairs stay
    paired. It belongs behind what changes D's input or D, in `reg`: what comes later makes D look
    at the samples kept once more. Each of several processes keeps the best of its own samples.

    Args:
        gamma, interval: the share of samples that is kept is multiplied by gamma each `interval`
            generator updates.
        floor: the smallest share of samples that is kept.

    Raises:
        UserError: a share outside (0, 1], or `interval` below 1.
    """

    @checked
    def __init__(self, gamma: Share = 0.99, interval: Count = 2000, floor: Share = 0.5):
        super().__init__()
        self.gamma, self.interval, self.floor = gamma, interval, floor

    def share(self, update: int) -> float:
        """The share of samples that is kept at a generator update, from 1 down to `floor`."""
        return max(self.floor, self.gamma ** (update // self.interval))

    def stage(self, turn: Turn) -> None:
        """Cuts G's turn. The game's own count of updates is what survives a resume."""
        if turn.player == "g" and (share := self.share(turn.game.global_step)) < 1:
            keep(turn, max(1, round(share * len(turn.fake.logits))))


def keep(turn: Turn, k: int) -> None:
    """Leaves the k samples of a turn, or packs of samples, that D finds most real."""
    fake, size = turn.fake, len(turn.x_fake) // len(turn.fake.logits)
    best = fake.logits.detach().topk(k).indices
    samples = (best[:, None] * size + torch.arange(size, device=best.device)).flatten()
    for part in ("x_real", "x_fake", "y", "y_fake", "z"):
        setattr(turn, part, getattr(turn, part)[samples])
    turn.forget("real")
    turn.fake = Verdict(*(part[best] for part in fake))
