"""Discriminators that reconstruct: their logit is minus the error. Zhao et al. 2017; Berthelot et
al. 2017."""

import itertools
import math
from collections.abc import Sequence
from typing import Annotated

from torch import nn

from lit_gan import game
from lit_gan.errors import UserError
from lit_gan.game import Images, Labels, Layers, Verdict, at_least_float32
from lit_gan.layers import NormSlot
from lit_gan.models.layers import Unflatten, halvings, image_shape
from lit_gan.ranges import Count, Range, checked

SIZES = (16, 32, 64, 128)
Exponent = Annotated[float, Range(1)]


class Autoencoder(game.Discriminator):
    """`body` encodes a sample to a code, the features; `decoder` turns a code into a sample. There
    is no `head`.

    The logit is minus the mean of |x - decoder(body(x))|^exponent over the numbers of a sample.

    Args:
        code_size: length of the code.
        exponent: of the error: 2 as in Zhao et al. 2017, 1 as in Berthelot et al. 2017.

    Raises:
        UserError: an exponent below 1.
    """

    decoder: Layers

    @checked
    def __init__(self, code_size: Count, exponent: Exponent):
        super().__init__()
        self.code_size, self.exponent = code_size, exponent

    @property
    def n_features(self) -> int:
        """Length of a code."""
        return self.code_size

    @property
    def head(self) -> nn.Module:
        """Does not exist.

        Raises:
            UserError: somebody wants to change it.
        """
        raise UserError(
            "This model's D has no last layer, its logit is a reconstruction error, so it cannot be combined with "
            "what changes a last layer (labels=projection, reg=minibatch_discrimination): leave that out, or choose "
            "labels that leave it alone, such as labels=cgan, or another model."
        )

    def forward(self, x: Images, y: Labels | None = None) -> Verdict:
        """Minus the errors, in single precision, and the codes."""
        code = self.body(x, y)
        error = (at_least_float32(self.decoder(code, y)) - at_least_float32(x)).abs().pow(self.exponent)
        return Verdict(-error.flatten(1).mean(1), code)


class Discriminator(Autoencoder):
    """Convolutions of stride 2 down to 4 x 4 and a linear layer, and the same backwards. Zhao et
    al. 2017, section 2.3.

    Args:
        shape: (channels, size, size), size a power of two from 16 to 128.
        width: channels of the outermost hidden layers, doubled at every halving.
        code_size: length of the code between the two halves.
        exponent: what the differences between a sample and its reconstruction are raised to, 1 or
            2.

    Raises:
        UserError: a shape it cannot make, or an exponent below 1.
    """

    @checked
    def __init__(self, shape: Sequence[int], width: Count = 64, code_size: Count = 64, exponent: Exponent = 2.0):
        super().__init__(code_size, exponent)
        channels, size = image_shape(shape, SIZES)
        plan = [width * 2**stage for stage in range(halvings(size))]
        down = [nn.Conv2d(channels, plan[0], 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        up = [nn.LeakyReLU(0.2, inplace=True), nn.ConvTranspose2d(plan[0], channels, 4, 2, 1)]
        for outer, inner in itertools.pairwise(plan):
            down += [nn.Conv2d(outer, inner, 4, 2, 1), NormSlot(inner), nn.LeakyReLU(0.2, inplace=True)]
            wider = [nn.ConvTranspose2d(inner, outer, 4, 2, 1), NormSlot(outer)]
            up = [nn.LeakyReLU(0.2, inplace=True), *wider, *up]
        self.body = Layers(*down, nn.Flatten(), nn.Linear(plan[-1] * 16, code_size))
        self.decoder = Layers(nn.Linear(code_size, plan[-1] * 16), Unflatten(4), *up)


class Dense(Autoencoder):
    """`depth` hidden layers of `width` ReLUs on the flattened sample down to the code, and as many
    back.

    Args:
        shape: (2,) for points, (channels, height, width) for images.
        width: neurons in each hidden layer.
        depth: number of hidden layers on either side of the code.
        code_size: length of the code in the middle. A code as long as a sample does not make all
            errors 0: training D raises them where G's samples are.
        exponent: what the differences between a sample and its reconstruction are raised to, 1 or
            2.

    Raises:
        UserError: an exponent below 1.
    """

    @checked
    def __init__(
        self,
        shape: Sequence[int],
        width: Count = 512,
        depth: Count = 2,
        code_size: Count = 2,
        exponent: Exponent = 2.0,
    ):
        super().__init__(code_size, exponent)
        size = math.prod(shape)
        self.body = Layers(nn.Flatten(), *dense_layers(size, width, depth, code_size))
        self.decoder = Layers(*dense_layers(code_size, width, depth, size), nn.Unflatten(1, tuple(shape)))


def dense_layers(inputs: int, width: int, depth: int, outputs: int) -> list[nn.Module]:
    """Linear layers through `depth` hidden layers of `width` ReLUs."""
    layers = [nn.Linear(inputs, width), nn.ReLU(inplace=True)]
    for _ in range(depth - 1):
        layers += [nn.Linear(width, width), NormSlot(width), nn.ReLU(inplace=True)]
    return [*layers, nn.Linear(width, outputs)]
