"""The character-level networks of WGAN-GP. Gulrajani et al. 2017, section 5.5 and
`gan_language.py`.

One-dimensional residual blocks over the positions of a text. Samples are [characters, length]: at
every position a distribution over the characters, which is one-hot for real text; nothing is drawn
from G's.
"""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from lit_gan import game
from lit_gan.errors import UserError
from lit_gan.game import Labelled, Labels, Layers
from lit_gan.layers import NormSlot
from lit_gan.models.layers import initialise_glorot
from lit_gan.ranges import Count, checked

CONVOLUTIONS = math.sqrt(2)
"""Gain of the first or last convolution, which the authors draw like those of the blocks."""


class Generator(game.Generator):
    """Dense, residual blocks, 1x1 convolution, softmax over the characters.

    Args:
        shape: (characters, length).
        width: channels of every hidden layer, 512 in the paper.
        depth: residual blocks, 5 in the paper.

    Raises:
        UserError: a shape that is no text.
    """

    @checked
    def __init__(
        self, shape: Sequence[int], z_dim: Count = 128, width: Count = 512, depth: Count = 5, prior: str = "normal"
    ):
        super().__init__(shape, z_dim, prior)
        characters, length = text_shape(shape)
        self.body = Layers(
            nn.Linear(z_dim, width * length),
            nn.Unflatten(1, (width, length)),
            *(Block(width, nn.Identity) for _ in range(depth)),
            nn.Conv1d(width, characters, 1),
            nn.Softmax(dim=1),
        )
        initialise_glorot(self)
        initialise_glorot(self.body[-2], CONVOLUTIONS)


class Discriminator(game.Discriminator):
    """1x1 convolution, residual blocks, dense.

    Args:
        shape: (characters, length).
        width: channels of every hidden layer, 512 in the paper.
        depth: residual blocks, 5 in the paper.
    """

    @checked
    def __init__(self, shape: Sequence[int], width: Count = 512, depth: Count = 5):
        super().__init__()
        characters, length = text_shape(shape)
        self.body = Layers(nn.Conv1d(characters, width, 1), *(Block(width, NormSlot) for _ in range(depth)))
        self.head = nn.Linear(width * length, 1)
        initialise_glorot(self)
        initialise_glorot(self.body[0], CONVOLUTIONS)


class Block(Labelled):
    """x + 0.3 conv5(ReLU(conv5(ReLU(x)))).

    Args:
        norm: called with the number of channels, before each ReLU; the paper has none.
    """

    def __init__(self, channels: int, norm: type[nn.Module]):
        super().__init__()
        self.residual = Layers(
            norm(channels),
            nn.ReLU(),
            nn.Conv1d(channels, channels, 5, padding=2),
            norm(channels),
            nn.ReLU(),
            nn.Conv1d(channels, channels, 5, padding=2),
        )

    def forward(self, x: Tensor, y: Labels | None = None) -> Tensor:
        """[b, channels, length] to the same."""
        return x + 0.3 * self.residual(x, y)


def text_shape(shape: Sequence[int]) -> tuple[int, int]:
    """(characters, length) of texts.

    Raises:
        UserError: the shape is another.
    """
    if len(shape) != 2:
        raise UserError(
            f"model=text_resnet makes text, [characters, length], not samples of shape {list(shape)}: set data=text "
            f"or choose another model."
        )
    return shape[0], shape[1]
