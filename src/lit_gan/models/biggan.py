"""The residual networks of Brock et al. 2019 (BigGAN), 32 to 256 px, with their hierarchical latent
vector."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lit_gan import game
from lit_gan.errors import UserError
from lit_gan.game import Images, Labelled, Labels, Latents, Layers, apply_layer
from lit_gan.layers import LatentNorm, NormSlot, SharedLabelGenerator, require_plain
from lit_gan.models.attention import maps_of_d, with_attention
from lit_gan.models.blocks import UpBlock
from lit_gan.models.layers import SumPool, Unflatten, image_shape, initialise_orthogonal
from lit_gan.ranges import Count, Switch, checked

Initialise = Callable[[nn.Module], None]


class Channels(NamedTuple):
    """The channels at one size, in multiples of the width, as in the authors' PyTorch code."""

    up: tuple[int, ...]
    """Channels of G's first feature map of 4 px, then of each block, which doubles the resolution."""
    down: tuple[int, ...]
    """Channels of D's blocks that halve the resolution."""
    flat: tuple[int, ...]
    """Channels of D's last blocks, which keep it."""


PLANS = {
    32: Channels((4, 4, 4, 4), (4, 4), (4, 4)),
    64: Channels((16, 16, 8, 4, 2), (1, 2, 4, 8), (16,)),
    128: Channels((16, 16, 8, 4, 2, 1), (1, 2, 4, 8, 16), (16,)),
    256: Channels((16, 16, 8, 8, 4, 2, 1), (1, 2, 4, 8, 8, 16), (16,)),
}
BOTTOM = 4
"""Side of G's first feature map."""


class Generator(SharedLabelGenerator):
    """Dense, residual blocks that double the resolution, norm, ReLU, 3x3 convolution, tanh.

    The latent vector is cut into equal parts: the dense layer reads the first, and every block reads
    another, through the gains and biases of its batch normalisations. `embedding`, where
    `ConditionalBatchNorm` has put one, is a vector of the label that all blocks read beside their
    parts. What other regularizers append to the latent vector is read by the dense layer.

    Args:
        shape: (channels, size, size), size 32, 64, 128 or 256.
        z_dim: length of the latent vector, a multiple of the number of parts, which are one more
            than the blocks: 4, 5, 6 or 7.
        width: ch of the tables; 64 at 32 px, 96 at 128 px in their code.
        label_size: length of the vector of the label, if labels reach G.
        hierarchical: false: the dense layer reads the whole latent vector, and batch normalisation
            has gains and biases of its own, as in their code for CIFAR-10.
        attention: sides of the feature maps after which self-attention stands; None for none. 64
            at 128 px.
        initialise: sets the weights at the start; None for orthogonal ones.

    Raises:
        UserError: a shape it cannot make, a z_dim that cannot be cut, or no map of a side in
            `attention`.
    """

    @checked
    def __init__(
        self,
        shape: Sequence[int],
        z_dim: Count = 128,
        width: Count = 64,
        prior: str = "normal",
        label_size: Count = 128,
        hierarchical: Switch = True,
        attention: Sequence[int] | None = None,
        initialise: Initialise | None = None,
    ):
        super().__init__(shape, z_dim, prior, label_size)
        channels, size = image_shape(shape, tuple(PLANS))
        widths = [width * factor for factor in PLANS[size].up]
        self.parts = equal_parts(z_dim, len(widths)) if hierarchical else [z_dim]
        block = partial(LatentUpBlock, code=self.parts[-1]) if hierarchical else partial(UpBlock, norm=nn.BatchNorm2d)
        blocks = [block(*pair) for pair in itertools.pairwise(widths)]
        maps = [(after, BOTTOM << place) for place, after in enumerate(widths[1:], start=1)]
        self.body = Layers(
            nn.Linear(self.parts[0], widths[0] * BOTTOM**2),
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
        if len(self.parts) == 1:
            return self.body(z, y)
        x, codes = self.codes(z, y)
        for layer in self.body:
            x = layer(x, y, next(codes)) if isinstance(layer, LatentUpBlock) else apply_layer(layer, x, y)
        return x

    def codes(self, z: Latents, y: Labels | None) -> tuple[Tensor, Iterator[Tensor]]:
        """What the dense layer reads, and what the blocks do, one after the other."""
        own, appended = self.own_and_appended(z)
        first, *parts = own.split(self.parts, 1)
        return torch.cat([first, appended], 1), (self.with_label(part, y) for part in parts)


def equal_parts(z_dim: int, parts: int) -> list[int]:
    """The lengths of so many equal parts of a latent vector.

    Raises:
        UserError: it cannot be cut into them.
    """
    if z_dim % parts:
        below = max(parts, z_dim - z_dim % parts)
        raise UserError(
            f"model.G.z_dim={z_dim} cannot be cut into {parts} equal parts, one for the first layer and one for each "
            f"block: set model.G.z_dim={below} or {below + parts}, or model.G.hierarchical=false."
        )
    return [z_dim // parts] * parts


class LatentUpBlock(UpBlock):
    """The block whose batch normalisations read a code.

    Args:
        before, after: channels.
        code: length of the code.
    """

    def __init__(self, before: int, after: int, code: int):
        super().__init__(before, after, partial(LatentNorm, code=code))

    def forward(self, x: Tensor, y: Labels | None = None, code: Tensor | None = None) -> Tensor:
        """[b, before, s, s] to [b, after, 2s, 2s]."""
        residual = x
        for layer in self.residual:
            reads_code = isinstance(layer, LatentNorm)
            residual = layer(residual, code) if reads_code else apply_layer(layer, residual, y)
        return residual + self.shortcut(x)


class Discriminator(game.Discriminator):
    """Residual blocks that halve the resolution, blocks that keep it, ReLU, global sum, dense.

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
        width: Count = 64,
        attention: Sequence[int] | None = None,
        initialise: Initialise | None = None,
    ):
        super().__init__()
        channels, size = image_shape(shape, tuple(PLANS))
        plan = PLANS[size]
        widths = [width * factor for factor in (*plan.down, *plan.flat)]
        blocks = [
            WideDownBlock(before, after, place < len(plan.down), place == 0, initialise or initialise_orthogonal)
            for place, (before, after) in enumerate(itertools.pairwise([channels, *widths]))
        ]
        maps = maps_of_d(widths, size, len(plan.down))
        layers = with_attention("model.D.attention", blocks, maps, attention)
        self.body = Layers(*layers, nn.ReLU(inplace=True), SumPool())
        self.head = nn.Linear(widths[-1], 1)
        (initialise or initialise_orthogonal)(self)


class WideDownBlock(Labelled):
    """ReLU-conv-ReLU-conv(-pool) beside 1x1(-pool), with as many channels between its convolutions as
    after them.

    The shortcut is the identity where nothing changes. The first block of a network has no norm and
    no ReLU before its first convolution, and pools before the 1x1.

    Args:
        before, after: channels.
        halve: whether it halves the resolution.
        first: whether it is the first block of a network.
        initialise: sets the weights where they are made anew.
    """

    def __init__(
        self,
        before: int,
        after: int,
        halve: bool,
        first: bool = False,
        initialise: Initialise = initialise_orthogonal,
    ):
        super().__init__()
        self.out_channels, self.halve, self.first, self.initialise = after, halve, first, initialise
        self.build(before)

    def build(self, before: int) -> None:
        """Makes the layers that read `before` channels."""
        after = self.out_channels
        pool = [nn.AvgPool2d(2)] if self.halve else []
        convolution = [nn.Conv2d(before, after, 1)] if self.halve or before != after else []
        self.in_channels = before
        # not in place: the shortcut reads what comes before the first ReLU
        activation = [] if self.first else [NormSlot(before), nn.ReLU()]
        self.residual = Layers(
            *activation,
            nn.Conv2d(before, after, 3, padding=1),
            NormSlot(after),
            nn.ReLU(inplace=True),
            nn.Conv2d(after, after, 3, padding=1),
            *pool,
        )
        self.shortcut = nn.Sequential(*(pool + convolution if self.first else convolution + pool))

    def widen(self, extra: int) -> None:
        """Makes all layers anew for `extra` more channels."""
        require_plain(self)
        self.build(self.in_channels + extra)
        # in its place in a body, as some ways to set weights tell a network's first layers from the others
        body = nn.ModuleList([self] if self.first else [nn.Linear(1, 1), self])
        self.initialise(nn.ModuleDict({"body": body}))

    def forward(self, x: Tensor, y: Labels | None = None) -> Tensor:
        """[b, before, s, s] to [b, after, s, s], or half that size."""
        return self.residual(x, y) + self.shortcut(x)
