"""Constraints and penalties on D's weights; one can be given to the generator instead."""

from collections.abc import Iterator
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lit_gan.errors import UserError
from lit_gan.game import Discriminator, Generator, Regularizer, Turn, single_precision
from lit_gan.layers import (
    LargestSingularValue,
    Matrix,
    applied_weights,
    as_matrix,
    operators,
    out_axis,
    plain_weight_layers,
    require_weights,
    stored_weight_layers,
    trained_weight,
)
from lit_gan.ranges import CountOrNone, NonNegative, Number, Switch, checked


class WeightClip(Regularizer):
    """Weights of D clamped to [-limit, limit]. Arjovsky et al. 2017, Algorithm 1.

    Args:
        limit: c, 0.01 in the paper.
        convolutions_only: clamp the weights of convolutions and nothing else, as Miyato et al. 2018
            do, instead of every parameter.
        when: "after" each of D's updates, as in the paper, or "before" it, as in the authors' code,
            where G meets a D whose last step has left the box.

    Raises:
        UserError: another `when`.
    """

    moves_d = True

    @checked
    def __init__(
        self, limit: NonNegative = 0.01, convolutions_only: Switch = False, when: Literal["after", "before"] = "after"
    ):
        super().__init__()
        self.limit, self.convolutions_only, self.when = limit, convolutions_only, when
        self.clipped: list[nn.Parameter] = []

    def check(self, G: Generator, D: Discriminator) -> None:
        """Finds what is to be clamped.

        Raises:
            UserError: D's weights are reparametrised, and clamping what is divided by its norm
                bounds nothing; or its learning rates are equalised; or D has no convolutions and
                nothing else is to be clamped.
        """
        layers = stored_weight_layers(D, self.name)
        if self.convolutions_only:
            self.clipped = [layer.weight for layer in layers if not isinstance(layer, nn.Linear | nn.Embedding)]
            if not self.clipped:
                raise UserError("reg.weight_clip.convolutions_only=true finds no convolution in D: set it to false.")
        else:
            self.clipped = list(D.parameters())

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
        """Into the box, but for what is frozen."""
        learning = [parameter for parameter in self.clipped if parameter.requires_grad]
        if learning:
            torch._foreach_clamp_min_(learning, -self.limit)
            torch._foreach_clamp_max_(learning, self.limit)


class SpectralPenalty(Regularizer):
    """1/2 sum sigma(W)^2 over D's weights, times lambda. Yoshida and Miyato 2017, Eq. 4 and
    Algorithm 1.

    One power iteration in each of D's turns; the gradient is lambda sigma u v^T.

    Args:
        weight: lambda, 0.01 in the paper.
    """

    @checked
    def __init__(self, weight: Number = 0.01, every: CountOrNone = None):
        super().__init__(weight, every)
        self.norms = nn.ModuleList()

    def check(self, G: Generator, D: Discriminator) -> None:
        """Starts a power iteration for each of D's weights.

        Raises:
            UserError: they are reparametrised, and what divides them by their norm makes the
                penalty mean nothing; or there are none.
        """
        require_weights(D, self.name)
        plain_weight_layers(D, self.name)
        self.norms.extend(LargestSingularValue(matrix.detach()) for matrix in applied_weights(D))

    def d(self, turn: Turn) -> Float[Tensor, ""]:
        """The sum over D's layers."""
        matrices = applied_weights(turn.D)
        with single_precision(matrices[0].device):
            return sum(norm(matrix).square() for norm, matrix in zip(self.norms, matrices, strict=True)) / 2


class Orthonormal(Regularizer):
    """||W^T W - I||_F^2 over D's weights, which start orthonormal. Brock et al. 2017; Miyato et al.
    2018, Eq. 14.

    Uses the smaller of the two Gram matrices: for a weight with fewer rows than columns ||W^T W -
    I||^2 is ||W W^T - I||^2 plus the constant (columns - rows), so the gradient is the same and the
    minimum is 0.

    Args:
        weight: the coefficient. The paper does not state it.
    """

    @checked
    def __init__(self, weight: Number = 1e-4, every: CountOrNone = None):
        super().__init__(weight, every)

    def attach(self, G: Generator, D: Discriminator) -> None:
        """Initialises D's weights as random orthonormal operators.

        Raises:
            UserError: they are reparametrised by an earlier entry of `reg`, or there are none.
        """
        require_weights(D, self.name)
        for layer in stored_weight_layers(D, self.name):
            weight = layer.weight.detach().movedim(out_axis(layer), 0)
            weight.copy_(nn.init.orthogonal_(torch.empty_like(weight, memory_format=torch.contiguous_format)))

    def d(self, turn: Turn) -> Float[Tensor, ""]:
        """The sum over D's layers, of the weights as applied."""
        return sum(distance_to_orthonormal(matrix) for matrix in applied_weights(turn.D))


def distance_to_orthonormal(matrix: Matrix) -> Float[Tensor, ""]:
    """||W^T W - I||_F^2 of the smaller Gram matrix."""
    gram = smaller_gram(matrix)
    return (gram - torch.eye(len(gram), device=gram.device, dtype=gram.dtype)).square().sum()


def smaller_gram(matrix: Matrix) -> Float[Tensor, "n n"]:
    """W W^T or W^T W, whichever has fewer rows, in full precision."""
    matrix = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    with single_precision(matrix.device):
        return matrix @ matrix.T


class Orthogonal(Regularizer):
    """||W W^T (1 - I)||_F^2 over a player's weights: their rows orthogonal, of any length. Brock et
    al. 2019, Eq. 3.

    The rows of W are filters, whose pairwise overlaps the paper wants small; in D's embedding they
    are the vectors of classes, and G's is left out, all as in the authors' PyTorch code. So are the
    weights those that the optimizer moves, which spectral norm only then divides by their norm.
    Initial weights are left as they are.

    Args:
        weight: beta, 1e-4 in the paper.
        network: "g" or "d"; the paper regularizes G, to make it amenable to truncation.

    Raises:
        UserError: another network.
    """

    @checked
    def __init__(self, weight: Number = 1e-4, network: Literal["g", "d"] = "g", every: CountOrNone = None):
        super().__init__(weight, every)
        self.network = network

    def check(self, G: Generator, D: Discriminator) -> None:
        """Holds that there is something to regularize.

        Raises:
            UserError: the player has no layer with a weight.
        """
        require_weights({"g": G, "d": D}[self.network], self.name)

    def d(self, turn: Turn) -> Float[Tensor, ""] | None:
        """The sum over D's layers, if it is D that is regularized."""
        return sum(overlap(rows) for rows in trained_rows(turn.D)) if self.network == "d" else None

    def g(self, turn: Turn) -> Float[Tensor, ""] | None:
        """The sum over G's layers, if it is G that is regularized."""
        return sum(overlap(rows) for rows in trained_rows(turn.G)) if self.network == "g" else None


def trained_rows(network: nn.Module) -> Iterator[Matrix]:
    """The filters of each layer, and D's vectors of classes, as the optimizer moves them."""
    for layer in operators(network):
        if not isinstance(layer, nn.Embedding):
            yield as_matrix(trained_weight(layer), out_axis(layer))
        elif isinstance(network, Discriminator):
            yield trained_weight(layer)


def overlap(matrix: Matrix) -> Float[Tensor, ""]:
    """Squared inner products of all pairs of different rows: ||W W^T||_F = ||W^T W||_F, less the
    rows' own."""
    return smaller_gram(matrix).square().sum() - matrix.square().sum(1).square().sum()
