"""Weights as operators: matrices [out, rest], their largest singular value. What regularizers of weights share.

A convolution's matrix is [out, in * height * width], an embedding's maps one-hot labels to vectors.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lit_gan.errors import UserError
from lit_gan.game import OPERATORS, Discriminator, as_matrix, out_axis

Matrix = Float[Tensor, "out rest"]


def operators(network: nn.Module) -> list[nn.Module]:
    """The layers whose weight is an operator: convolutions, linear layers and embeddings, those of heads included."""
    return [layer for layer in network.modules() if isinstance(layer, (*OPERATORS, nn.Embedding))]


def applied(network: nn.Module) -> list[Matrix]:
    """The weights of a network as applied: after a reparametrisation, if there is one."""
    return [as_matrix(layer.weight, out_axis(layer)) for layer in operators(network)]


def plain_weight_layers(D: Discriminator, name: str) -> list[nn.Module]:
    """The layers of D with a weight, for a regularizer called `name` that needs weights nobody reparametrises.

    Raises:
        UserError: another reparametrisation has them already.
    """
    layers = operators(D)
    if any(parametrize.is_parametrized(layer, "weight") for layer in layers):
        raise UserError(
            f"reg={name} finds D's weights already reparametrised by another entry of reg (spectral, weight_norm, "
            f"frobenius): leave one of the two out."
        )
    return layers


class LargestSingularValue(nn.Module):
    """sigma(W) by power iteration from where the last one ended, never too large. Miyato et al. 2018, Algorithm 1.

    The singular vector u is a buffer. It starts as a draw from N(0, I) and moves in training only, as in the authors'
    code.

    Args:
        n_power_iterations: per call.
        warm_up: before the first call.
    """

    u: Tensor

    def __init__(self, matrix: Matrix, n_power_iterations: int = 1, warm_up: int = 0):
        super().__init__()
        self.n_power_iterations = n_power_iterations
        self.register_buffer("u", torch.randn(len(matrix)).to(matrix))
        if warm_up:
            self.u.copy_(power_iteration(matrix, self.u, warm_up)[0])

    def forward(self, matrix: Matrix) -> Float[Tensor, ""]:
        """u^T W v with u and v constant, so that its gradient is u v^T."""
        u, v = power_iteration(matrix, self.u, self.n_power_iterations)
        if self.training:
            self.u.copy_(u)
        return torch.dot(u, torch.mv(matrix, v))


@torch.no_grad()
def power_iteration(matrix: Matrix, u: Tensor, times: int) -> tuple[Tensor, Tensor]:
    """Left and right vector, of length 1, nearer to those of the largest singular value."""
    for _ in range(times):
        v = F.normalize(torch.mv(matrix.T, u), dim=0)
        u = F.normalize(torch.mv(matrix, v), dim=0)
    return u, v
