"""Fully connected networks, for points in the plane and for images as vectors. Gulrajani et al. 2017, section 3."""

import math
from collections.abc import Sequence

from torch import nn

from lit_gan import game
from lit_gan.game import Layers, NormSlot


class Generator(game.Generator):
    """`depth` hidden layers of `width` ReLUs; tanh at the output if the samples are images.

    Args:
        shape: (2,) for points, (channels, height, width) for images.
    """

    def __init__(self, shape: Sequence[int], z_dim: int = 2, width: int = 512, depth: int = 3, prior: str = "normal"):
        super().__init__(shape, z_dim, prior)
        layers = [nn.Linear(z_dim, width), nn.ReLU(inplace=True)]
        for _ in range(depth - 1):
            layers += [nn.Linear(width, width), nn.ReLU(inplace=True)]
        output = nn.Tanh() if len(shape) == 3 else nn.Identity()
        self.body = Layers(*layers, nn.Linear(width, math.prod(shape)), nn.Unflatten(1, self.shape), output)


class Discriminator(game.Discriminator):
    """`depth` hidden layers of `width` ReLUs on the flattened sample."""

    def __init__(self, shape: Sequence[int], width: int = 512, depth: int = 3):
        super().__init__()
        layers = [nn.Flatten(), nn.Linear(math.prod(shape), width), nn.ReLU(inplace=True)]
        for _ in range(depth - 1):
            layers += [nn.Linear(width, width), NormSlot(width), nn.ReLU(inplace=True)]
        self.body = Layers(*layers)
        self.head = nn.Linear(width, 1)
