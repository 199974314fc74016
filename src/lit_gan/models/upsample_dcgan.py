"""The DCGAN of PyTorch tutorials: upsampling and 3x3 convolutions in G, dropout in D. Agnihotri
2020.

Three things are not as in its code: batch norm's epsilon is torch's 1e-5 (0.8 there, meant as the
momentum), the linear layers are drawn like the convolutions, and D's last layer fits every size (64
px only there).
"""

import itertools
import math
from collections.abc import Sequence

from torch import nn

from lit_gan import game
from lit_gan.game import Layers
from lit_gan.layers import NormSlot
from lit_gan.models.layers import Norm, Unflatten, image_shape, initialise_normal, leaky_relu, nearest
from lit_gan.ranges import Count, Probability, checked

SIZES = range(8, 1025, 4)
WIDTHS = (1, 2, 4, 8, 32)


class Generator(game.Generator):
    """Projects z to a quarter of the size, norm, then twice upsampling, convolution, norm and leaky
    ReLU.

    Args:
        shape: (channels, size, size), size a multiple of 4 from 8 to 1024.
        width: an eighth of the channels of every hidden layer, 16 in the source.
        norm: normalisation layer, called with the number of channels; None for none.

    Raises:
        UserError: a shape it cannot make.
    """

    @checked
    def __init__(
        self,
        shape: Sequence[int],
        z_dim: Count = 500,
        width: Count = 16,
        prior: str = "normal",
        norm: Norm | None = nn.BatchNorm2d,
    ):
        super().__init__(shape, z_dim, prior)
        channels, size = image_shape(shape, SIZES)
        norm = norm or nn.Identity
        hidden = 8 * width
        layers = [nn.Linear(z_dim, hidden * (size // 4) ** 2), Unflatten(size // 4), norm(hidden)]
        for _ in range(2):
            layers += [*nearest(hidden, hidden, 3), norm(hidden), leaky_relu()]
        self.body = Layers(*layers, nn.Conv2d(hidden, channels, 3, padding=1), nn.Tanh())
        initialise_normal(self, channels=128)  # of the hidden layers in the source


class Discriminator(game.Discriminator):
    """Five times 3x3 convolution of stride 2, leaky ReLU, dropout of whole channels, norm; then one
    linear layer.

    A resolution that cannot be halved is rounded up. The batch normalisation of the source, after
    every dropout but the first, is `reg=batch_norm`.

    Args:
        shape: (channels, size, size), size a multiple of 4 from 8 to 1024.
        width: channels of the first layer, 16 in the source; the others have 2, 4, 8 and 32 times
            as many.
        dropout: share of the channels set to 0.

    Raises:
        UserError: a shape it cannot judge, or a share outside [0, 1).
    """

    @checked
    def __init__(self, shape: Sequence[int], width: Count = 16, dropout: Probability = 0.25):
        super().__init__()
        channels, size = image_shape(shape, SIZES)
        widths = [channels, *(width * factor for factor in WIDTHS)]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            slot = [NormSlot(after)] if layers else []
            layers += [nn.Conv2d(before, after, 3, 2, padding=1), leaky_relu(), nn.Dropout2d(dropout), *slot]
        self.body = Layers(*layers)
        self.head = nn.Linear(widths[-1] * math.ceil(size / 2 ** len(WIDTHS)) ** 2, 1)
        initialise_normal(self, channels=16)  # of the first layer in the source
