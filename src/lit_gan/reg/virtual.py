"""Batch normalisation by a batch that is always the same."""

from collections.abc import Iterable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lit_gan.errors import UserError
from lit_gan.game import Discriminator, Generator, Labels, Layers, Regularizer, Turn, apply_layer, at_least_float32
from lit_gan.layers import LatentNorm, NormSlot
from lit_gan.ranges import AtLeastTwo, checked
from lit_gan.system.processes import whole_batch


class VirtualNorm(nn.Module):
    """Batch normalisation of [b, c, ...] whose first `n_reference` rows are the reference.

    Mean and mean square are the reference's; for the other rows they are mixed with the sample's
    own, over its positions, at weight 1 / (n_reference + 1).

    Args:
        weight, bias: gamma and beta at the start, [c]; None for none.
    """

    EPS = 1e-5

    def __init__(self, weight: Tensor | None, bias: Tensor | None):
        super().__init__()
        for name, start in (("weight", weight), ("bias", bias)):
            self.register_parameter(name, None if start is None else nn.Parameter(start.detach().clone()))
        self.n_reference = 0

    def forward(self, x: Tensor) -> Tensor:
        """Normalised, in full precision inside."""
        rows = at_least_float32(x).reshape(*x.shape[:2], -1)
        mean, square = self.mixed(rows.mean(2)), self.mixed(rows.square().mean(2))
        scale = (square - mean.square()).clamp(min=0).add(self.EPS).rsqrt()
        rows = (rows - mean[..., None]) * scale[..., None]
        if self.weight is not None:
            rows = torch.addcmul(self.bias[:, None], self.weight[:, None], rows)
        return rows.view(x.shape).to(x.dtype)

    def mixed(self, moment: Float[Tensor, "b c"]) -> Float[Tensor, "b c"]:
        """Each row's statistic."""
        n = self.n_reference
        reference = moment[:n].mean(0, keepdim=True)
        return torch.cat([reference.expand(n, -1), torch.lerp(reference, moment[n:], 1 / (n + 1))])


class Drop(nn.Identity):
    """Marks where the reference leaves."""


class Referenced(Layers):
    """Layers through which a reference batch goes in front of every batch, up to the member `Drop`.

    Before each layer all its `VirtualNorm`s are told how many rows are the reference's: fewer than
    it has samples behind a layer that packs several samples into one row.
    """

    divisible = False
    reference: Tensor
    labels: Tensor
    filled: Tensor

    def __init__(self, layers: Iterable[nn.Module], reference: Tensor):
        super().__init__(*layers)
        self.register_buffer("reference", reference)
        self.register_buffer("labels", torch.zeros(len(reference), dtype=torch.long))
        self.register_buffer("filled", torch.zeros((), dtype=torch.bool))

    def forward(self, x: Tensor, y: Labels | None = None) -> Tensor:
        """The last layer's output on x alone."""
        n_reference = len(self.reference)
        # in one batch with the samples: a pass of its own would move spectral norm's vectors once more
        x = torch.cat([self.reference.to(x.dtype), x])
        labels = None if y is None else torch.cat([self.labels, y])
        for layer in self:
            if isinstance(layer, Drop):
                x, labels, n_reference = x[n_reference:], y, 0
            before = x.shape[0]  # a symbol while torch traces G, as len(x) would not be
            tell_norms(layer, n_reference)
            x = apply_layer(layer, x, labels)
            if x.shape[0] != before:
                n_reference = rows_behind(n_reference, before, x.shape[0])
        return x


def tell_norms(layer: nn.Module, n_reference: int) -> None:
    """Tells every `VirtualNorm` in a layer how many rows of the next batch are the reference's."""
    for norm in layer.modules():
        if isinstance(norm, VirtualNorm):
            norm.n_reference = n_reference


def rows_behind(n_reference: int, before: int, after: int) -> int:
    """Number of the reference's rows behind a layer that makes `after` rows of `before`.

    Raises:
        UserError: a layer packs samples of the reference together with others.
    """
    if n_reference * after % before:
        raise UserError(
            "reg.virtual_batch_norm.n_reference must be a multiple of reg.pacgan.m, or a pack would hold samples of "
            "the reference batch beside others."
        )
    return n_reference * after // before


class VirtualBatchNorm(Regularizer):
    """Batch normalisation by the statistics of a reference batch and the sample itself. Salimans et
    al. 2016, 3.5.

    The reference is fixed: latent vectors for G, whose batch normalisation it replaces, with its
    gamma and beta; the first real samples for D, whose places for a normalisation it fills, with
    gamma and beta of its own. It passes through the network along with every batch, normalised by
    itself. The paper uses it in G alone.

    Args:
        network: the player that is changed: "g", "d" or "both".
        n_reference: samples in the reference batch, the same in all processes. D's repeats those of
            the first batch, of all processes, if they are fewer.

    Raises:
        UserError: another network, or fewer than two samples.
    """

    @checked
    def __init__(self, network: Literal["g", "d", "both"] = "g", n_reference: AtLeastTwo = 64):
        super().__init__()
        self.network, self.n_reference = network, n_reference
        self.waits = True

    def attach(self, G: Generator, D: Discriminator) -> None:
        """Replaces the normalisations and sends the reference along.

        Raises:
            UserError: there is nothing to replace, or it is somewhere else than in the network's
                body.
        """
        if self.network in ("g", "both"):
            norms = {name: layer for name, layer in G.named_modules() if isinstance(layer, _BatchNorm)}
            install_norms(G, {name: VirtualNorm(layer.weight, layer.bias) for name, layer in norms.items()})
            G.body = Referenced(G.body, G.draw(self.n_reference))
        if self.network in ("d", "both"):
            slots = {name: layer.channels for name, layer in D.named_modules() if isinstance(layer, NormSlot)}
            install_norms(D, {name: VirtualNorm(torch.ones(c), torch.zeros(c)) for name, c in slots.items()})
            D.body = Referenced(D.body, torch.zeros(self.n_reference, *G.shape))

    def stage(self, turn: Turn) -> None:
        """The first real samples of a training, and the first labels of either kind, become the
        reference.

        For D as what stands before this in `reg` shows them: noise and augmentations belong behind
        it.
        """
        if self.waits:
            for network, images, labels in ((turn.G, None, turn.y_fake), (turn.D, turn.x_real, turn.y)):
                if isinstance(network.body, Referenced) and not network.body.filled:
                    fill(network.body, images, labels)
            self.waits = False


def install_norms(network: Generator | Discriminator, norms: dict[str, VirtualNorm]) -> None:
    """Puts the normalisations into a network, and `Drop` behind the last of them.

    Raises:
        UserError: there is none, or there are some outside the body, or some that read a latent
            vector, which the reference batch brings none of.
    """
    player = "g" if isinstance(network, Generator) else "d"
    latent = any(isinstance(layer, LatentNorm) for layer in network.modules())
    if (
        latent
        or not norms
        or not all(name.startswith("body.") for name in norms)
        or not isinstance(network.body, Layers)
    ):
        raise UserError(
            f"reg.virtual_batch_norm.network={player} finds no normalisation to replace in this model, or some that "
            f"its reference batch would not reach: choose the other network or another model."
        )
    for name, norm in norms.items():
        network.set_submodule(name, norm)
    network.body.insert(1 + max(int(name.split(".")[1]) for name in norms), Drop())


@torch.no_grad()
def fill(body: Referenced, images: Tensor | None, labels: Labels) -> None:
    """Sets the reference, of the samples of all processes; from the beginning again where there are
    too few."""
    labels = whole_batch(labels)
    chosen = torch.arange(len(body.reference), device=labels.device) % len(labels)
    body.labels.copy_(labels[chosen])
    if images is not None:
        body.reference.copy_(whole_batch(images)[chosen])
    body.filled.fill_(True)
