"""The networks of Karras et al. 2020 (StyleGAN2): styles that scale the weights of each convolution, a G
that sums images of all resolutions, and a residual D or a plain one."""

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_gan import game
from lit_gan.game import Images, Layers, at_least_float32, single_precision
from lit_gan.layers import equalised, n_inputs, widen
from lit_gan.models.layers import Blur, Double, Halve, halvings, image_shape
from lit_gan.ranges import Count, Switch, checked
from lit_gan.styles import ScaledLeakyReLU, Style, StyledGenerator, Styles

SIZES = (16, 32, 64, 128, 256)
BOTTOM = 4
"""Side of the smallest feature map."""


def stage_channels(size: int, width: int, taper: int) -> list[int]:
    """Channels at 4, 8, ... pixels: the width up to `taper`, then half as many at each doubling."""
    return [max(1, min(width, taper * width // (BOTTOM << stage))) for stage in range(halvings(size) + 1)]


class Generator(StyledGenerator):
    """A mapping network, a learned 4x4 map, and two convolutions by styles at each resolution, each
    with noise on its maps; the sample is the sum of the images of all resolutions. It is not bounded.

    In training the noise is drawn anew for each sample. Otherwise it is the same maps for all
    samples, which are drawn once and saved with the weights, so that a latent vector has one sample:
    the authors' code does that for pictures, and draws noise for its scores.

    The authors clamp feature maps to +-256 for half precision, which is left out.

    Args:
        shape: (channels, size, size), size a power of two from 16 to 256.
        z_dim, w_dim: length of the latent vector, and of a style; 512 in the authors' code.
        width: channels of the widest feature maps; 512 in that code.
        taper: side of the largest feature maps with `width` channels; beyond it each doubling has
            half as many. 64 in that code's set-ups for StyleGAN2 and for CIFAR-10, 32 in its others
            below 512 px.
        depth: layers of the mapping network; 8 in the set-up for StyleGAN2, 2 in that for CIFAR-10.

    Raises:
        UserError: a shape it cannot make.
    """

    @checked
    def __init__(
        self,
        shape: Sequence[int],
        z_dim: Count = 512,
        w_dim: Count = 512,
        width: Count = 512,
        taper: Count = 64,
        depth: Count = 8,
        prior: str = "normal",
    ):
        super().__init__(shape, z_dim, prior, w_dim, depth)
        channels, size = image_shape(shape, SIZES)
        self.synthesis = Synthesis(stage_channels(size, width, taper), w_dim, channels)
        self.n_styles = 2 * len(self.synthesis.stages)

    def synthesise(self, styles: Styles) -> Images:
        """The samples of given styles."""
        return self.synthesis(styles)


class Synthesis(nn.Module):
    """From two styles for each resolution to an image.

    Args:
        widths: channels at 4, 8, ... pixels.
        w_dim: length of a style.
        channels: of the image.
    """

    def __init__(self, widths: Sequence[int], w_dim: int, channels: int):
        super().__init__()
        self.constant = nn.Parameter(torch.randn(widths[0], BOTTOM, BOTTOM))
        befores = [None, *widths[:-1]]
        self.stages = nn.ModuleList(
            SynthesisStage(*pair, BOTTOM << stage, w_dim, channels)
            for stage, pair in enumerate(zip(befores, widths, strict=True))
        )

    def forward(self, styles: Styles) -> Images:
        """Each stage reads its own styles, and its image the first one of the next stage."""
        x, image, ways = self.constant.expand(styles.shape[0], -1, -1, -1), None, styles.unbind(1)
        for stage in self.stages:
            x, image = stage(x, image, ways)
            ways = ways[len(stage.convolutions) :]
        return image


class SynthesisStage(nn.Module):
    """The convolutions at one resolution, the first of which doubles it unless `before` is None, and
    what they add to the image."""

    def __init__(self, before: int | None, after: int, size: int, w_dim: int, channels: int):
        super().__init__()
        doubling = [] if before is None else [NoisyConvolution(before, after, size, w_dim, double=True)]
        layers = [*doubling, NoisyConvolution(after, after, size, w_dim)]
        self.convolutions = nn.ModuleList(map(equalised, layers))
        self.to_image = equalised(ModulatedConvolution(after, channels, 1, w_dim, demodulate=False))
        self.upsample = Double()

    def forward(self, x: Tensor, image: Tensor | None, styles: Sequence[Style]) -> tuple[Tensor, Tensor]:
        """Feature maps and the image so far, each of twice the size."""
        for convolution, w in zip(self.convolutions, styles, strict=False):
            x = convolution(x, w)
        added = self.to_image(x, styles[len(self.convolutions)])
        return x, added if image is None else added + self.upsample(image)


class ModulatedConvolution(nn.Conv2d):
    """A convolution whose weights, for each sample, are multiplied by a scale of each input channel,
    linear in a style, and divided by the length that each filter then has. Karras et al. 2020, Eqs.
    1 and 3.

    As in the authors' code in training, the scales multiply the maps before the convolution and the
    lengths divide them after it, which is the same.

    Args:
        demodulate: whether the filters are divided by their lengths.
        double: whether it doubles the resolution, by a transposed convolution and a filter.
    """

    def __init__(
        self, before: int, after: int, kernel_size: int, w_dim: int, demodulate: bool = True, double: bool = False
    ):
        super().__init__(before, after, kernel_size, padding=kernel_size // 2)
        self.scales = equalised(nn.Linear(w_dim, before))
        nn.init.ones_(self.scales.bias)
        self.demodulate, self.blur = demodulate, Blur(1, gain=4.0) if double else None

    def modulated(self, x: Tensor, w: Style) -> Tensor:
        """Without the bias."""
        scales, weight = self.scales(w), self.weight
        x = x * scales.to(x.dtype)[..., None, None]
        if self.blur is None:
            x = F.conv2d(x, weight, padding=self.padding)
        else:
            x = self.blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2))
        return x * inverse_lengths(scales, weight).to(x.dtype)[..., None, None] if self.demodulate else x

    def forward(self, x: Tensor, w: Style) -> Tensor:
        """[b, before, s, s] to [b, after, s, s], or twice that size."""
        x = self.modulated(x, w)
        return x + self.bias.to(x.dtype)[:, None, None]


def inverse_lengths(scales: Tensor, weight: Tensor) -> Tensor:
    """1 / sqrt(sum_ik (s_i w_oik)^2) of each sample and filter [b, out], in full precision."""
    with single_precision(weight.device):
        squares = at_least_float32(scales).square() @ at_least_float32(weight).square().sum((2, 3)).T
        return (squares + 1e-8).rsqrt()


class NoisyConvolution(ModulatedConvolution):
    """3x3, with noise, one map for all channels times a learned strength, before bias and leaky ReLU.

    Args:
        size: side of the maps that it makes.
    """

    noise: Tensor

    def __init__(self, before: int, after: int, size: int, w_dim: int, double: bool = False):
        super().__init__(before, after, 3, w_dim, double=double)
        self.strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", torch.randn(size, size))
        self.activation = ScaledLeakyReLU()

    def forward(self, x: Tensor, w: Style) -> Tensor:
        """[b, before, s, s] to [b, after, s, s], or twice that size."""
        x = self.modulated(x, w)
        noise = torch.randn_like(x[:, :1]) if self.training else self.noise.to(x.dtype)
        return self.activation(x + self.strength.to(x.dtype) * noise + self.bias.to(x.dtype)[:, None, None])


class Discriminator(game.Discriminator):
    """1x1 convolution, two convolutions at each resolution, minibatch standard deviation, 3x3
    convolution, two dense layers.

    Args:
        shape: (channels, size, size), size a power of two from 16 to 256.
        width, taper: as of G.
        residual: whether a shortcut is added at each resolution, as in StyleGAN2; in the authors'
            set-up for CIFAR-10 there is none.
        group: samples whose standard deviation is taken together, or as many of them as divide the
            batch; 4 in the authors' set-up for StyleGAN2, 32 in that for CIFAR-10.

    Raises:
        UserError: a shape it cannot judge.
    """

    @checked
    def __init__(
        self, shape: Sequence[int], width: Count = 512, taper: Count = 64, residual: Switch = True, group: Count = 4
    ):
        super().__init__()
        channels, size = image_shape(shape, SIZES)
        widths = stage_channels(size, width, taper)[::-1]
        self.body = Layers(
            *convolution(channels, widths[0], 1),
            *(HalvingStage(*pair, residual) for pair in itertools.pairwise(widths)),
            MinibatchDeviation(group),
            *convolution(widths[-1] + 1, widths[-1], 3),
            nn.Flatten(),
            equalised(nn.Linear(widths[-1] * BOTTOM**2, widths[-1])),
            ScaledLeakyReLU(),
        )
        self.head = equalised(nn.Linear(widths[-1], 1))


def convolution(before: int, after: int, kernel_size: int) -> list[nn.Module]:
    """An equalised convolution that keeps the resolution, and its activation."""
    return [equalised(nn.Conv2d(before, after, kernel_size, padding=kernel_size // 2)), ScaledLeakyReLU()]


class HalvingStage(nn.Module):
    """3x3-lReLU-blur-3x3-lReLU, the second one of stride 2; with a shortcut filter-1x1 the sum of both
    over sqrt(2)."""

    def __init__(self, before: int, after: int, residual: bool):
        super().__init__()
        self.residual = nn.Sequential(
            *convolution(before, before, 3),
            Blur(2),
            equalised(nn.Conv2d(before, after, 3, stride=2)),
            ScaledLeakyReLU(),
        )
        shortcut = [Halve(), equalised(nn.Conv2d(before, after, 1, bias=False))]
        self.shortcut = nn.Sequential(*shortcut) if residual else None

    @property
    def in_channels(self) -> int:
        """Channels that it reads."""
        return n_inputs(self.residual[0])

    def widen(self, extra: int) -> None:
        """Reads `extra` more channels."""
        widen(self.residual[0], extra)
        if self.shortcut is not None:
            widen(self.shortcut[1], extra)

    def forward(self, x: Tensor) -> Tensor:
        """[b, before, s, s] to [b, after, s/2, s/2]."""
        residual = self.residual(x)
        return residual if self.shortcut is None else (residual + self.shortcut(x)) * 0.5**0.5


class MinibatchDeviation(nn.Module):
    """Feature maps followed by how much the samples of a group differ: the standard deviation of each
    number over the group, averaged, as one more map. Karras et al. 2018 (progressive growing),
    section 3.

    Where `group` does not divide the batch, or the part of it that a process has, its groups are
    smaller.
    """

    def __init__(self, group: int):
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        """[b, c, s, s] to [b, c + 1, s, s]; samples b / group places apart are of one group."""
        n = max(n for n in range(1, min(self.group, len(x)) + 1) if len(x) % n == 0)
        groups = at_least_float32(x).unflatten(0, (n, -1))
        deviation = ((groups - groups.mean(0)).square().mean(0) + 1e-8).sqrt().mean((1, 2, 3))
        more = deviation.to(x.dtype).repeat(n)[:, None, None, None].expand(-1, 1, *x.shape[2:])
        return torch.cat([x, more], 1)
