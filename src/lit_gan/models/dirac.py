"""The Dirac-GAN: one number against one number. Mescheder et al. 2018, Definition 2.1."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lit_gan import game
from lit_gan.errors import UserError
from lit_gan.game import Layers
from lit_gan.ranges import Number, checked


class Constant(nn.Module):
    """The number theta, whatever it is given."""

    def __init__(self, theta: float):
        super().__init__()
        self.theta = nn.Parameter(torch.tensor([float(theta)]))

    def forward(self, z: Tensor) -> Tensor:
        """[b, z] to [b, 1]."""
        # len(z) would be a number to torch's tracer; a view would require gradients even without a graph
        return self.theta.expand(z.shape[0], 1).clone()


class Generator(game.Generator):
    """G(z) = theta.

    Args:
        shape: (1,).
        theta: where theta starts.

    Raises:
        UserError: samples of another shape.
    """

    @checked
    def __init__(self, shape: Sequence[int], theta: Number = 1.0):
        super().__init__(shape, z_dim=1)
        require_numbers(shape)
        self.body = Layers(Constant(theta))


class Discriminator(game.Discriminator):
    """D(x) = psi x.

    Args:
        shape: (1,).
        psi: where psi starts.
    """

    @checked
    def __init__(self, shape: Sequence[int], psi: Number = 1.0):
        super().__init__()
        require_numbers(shape)
        self.body, self.head = Layers(nn.Flatten()), nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.head.weight, psi)


def require_numbers(shape: Sequence[int]) -> None:
    """Refuses whatever is not one number a sample."""
    if tuple(shape) != (1,):
        raise UserError(f"model=dirac makes one number, not samples of shape {list(shape)}: set data=dirac.")
