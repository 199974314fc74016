"""The ResNets of Miyato et al. 2018: Tables 4 (32 px), 5 (48 px) and 6 (128 px), blocks of Figure
8.

64 px is not in the paper: it is the 64 px model of mimicry, Lee and Town 2020.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from lit_gan import game
from lit_gan.game import Labelled, Labels, Layers
from lit_gan.layers import widen
from lit_gan.models.attention import maps_of_d, with_attention
from lit_gan.models.blocks import DownBlock, UpBlock
from lit_gan.models.layers import Norm, SumPool, Unflatten, image_shape, initialise_glorot
from lit_gan.ranges import Count, Switch, checked


class Plan(NamedTuple):
    """One table, in multiples of 64 channels."""

    bottom: int
    """Side of G's first feature map."""
    up: tuple[int, ...]
    """Channels of the first feature map, then of each block that doubles the resolution."""
    down: tuple[int, ...]
    """Channels of D's blocks that halve the resolution."""
    flat: tuple[int, ...]
    """Channels of D's last blocks, which keep it."""
    bias: bool
    """Whether D's last layer has a bias; the authors' CIFAR-10 model has none."""


PLANS = {
    32: Plan(4, (4, 4, 4, 4), (2, 2), (2, 2), False),
    48: Plan(6, (8, 4, 2, 1), (1, 2, 4, 8), (16,), True),
    64: Plan(4, (16, 8, 4, 2, 1), (1, 2, 4, 8, 16), (), True),
    128: Plan(4, (16, 16, 8, 4, 2, 1), (1, 2, 4, 8, 16), (16,), True),
}


class Generator(game.Generator):
    """Dense, residual blocks that double the resolution, norm, ReLU, 3x3 convolution, tanh.

    Args:
        shape: (channels, size, size), size 32, 48, 64 or 128.
        width: the tables' unit of 64 channels; 128 for twice as wide.
        norm: normalisation layer, called with the number of channels; None for none.
        attention: sides of the feature maps after which self-attention stands, as in Zhang et al.
            2019 (SAGAN): 32 at 128 px; None for none.

    Raises:
        UserError: a shape it cannot make, or no map of a side in `attention`.
    """

    @checked
    def __init__(
        self,
        shape: Sequence[int],
        z_dim: Count = 128,
        width: Count = 64,
        prior: str = "normal",
        norm: Norm | None = nn.BatchNorm2d,
        attention: Sequence[int] | None = None,
    ):
        super().__init__(shape, z_dim, prior)
        channels, size = image_shape(shape, tuple(PLANS))
        plan = PLANS[size]
        norm = norm or nn.Identity
        widths = [width * factor for factor in plan.up]
        blocks = [UpBlock(*pair, norm) for pair in itertools.pairwise(widths)]
        maps = [(after, plan.bottom << place) for place, after in enumerate(widths[1:], start=1)]
        self.body = Layers(
            nn.Linear(z_dim, widths[0] * plan.bottom**2),
            Unflatten(plan.bottom),
            *with_attention("model.G.attention", blocks, maps, attention),
            norm(widths[-1]),
            nn.ReLU(inplace=True),
            nn.Conv2d(widths[-1], channels, 3, padding=1),
            nn.Tanh(),
        )
        initialise_glorot(self)


class Discriminator(game.Discriminator):
    """Residual blocks that halve the resolution, blocks that keep it, ReLU, global sum, dense.

    Args:
        shape: (channels, size, size), size 32, 48, 64 or 128.
        width: the tables' unit of 64 channels; 128 for twice as wide.
        attention: as of G.
        wide: as many channels between a block's convolutions as after them, as the code of Zhang et
            al. 2019 (SAGAN) has it, instead of before them.

    Raises:
        UserError: a shape it cannot judge, or no map of a side in `attention`.
    """

    @checked
    def __init__(
        self, shape: Sequence[int], width: Count = 64, attention: Sequence[int] | None = None, wide: Switch = False
    ):
        super().__init__()
        channels, size = image_shape(shape, tuple(PLANS))
        plan = PLANS[size]
        widths = [width * factor for factor in (*plan.down, *plan.flat)]
        blocks = [FirstBlock(channels, widths[0])]
        for index, pair in enumerate(itertools.pairwise(widths), start=1):
            blocks.append(DownBlock(*pair, halve=index < len(plan.down), wide=wide))
        maps = maps_of_d(widths, size, len(plan.down))
        layers = with_attention("model.D.attention", blocks, maps, attention)
        self.body = Layers(*layers, nn.ReLU(inplace=True), SumPool())
        self.head = nn.Linear(widths[-1], 1, bias=plan.bias)
        initialise_glorot(self)


class FirstBlock(Labelled):
    """conv-ReLU-conv-pool beside pool-1x1: D's first block, without activation before its first
    convolution."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.residual = Layers(
            nn.Conv2d(before, after, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(after, after, 3, padding=1),
            nn.AvgPool2d(2),
        )
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(before, after, 1))

    @property
    def in_channels(self) -> int:
        """Channels that it reads."""
        return self.residual[0].in_channels

    def widen(self, extra: int) -> None:
        """Reads `extra` more channels."""
        widen(self.residual[0], extra)
        widen(self.shortcut[1], extra)

    def forward(self, x: Tensor, y: Labels | None = None) -> Tensor:
        """[b, before, s, s] to [b, after, s/2, s/2]."""
        return self.residual(x, y) + self.shortcut(x)
