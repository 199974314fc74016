"""The residual blocks of Gulrajani et al. 2017 and of Miyato et al. 2018, Figure 8."""

from torch import Tensor, nn

from lit_gan.game import Labelled, Labels, Layers
from lit_gan.layers import NormSlot, require_plain
from lit_gan.models.layers import Norm, initialise_glorot


class UpBlock(Labelled):
    """norm-ReLU-upsample-conv-norm-ReLU-conv beside upsample-1x1: twice the resolution, nearest neighbour."""

    def __init__(self, before: int, after: int, norm: Norm):
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
