"""The ResNets of Miyato et al. 2018: Tables 4 (32 px), 5 (48 px) and 6 (128 px), blocks of Figure 8."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from lit_gan import game
from lit_gan.game import Labelled, Labels, Layers, NormSlot, require_plain, weight_layers, widen
from lit_gan.models.layers import SumPool, Unflatten, image_shape


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
    128: Plan(4, (16, 16, 8, 4, 2, 1), (1, 2, 4, 8, 16), (16,), True),
}


class Generator(game.Generator):
    """Dense, residual blocks that double the resolution, norm, ReLU, 3x3 convolution, tanh.

    Args:
        shape: (channels, size, size), size 32, 48 or 128.
        width: the tables' unit of 64 channels; 128 for twice as wide.
        norm: normalisation layer, called with the number of channels.

    Raises:
        UserError: a shape it cannot make.
    """

    def __init__(
        self,
        shape: Sequence[int],
        z_dim: int = 128,
        width: int = 64,
        prior: str = "normal",
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
    ):
        super().__init__(shape, z_dim, prior)
        channels, size = image_shape("sngan_resnet", shape, tuple(PLANS))
        plan = PLANS[size]
        widths = [width * factor for factor in plan.up]
        blocks = [UpBlock(*pair, norm) for pair in itertools.pairwise(widths)]
        self.body = Layers(
            nn.Linear(z_dim, widths[0] * plan.bottom**2),
            Unflatten(plan.bottom),
            *blocks,
            norm(widths[-1]),
            nn.ReLU(inplace=True),
            nn.Conv2d(widths[-1], channels, 3, padding=1),
            nn.Tanh(),
        )
        initialise_glorot(self)


class Discriminator(game.Discriminator):
    """Residual blocks that halve the resolution, blocks that keep it, ReLU, global sum, dense."""

    def __init__(self, shape: Sequence[int], width: int = 64):
        super().__init__()
        channels, size = image_shape("sngan_resnet", shape, tuple(PLANS))
        plan = PLANS[size]
        widths = [width * factor for factor in (*plan.down, *plan.flat)]
        blocks = [FirstBlock(channels, widths[0])]
        for index, pair in enumerate(itertools.pairwise(widths), start=1):
            blocks.append(DownBlock(*pair, halve=index < len(plan.down)))
        self.body = Layers(*blocks, nn.ReLU(inplace=True), SumPool())
        self.head = nn.Linear(widths[-1], 1, bias=plan.bias)
        initialise_glorot(self)


class UpBlock(Labelled):
    """norm-ReLU-upsample-conv-norm-ReLU-conv beside upsample-1x1: twice the resolution, nearest neighbour."""

    def __init__(self, before: int, after: int, norm: Callable[[int], nn.Module]):
        super().__init__()
        self.residual = Layers(
            norm(before),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(before, after, 3, padding=1),
            norm(after),
            nn.ReLU(inplace=True),
            nn.Conv2d(after, after, 3, padding=1),
        )
        self.shortcut = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 1))

    def forward(self, x: Tensor, y: Labels | None = None) -> Tensor:
        """[b, before, s, s] to [b, after, 2s, 2s]."""
        return self.residual(x, y) + self.shortcut(x)


class FirstBlock(Labelled):
    """conv-ReLU-conv-pool beside pool-1x1: D's first block, without activation before its first convolution."""

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


class DownBlock(Labelled):
    """ReLU-conv-ReLU-conv(-pool) beside 1x1(-pool); the shortcut is the identity where nothing changes."""

    def __init__(self, before: int, after: int, halve: bool):
        super().__init__()
        self.in_channels, self.out_channels, self.halve = before, after, halve
        pool = [nn.AvgPool2d(2)] * halve
        self.residual = Layers(
            NormSlot(before),
            nn.ReLU(),
            nn.Conv2d(before, before, 3, padding=1),
            NormSlot(before),
            nn.ReLU(inplace=True),
            nn.Conv2d(before, after, 3, padding=1),
            *pool,
        )
        changes = halve or before != after
        self.shortcut = nn.Sequential(*[nn.Conv2d(before, after, 1)] * changes, *pool)

    def widen(self, extra: int) -> None:
        """Starts anew with `extra` more channels, those between its convolutions included."""
        require_plain(self)
        self.__init__(self.in_channels + extra, self.out_channels, self.halve)
        initialise_glorot(self)

    def forward(self, x: Tensor, y: Labels | None = None) -> Tensor:
        """[b, before, s, s] to [b, after, s, s], or half that size."""
        return self.residual(x, y) + self.shortcut(x)


def initialise_glorot(network: nn.Module) -> None:
    """Glorot uniform, gain sqrt(2) in residual branches and 1 elsewhere, biases 0, as in the authors' released code."""
    for name, layer in weight_layers(network):
        nn.init.xavier_uniform_(layer.weight, gain=math.sqrt(2) if "residual" in name else 1.0)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
