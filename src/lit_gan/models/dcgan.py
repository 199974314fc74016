"""DCGAN: strided and transposed convolutions only. Radford et al. 2016, Figure 1 and the guidelines
of section 3.

Its arguments reach the variants of Gulrajani et al. 2017: the random architectures of Table 1 and
those of Figure 2.
"""

from collections.abc import Callable, Sequence

from torch import nn

from lit_gan import game
from lit_gan.game import Layers
from lit_gan.layers import NormSlot
from lit_gan.models.layers import (
    Activation,
    Norm,
    Resampling,
    Unflatten,
    channels_read,
    convolve,
    downsample,
    equalise_subpixels,
    halvings,
    image_shape,
    initialise_normal,
    leaky_relu,
    relu,
    transposed,
)
from lit_gan.ranges import Count, checked

SIZES = (16, 32, 64, 128)


def growing_channels(size: int, width: int, growth: int = 2) -> list[int]:
    """Channels per resolution, from half of the image's down to 4 x 4: `width`, times `growth` at
    every halving."""
    return [width * growth**stage for stage in range(halvings(size))]


def resampling_sequence(resample: Resampling, times: int, depth: int) -> list[Resampling]:
    """The changes of resolution, with depth - 1 convolutions that change nothing before each and
    after the last."""
    same = [convolve] * (depth - 1)
    return [*same, resample] * times + same


class Generator(game.Generator):
    """Projects z to 4 x 4 and doubles the resolution up to the image; norm and activation
    everywhere but at the output.

    Args:
        shape: (channels, size, size), size a power of two from 16 to 128.
        width: channels of the last hidden layer; the paper's faces at 64 px have 128.
        kernel_size: side of the kernels; 5 in the paper; an even 4 costs two thirds and leaves no
            checkerboard.
        norm: normalisation layer, called with the number of channels; None for none.
        activation: the nonlinearity behind each hidden layer, called without arguments.
        upsample: `transposed`, `nearest` or `pixel_shuffle` of `lit_gan.models.layers`.
        growth: how many times wider a layer is than the one of twice its resolution; 1 for constant
            widths.
        depth: weight layers at each resolution.
        initialise: draws the weights.

    Raises:
        UserError: a shape it cannot make, or a growth below 1.
    """

    @checked
    def __init__(
        self,
        shape: Sequence[int],
        z_dim: Count = 100,
        width: Count = 64,
        kernel_size: Count = 4,
        prior: str = "normal",
        norm: Norm | None = nn.BatchNorm2d,
        activation: Activation = relu,
        upsample: Resampling = transposed,
        growth: Count = 2,
        depth: Count = 1,
        initialise: Callable[[nn.Module], None] = initialise_normal,
    ):
        super().__init__(shape, z_dim, prior)
        channels, size = image_shape(shape, SIZES)
        norm = norm or nn.Identity
        reads = channels_read(activation)
        plan = growing_channels(size, width, growth)[::-1]
        before = plan[0]
        layers = [nn.Linear(z_dim, before * reads * 16), Unflatten(4)]
        outputs = [before] * (depth - 1) + [after for after in (*plan[1:], plan[-1]) for _ in range(depth)]
        *hidden, last = resampling_sequence(upsample, len(plan), depth)
        for resample, after in zip(hidden, outputs, strict=False):
            layers += [norm(before * reads), activation(), *resample(before, after * reads, kernel_size)]
            before = after
        layers += [norm(before * reads), activation(), *last(before, channels, kernel_size), nn.Tanh()]
        self.body = Layers(*layers)
        initialise(self)
        equalise_subpixels(self.body)


class Discriminator(game.Discriminator):
    """Halves the resolution down to 4 x 4 with leaky ReLUs of slope 0.2, then one linear layer.

    The paper's batch normalisation is `reg=batch_norm`: as a choice of its own it can be left out
    or replaced, and most other regularizers ask for that.

    Args:
        shape: (channels, size, size), size a power of two from 16 to 128.
        width: channels of the first layer, doubled at every halving of the resolution.
        kernel_size: side of the kernels; 5 in the paper.
        activation: the nonlinearity behind each hidden layer, called without arguments.
        depth: weight layers at each resolution.
        initialise: draws the weights.
    """

    @checked
    def __init__(
        self,
        shape: Sequence[int],
        width: Count = 64,
        kernel_size: Count = 4,
        activation: Activation = leaky_relu,
        depth: Count = 1,
        initialise: Callable[[nn.Module], None] = initialise_normal,
    ):
        super().__init__()
        before, size = image_shape(shape, SIZES)
        reads = channels_read(activation)
        plan = growing_channels(size, width)
        layers: list[nn.Module] = []
        outputs = [after for after in plan for _ in range(depth)] + [plan[-1]] * (depth - 1)
        for resample, after in zip(resampling_sequence(downsample, len(plan), depth), outputs, strict=True):
            slot = [NormSlot(after * reads)] if layers else []
            layers += [*resample(before, after * reads, kernel_size), *slot, activation()]
            before = after
        self.body = Layers(*layers)
        self.head = nn.Linear(before * 16, 1)
        initialise(self)
