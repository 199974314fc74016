"""The residual blocks of Gulrajani et al. 2017 and of Miyato et al. 2018, Figure 8."""

from torch import Tensor, nn

from lit_gan.game import Labelled, Labels, Layers
from lit_gan.layers import NormSlot, require_plain
from lit_gan.models.layers import Norm, initialise_glorot


class UpBlock(Labelled):
    """norm-ReLU-upsample-conv-norm-ReLU-conv beside upsample-1x1: twice the resolution, nearest
    neighbour."""

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
    """ReLU-conv-ReLU-conv(-pool) beside 1x1(-pool); the shortcut is the identity where nothing
    changes.

    Between its convolutions there are as many channels as before them, or, in a wide one, after.
    """

    def __init__(self, before: int, after: int, halve: bool, wide: bool = False):
        super().__init__()
        self.out_channels, self.halve, self.wide = after, halve, wide
        self.build(before)

    def build(self, before: int) -> None:
        """Makes the layers that read `before` channels."""
        after = self.out_channels
        between = after if self.wide else before
        pool = [nn.AvgPool2d(2)] if self.halve else []
        self.in_channels = before
        self.residual = Layers(
            NormSlot(before),
            nn.ReLU(),
            nn.Conv2d(before, between, 3, padding=1),
            NormSlot(between),
            nn.ReLU(inplace=True),
            nn.Conv2d(between, after, 3, padding=1),
            *pool,
        )
        changes = self.halve or before != after
        # made in any case: its draws are part of what a seed has stood for from the beginning
        convolution = nn.Conv2d(before, after, 1)
        self.shortcut = nn.Sequential(*([convolution] if changes else []), *pool)

    def widen(self, extra: int) -> None:
        """Makes all layers anew for `extra` more channels."""
        require_plain(self)
        self.build(self.in_channels + extra)
        initialise_glorot(self)

    def forward(self, x: Tensor, y: Labels | None = None) -> Tensor:
        """[b, before, s, s] to [b, after, s, s], or half that size."""
        return self.residual(x, y) + self.shortcut(x)
