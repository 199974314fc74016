"""What several network pairs share: sizes, activations, changes of resolution, weight
initialisation."""

import itertools
import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_gan.errors import UserError
from lit_gan.game import Layers
from lit_gan.layers import as_matrix, n_inputs, out_axis, weight_layers

Activation = Callable[[], nn.Module]
Norm = Callable[[int], nn.Module]
Resampling = Callable[[int, int, int], list[nn.Module]]
"""The layers from so many channels to so many, with such a kernel."""


# Sizes


def image_shape(shape: Sequence[int], sizes: Sequence[int]) -> tuple[int, int]:
    """(channels, size) of square images [channels, size, size].

    Raises:
        UserError: the shape is no square image, or its size is not one of `sizes`.
    """
    if len(shape) != 3 or shape[1] != shape[2] or shape[1] not in sizes:
        known = [*map(str, sizes)] if len(sizes) < 9 else [*map(str, sizes[:3]), "...", str(sizes[-1])]
        raise UserError(
            f"This model makes square images of size {', '.join(known)}, not samples of shape {list(shape)}: "
            f"{REMEDIES.get(len(shape), 'choose another model')}."
        )
    return shape[0], shape[1]


def halvings(size: int) -> int:
    """How often a size, a power of two of at least 8, is halved until it is 4."""
    return size.bit_length() - 3


REMEDIES = {
    1: "points need model=mlp or, for a D that reconstructs, model=autoencoder_mlp",
    2: "text needs model=text_resnet",
    3: "set data.image_size (data.base.image_size of stacked sets) to one of these or choose another model",
}
"""What helps, by the dimensions of a sample."""


class Unflatten(nn.Module):
    """[b, channels * size * size] as [b, channels, size, size]."""

    def __init__(self, size: int):
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """The feature maps."""
        return x.view(x.shape[0], -1, self.size, self.size)


class SumPool(nn.Module):
    """Global sum over height and width, [b, c, h, w] to [b, c]."""

    def forward(self, x: Tensor) -> Tensor:
        """The sums."""
        return torch.sum(x, dim=(2, 3))


class Scale(nn.Module):
    """Its input times a constant."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """The product."""
        return x * self.factor


# Activations


def relu() -> nn.ReLU:
    """max(x, 0), in place."""
    return nn.ReLU(inplace=True)


def leaky_relu() -> nn.LeakyReLU:
    """max(x, 0.2 x), in place. Radford et al. 2016, section 4."""
    return nn.LeakyReLU(0.2, inplace=True)


class ShiftedSoftplus(nn.Softplus):
    """softplus(2x + 2) / 2 - 1, an ELU whose second derivative is continuous. Gulrajani et al.
    2017, Table 1."""

    def __init__(self):
        super().__init__(beta=2)

    def forward(self, x: Tensor) -> Tensor:
        """Above -1, near x + log(1 + exp(-2x - 2)) / 2."""
        return super().forward(x + 1) - 1


class Gated(nn.GLU):
    """sigmoid(a) tanh(b) of the first and second half of the channels. Gulrajani et al. 2017,
    section 5.2."""

    def __init__(self):
        super().__init__(dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """[b, 2c, ...] to [b, c, ...]."""
        a, b = x.chunk(2, self.dim)
        return torch.sigmoid(a) * torch.tanh(b)


def channels_read(activation: Activation) -> int:
    """How many channels an activation reads for each that it makes: 1, or 2 if it is gated."""
    return 2 // activation()(torch.zeros(1, 2)).shape[1]


# Changes of resolution


def convolve(before: int, after: int, kernel_size: int) -> list[nn.Module]:
    """A convolution that keeps the resolution; an even kernel is taken one smaller, to have a
    middle."""
    odd = kernel_size - 1 + kernel_size % 2
    return [nn.Conv2d(before, after, odd, padding=odd // 2)]


def downsample(before: int, after: int, kernel_size: int) -> list[nn.Module]:
    """A convolution of stride 2 that halves the resolution exactly, for odd and even kernels."""
    return [nn.Conv2d(before, after, kernel_size, stride=2, padding=(kernel_size - 1) // 2)]


def transposed(before: int, after: int, kernel_size: int) -> list[nn.Module]:
    """A transposed convolution of stride 2 that doubles the resolution exactly, for odd and even
    kernels."""
    padding = (kernel_size - 1) // 2
    return [nn.ConvTranspose2d(before, after, kernel_size, 2, padding, output_padding=kernel_size % 2)]


def nearest(before: int, after: int, kernel_size: int) -> list[nn.Module]:
    """Every pixel four times, then a convolution. Odena et al. 2016."""
    return [nn.Upsample(scale_factor=2), *convolve(before, after, kernel_size)]


def pixel_shuffle(before: int, after: int, kernel_size: int) -> list[nn.Module]:
    """A convolution to four times the channels, which become 2 x 2 pixels. Shi et al. 2016, Eq.
    4."""
    return [*convolve(before, 4 * after, kernel_size), nn.PixelShuffle(2)]


class Smooth(nn.Module):
    """What passes the filter [1, 3, 3, 1] along either axis."""

    gain: float = 1.0
    kernel: Tensor

    def __init__(self):
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("kernel", self.gain * taps[:, None] * taps, persistent=False)

    def filters(self, x: Tensor) -> Tensor:
        """The filter for each channel."""
        return self.kernel.to(x.dtype).expand(x.shape[1], 1, -1, -1)


class Double(Smooth):
    """Twice the resolution."""

    gain = 4.0

    def forward(self, x: Tensor) -> Tensor:
        """[b, c, s, s] to [b, c, 2s, 2s]; a constant stays what it is, but at the edges."""
        return F.conv_transpose2d(x, self.filters(x), stride=2, padding=1, groups=x.shape[1])


class Halve(Smooth):
    """Half the resolution."""

    def forward(self, x: Tensor) -> Tensor:
        """[b, c, s, s] to [b, c, s/2, s/2]; a constant stays what it is, but at the edges."""
        return F.conv2d(x, self.filters(x), stride=2, padding=1, groups=x.shape[1])


class Blur(Smooth):
    """The filter alone, times `gain`, with so many pixels of zeros around the maps.

    Karras et al. 2020 (StyleGAN2) have it before a convolution of stride 2 and behind a transposed
    one, which leaves three quarters of the pixels to it: a gain of 4.
    """

    def __init__(self, padding: int, gain: float = 1.0):
        self.padding, self.gain = padding, gain
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """[b, c, s, s] to [b, c, s + 2 padding - 3, s + 2 padding - 3]."""
        return F.conv2d(x, self.filters(x), padding=self.padding, groups=x.shape[1])


# Weight initialisation


def initialise_normal(network: nn.Module, channels: int = 64, std: float = 0.02, gamma: bool = True) -> None:
    """Weights from N(0, std), biases 0, batch norm's gamma from N(1, std). Radford et al. 2016,
    section 4.

    A standard deviation that suits the networks of the papers lets the signal die out in narrower
    ones, where each sum has fewer terms: D's output is nearly the same for all images. So where a
    network is narrower than its source, every layer but the first has std sqrt(channels / width),
    and passes on as much as there. Wider networks keep std, as those of the papers do. A shortcut
    around the first layer, which reads what that reads, is a first layer too.

    Args:
        channels: the width of the source, in this function's sense: the fewest channels that a
            layer after the first ones reads.
        std: the standard deviation at that width.
        gamma: whether batch norm's gamma is drawn, too, as in the code of Radford et al.; else it
            stays at 1.
    """
    named = list(weight_layers(network))
    first = [layer for name, layer in named if in_one_part(name, named[0][0]) and reads_alike(layer, named[0][1])]
    width = min((n_inputs(layer) for _, layer in named if layer not in first), default=channels)
    for _, layer in named:
        nn.init.normal_(layer.weight, 0.0, std if layer in first else std * math.sqrt(max(1, channels / width)))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    for layer in network.modules():
        if gamma and isinstance(layer, nn.BatchNorm2d) and layer.affine:
            nn.init.normal_(layer.weight, 1.0, std)


def in_one_part(one: str, other: str) -> bool:
    """Whether two layers are in the same member of a network's body: "body.0.residual.0" and
    "body.0.shortcut"."""
    return one.split(".")[:2] == other.split(".")[:2]


def reads_alike(one: nn.Module, other: nn.Module) -> bool:
    """Whether two layers read equally many channels."""
    return n_inputs(one) == n_inputs(other)


def initialise_glorot(network: nn.Module, gain: float = 1.0, linear_gain: float | None = None) -> None:
    """Uniform of variance 2 gain^2 / (fan_in + fan_out), in residual branches of twice that, biases
    0.

    The authors' code of Gulrajani et al. 2017 and of Miyato et al. 2018; with a gain of sqrt(2),
    and 1 for the linear layers, it is what the former calls He's for convolutions. Where a stride
    thins out one side of a layer, its fan counts by so much less, as in the former.

    Args:
        gain: multiplies the standard deviations.
        linear_gain: the gain of the linear layers; None for the same.
    """
    for name, layer in weight_layers(network):
        own = gain if linear_gain is None or not isinstance(layer, nn.Linear) else linear_gain
        draw_uniform(layer, own * math.sqrt((4 if "residual" in name else 2) / fan_in_plus_out(layer)))


def initialise_he_uniform(network: nn.Module) -> None:
    """Uniform of variance 2 / fan_in, in the last layer of 2 / (fan_in + fan_out), biases 0.

    He et al. 2015, Eq. 10, and Glorot and Bengio 2010, Eq. 12, as in the fully connected networks
    in the code of Gulrajani et al. 2017: those of its toy sets, and the G of Figure 2.
    """
    *hidden, last = (layer for _, layer in weight_layers(network))
    for layer in hidden:
        draw_uniform(layer, math.sqrt(2 / as_matrix(layer.weight, out_axis(layer)).shape[1]))
    draw_uniform(last, math.sqrt(2 / fan_in_plus_out(last)))


def draw_uniform(layer: nn.Module, std: float) -> None:
    """A layer's weight from the uniform distribution around 0 of this standard deviation, its bias
    0."""
    nn.init.uniform_(layer.weight, -math.sqrt(3) * std, math.sqrt(3) * std)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def fan_in_plus_out(layer: nn.Module) -> float:
    """fan_in + fan_out, a side that a stride thins out counted by so much less."""
    first, second = layer.weight.shape[:2]  # the thinned one is the first: the outputs, if transposed the inputs
    return layer.weight[0, 0].numel() * (first / math.prod(getattr(layer, "stride", ())) + second)


def initialise_orthogonal(network: nn.Module, gain: float = 1.0) -> None:
    """Weights whose singular values are all `gain`, biases 0. Saxe et al. 2014."""
    for _, layer in weight_layers(network):
        nn.init.orthogonal_(layer.weight, gain)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


@torch.no_grad()
def equalise_subpixels(body: Layers) -> None:
    """The pixels that come of one pixel start equal: no checkerboard at the beginning. Aitken et
    al. 2017 (ICNR)."""
    for layer, following in itertools.pairwise(body):
        if isinstance(following, nn.PixelShuffle):
            layer.weight.copy_(layer.weight[::4].repeat_interleave(4, 0))
