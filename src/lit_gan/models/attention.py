"""Self-attention over the positions of a feature map, for residual networks."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lit_gan.errors import UserError, written

Maps = Float[Tensor, "b c h w"]


class SelfAttention(nn.Module):
    """x + gamma W sum_j a_ij g(x)_j over positions j, a_ij = softmax_j <theta(x)_i, phi(x)_j>.
    Zhang et al. 2019 (SAGAN), section 3.

    As in the authors' code, which BigGAN follows, phi and g are max-pooled to half the side and g
    has half of the channels; the paper has neither. No layer has a bias. gamma starts at 0, where
    the layer is the identity, and is learned; it may become negative.

    Args:
        channels: of the maps; a row or column that has no pair is not attended to.
    """

    def __init__(self, channels: int):
        super().__init__()
        narrow, half = max(1, channels // 8), max(1, channels // 2)
        self.theta = nn.Conv2d(channels, narrow, 1, bias=False)
        self.phi = nn.Conv2d(channels, narrow, 1, bias=False)
        self.g = nn.Conv2d(channels, half, 1, bias=False)
        self.out = nn.Conv2d(half, channels, 1, bias=False)
        self.pool = nn.MaxPool2d(2)
        self.gamma = nn.Parameter(torch.zeros(()))

    def weights(self, x: Maps) -> Float[Tensor, "b n m"]:
        """a_ij: how much each of the h w positions attends to each of the h w / 4 pooled ones; rows
        sum to 1."""
        queries, keys = self.theta(x).flatten(2), self.pool(self.phi(x)).flatten(2)
        return torch.softmax(queries.mT @ keys, 2)

    def forward(self, x: Maps) -> Maps:
        """The maps and what they attend to."""
        values = self.pool(self.g(x)).flatten(2)
        attended = (values @ self.weights(x).mT).unflatten(2, x.shape[2:])
        return x + self.gamma * self.out(attended)


def with_attention(
    name: str, blocks: Sequence[nn.Module], maps: Sequence[tuple[int, int]], sides: Sequence[int] | None
) -> list[nn.Module]:
    """Blocks with self-attention after the first one whose maps have a side of `sides`, if any.

    Args:
        name: of the setting, "model.G.attention", for the sentence.
        maps: channels and side of what each block makes.

    Raises:
        UserError: `sides` is no list, or no block makes maps of one of them.
    """
    if isinstance(sides, int):
        raise UserError(f"{name}={sides} must be a list of sides: write {name}=[{sides}].")
    there, sides = [side for _, side in maps], sides or []
    if missing := [side for side in sides if side not in there]:
        known = ", ".join(map(str, dict.fromkeys(there)))
        raise UserError(f"{name}={written(list(sides))}: no block makes maps of side {missing[0]}; there are {known}.")
    first = {there.index(side) for side in sides}
    layers = []
    for place, (block, (channels, _)) in enumerate(zip(blocks, maps, strict=True)):
        layers += [block, SelfAttention(channels)] if place in first else [block]
    return layers


def maps_of_d(widths: Sequence[int], size: int, halvings: int) -> list[tuple[int, int]]:
    """Channels and side of what each block of a D makes, of which the first so many halve the side."""
    return [(width, size >> min(place, halvings)) for place, width in enumerate(widths, start=1)]
