"""Regularizers of the gradient of the discriminator's logits with respect to its input."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lit_gan.errors import UserError
from lit_gan.game import Discriminator, Generator, Images, Labels, Regularizer, Turn, uniform_per_sample
from lit_gan.ranges import CountOrNone, Number, Positive, Switch, checked


def gradients(D: nn.Module, x: Images, y: Labels) -> Float[Tensor, "logits n"]:
    """grad_x D(x) of each logit, a sample's or that of a pack of samples, with a graph for D's
    parameters."""
    x = differentiable(x)
    return gradients_of(D(x, y).logits, x)


def differentiable(x: Images) -> Images:
    """Samples whose gradient can be asked for: these, if they hang on parameters, as in unrolled
    turns."""
    return x if x.requires_grad else x.detach().requires_grad_(True)


def gradients_of(logits: Float[Tensor, " logits"], x: Images) -> Float[Tensor, "logits n"]:
    """The gradient of each logit with respect to what it judges."""
    (gradient,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    return gradient.reshape(len(logits), -1)


def slopes(D: nn.Module, x: Images, y: Labels) -> Float[Tensor, " logits"]:
    """||grad_x D(x)||_2 of each logit, over all dimensions of what it judges."""
    return gradients(D, x, y).norm(dim=1)


def squared_slope(D: nn.Module, x: Images, y: Labels) -> Float[Tensor, ""]:
    """E ||grad_x D(x)||_2^2, the mean over the logits."""
    return squared_length(gradients(D, x, y))


def squared_length(gradients: Float[Tensor, "logits n"]) -> Float[Tensor, ""]:
    """The mean over the logits."""
    return gradients.square().sum(1).mean()


def between(x_real: Images, x_fake: Images) -> Images:
    """One point on the line between each pair, uniformly, with one number per sample.

    Where D looks at labels, a penalty shows it the point with the label of the real sample.
    """
    return torch.lerp(x_fake, x_real, uniform_per_sample(x_real))


def generated(turn: Turn) -> Images:
    """The generated samples in the precision of the real ones."""
    return turn.x_fake.to(turn.x_real.dtype)


class Steepness(Regularizer):
    """A penalty of D's slope, a term of D's turn only. Its logits must be functions of single
    samples, or of packs."""

    def check(self, G: Generator, D: Discriminator) -> None:
        """Batch normalisation subtracts what all samples share, so the gradient of the summed
        logits misses it.

        Other layers that look across a batch leave most of it, and are common beside such penalties
        (minibatch standard deviation in Karras et al. 2018).

        Raises:
            UserError: D has batch normalisation.
        """
        if any(isinstance(layer, _BatchNorm) for layer in D.modules()):
            raise UserError(
                f"reg={self.name} cannot be used with batch normalisation in D, where a sample's gradient "
                f"depends on the rest of its batch (Gulrajani et al. 2017, section 4): use reg=layer_norm instead."
            )


class GradientPenalty(Steepness):
    """E (||grad D(x_hat)||_2 - 1)^2 on lines between real and generated samples. Gulrajani et al.
    2017, Eq. 3.

    Args:
        weight: lambda, 10 in the paper (0.1 on its toy sets).
        one_sided: E max(0, ||grad D(x_hat)||_2 - 1)^2, which lets D be flat; their section 4.
    """

    @checked
    def __init__(self, weight: Number = 10.0, one_sided: Switch = False, every: CountOrNone = None):
        super().__init__(weight, every)
        self.one_sided = one_sided

    def d(self, turn: Turn) -> Float[Tensor, ""]:
        """The mean over the batch."""
        excess = slopes(turn.D, between(turn.x_real, generated(turn)), turn.y) - 1
        return (excess.relu() if self.one_sided else excess).square().mean()


class FiniteDifferencePenalty(Steepness):
    """E (|D(x_1) - D(x_2)| / ||x_1 - x_2||_2 - 1)^2, two points of a line between a real and a
    generated sample.

    The penalty of Gulrajani et al. 2017, Eq. 3, without second derivatives. It sees D's slope along
    the line, at most the length of its gradient. In half precision the quotient is noisy where the
    two points are near each other.

    Args:
        weight: lambda, 10 as in the gradient penalty.
    """

    @checked
    def __init__(self, weight: Number = 10.0, every: CountOrNone = None):
        super().__init__(weight, every)

    def d(self, turn: Turn) -> Float[Tensor, ""]:
        """The mean over the batch."""
        one, other = (between(turn.x_real, generated(turn)) for _ in range(2))
        difference = turn.D(one, turn.y).logits - turn.D(other, turn.y).logits
        distance = (one - other).reshape(len(difference), -1).norm(dim=1)
        return (difference.abs() / distance.clamp_min(1e-6) - 1).square().mean()


class DRAGAN(Steepness):
    """E (||grad D(x_hat)||_2 - 1)^2 around real samples. Kodali et al. 2017, section 2.3.

    As in the authors' code, x_hat = x + a * spread * std(x) * u with a from U[0, 1) once per
    sample, u from U[0, 1) for each of its dimensions and one standard deviation over the whole
    batch, of which each of several processes has a part; the paper writes N(0, c) noise.

    Args:
        weight: lambda, 10 in the paper.
        spread: width of the noise, in standard deviations of the data; 0.5 in the authors' code.

    Raises:
        UserError: a spread that is not positive.
    """

    @checked
    def __init__(self, weight: Number = 10.0, spread: Positive = 0.5, every: CountOrNone = None):
        super().__init__(weight, every)
        self.spread = spread

    def d(self, turn: Turn) -> Float[Tensor, ""]:
        """The mean over the batch."""
        x = turn.x_real
        x_hat = x + uniform_per_sample(x) * self.spread * x.std() * torch.rand_like(x)
        return (slopes(turn.D, x_hat, turn.y) - 1).square().mean()


class Staged(Steepness):
    """A penalty of the slope at the samples themselves, as they are when its turn comes in
    `reg`."""

    def __init__(self, weight: float, every: int | None):
        super().__init__(weight, every)
        self.staged: Images | None = None

    def half_squared_slope(self, verdict: Literal["real", "fake"], turn: Turn) -> Float[Tensor, ""]:
        """Half the mean squared slope over the batch; where `stage` has not made the samples
        differentiable, D looks at them once more."""
        x, self.staged = self.staged, None
        if x is None:
            x = turn.x_real if verdict == "real" else turn.x_fake
        if x.requires_grad:
            return squared_length(gradients_of(getattr(turn, verdict).logits, x)) / 2
        own = (turn.x_real, turn.y) if verdict == "real" else (generated(turn), turn.y_fake)
        return squared_slope(turn.D, *own) / 2


class R1(Staged):
    """1/2 E ||grad D(x)||_2^2 on real samples. Mescheder et al. 2018, Eq. 9.

    Where the samples have been staged, it differentiates the verdict that the loss has asked for: D
    looks once. What changes the samples afterwards, in `reg`, is differentiated through: an
    augmentation belongs behind it, as in the authors' code of DiffAugment and ADA, and what puts
    other samples in their place before it.

    Args:
        weight: gamma, 10 in the paper; with the half above, gamma / 2 multiplies the squared slope.
    """

    @checked
    def __init__(self, weight: Number = 10.0, every: CountOrNone = None):
        super().__init__(weight, every)

    def stage(self, turn: Turn) -> None:
        """Lets the verdict on the real samples be differentiated."""
        if turn.player == "d" and self.is_due(turn):
            turn.x_real = self.staged = differentiable(turn.x_real)

    def d(self, turn: Turn) -> Float[Tensor, ""]:
        """Half the mean over the batch."""
        return self.half_squared_slope("real", turn)


class R2(Staged):
    """1/2 E ||grad D(G(z))||_2^2 on generated samples. Mescheder et al. 2018, Eq. 10.

    Where the samples have been staged, it differentiates the verdict that the loss has asked for: D
    looks once. What changes the samples afterwards, in `reg`, is differentiated through, as by r1.

    Args:
        weight: gamma, 10 in the paper; with the half above, gamma / 2 multiplies the squared slope.
    """

    @checked
    def __init__(self, weight: Number = 10.0, every: CountOrNone = None):
        super().__init__(weight, every)

    def stage(self, turn: Turn) -> None:
        """Lets the verdict on the generated samples be differentiated."""
        if turn.player == "d" and self.is_due(turn):
            turn.x_fake = self.staged = differentiable(generated(turn))

    def d(self, turn: Turn) -> Float[Tensor, ""]:
        """Half the mean over the batch."""
        return self.half_squared_slope("fake", turn)


class ZeroCentered(Steepness):
    """E ||grad D(x_hat)||_2^2 on lines between real and generated samples. Thanh-Tung et al. 2019.

    The gradient is the logit's, as of all penalties here; the authors' code for points in the plane
    takes that of the probability, which is at most a quarter of it.

    Args:
        weight: lambda, without the factor of a half that R1 and R2 have.
    """

    @checked
    def __init__(self, weight: Number = 10.0, every: CountOrNone = None):
        super().__init__(weight, every)

    def d(self, turn: Turn) -> Float[Tensor, ""]:
        """The mean over the batch."""
        return squared_slope(turn.D, between(turn.x_real, generated(turn)), turn.y)
