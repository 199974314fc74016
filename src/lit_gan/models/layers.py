"""What several network pairs share: weight initialisation, sizes, the end of a generator."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lit_gan.errors import UserError
from lit_gan.game import weight_layers


def initialise_normal(network: nn.Module, std: float = 0.02) -> None:
    """Weights from N(0, std), biases 0, batch norm's gamma from N(1, std). Radford et al. 2016, section 4."""
    for _, layer in weight_layers(network):
        nn.init.normal_(layer.weight, 0.0, std)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d) and layer.affine:
            nn.init.normal_(layer.weight, 1.0, std)


def image_shape(model: str, shape: Sequence[int], sizes: Sequence[int]) -> tuple[int, int]:
    """(channels, size) of square images [channels, size, size].

    Raises:
        UserError: the shape is no square image, or its size is not one of `sizes`.
    """
    if len(shape) != 3 or shape[1] != shape[2] or shape[1] not in sizes:
        known = ", ".join(map(str, sizes))
        raise UserError(
            f"model={model} makes square images of size {known}, not samples of shape {list(shape)}: "
            f"set data.image_size to one of these or choose another model."
        )
    return shape[0], shape[1]


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
