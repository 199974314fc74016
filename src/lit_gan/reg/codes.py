"""Latent codes that can be read from the samples."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from lit_gan.errors import UserError
from lit_gan.game import Discriminator, Generator, LatentPart, Latents, Regularizer, Turn, Uniform, at_least_float32
from lit_gan.layers import reader_positions, widen
from lit_gan.ranges import Number, Whole, checked


@dataclass(frozen=True)
class OneHot(LatentPart):
    """One latent variable that is one of `size` classes, all equally likely, as a one-hot
    vector."""

    prior = "one_hot"
    in_numpy = "np.eye({size})[rng.integers({size}, size=n)]"

    def draw(self, n: int, device: torch.device, generator: torch.Generator | None) -> Latents:
        """n vectors, [n, size], with a 1 in one place and 0 elsewhere."""
        return F.one_hot(torch.randint(self.size, (n,), device=device, generator=generator), self.size).float()


class InfoGAN(Regularizer):
    """A lower bound of the mutual information of codes and samples, for both players. Chen et al.
    2016, Eqs. 5 and 6.

    The codes are appended to G's latent vectors. Q, a linear layer on D's features, reads them from
    a sample: the logits of each categorical code, the mean of each continuous one, whose standard
    deviation is 1 as in the authors' MNIST code. D's turn trains Q, and D's layers for it, on
    generated samples.

    Args:
        weight: lambda, 1 in the paper.
        categorical: number of classes of each categorical code.
        continuous: number of continuous codes, from U(-1, 1).
        continuous_weight: multiplies the continuous codes' part; the paper asks for a smaller
            lambda there.

    Raises:
        UserError: a code of fewer than two classes, fewer than 0 continuous codes, or no code at
            all.
    """

    @checked
    def __init__(
        self,
        weight: Number = 1.0,
        categorical: Sequence[int] = (10,),
        continuous: Whole = 2,
        continuous_weight: Number = 0.1,
    ):
        super().__init__(weight)
        if any(size < 2 for size in categorical):
            raise UserError(
                f"reg.infogan.categorical={list(categorical)} has a code of fewer than two classes, which says "
                f"nothing: give each of them 2 or more."
            )
        if not (categorical or continuous):
            raise UserError(
                f"reg.infogan.continuous={continuous} leaves no code to read: make it 1 or more, or give "
                f"reg.infogan.categorical a number of classes."
            )
        self.categorical, self.continuous, self.continuous_weight = tuple(categorical), continuous, continuous_weight

    @property
    def sizes(self) -> list[int]:
        """Numbers that each code takes in a latent vector: the categorical ones, then the
        continuous together."""
        return [*self.categorical, self.continuous]

    def attach(self, G: Generator, D: Discriminator) -> None:
        """Appends the codes, widens G's first layer and adds Q.

        Raises:
            UserError: no layer of G reads its latent vector.
        """
        if not reader_positions(G.body):
            raise UserError("labels=infogan finds no layer of G that reads a code: choose another model.")
        self.start = G.z_dim
        G.latents += [OneHot(size) for size in self.categorical]
        if self.continuous > 0:
            G.latents.append(Uniform(self.continuous))
        widen(G.body[reader_positions(G.body)[0]], sum(self.sizes))
        D.heads[self.name] = nn.Linear(D.n_features, sum(self.sizes))

    def d(self, turn: Turn) -> Float[Tensor, ""]:
        """Trains Q."""
        return self.surprise(turn)

    def g(self, turn: Turn) -> Float[Tensor, ""]:
        """Trains G to show its codes."""
        return self.surprise(turn)

    def surprise(self, turn: Turn) -> Float[Tensor, ""]:
        """-E log Q(c|x) in nats, the sum over codes, without the constants: -L_I but for the codes'
        entropy."""
        codes = at_least_float32(turn.z[:, self.start : self.start + sum(self.sizes)]).split(self.sizes, 1)
        read = at_least_float32(turn.D.heads[self.name](turn.fake.features)).split(self.sizes, 1)
        *pairs, (code, mean) = zip(codes, read, strict=True)
        surprise = self.continuous_weight * (code - mean).square().sum(1).mean() / 2
        return surprise + sum(F.cross_entropy(logits, one_hot) for one_hot, logits in pairs)
