"""The vocabulary: a GAN is a game of two turns, a turn is a lazy value, a loss and every trick are small objects.

Every network pair, loss and regularizer is written in these words and in nothing else.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lit_gan.errors import UserError

Player = Literal["d", "g"]
Images = Float[Tensor, "b *shape"]
Labels = Int[Tensor, " b"]
Latents = Float[Tensor, "b z"]


class Verdict(NamedTuple):
    """What every discriminator returns about a batch."""

    logits: Float[Tensor, " b"]
    """Higher means more real. No sigmoid: the losses apply what they need."""
    features: Float[Tensor, "b f"]
    """What the last layer saw."""


class Generator(nn.Module):
    """A network from latent vectors to samples: `forward(z, y)` maps [b, z_dim] to [b, *shape] in [-1, 1].

    Raises:
        UserError: a prior other than "normal" and "uniform".
    """

    def __init__(self, shape: Sequence[int], z_dim: int, prior: str = "normal"):
        super().__init__()
        if prior not in ("normal", "uniform"):
            raise UserError(f"model.G.prior={prior} does not exist: choose normal or uniform.")
        self.shape, self.z_dim, self.prior = tuple(shape), z_dim, prior

    def draw(self, n: int, generator: torch.Generator | None = None) -> Latents:
        """n latent vectors, N(0, 1) or U(-1, 1), from `generator` if given, on the parameters' device."""
        parameter = next(self.parameters())
        source = generator.device if generator is not None else parameter.device
        if self.prior == "uniform":
            z = torch.rand(n, self.z_dim, device=source, generator=generator).mul_(2).sub_(1)
        else:
            z = torch.randn(n, self.z_dim, device=source, generator=generator)
        return z.to(parameter)


class Discriminator(nn.Module):
    """A network that judges samples: `body` maps [b, *shape] to features, `head` maps those [b, f] to logits [b, 1]."""

    body: nn.Module
    head: nn.Module

    def forward(self, x: Images, y: Labels | None = None) -> Verdict:
        """The verdict on a batch; y is for networks that look at labels."""
        features = self.body(x).flatten(1)
        return Verdict(self.head(features).squeeze(1), features)


@dataclass
class Turn:
    """One player's view of one mini-batch. What nobody asks for is never computed.

    `x_fake`, `real` and `fake` are computed on first use and kept; a `stage` may assign to any of them, or to
    `x_real`, `z`, `y`, `G` and `D`, before the loss looks.
    """

    player: Player
    G: Generator
    D: Discriminator
    x_real: Images
    y: Labels
    z: Latents

    @cached_property
    def x_fake(self) -> Images:
        """G's samples; they carry a graph on G's turn only."""
        with torch.set_grad_enabled(self.player == "g"):
            return self.G(self.z, self.y)

    @cached_property
    def real(self) -> Verdict:
        """D's verdict on the real images."""
        return self.D(self.x_real, self.y)

    @cached_property
    def fake(self) -> Verdict:
        """D's verdict on the generated images."""
        return self.D(self.x_fake, self.y)


class Term(nn.Module):
    """Something that adds to a player's objective. Its name is its class's name in snake_case."""

    @property
    def name(self) -> str:
        """`NonSaturating` is `non_saturating`."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__).lower()


class Loss(Term):
    """What each player minimises: scalars, the mean over the batch."""

    def d(self, turn: Turn) -> Float[Tensor, ""]:
        """D's objective."""
        raise NotImplementedError

    def g(self, turn: Turn) -> Float[Tensor, ""]:
        """G's objective."""
        raise NotImplementedError


class Regularizer(Term):
    """A trick: a term for either player, times `weight`, and four hooks that do nothing unless overridden.

    State that must survive a resume is a buffer.
    """

    def __init__(self, weight: float = 1.0):
        super().__init__()
        self.weight = weight

    def attach(self, G: Generator, D: Discriminator) -> None:
        """Called once, in list order, before the optimizers exist: reparametrise, swap layers, add a head."""

    def check(self, G: Generator, D: Discriminator) -> None:
        """Called once, when all are attached: refuse what cannot work together, note what is needed later."""

    def stage(self, turn: Turn) -> None:
        """Called before a turn: change what the player is shown."""

    def d(self, turn: Turn) -> Float[Tensor, ""] | None:
        """A term for D, or None for no term."""

    def g(self, turn: Turn) -> Float[Tensor, ""] | None:
        """A term for G, or None for no term."""

    def project(self, turn: Turn) -> None:
        """Called after the player's update, without gradients."""


class NormSlot(nn.Identity):
    """A place in a network where a normalisation of `channels` channels may be put; the identity until one is."""

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels


def weight_layers(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """(name, layer) of every convolution and linear layer: the layers whose weight is an operator."""
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)
    return ((name, layer) for name, layer in network.named_modules() if isinstance(layer, kinds))


def per_sample(x: Tensor) -> Float[Tensor, "b n"]:
    """Each sample as one row."""
    return x.flatten(1)
