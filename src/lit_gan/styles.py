"""Styles: the vectors by which a generator draws, how latent vectors and labels become them, and
what may be asked of a generator that has them. Karras et al. 2019 (StyleGAN) and 2020 (StyleGAN2)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from lit_gan.game import (
    Images,
    Labels,
    Latents,
    Layers,
    apply_layer,
    at_least_float32,
    single_precision,
)
from lit_gan.layers import LatentLinear, SharedLabelGenerator, equalised

Style = Float[Tensor, "b w"]
Styles = Float[Tensor, "b styles w"]
MAPPING_RATE = 0.01
"""The learning rate of mapping networks, as a multiple of that of other layers."""
MEAN_DECAY = 0.995
"""What the mean style keeps at each call of a training generator, as in the authors' code."""


class ScaledLeakyReLU(nn.LeakyReLU):
    """sqrt(2) max(x, 0.2 x), whose mean square is 1.04 where x is from N(0, 1)."""

    def __init__(self):
        super().__init__(0.2)

    def forward(self, x: Tensor) -> Tensor:
        """Of the same shape."""
        return super().forward(x).mul_(2**0.5)


def unit_vectors(x: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """Vectors scaled to a mean square of 1."""
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


class ClassVectors(nn.Module):
    """A vector of mean square 1 for each class: a dense layer of the one-hot label, scaled."""

    def __init__(self, n_classes: int, size: int):
        super().__init__()
        self.n_classes, self.linear = n_classes, equalised(nn.Linear(n_classes, size))

    def forward(self, y: Labels) -> Float[Tensor, "b size"]:
        """The vectors."""
        return unit_vectors(self.linear(F.one_hot(y, self.n_classes).to(self.linear.bias.dtype)))


def mapping_layers(inputs: int, outputs: int, depth: int) -> list[nn.Module]:
    """A mapping network: so many dense layers of `outputs` leaky ReLUs, which learn at a hundredth
    of the rate."""
    dense = [LatentLinear(inputs, outputs), *(nn.Linear(outputs, outputs) for _ in range(depth - 1))]
    return [part for layer in dense for part in (equalised(layer, MAPPING_RATE), ScaledLeakyReLU())]


class StyledGenerator(SharedLabelGenerator):
    """A generator in two parts: `body` maps a latent vector to a style w, and `synthesise` draws a
    sample by `n_styles` styles, one for each layer, which are all w unless they are mixed.

    In training its styles move their mean, and may be mixed. Otherwise they may be truncated. The mean
    is over the styles of all processes; in the authors' code it is the first one's.

    Args:
        z_dim: length of the latent vector, which is scaled to a mean square of 1.
        w_dim: length of a style.
        depth: layers of the mapping network.
    """

    truncatable = "styles"
    running_statistics = ("w_mean",)
    mixing: float = 0.0
    """The probability with which a training batch has two styles, see `StyleMixing`."""
    truncation: float | None = None
    """The share of their way from the mean that styles go; None for all of it."""
    n_styles: int
    label_vectors = ClassVectors
    w_mean: Tensor

    def __init__(self, shape: Sequence[int], z_dim: int, prior: str, w_dim: int, depth: int):
        super().__init__(shape, z_dim, prior, label_size=w_dim)
        self.body = Layers(*mapping_layers(z_dim, w_dim, depth))
        self.register_buffer("w_mean", torch.zeros(w_dim))

    def truncate(self, limit: float) -> None:
        """From now on has styles go this share of their way from the mean, where it does not train."""
        self.truncation = limit

    def forward(self, z: Latents, y: Labels | None = None) -> Images:
        """Samples; y is for an embedding or for layers that look at labels."""
        return self.synthesise(self.styles(z, y))

    def synthesise(self, styles: Styles) -> Images:
        """The samples of given styles."""
        raise NotImplementedError

    def styles(self, z: Latents, y: Labels | None = None) -> Styles:
        """The styles of latent vectors: moved mean and mixed in training, else truncated."""
        w = self.style(z, y)
        if not self.training:
            w = w if self.truncation is None else torch.lerp(self.w_mean, w, self.truncation)
            return self.repeated(w)
        with torch.no_grad():
            self.w_mean.lerp_(w.mean(0), 1 - MEAN_DECAY)
        return self.mixed(w, z, y) if self.mixing else self.repeated(w)

    def style(self, z: Latents, y: Labels | None = None) -> Style:
        """w, in full precision; codes behind the latent vector are read as they are."""
        with single_precision(z.device):
            own, codes = self.own_and_appended(at_least_float32(z))
            w = torch.cat([self.with_label(unit_vectors(own), y), codes], 1)
            for layer in self.body:
                w = apply_layer(layer, w, y)
        return w

    def repeated(self, w: Style) -> Styles:
        """The same style for all layers."""
        return w[:, None].expand(-1, self.n_styles, -1)

    def mixed(self, w: Style, z: Latents, y: Labels | None) -> Styles:
        """With probability `mixing` the styles behind one place, drawn uniformly for the whole batch,
        are those of fresh latent vectors with the same label and codes."""
        (own, _), (_, codes) = self.own_and_appended(self.draw(len(z))), self.own_and_appended(z)
        fresh = torch.cat([own, codes], 1)
        place = torch.randint(1, self.n_styles, (), device=w.device)
        kept = torch.arange(self.n_styles, device=w.device) < place
        kept = kept | (torch.rand((), device=w.device) >= self.mixing)
        return torch.where(kept[:, None], w[:, None], self.style(fresh, y)[:, None])
