"""The bottleneck networks of Brock et al. 2019, appendix B (BigGAN-deep), 32 to 256 px.

As in the authors' PyTorch code, which they have not trained; two blocks at each resolution.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lit_gan import game
from lit_gan.game import Images, Labelled, Labels, Latents, Layers, apply_layer
from lit_gan.layers import LatentLinear, LatentNorm, NormSlot, SharedLabelGenerator
from lit_gan.models.attention import maps_of_d, with_attention
from lit_gan.models.biggan import BOTTOM, PLANS, Initialise
from lit_gan.models.layers import SumPool, Unflatten, image_shape, initialise_orthogonal
from lit_gan.ranges import Count, checked

BOTTLENECK = 4
"""How many times fewer channels lie in the middle of a block."""


class Generator(SharedLabelGenerator):
    """Dense, two bottleneck blocks at each resolution, norm, ReLU, 3x3 convolution, tanh.

    The dense layer and every batch normalisation in a block read the whole latent vector and,
    where `ConditionalBatchNorm` has put one into `embedding`, a vector of the label.

    Args:
        shape: (channels, size, size), size 32, 64, 128 or 256.
        width: ch of the tables, 128 in the paper.
        label_size: length of the vector of the label, if labels reach G.
        attention: sides of the feature maps after which self-attention stands; None for none. 64
            at 128 px.
        initialise: sets the weights at the start; None for orthogonal ones.

    Raises:
        UserError: a shape it cannot make, or no map of a side in `attention`.
    """

    @checked
    def __init__(
        self,
        shape: Sequence[int],
        z_dim: Count = 128,
        width: Count = 128,
        prior: str = "normal",
        label_size: Count = 128,
        attention: Sequence[int] | None = None,
        initialise: Initialise | None = None,
    ):
        super().__init__(shape, z_dim, prior, label_size)
        channels, size = image_shape(shape, tuple(PLANS))
        widths = [width * factor for factor in PLANS[size].up]
        steps = [step for before, after in itertools.pairwise(widths) for step in ((before, before), (before, after))]
        blocks = [UpBottleneck(*step, z_dim, double=place % 2 == 1) for place, step in enumerate(steps)]
        maps = [(after, BOTTOM << (place + 1) // 2) for place, (_, after) in enumerate(steps)]
        self.body = Layers(
            LatentLinear(z_dim, widths[0] * BOTTOM**2),
            Unflatten(BOTTOM),
            *with_attention("model.G.attention", blocks, maps, attention),
            nn.BatchNorm2d(widths[-1]),
            nn.ReLU(inplace=True),
            nn.Conv2d(widths[-1], channels, 3, padding=1),
            nn.Tanh(),
        )
        (initialise or initialise_orthogonal)(self)

    def forward(self, z: Latents, y: Labels | None = None) -> Images:
        """Samples; y is for an embedding or for layers that look at labels."""
        own, appended = self.own_and_appended(z)
        code = self.with_label(own, y)
        x = torch.cat([code, appended], 1)
        for layer in self.body:
            x = layer(x, code) if isinstance(layer, UpBottleneck) else apply_layer(layer, x, y)
        return x


class UpBottleneck(nn.Module):
    """norm-ReLU-1x1-norm-ReLU(-upsample)-3x3-norm-ReLU-3x3-norm-ReLU-1x1 beside the first channels(-upsample).

    A quarter of `before` channels lies between the 1x1 convolutions; the upsampling is of the nearest
    neighbour.

    Args:
        before, after: channels; not fewer before than after.
        code: length of what its norms read.
        double: whether it doubles the resolution.
    """

    def __init__(self, before: int, after: int, code: int, double: bool):
        super().__init__()
        within = max(1, before // BOTTLENECK)
        self.out_channels, self.resize = after, nn.Upsample(scale_factor=2) if double else nn.Identity()
        self.norms = nn.ModuleList(LatentNorm(channels, code) for channels in (before, within, within, within))
        self.residual = nn.ModuleList(
            [
                nn.Conv2d(before, within, 1),
                nn.Conv2d(within, within, 3, padding=1),
                nn.Conv2d(within, within, 3, padding=1),
                nn.Conv2d(within, after, 1),
            ]
        )

    def forward(self, x: Tensor, code: Latents) -> Tensor:
        """[b, before, s, s] to [b, after, s, s], or twice that size."""
        residual = x
        for place, (norm, convolution) in enumerate(zip(self.norms, self.residual, strict=True)):
            residual = torch.relu(norm(residual, code))
            residual = convolution(self.resize(residual) if place == 1 else residual)
        return residual + self.resize(x[:, : self.out_channels])


class Discriminator(game.Discriminator):
    """3x3 convolution, two bottleneck blocks at each resolution, ReLU, global sum, dense.

    Args:
        shape: (channels, size, size), size 32, 64, 128 or 256.
        width, initialise: as of G.
        attention: sides of the feature maps after which self-attention stands; None for none. 64
            at 128 px.

    Raises:
        UserError: a shape it cannot judge, or no map of a side in `attention`.
    """

    @checked
    def __init__(
        self,
        shape: Sequence[int],
        width: Count = 128,
        attention: Sequence[int] | None = None,
        initialise: Initialise | None = None,
    ):
        super().__init__()
        channels, size = image_shape(shape, tuple(PLANS))
        plan = PLANS[size]
        widths = [width * factor for factor in (*plan.down, *plan.flat)]
        stages = [
            Layers(DownBottleneck(*pair, halve=place < len(plan.down)), DownBottleneck(pair[1], pair[1], halve=False))
            for place, pair in enumerate(itertools.pairwise(widths))
        ]
        maps = maps_of_d(widths[1:], size, len(plan.down))
        layers = with_attention("model.D.attention", stages, maps, attention)
        first = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.body = Layers(first, *layers, nn.ReLU(inplace=True), SumPool())
        self.head = nn.Linear(widths[-1], 1)
        (initialise or initialise_orthogonal)(self)


class DownBottleneck(Labelled):
    """ReLU-1x1-ReLU-3x3-ReLU-3x3-ReLU(-pool)-1x1 beside (pool-)identity, to which a 1x1 convolution adds channels.

    A quarter of `after` channels lies between the 1x1 convolutions.
    """

    def __init__(self, before: int, after: int, halve: bool):
        super().__init__()
        within = max(1, after // BOTTLENECK)
        self.pool = nn.AvgPool2d(2) if halve else nn.Identity()
        self.residual = Layers(
            NormSlot(before),
            nn.ReLU(),  # not in place: the shortcut reads what comes before it
            nn.Conv2d(before, within, 1),
            NormSlot(within),
            nn.ReLU(inplace=True),
            nn.Conv2d(within, within, 3, padding=1),
            NormSlot(within),
            nn.ReLU(inplace=True),
            nn.Conv2d(within, within, 3, padding=1),
            NormSlot(within),
            nn.ReLU(inplace=True),
            self.pool,
            nn.Conv2d(within, after, 1),
        )
        self.more = nn.Conv2d(before, after - before, 1) if after > before else None

    def forward(self, x: Tensor, y: Labels | None = None) -> Tensor:
        """[b, before, s, s] to [b, after, s, s], or half that size."""
        shortcut = self.pool(x)
        if self.more is not None:
            shortcut = torch.cat([shortcut, self.more(shortcut)], 1)
        return self.residual(x, y) + shortcut
