"""Regularizers of how samples depend on their latent vectors: far apart with them, and moved along them."""

import itertools
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from lit_gan.errors import UserError
from lit_gan.game import Latents, Regularizer, Scalar, Turn, Uniform
from lit_gan.layers import fixed
from lit_gan.ranges import CountOrNone, NonNegative, Number, Positive, Share, checked


class ModeSeeking(Regularizer):
    """1 / (E |G(z_1, y) - G(z_2, y)| / E |z_1 - z_2| + 1e-5) for G. Mao et al. 2019 (MSGAN).

    The means are over all numbers of a batch, of which each of several processes has a part: the
    ratio of two means, as in the authors' code (DCGAN-Mode-Seeking), which minimises the inverse
    where the paper maximises the ratio. What G is told beside z is the same for both: the label, and
    codes such as InfoGAN's. There the losses see the samples of both latent vectors, which G makes in
    one batch; here those of the turn alone. It pays G for contrast, so that its output should be
    bounded. Both samples are made here, in two batches, as other regularizers may have changed those
    of the turn; noise that G draws for each sample counts as a difference.

    Args:
        weight: lambda, 1 in the authors' code.
    """

    counts_on_samples = True

    @checked
    def __init__(self, weight: Number = 1.0, every: CountOrNone = None):
        super().__init__(weight, every)

    def g(self, turn: Turn) -> Scalar:
        """Small where other latent vectors make other samples."""
        own, codes = turn.G.own_and_appended(turn.z)
        other, _ = turn.G.own_and_appended(turn.G.draw(len(turn.z)))
        samples = turn.G(turn.z, turn.y_fake) - turn.G(torch.cat([other, codes], 1), turn.y_fake)
        return 1 / (samples.abs().mean() / (own - other).abs().mean() + 1e-5)


class LOGAN(Regularizer):
    """Both players play at z' = z + dz, where D finds the samples more real, and pay weight
    E ||dz||^2. Wu et al. 2019 (LOGAN), Algorithm 1, Eqs. 12 and 17.

    dz = alpha g / (beta + ||g||^2) with g = grad_z D(G(z)), one step of natural gradient, no longer
    than alpha / (2 sqrt(beta)). Both players' gradients go through it. A uniform prior keeps z'
    in [-1, 1]; codes beside z stay as they are. It asks for one more pass through G and D in every
    turn, which moves no statistics, and differentiates twice. Samples that are drawn later are not
    optimised. Put it before what changes D's input.

    StudioGAN's cost counts the steps of the samples that it leaves where they are, too: its 0.1 is
    here 0.125.

    Args:
        weight: of the squared length of the step, as in StudioGAN's runs on CIFAR-10.
        alpha: 0.9 in those.
        beta: damping, 0.1 in those.
        rate: the share of samples that are moved, 0.8 in those.

    Raises:
        UserError: an argument out of its range.
    """

    counts_on_samples = True

    @checked
    def __init__(self, weight: Number = 0.125, alpha: NonNegative = 0.9, beta: Positive = 0.1, rate: Share = 0.8):
        super().__init__(weight)
        self.alpha, self.beta, self.rate = alpha, beta, rate
        self.step: Latents | None = None

    def check_others(self, regs: Mapping[str, Regularizer]) -> None:
        """Holds that samples are made before they are changed.

        Raises:
            UserError: a regularizer that stands before it changes them.
        """
        before = itertools.takewhile(lambda name: regs[name] is not self, regs)
        if early := next((name for name in before if regs[name].changes_samples), None):
            raise UserError(
                f"reg={self.name} makes generated samples anew, and D would see them without what reg={early} has done "
                f"to the real ones: put {self.name} before it, as in reg=[{self.name},{early}]."
            )

    def stage(self, turn: Turn) -> None:
        """Moves the latent vectors, and in D's turn, too, lets its gradient pass to them.

        Raises:
            UserError: the samples are staged for a penalty already.
        """
        staged = vars(turn).get("x_fake")  # to ask for the samples would draw them
        if turn.player == "d" and staged is not None and staged.requires_grad and staged.is_leaf:
            raise UserError(
                "reg=logan makes other samples than those whose slope reg=r2 is to find: put logan before it, as in "
                "reg=[logan,r2]."
            )
        own, codes = turn.G.own_and_appended(turn.z.detach())
        chosen = torch.rand(len(own), 1, device=own.device) < self.rate
        self.step = torch.where(chosen, self.natural_step(turn, own, codes), 0)
        moved = own + self.step
        moved = moved.clamp(-1, 1) if isinstance(turn.G.latents[0], Uniform) else moved
        turn.z = torch.cat([moved, codes], 1)
        with fixed(turn.G) if turn.player == "d" else fixed():
            turn.show(x_fake=turn.G(turn.z, turn.y_fake))

    def natural_step(self, turn: Turn, own: Latents, codes: Float[Tensor, "b codes"]) -> Latents:
        """alpha g / (beta + ||g||^2), with a graph."""
        own = own.clone().requires_grad_()
        with fixed(turn.G) if turn.player == "d" else fixed(), torch.enable_grad():
            samples = asked(turn.G, torch.cat([own, codes], 1), turn.y_fake)
            logits = asked(turn.D, samples, turn.y_fake).logits
            # 0 where G does not look at its latent vector, as that of the Dirac-GAN
            (slope,) = torch.autograd.grad(logits.sum(), own, create_graph=True, materialize_grads=True)
        return self.alpha * slope / (self.beta + slope.square().sum(1, keepdim=True))

    def d(self, turn: Turn) -> Scalar | None:
        """The mean squared length of the step."""
        return None if self.step is None else self.step.square().sum(1).mean()

    def g(self, turn: Turn) -> Scalar | None:
        """The mean squared length of the step, as for D."""
        return self.d(turn)

    def project(self, turn: Turn) -> None:
        """Lets go of the step and its graph."""
        self.step = None


class Plain(nn.Module):
    """A network whose call nobody has compiled: a compiled one cannot be differentiated twice."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> Any:
        """The network's output."""
        return self.network.forward(*inputs)


def asked(network: nn.Module, *inputs: Tensor) -> Any:
    """A network's output, in a pass that leaves no trace in its buffers: neither in the statistics
    of batch normalisation, which a second derivative needs as they were, nor in those of spectral
    norm."""
    plain = Plain(network)
    return functional_call(plain, {name: buffer.clone() for name, buffer in plain.named_buffers()}, inputs)
