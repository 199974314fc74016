"""The ResNet of 101 layers in each player. Gulrajani et al. 2017, Figure 2 and section 5.2; details
from their code."""

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from lit_gan import game
from lit_gan.errors import UserError
from lit_gan.game import Labelled, Labels, Layers
from lit_gan.layers import NormSlot, require_plain
from lit_gan.models.layers import (
    Norm,
    Resampling,
    Scale,
    Unflatten,
    convolve,
    downsample,
    halvings,
    image_shape,
    initialise_glorot,
    pixel_shuffle,
    transposed,
)
from lit_gan.ranges import Count, checked

SIZES = (16, 32, 64, 128)


class Bottleneck(Labelled):
    """ReLU-1x1-ReLU-3x3-ReLU-1x1-norm, times 0.3, beside a 1x1 shortcut: the identity where nothing
    changes.

    Args:
        before, after: channels; half as many in between.
        resample: makes the 3x3 convolution.
        shortcut: makes the shortcut's, which changes the resolution alike.
    """

    def __init__(
        self, before: int, after: int, norm: Norm, resample: Resampling = convolve, shortcut: Resampling = convolve
    ):
        super().__init__()
        self.out_channels, self.norm = after, norm
        self.resample, self.shortcut_resample = resample, shortcut
        self.build(before)

    def build(self, before: int) -> None:
        """Makes the layers that read `before` channels."""
        after = self.out_channels
        self.in_channels = before
        self.residual = Layers(
            nn.ReLU(),
            nn.Conv2d(before, before // 2, 1),
            nn.ReLU(inplace=True),
            *self.resample(before // 2, after // 2, 3),
            nn.ReLU(inplace=True),
            nn.Conv2d(after // 2, after, 1, bias=False),
            self.norm(after),
        )
        changes = before != after or self.resample is not convolve
        self.shortcut = nn.Sequential(*(self.shortcut_resample(before, after, 1) if changes else []))

    def widen(self, extra: int) -> None:
        """Makes all layers anew for `extra` more channels, as those between its convolutions are
        half as many."""
        require_plain(self)
        self.build(self.in_channels + extra)
        initialise_glorot(self)

    def forward(self, x: Tensor, y: Labels | None = None) -> Tensor:
        """[b, before, s, s] to [b, after, s, s], or to half or twice that size."""
        return self.shortcut(x) + 0.3 * self.residual(x, y)


def doubling_channels(size: int, width: int) -> list[int]:
    """Channels per resolution, from the image down to 4 x 4: half of `width`, doubled at every
    halving.

    Raises:
        UserError: the narrowest layers would have a fraction of a channel.
    """
    if width % 4:
        raise UserError(f"model.width={width} must be a multiple of 4 with model=resnet101, which divides it by 4.")
    return [width // 2 * 2**stage for stage in range(halvings(size) + 1)]


class Generator(game.Generator):
    """Dense, six blocks at each resolution and one to the next, five at the image's, 1x1
    convolution, tanh(x / 5).

    Args:
        shape: (channels, size, size), size a power of two from 16 to 128; at 64 px there are 101
            layers.
        width: twice the channels at the image's resolution, 64 in the authors' code; a multiple of
            4.
        norm: normalisation layer, called with the number of channels; None for none.

    Raises:
        UserError: a shape or a width it cannot make.
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
        plan = doubling_channels(size, width)[::-1]
        layers = [nn.Linear(z_dim, plan[0] * 16), Unflatten(4)]
        for before, after in itertools.pairwise(plan):
            layers += [Bottleneck(before, before, norm) for _ in range(6)]
            layers += [Bottleneck(before, after, norm, transposed, pixel_shuffle)]
        layers += [Bottleneck(plan[-1], plan[-1], norm) for _ in range(5)]
        self.body = Layers(*layers, nn.Conv2d(plan[-1], channels, 1), Scale(0.2), nn.Tanh())
        initialise_glorot(self)


class Discriminator(game.Discriminator):
    """G's mirror image: 1x1 convolution, five blocks, one to each next resolution with six there,
    dense, over 5.

    The features are divided by 5 instead of the logit: the same but for the bias. The authors'
    normalisation at the end of each block is `reg=layer_norm`.

    Args:
        shape: (channels, size, size), size a power of two from 16 to 128.
        width: as of G.

    Raises:
        UserError: a shape or a width it cannot judge.
    """

    @checked
    def __init__(self, shape: Sequence[int], width: Count = 64):
        super().__init__()
        channels, size = image_shape(shape, SIZES)
        plan = doubling_channels(size, width)
        layers = [nn.Conv2d(channels, plan[0], 1), *(Bottleneck(plan[0], plan[0], NormSlot) for _ in range(5))]
        for before, after in itertools.pairwise(plan):
            layers += [Bottleneck(before, after, NormSlot, downsample, downsample)]
            layers += [Bottleneck(after, after, NormSlot) for _ in range(6)]
        self.body = Layers(*layers, Scale(0.2))
        self.head = nn.Linear(plan[-1] * 16, 1)
        initialise_glorot(self)
