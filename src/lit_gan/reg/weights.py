"""Regularizers of the discriminator's weights; one can be given to the generator instead.

A weight is an operator, a matrix [out, rest]: a convolution's is [out, in * height * width], an embedding's maps
one-hot labels to vectors.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from lit_gan.errors import UserError
from lit_gan.game import OPERATORS, Discriminator, Generator, Regularizer, Turn

Matrix = Float[Tensor, "out rest"]
OUTPUTS_SECOND = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.Embedding)


def operators(network: nn.Module) -> list[nn.Module]:
    """The layers whose weight is an operator: convolutions, linear layers and embeddings, those of heads included."""
    return [layer for layer in network.modules() if isinstance(layer, (*OPERATORS, nn.Embedding))]


def out_axis(layer: nn.Module) -> int:
    """The axis of a layer's weight that counts its outputs."""
    return 1 if isinstance(layer, OUTPUTS_SECOND) else 0


def as_matrix(weight: Tensor, axis: int) -> Matrix:
    """A weight with its outputs as rows."""
    return weight.movedim(axis, 0).flatten(1)


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


class FrobeniusLength(nn.Module):
    """||W||_F, the root of the sum of all squares."""

    def forward(self, matrix: Matrix) -> Float[Tensor, ""]:
        """The length of the matrix as a vector."""
        return matrix.norm()


class LargestSingularValue(nn.Module):
    """sigma(W) by power iteration from where the last one ended, never too large. Miyato et al. 2018, Algorithm 1.

    The singular vector u is a buffer; it moves in training only, as in the authors' code.

    Args:
        n_power_iterations: per call.
    """

    u: Tensor

    def __init__(self, matrix: Matrix, n_power_iterations: int = 1):
        super().__init__()
        self.n_power_iterations = n_power_iterations
        self.register_buffer("u", torch.randn(len(matrix)).to(matrix))
        self.u.copy_(power_iteration(matrix, self.u, 15)[0])

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


class Normalised(nn.Module):
    """The parametrisation W * gain / norm(W).

    Args:
        norm: from a matrix [out, rest] to a scalar.
        axis: of the weight, the one that counts outputs.
        gain: a number, or a parameter that is learned.
    """

    def __init__(self, norm: nn.Module, axis: int, gain: float | nn.Parameter):
        super().__init__()
        self.norm, self.axis, self.gain = norm, axis, gain

    def forward(self, weight: Tensor) -> Tensor:
        """The weight as applied, in full precision."""
        with torch.autocast(weight.device.type, enabled=False):
            return weight * (self.gain / self.norm(as_matrix(weight, self.axis)))


class SpectralNorm(Regularizer):
    """Every weight of D divided by its largest singular value. Miyato et al. 2018, Eq. 8 and Algorithm 1.

    The singular vector is updated in every forward pass of a training D, so twice in D's turn and once in G's, as in
    the authors' code.

    Args:
        n_power_iterations: per forward pass, 1 in the paper.
        factor: K, what the largest singular values become.
        gamma: learn each layer's largest singular value, from that of its first weight on. Their appendix E, where a
            gradient penalty bounds D instead.

    Raises:
        UserError: fewer than one power iteration, a factor that is not positive, or one that is learned.
    """

    def __init__(self, n_power_iterations: int = 1, factor: float = 1.0, gamma: bool = False):
        super().__init__()
        if n_power_iterations < 1:
            raise UserError(f"reg.spectral.n_power_iterations={n_power_iterations} finds nothing: set it to 1 or more.")
        if not factor > 0:
            raise UserError(f"reg.spectral.factor={factor} must be positive: 1 is the paper's.")
        if gamma and factor != 1:
            raise UserError(f"reg.spectral.gamma=true learns what reg.spectral.factor={factor} fixes: leave one out.")
        self.n_power_iterations, self.factor, self.gamma = n_power_iterations, factor, gamma

    def attach(self, G: Generator, D: Discriminator) -> None:
        """Reparametrises every operator of D."""
        for layer in plain_weight_layers(D, "spectral"):
            matrix = as_matrix(layer.weight.detach(), out_axis(layer))
            gain = nn.Parameter(torch.linalg.matrix_norm(matrix, 2)) if self.gamma else self.factor
            norm = LargestSingularValue(matrix, self.n_power_iterations)
            parametrize.register_parametrization(layer, "weight", Normalised(norm, out_axis(layer), gain))


class FrobeniusNorm(Regularizer):
    """Every weight of D divided by its Frobenius norm. Miyato et al. 2018, appendix E.

    Args:
        gamma: learn each layer's length, from that of its first weight on, as they do; else it is 1.
    """

    def __init__(self, gamma: bool = False):
        super().__init__()
        self.gamma = gamma

    def attach(self, G: Generator, D: Discriminator) -> None:
        """Reparametrises every operator of D."""
        for layer in plain_weight_layers(D, "frobenius"):
            gain = nn.Parameter(layer.weight.detach().norm()) if self.gamma else 1.0
            parametrize.register_parametrization(layer, "weight", Normalised(FrobeniusLength(), out_axis(layer), gain))


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
        """Reparametrises every operator of D."""
        for layer in plain_weight_layers(D, "weight_norm"):
            parametrizations.weight_norm(layer, dim=out_axis(layer))
            length = layer.parametrizations.weight.original0
            if not self.gamma:
                nn.init.ones_(length.requires_grad_(False))


class WeightClip(Regularizer):
    """Weights of D clamped to [-limit, limit]. Arjovsky et al. 2017, Algorithm 1.

    Args:
        limit: c, 0.01 in the paper.
        convolutions_only: clamp the weights of convolutions and nothing else, as Miyato et al. 2018 do, instead of
            every parameter.
        when: "after" each of D's updates, as in the paper, or "before" it, as in the authors' code, where G meets a D
            whose last step has left the box.

    Raises:
        UserError: another `when`.
    """

    def __init__(self, limit: float = 0.01, convolutions_only: bool = False, when: str = "after"):
        super().__init__()
        if when not in ("after", "before"):
            raise UserError(f"reg.weight_clip.when={when} is no moment of D's update: choose after or before.")
        self.limit, self.convolutions_only, self.when = limit, convolutions_only, when
        self.clipped: list[nn.Parameter] = []

    def check(self, G: Generator, D: Discriminator) -> None:
        """Finds what is to be clamped.

        Raises:
            UserError: D's weights are reparametrised, and clamping what is divided by its norm bounds nothing; or D has
                no convolutions and nothing else is to be clamped.
        """
        layers = plain_weight_layers(D, "weight_clip")
        if self.convolutions_only:
            self.clipped = [layer.weight for layer in layers if not isinstance(layer, nn.Linear | nn.Embedding)]
            if not self.clipped:
                raise UserError("reg.weight_clip.convolutions_only=true finds no convolution in D: set it to false.")
        else:
            self.clipped = [parameter for parameter in D.parameters() if parameter.requires_grad]

    def stage(self, turn: Turn) -> None:
        """Clamps before D's update."""
        if turn.player == "d" and self.when == "before":
            self.clamp()

    def project(self, turn: Turn) -> None:
        """Clamps after D's update."""
        if turn.player == "d" and self.when == "after":
            self.clamp()

    @torch.no_grad()
    def clamp(self) -> None:
        """Into the box."""
        torch._foreach_clamp_min_(self.clipped, -self.limit)
        torch._foreach_clamp_max_(self.clipped, self.limit)


class SpectralPenalty(Regularizer):
    """1/2 sum sigma(W)^2 over D's weights, times lambda. Yoshida and Miyato 2017, Eq. 4 and Algorithm 1.

    One power iteration in each of D's turns; the gradient is lambda sigma u v^T.

    Args:
        weight: lambda, 0.01 in the paper.
    """

    def __init__(self, weight: float = 0.01):
        super().__init__(weight)
        self.norms = nn.ModuleList()

    def check(self, G: Generator, D: Discriminator) -> None:
        """Starts a power iteration for each of D's weights.

        Raises:
            UserError: they are reparametrised, and what divides them by their norm makes the penalty mean nothing.
        """
        plain_weight_layers(D, "spectral_penalty")
        self.norms.extend(LargestSingularValue(matrix.detach()) for matrix in applied(D))

    def d(self, turn: Turn) -> Float[Tensor, ""]:
        """The sum over D's layers."""
        matrices = applied(turn.D)
        with torch.autocast(matrices[0].device.type, enabled=False):
            return sum(norm(matrix).square() for norm, matrix in zip(self.norms, matrices, strict=True)) / 2


class Orthonormal(Regularizer):
    """||W^T W - I||_F^2 over D's weights, which start orthonormal. Brock et al. 2017; Miyato et al. 2018, Eq. 14.

    Uses the smaller of the two Gram matrices: for a weight with fewer rows than columns ||W^T W - I||^2 is
    ||W W^T - I||^2 plus the constant (columns - rows), so the gradient is the same and the minimum is 0.

    Args:
        weight: the coefficient. The paper does not state it.
    """

    def __init__(self, weight: float = 1e-4):
        super().__init__(weight)

    def attach(self, G: Generator, D: Discriminator) -> None:
        """Initialises D's weights as random orthonormal operators.

        Raises:
            UserError: they are reparametrised by an earlier entry of `reg`.
        """
        for layer in plain_weight_layers(D, "orthonormal"):
            weight = layer.weight.detach().movedim(out_axis(layer), 0)
            weight.copy_(nn.init.orthogonal_(torch.empty_like(weight, memory_format=torch.contiguous_format)))

    def d(self, turn: Turn) -> Float[Tensor, ""]:
        """The sum over D's layers, of the weights as applied."""
        return sum(distance_to_orthonormal(matrix) for matrix in applied(turn.D))


def distance_to_orthonormal(matrix: Matrix) -> Float[Tensor, ""]:
    """||W^T W - I||_F^2 of the smaller Gram matrix."""
    gram = smaller_gram(matrix)
    return (gram - torch.eye(len(gram), device=gram.device, dtype=gram.dtype)).square().sum()


def smaller_gram(matrix: Matrix) -> Float[Tensor, "n n"]:
    """W W^T or W^T W, whichever has fewer rows, in full precision."""
    matrix = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    with torch.autocast(matrix.device.type, enabled=False):
        return matrix @ matrix.T


class Orthogonal(Regularizer):
    """||W W^T (1 - I)||_F^2 over a player's weights: their rows orthogonal, of any length. Brock et al. 2019, Eq. 3.

    The rows of W are filters, whose pairwise overlaps the paper wants small. Initial weights are left as they are.

    Args:
        weight: beta, 1e-4 in the paper.
        network: "g" or "d"; the paper regularizes G, to make it amenable to truncation.

    Raises:
        UserError: another network.
    """

    def __init__(self, weight: float = 1e-4, network: str = "g"):
        super().__init__(weight)
        if network not in ("g", "d"):
            raise UserError(f"reg.orthogonal.network={network} is no player: choose g or d.")
        self.network = network

    def d(self, turn: Turn) -> Float[Tensor, ""] | None:
        """The sum over D's layers, if it is D that is regularized."""
        return sum(overlap(matrix) for matrix in applied(turn.D)) if self.network == "d" else None

    def g(self, turn: Turn) -> Float[Tensor, ""] | None:
        """The sum over G's layers, if it is G that is regularized."""
        return sum(overlap(matrix) for matrix in applied(turn.G)) if self.network == "g" else None


def overlap(matrix: Matrix) -> Float[Tensor, ""]:
    """Squared inner products of all pairs of different rows: ||W W^T||_F = ||W^T W||_F, less the rows' own."""
    return smaller_gram(matrix).square().sum() - matrix.square().sum(1).square().sum()
