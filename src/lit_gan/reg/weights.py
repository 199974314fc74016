"""Normalisations of D's weights: what is applied is a weight divided by a norm of it."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lit_gan.errors import UserError, written
from lit_gan.game import Discriminator, Generator, Regularizer, single_precision
from lit_gan.layers import (
    LargestSingularValue,
    Matrix,
    as_matrix,
    out_axis,
    plain_weight_layers,
    require_weights,
    stored_weight_layers,
)
from lit_gan.ranges import Count, Positive, Switch, WholeOrNone, checked


class FrobeniusLength(nn.Module):
    """||W||_F, the root of the sum of all squares."""

    def forward(self, matrix: Matrix) -> Float[Tensor, ""]:
        """The length of the matrix as a vector."""
        return matrix.norm()


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
        with single_precision(weight.device):
            return weight * (self.gain / self.norm(as_matrix(weight, self.axis)))


def divisible_layers(network: Generator | Discriminator, name: str) -> list[nn.Module]:
    """The layers of a player with a weight, for a regularizer called `name` that divides it by a
    norm.

    Raises:
        UserError: as `plain_weight_layers`, or there are none, or one is 0 at the start.
    """
    require_weights(network, name)
    layers = plain_weight_layers(network, name)
    if any(not layer.weight.any() for layer in layers if not layer.weight.is_meta):
        raise UserError(
            f"reg={name} divides every weight by a norm of it, and one of this model starts at 0: leave it out, as in "
            f"reg=[r1,r2], or choose another model."
        )
    return layers


class SpectralNorm(Regularizer):
    """Every weight of a player divided by its largest singular value. Miyato et al. 2018, Eq. 8 and
    Algorithm 1.

    In the paper the player is D; Zhang et al. 2019 (SAGAN), section 4.1, normalise G, too, there
    without its embeddings of labels, as in the code of Brock et al. 2019 (BigGAN).

    The singular vector is updated in every forward pass of a training player, as in the authors'
    code: D's, with their loss, twice in D's turn and once in G's; the code of BigGAN shows D both
    kinds of sample in one pass, that of SAGAN updates it with the real ones alone. Regularizers and
    losses that ask D more often update it more often. It starts at random, so that the first norms
    are underestimated: in the standard CNN's first forward pass the convolutions have norms of 1.2
    to 1.4, after three updates of about 1.05 at most (the beginning of Figure 9).

    Args:
        n_power_iterations: power iterations in each forward pass; 1 in the paper.
        factor: K, what the largest singular values become.
        gamma: learn each layer's largest singular value, from that of its first weight on. Their
            appendix E, where a gradient penalty bounds D instead.
        warm_up: power iterations before the training; None for none, as in the authors' code.
            torch's spectral_norm has 15.
        networks: the players whose weights it divides, of "d" and "g"; None for D alone.

    Raises:
        UserError: fewer than one power iteration, a warm-up below 0, a factor that is not positive,
            or one that is learned, or another network.
    """

    @checked
    def __init__(
        self,
        n_power_iterations: Count = 1,
        factor: Positive = 1.0,
        gamma: Switch = False,
        warm_up: WholeOrNone = None,
        networks: Sequence[str] | None = None,
    ):
        super().__init__()
        networks = ["d"] if networks is None else networks
        if isinstance(networks, str) or not set(networks) <= {"d", "g"}:
            raise UserError(f"reg.spectral.networks={written(networks)} must be a list of d and g: [d], [g] or [d,g].")
        if gamma and factor != 1:
            raise UserError(f"reg.spectral.gamma=true learns what reg.spectral.factor={factor} fixes: leave one out.")
        self.n_power_iterations, self.factor, self.gamma = n_power_iterations, factor, gamma
        self.warm_up, self.networks = warm_up or 0, networks

    def attach(self, G: Generator, D: Discriminator) -> None:
        """Reparametrises every operator of the players, of G all but its embeddings."""
        if "d" in self.networks:
            self.normalise(divisible_layers(D, self.name))
        if "g" in self.networks:
            layers = divisible_layers(G, self.name)
            self.normalise([layer for layer in layers if not isinstance(layer, nn.Embedding)])

    def normalise(self, layers: list[nn.Module]) -> None:
        """Divides each layer's weight by its largest singular value, whenever it is applied."""
        for layer in layers:
            matrix = as_matrix(layer.weight.detach(), out_axis(layer))
            gain = nn.Parameter(torch.linalg.matrix_norm(matrix, 2)) if self.gamma else self.factor
            norm = LargestSingularValue(matrix, self.n_power_iterations, self.warm_up)
            normalised = Normalised(norm, out_axis(layer), gain)
            # torch's checks at registration (unsafe=False) are forward passes, which would move u
            parametrize.register_parametrization(layer, "weight", normalised, unsafe=True)


class RowLengths(nn.Module):
    """The parametrisation g v / ||v|| of every row by its length g and a direction v. Salimans and
    Kingma 2016, Eq. 2.

    torch's weight_norm, whose state_dict it has, lays its result out anew in every forward pass.

    Args:
        axis: of the weight, the one that counts rows.
    """

    def __init__(self, axis: int):
        super().__init__()
        self.axis = axis

    def lengths(self, weight: Tensor) -> Tensor:
        """The rows' lengths, with as many axes as the weight."""
        others = [axis for axis in range(weight.dim()) if axis != self.axis]
        return torch.linalg.vector_norm(weight, dim=others, keepdim=True)

    def forward(self, lengths: Tensor, directions: Tensor) -> Tensor:
        """The weight as applied."""
        return directions * (lengths / self.lengths(directions))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Lengths and directions of a given weight."""
        return self.lengths(weight), weight


class FrobeniusNorm(Regularizer):
    """Every weight of D divided by its Frobenius norm. Miyato et al. 2018, appendix E.

    Args:
        gamma: learn each layer's length, from that of its first weight on, as they do; else it is
            1.
    """

    @checked
    def __init__(self, gamma: Switch = False):
        super().__init__()
        self.gamma = gamma

    def attach(self, G: Generator, D: Discriminator) -> None:
        """Reparametrises every operator of D."""
        for layer in divisible_layers(D, self.name):
            gain = nn.Parameter(layer.weight.detach().norm()) if self.gamma else 1.0
            parametrize.register_parametrization(layer, "weight", Normalised(FrobeniusLength(), out_axis(layer), gain))


class WeightNorm(Regularizer):
    """Every row of D's weights divided by its length. Salimans and Kingma 2016, Eq. 2.

    Args:
        gamma: whether the lengths are learned. Miyato et al. 2018, section 4, fix them at 1, to
            bound the Lipschitz constant; the original method learns them.
    """

    @checked
    def __init__(self, gamma: Switch = False):
        super().__init__()
        self.gamma = gamma

    def attach(self, G: Generator, D: Discriminator) -> None:
        """Reparametrises every operator of D.

        Raises:
            UserError: as `divisible_layers`, or the learning rates of D are equalised.
        """
        stored_weight_layers(D, self.name)
        for layer in divisible_layers(D, self.name):
            parametrize.register_parametrization(layer, "weight", RowLengths(out_axis(layer)))
            length = layer.parametrizations.weight.original0
            if not self.gamma:
                nn.init.ones_(length.requires_grad_(False))
