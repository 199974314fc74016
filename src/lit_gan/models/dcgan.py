"""DCGAN: strided and transposed convolutions only. Radford et al. 2016, Figure 1 and the guidelines of section 3."""

import itertools
from collections.abc import Callable, Sequence

from torch import nn

from lit_gan import game
from lit_gan.game import Layers, NormSlot
from lit_gan.models.layers import Unflatten, image_shape, initialise_normal

SIZES = (16, 32, 64, 128)


def widths(size: int, width: int) -> list[int]:
    """Channels per resolution, from the image down to 4 x 4: `width`, doubled at every halving."""
    return [width * 2**stage for stage in range(size.bit_length() - 3)]


class Generator(game.Generator):
    """Projects z to 4 x 4 and doubles the resolution up to the image; norm and ReLU everywhere but at the output.

    Args:
        shape: (channels, size, size), size a power of two from 16 to 128.
        width: channels of the last hidden layer; the paper's faces at 64 px have 128.
        kernel_size: 5 in the paper; an even 4 costs two thirds and leaves no checkerboard.
        norm: normalisation layer, called with the number of channels.

    Raises:
        UserError: a shape it cannot make.
    """

    def __init__(
        self,
        shape: Sequence[int],
        z_dim: int = 100,
        width: int = 64,
        kernel_size: int = 4,
        prior: str = "normal",
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
    ):
        super().__init__(shape, z_dim, prior)
        channels, size = image_shape("dcgan", shape, SIZES)
        plan = widths(size, width)[::-1]
        layers = [nn.Linear(z_dim, plan[0] * 16), Unflatten(4), norm(plan[0]), nn.ReLU(inplace=True)]
        for before, after in itertools.pairwise(plan):
            layers += [upsample(before, after, kernel_size), norm(after), nn.ReLU(inplace=True)]
        self.body = Layers(*layers, upsample(plan[-1], channels, kernel_size), nn.Tanh())
        initialise_normal(self)


class Discriminator(game.Discriminator):
    """Halves the resolution down to 4 x 4 with leaky ReLUs of slope 0.2, then one linear layer.

    The paper's batch normalisation is `reg=batch_norm`: as a choice of its own it can be left out or replaced, and
    most other regularizers ask for that.
    """

    def __init__(self, shape: Sequence[int], width: int = 64, kernel_size: int = 4):
        super().__init__()
        channels, size = image_shape("dcgan", shape, SIZES)
        plan = widths(size, width)
        layers = [downsample(channels, plan[0], kernel_size), nn.LeakyReLU(0.2, inplace=True)]
        for before, after in itertools.pairwise(plan):
            layers += [downsample(before, after, kernel_size), NormSlot(after), nn.LeakyReLU(0.2, inplace=True)]
        self.body = Layers(*layers)
        self.head = nn.Linear(plan[-1] * 16, 1)
        initialise_normal(self)


def downsample(before: int, after: int, kernel_size: int) -> nn.Conv2d:
    """A convolution of stride 2 that halves the resolution exactly, for odd and even kernels."""
    return nn.Conv2d(before, after, kernel_size, stride=2, padding=(kernel_size - 1) // 2)


def upsample(before: int, after: int, kernel_size: int) -> nn.ConvTranspose2d:
    """A transposed convolution of stride 2 that doubles the resolution exactly, for odd and even kernels."""
    padding = (kernel_size - 1) // 2
    return nn.ConvTranspose2d(before, after, kernel_size, 2, padding, output_padding=kernel_size % 2)
