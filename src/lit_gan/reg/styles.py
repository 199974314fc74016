"""Regularizers of generators with styles: styles that are mixed, and equally long ways from styles to
samples."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from lit_gan.errors import UserError
from lit_gan.game import Discriminator, Generator, Regularizer, Turn, at_least_float32
from lit_gan.ranges import CountOrNone, Number, Probability, Share, checked
from lit_gan.styles import StyledGenerator
from lit_gan.system.processes import mean_over_processes


class OfStyles(Regularizer):
    """Something that needs a generator with styles."""

    def check(self, G: Generator, D: Discriminator) -> None:
        """Refuses others.

        Raises:
            UserError: G has no styles.
        """
        if not isinstance(G, StyledGenerator):
            raise UserError(
                f"reg={self.name} needs a generator with styles, and this one has none: choose model=stylegan2 or "
                f"leave it out."
            )


class StyleMixing(OfStyles):
    """In training a batch is drawn by two styles, one up to a layer and another behind it, so that
    layers do not count on each other's. Karras et al. 2019, section 3.1.

    As in the code of StyleGAN2-ADA the layer is drawn uniformly once for a batch, or for the part of
    it that a process has, in either player's turn and for the path lengths, too. The second style
    has the same label.

    Args:
        probability: with which a batch is mixed; 0.9 in the authors' code.

    Raises:
        UserError: a probability that is not above 0 and at most 1.
    """

    @checked
    def __init__(self, probability: Share = 0.9):
        super().__init__()
        self.probability = probability

    def check(self, G: Generator, D: Discriminator) -> None:
        """Has G mix.

        Raises:
            UserError: G has no styles.
        """
        super().check(G, D)
        G.mixing = self.probability

    def check_others(self, regs: Mapping[str, Regularizer]) -> None:
        """Holds that samples of like latent vectors are alike.

        Raises:
            UserError: a regularizer counts on that, and each pass through G mixes in other styles.
        """
        if counting := [name for name, reg in regs.items() if reg.counts_on_samples]:
            raise UserError(
                f"reg=style_mixing mixes other styles into each batch, and reg={counting[0]} counts on G making the "
                f"same samples of the same latent vectors: leave one of the two out."
            )


class PathLength(OfStyles):
    """E (l - a)^2 for G, where l is the length of the way that the sample goes when its styles move,
    and a its moving average. Karras et al. 2020 (StyleGAN2), Eq. 4.

    l^2 is the mean over the layers of ||J_w^T n||^2, n from N(0, 1) over the root of the pixels: a
    random direction of the sample. As in the authors' code it is computed for half as many latent
    vectors as the turn has, which are drawn for it, a starts at 0, and the gradient goes through
    what this batch adds to a. It follows the lengths of all processes, which in that code each process
    does for itself; but the gradient through a is that of a process's own lengths.

    Args:
        weight: 2 in the authors' code.
        every: 4 in the authors' code. There the term is a step of its own, see `lazy_adam`.
        decay: what a keeps at each computation; 0.99 in the authors' code.

    Raises:
        UserError: a decay outside [0, 1).
    """

    mean: Tensor

    @checked
    def __init__(self, weight: Number = 2.0, every: CountOrNone = 4, decay: Probability = 0.99):
        super().__init__(weight, every)
        self.decay = decay
        self.register_buffer("mean", torch.zeros(()))

    def g(self, turn: Turn) -> Float[Tensor, ""]:
        """The mean over its latent vectors."""
        n = max(1, len(turn.z) // 2)
        lengths = path_lengths(turn.G, turn.G.styles(turn.G.draw(n), turn.y_fake[:n]))
        own = lengths.mean()
        everyone = own + (mean_over_processes(own) - own.detach())  # whose gradient is that of this process
        mean = torch.lerp(everyone, self.mean, self.decay)
        self.mean.copy_(mean.detach())
        return (lengths - mean).square().mean()


def path_lengths(G: StyledGenerator, styles: Float[Tensor, "b styles w"]) -> Float[Tensor, " b"]:
    """l of each sample, with a graph."""
    samples = at_least_float32(G.synthesise(styles))
    direction = torch.randn_like(samples) * samples[0, 0].numel() ** -0.5
    (slope,) = torch.autograd.grad((samples * direction).sum(), styles, create_graph=True)
    return slope.square().sum(2).mean(1).sqrt()
