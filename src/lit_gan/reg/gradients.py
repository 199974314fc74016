"""Regularizers of the gradient of the discriminator with respect to its input."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lit_gan.errors import UserError
from lit_gan.game import Discriminator, Generator, Images, Labels, Regularizer, Turn, per_sample


def slopes(D: nn.Module, x: Images, y: Labels) -> Float[Tensor, " b"]:
    """||grad_x D(x)||_2 of each sample, over all of its dimensions, with a graph for D's parameters."""
    x = x.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(D(x, y).logits.sum(), x, create_graph=True)
    return per_sample(gradient).norm(dim=1)


def between(x_real: Images, x_fake: Images) -> Images:
    """One point on the line between each pair, uniformly, with one number per sample."""
    share = torch.rand(len(x_real), *[1] * (x_real.dim() - 1), device=x_real.device, dtype=x_real.dtype)
    return torch.lerp(x_fake, x_real, share)


class GradientPenalty(Regularizer):
    """E (||grad D(x_hat)||_2 - 1)^2 on lines between real and generated samples. Gulrajani et al. 2017, Eq. 3.

    Args:
        weight: lambda, 10 in the paper (0.1 on its toy sets).
    """

    def __init__(self, weight: float = 10.0):
        super().__init__(weight)

    def check(self, G: Generator, D: Discriminator) -> None:
        """D must judge samples one by one.

        Raises:
            UserError: D has batch normalisation.
        """
        if any(isinstance(layer, _BatchNorm) for layer in D.modules()):
            raise UserError(
                "reg=gradient_penalty cannot be used with batch normalisation in D, where a sample's gradient "
                "depends on the rest of its batch (Gulrajani et al. 2017, section 4): use reg=layer_norm instead."
            )

    def d(self, turn: Turn) -> Float[Tensor, ""]:
        """Two-sided, the mean over the batch."""
        x_hat = between(turn.x_real, turn.x_fake.to(turn.x_real.dtype))
        return (slopes(turn.D, x_hat, turn.y) - 1).square().mean()
