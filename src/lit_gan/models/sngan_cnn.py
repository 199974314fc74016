"""The standard CNN of the SNGAN paper. Miyato et al. 2018, Table 3."""

from collections.abc import Sequence

from torch import nn

from lit_gan import game
from lit_gan.game import Layers
from lit_gan.layers import NormSlot
from lit_gan.models.layers import (
    Norm,
    Resampling,
    Unflatten,
    equalise_subpixels,
    image_shape,
    initialise_normal,
    transposed,
)
from lit_gan.ranges import Count, NonNegative, Positive, Switch, checked

SIZES = (16, 32, 48, 64)
TABLE_3 = (1, 1, 2, 2, 4, 4, 8)
WIDE = (1, 2, 2, 4, 4, 8, 8)


class Generator(game.Generator):
    """Table 3 (a): dense to (size/8)^2 x 512, three transposed 4x4 convolutions to 64 channels, 3x3
    convolution, tanh.

    The table lists no normalisation after the dense layer, so there is none; the authors' released
    code has one. Weights start as there: from N(0, 0.02), in networks narrower than the paper's from
    a wider one (see `initialise_normal`), the gamma of batch normalisation at 1.

    Args:
        shape: (channels, size, size); the paper's sizes are 32 and 48.
        width: channels of the last hidden layer, 64 in the paper.
        norm: normalisation layer, called with the number of channels; None for none.
        upsample: `transposed`, `nearest` or `pixel_shuffle` of `lit_gan.models.layers`.

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
        upsample: Resampling = transposed,
    ):
        super().__init__(shape, z_dim, prior)
        channels, size = image_shape(shape, SIZES)
        norm = norm or nn.Identity
        layers = [nn.Linear(z_dim, 8 * width * (size // 8) ** 2), Unflatten(size // 8)]
        for before, after in ((8 * width, 4 * width), (4 * width, 2 * width), (2 * width, width)):
            layers += [*upsample(before, after, 4), norm(after), nn.ReLU(inplace=True)]
        self.body = Layers(*layers, nn.Conv2d(width, channels, 3, padding=1), nn.Tanh())
        initialise_normal(self, gamma=False)
        equalise_subpixels(self.body)


class Discriminator(game.Discriminator):
    """Table 3 (b): seven convolutions, 3x3 stride 1 and 4x4 stride 2 in turn, leaky ReLU after
    each, then dense.

    Args:
        shape: (channels, size, size); the paper's sizes are 32 and 48.
        width: channels of the first layer, 64 in the paper.
        wide: widen at the convolutions of stride 2, as the authors' released code does, instead of
            after them.
        slope: slope of the leaky ReLUs below 0; 0.1 in the paper, 0.2 in the released code.
        last: multiplies the channels that the last convolution reads and writes; 0.5 to 8 in Figure
            4.

    Raises:
        UserError: a shape it cannot judge, or a `last` that is not above 0.
    """

    @checked
    def __init__(
        self,
        shape: Sequence[int],
        width: Count = 64,
        wide: Switch = False,
        slope: NonNegative = 0.1,
        last: Positive = 1.0,
    ):
        super().__init__()
        channels, size = image_shape(shape, SIZES)
        layers: list[nn.Module] = []
        before = channels
        for index, factor in enumerate(WIDE if wide else TABLE_3):
            after = max(1, round(factor * width * last)) if index > 4 else factor * width
            halves = index % 2
            layers.append(nn.Conv2d(before, after, 3 + halves, stride=1 + halves, padding=1))
            if index > 0:
                layers.append(NormSlot(after))
            layers.append(nn.LeakyReLU(slope, inplace=True))
            before = after
        self.body = Layers(*layers)
        self.head = nn.Linear(before * (size // 8) ** 2, 1)
        initialise_normal(self)
