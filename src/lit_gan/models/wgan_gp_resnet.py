"""The 64 px ResNet of WGAN-GP's code: its "GoodGenerator" and "GoodDiscriminator". Gulrajani et al.
2017, code."""

import itertools
import math
from collections.abc import Sequence

from torch import nn

from lit_gan import game
from lit_gan.game import Layers
from lit_gan.models.blocks import DownBlock, UpBlock
from lit_gan.models.layers import Norm, Unflatten, halvings, image_shape, initialise_glorot
from lit_gan.ranges import Count, checked

SIZES = (16, 32, 64, 128)


def capped_channels(size: int, width: int) -> list[int]:
    """Channels per resolution, from the image down to 4 x 4: doubled at every halving but the
    last."""
    stages = halvings(size)
    return [width * 2 ** min(stage, stages - 1) for stage in range(stages + 1)]


class Generator(game.Generator):
    """Dense, residual blocks that double the resolution, norm, ReLU, 3x3 convolution, tanh.

    The first convolution of a block has a bias here, and none in the authors' code.

    Args:
        shape: (channels, size, size), size a power of two from 16 to 128; the authors' is 64.
        width: channels at the image's resolution, 64 in the authors' code.
        norm: normalisation layer, called with the number of channels; None for none.

    Raises:
        UserError: a shape it cannot make.
    """

    @checked
    def __init__(
        self,
        shape: Sequence[int],
        z_dim: Count = 128,
        width: Count = 64,
        prior: str = "normal",
        norm: Norm | None = nn.BatchNorm2d,
    ):
        super().__init__(shape, z_dim, prior)
        channels, size = image_shape(shape, SIZES)
        norm = norm or nn.Identity
        plan = capped_channels(size, width)[::-1]
        layers = [nn.Linear(z_dim, plan[0] * 16), Unflatten(4)]
        layers += [UpBlock(*pair, norm) for pair in itertools.pairwise(plan)]
        layers += [norm(width), nn.ReLU(inplace=True), nn.Conv2d(width, channels, 3, padding=1), nn.Tanh()]
        self.body = Layers(*layers)
        initialise_glorot(self)
        initialise_glorot(self.body[-2], gain=math.sqrt(2))


class Discriminator(game.Discriminator):
    """3x3 convolution, residual blocks that halve the resolution down to 4 x 4, dense.

    Normalisation, which the authors place before both ReLUs of a block, is `reg=layer_norm`.

    Args:
        shape: (channels, size, size), size a power of two from 16 to 128.
        width: channels at the image's resolution, 64 in the authors' code.
    """

    @checked
    def __init__(self, shape: Sequence[int], width: Count = 64):
        super().__init__()
        channels, size = image_shape(shape, SIZES)
        plan = capped_channels(size, width)
        blocks = [DownBlock(*pair, halve=True) for pair in itertools.pairwise(plan)]
        self.body = Layers(nn.Conv2d(channels, width, 3, padding=1), *blocks)
        self.head = nn.Linear(plan[-1] * 16, 1)
        initialise_glorot(self)
