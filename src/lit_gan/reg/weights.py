"""Regularizers of the discriminator's weights."""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from lit_gan.errors import UserError
from lit_gan.game import Discriminator, Generator, Regularizer, Turn, weight_layers


def plain_weight_layers(D: Discriminator, name: str) -> list[nn.Module]:
    """The layers of D with a weight, for a regularizer called `name` that needs weights nobody reparametrises.

    Raises:
        UserError: another reparametrisation has them already.
    """
    layers = [layer for _, layer in weight_layers(D)]
    if any(parametrize.is_parametrized(layer, "weight") for layer in layers):
        raise UserError(
            f"reg={name} finds D's weights already reparametrised by another entry of reg (spectral, weight_norm): "
            f"leave one of the two out."
        )
    return layers


class SpectralNorm(Regularizer):
    """Every weight of D divided by its largest singular value. Miyato et al. 2018, Eq. 8 and Algorithm 1.

    A convolution's weight is seen as a matrix [out, in * height * width]. The singular vector is updated in every
    forward pass of a training D, so twice in D's turn and once in G's, as in the authors' code.

    Args:
        n_power_iterations: per forward pass, 1 in the paper.
    """

    def __init__(self, n_power_iterations: int = 1):
        super().__init__()
        self.n_power_iterations = n_power_iterations

    def attach(self, G: Generator, D: Discriminator) -> None:
        """Reparametrises every convolution and linear layer of D."""
        for layer in plain_weight_layers(D, "spectral"):
            parametrizations.spectral_norm(layer, n_power_iterations=self.n_power_iterations)


class WeightNorm(Regularizer):
    """Every row of D's weights divided by its length. Salimans and Kingma 2016, Eq. 2.

    Args:
        gamma: whether the lengths are learned. Miyato et al. 2018, section 4, fix them at 1, to bound the
            Lipschitz constant; the original method learns them.
    """

    def __init__(self, gamma: bool = False):
        super().__init__()
        self.gamma = gamma

    def attach(self, G: Generator, D: Discriminator) -> None:
        """Reparametrises every convolution and linear layer of D."""
        for layer in plain_weight_layers(D, "weight_norm"):
            parametrizations.weight_norm(layer)
            length = layer.parametrizations.weight.original0
            if not self.gamma:
                nn.init.ones_(length.requires_grad_(False))


class WeightClip(Regularizer):
    """Weights of D clamped to [-limit, limit] after each of its updates. Arjovsky et al. 2017, Algorithm 1.

    Args:
        limit: c, 0.01 in the paper.
        convolutions_only: clamp the weights of convolutions and nothing else, as Miyato et al. 2018 do, instead of
            every parameter.
    """

    def __init__(self, limit: float = 0.01, convolutions_only: bool = False):
        super().__init__()
        self.limit, self.convolutions_only = limit, convolutions_only
        self.clipped: list[nn.Parameter] = []

    def check(self, G: Generator, D: Discriminator) -> None:
        """Finds what is to be clamped.

        Raises:
            UserError: D's weights are reparametrised, and clamping what is divided by its norm bounds nothing; or D has
                no convolutions and nothing else is to be clamped.
        """
        plain_weight_layers(D, "weight_clip")
        if self.convolutions_only:
            self.clipped = [layer.weight for _, layer in weight_layers(D) if not isinstance(layer, nn.Linear)]
            if not self.clipped:
                raise UserError("reg.weight_clip.convolutions_only=true finds no convolution in D: set it to false.")
        else:
            self.clipped = [parameter for parameter in D.parameters() if parameter.requires_grad]

    def project(self, turn: Turn) -> None:
        """Clamps after D's update."""
        if turn.player == "d":
            torch._foreach_clamp_min_(self.clipped, -self.limit)
            torch._foreach_clamp_max_(self.clipped, self.limit)


class Orthonormal(Regularizer):
    """||W^T W - I||_F^2 over D's weights, which start orthonormal. Brock et al. 2017; Miyato et al. 2018, Eq. 14.

    Uses the smaller of the two Gram matrices: for a weight with fewer rows than columns ||W^T W - I||^2 is
    ||W W^T - I||^2 plus the constant (columns - rows), so the gradient is the same and the minimum is 0.

    Args:
        weight: the coefficient. The paper does not state it.
    """

    def __init__(self, weight: float = 1e-4):
        super().__init__(weight)
        self.layers: list[nn.Module] = []

    def attach(self, G: Generator, D: Discriminator) -> None:
        """Initialises D's weights as random orthonormal operators.

        Raises:
            UserError: they are reparametrised by an earlier entry of `reg`.
        """
        self.layers = plain_weight_layers(D, "orthonormal")
        for layer in self.layers:
            nn.init.orthogonal_(layer.weight)

    def d(self, turn: Turn) -> Tensor:
        """The sum over D's layers, of the weights as applied: after a later reparametrisation, if there is one."""
        return sum(distance_to_orthonormal(layer.weight) for layer in self.layers)


def distance_to_orthonormal(weight: Tensor) -> Tensor:
    """||W^T W - I||_F^2 of the smaller Gram matrix of a weight flattened to [out, rest]."""
    matrix = weight.flatten(1)
    matrix = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    with torch.autocast(matrix.device.type, enabled=False):
        gram = matrix @ matrix.T
    return (gram - torch.eye(len(gram), device=gram.device, dtype=gram.dtype)).square().sum()
