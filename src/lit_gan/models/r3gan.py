"""The residual networks of Huang et al. 2024 (R3GAN), their configuration E: no normalisation, and at
the start no block does anything."""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lit_gan import game
from lit_gan.errors import UserError
from lit_gan.game import Images, Labels, Latents, Layers
from lit_gan.layers import LatentLinear, SharedLabelGenerator
from lit_gan.models.layers import Double, Halve, halvings, image_shape
from lit_gan.ranges import Count, checked

SIZES = (16, 32, 64, 128, 256)
BOTTOM = 4
"""Side of the smallest feature map."""
GROUP = 16
"""Channels in one group of a grouped convolution."""
SLOPE_GAIN = math.sqrt(2 / 1.04)
"""Keeps the second moment through a leaky ReLU of slope 0.2."""


def stage_widths(size: int, width: int) -> list[int]:
    """Channels at 4, 8, ... pixels: the width up to 32 px, then half as many at each doubling."""
    return [max(1, min(width, 32 * width // (BOTTOM << stage))) for stage in range(halvings(size) + 1)]


class Generator(SharedLabelGenerator):
    """A learned 4x4 map, each channel times a number linear in z, then blocks at each resolution,
    1x1 convolution. Its samples are not bounded.

    Args:
        shape: (channels, size, size), size a power of two from 16 to 256.
        width: channels up to 32 px; 768 in the paper.
        depth: blocks at each resolution; 2 in the paper.
        label_size: length of the vector of the label, if labels reach G.

    Raises:
        UserError: a shape it cannot make.
    """

    @checked
    def __init__(
        self,
        shape: Sequence[int],
        z_dim: Count = 64,
        width: Count = 768,
        prior: str = "normal",
        depth: Count = 2,
        label_size: Count = 64,
    ):
        super().__init__(shape, z_dim, prior, label_size)
        channels, size = image_shape(shape, SIZES)
        widths = stage_widths(size, width)
        layers = [LatentLinear(z_dim, widths[0], bias=False), Basis(widths[0]), *blocks(widths[0], depth)]
        for before, after in itertools.pairwise(widths):
            change = [nn.Conv2d(before, after, 1, bias=False)] if before != after else []
            layers += [*change, Double(), *blocks(after, depth)]
        self.body = Layers(*layers, nn.Conv2d(widths[-1], channels, 1, bias=False))
        initialise(self)

    def forward(self, z: Latents, y: Labels | None = None) -> Images:
        """Samples; y is for an embedding or for layers that look at labels."""
        own, appended = self.own_and_appended(z)
        return self.body(torch.cat([self.with_label(own, y), appended], 1), y)


class Discriminator(game.Discriminator):
    """1x1 convolution, blocks at each resolution, a 4x4 convolution of each channel, dense.

    Args:
        shape: (channels, size, size), size a power of two from 16 to 256.
        width, depth: as of G.

    Raises:
        UserError: a shape it cannot judge.
    """

    @checked
    def __init__(self, shape: Sequence[int], width: Count = 768, depth: Count = 2):
        super().__init__()
        channels, size = image_shape(shape, SIZES)
        widths = stage_widths(size, width)[::-1]
        layers = [nn.Conv2d(channels, widths[0], 1, bias=False), *blocks(widths[0], depth)]
        for before, after in itertools.pairwise(widths):
            change = [nn.Conv2d(before, after, 1, bias=False)] if before != after else []
            layers += [Halve(), *change, *blocks(after, depth)]
        last = nn.Conv2d(widths[-1], widths[-1], BOTTOM, groups=widths[-1], bias=False)
        self.body = Layers(*layers, last, nn.Flatten())
        self.head = nn.Linear(widths[-1], 1, bias=False)
        initialise(self)


class Basis(nn.Module):
    """A learned 4x4 map of each channel, times a number of each sample: [b, c] to [b, c, 4, 4]."""

    def __init__(self, channels: int):
        super().__init__()
        self.maps = nn.Parameter(torch.randn(channels, BOTTOM, BOTTOM))

    def forward(self, x: Tensor) -> Tensor:
        """The maps."""
        return self.maps * x[..., None, None]


class GroupedBlock(nn.Module):
    """x + 1x1-lReLU-3x3 in groups-lReLU-1x1, twice as wide in the middle.

    Raises:
        UserError: the middle cannot be cut into groups.
    """

    def __init__(self, channels: int):
        super().__init__()
        wide = 2 * channels
        if wide % (wide // min(GROUP, wide)):
            raise UserError(
                f"model=r3gan cuts {wide} channels, twice those of a layer, into equal groups of about {GROUP}, which "
                f"cannot be: choose a model.width that is a multiple of {GROUP // 2}."
            )
        self.residual = nn.Sequential(
            nn.Conv2d(channels, wide, 1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(wide, wide, 3, padding=1, groups=wide // min(GROUP, wide)),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(wide, channels, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[b, channels, s, s] to the same."""
        return x + self.residual(x)


def blocks(channels: int, depth: int) -> list[nn.Module]:
    """So many blocks."""
    return [GroupedBlock(channels) for _ in range(depth)]


@torch.no_grad()
def initialise(network: nn.Module) -> None:
    """Weights from N(0, g^2 / fan_in), biases 0; g = sqrt(2 / 1.04) L^(-1/4) for the first two
    convolutions of each of the L blocks, 0 for the last, 1 elsewhere."""
    found = [layer for layer in network.modules() if isinstance(layer, GroupedBlock)]
    gains = {}
    for block in found:
        first, _, second, _, third = block.residual
        gains |= {first: SLOPE_GAIN * len(found) ** -0.25, second: SLOPE_GAIN * len(found) ** -0.25, third: 0.0}
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            fan_in = layer.weight[0].numel()
            layer.weight.normal_(0, 1).mul_(gains.get(layer, 1.0) / math.sqrt(fan_in))
            if layer.bias is not None:
                layer.bias.zero_()
