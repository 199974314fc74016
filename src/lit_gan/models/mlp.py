"""Fully connected networks, for points in the plane and for images as vectors. Gulrajani et al.
2017, section 3."""

import math
from collections.abc import Callable, Sequence

from torch import nn

from lit_gan import game
from lit_gan.game import Layers
from lit_gan.layers import NormSlot
from lit_gan.models.layers import Activation, Scale, channels_read, relu
from lit_gan.ranges import Count, Positive, checked

Initialise = Callable[[nn.Module], None]


class Generator(game.Generator):
    """`depth` hidden layers of `width` ReLUs; tanh at the output if the samples are images.

    Args:
        shape: (2,) for points, (channels, height, width) for images.
        width: neurons in each hidden layer.
        depth: number of hidden layers.
        activation: the nonlinearity behind each hidden layer, called without arguments.
        initialise: draws the weights; None leaves them as torch draws them.
    """

    @checked
    def __init__(
        self,
        shape: Sequence[int],
        z_dim: Count = 2,
        width: Count = 512,
        depth: Count = 3,
        prior: str = "normal",
        activation: Activation = relu,
        initialise: Initialise | None = None,
    ):
        super().__init__(shape, z_dim, prior)
        reads = channels_read(activation)
        layers = [nn.Linear(z_dim, width * reads), activation()]
        for _ in range(depth - 1):
            layers += [nn.Linear(width, width * reads), activation()]
        output = nn.Tanh() if len(shape) == 3 else nn.Identity()
        self.body = Layers(*layers, nn.Linear(width, math.prod(shape)), nn.Unflatten(1, self.shape), output)
        if initialise is not None:
            initialise(self)


class Discriminator(game.Discriminator):
    """`depth` hidden layers of `width` ReLUs on the flattened sample.

    Args:
        shape: (2,) for points, (channels, height, width) for images.
        width: neurons in each hidden layer.
        depth: number of hidden layers.
        input_scale: multiplies the sample; 0.25 for the ring of Metz et al. 2017, 1 elsewhere.
        activation: the nonlinearity behind each hidden layer, called without arguments.
        initialise: draws the weights; None leaves them as torch draws them.

    Raises:
        UserError: a scale that is not above 0.
    """

    @checked
    def __init__(
        self,
        shape: Sequence[int],
        width: Count = 512,
        depth: Count = 3,
        input_scale: Positive = 1.0,
        activation: Activation = relu,
        initialise: Initialise | None = None,
    ):
        super().__init__()
        reads = channels_read(activation)
        scale = [Scale(input_scale)] if input_scale != 1 else []
        layers = [nn.Flatten(), *scale, nn.Linear(math.prod(shape), width * reads), activation()]
        for _ in range(depth - 1):
            layers += [nn.Linear(width, width * reads), NormSlot(width * reads), activation()]
        self.body = Layers(*layers)
        self.head = nn.Linear(width, 1)
        if initialise is not None:
            initialise(self)
