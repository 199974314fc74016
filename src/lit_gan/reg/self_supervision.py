"""Tasks for D that need no labels: which way up an image is, and which local features belong to it."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from lit_gan.errors import UserError
from lit_gan.game import (
    Discriminator,
    Generator,
    Images,
    Labels,
    Layers,
    Regularizer,
    Scalar,
    Turn,
    at_least_float32,
    single_precision,
)
from lit_gan.layers import OPERATORS, WrongShape, n_inputs, weighted_positions, widen
from lit_gan.ranges import Count, CountOrNone, Number, checked

MAPPED = (nn.Conv2d,)
"""The layers before which there is a map of local features."""


class SSGAN(Regularizer):
    """D also tells by how many quarters an image is turned: real images in its own turn, generated
    ones in G's, which wants to be told rightly. Chen et al. 2019 (SSGAN).

    D's answer is a linear layer on its features, and the loss looks at upright images only. Each
    quarter of the batch is turned by one of the four angles in a further pass of D, as in mimicry;
    the authors' code (compare_gan) turns the last quarter of the batch by all four.

    Args:
        d_weight: beta, of the cross entropy on real images in D's turn; 1 in the authors' code.
        g_weight: alpha, of that on generated images in G's turn; 0.2 in the authors' code.
    """

    @checked
    def __init__(self, d_weight: Number = 1.0, g_weight: Number = 0.2, every: CountOrNone = None):
        super().__init__(every=every)
        self.d_weight, self.g_weight = d_weight, g_weight

    def attach(self, G: Generator, D: Discriminator) -> None:
        """Adds the layer that answers.

        Raises:
            UserError: the samples are no square images.
        """
        if len(G.shape) != 3 or G.shape[1] != G.shape[2]:
            raise WrongShape(G, "reg=ssgan turns square images by quarters", "leave it out")
        D.heads[self.name] = nn.Linear(D.n_features, 4)

    def check_others(self, regs: Mapping[str, Regularizer]) -> None:
        """Holds that the images which it turns are upright.

        Raises:
            UserError: a regularizer has turned them already, so that nobody could tell by how much.
        """
        if turning := next((name for name, reg in regs.items() if reg.turns_images), None):
            raise UserError(
                f"reg={self.name} has D tell by how many quarters an image is turned, and reg={turning} turns images "
                f"before: leave rotate_90 and rotation out of reg.{turning}.policy, or one of the two out of reg."
            )

    def d(self, turn: Turn) -> Scalar:
        """On real images."""
        return self.d_weight * self.error(turn, turn.x_real, turn.y)

    def g(self, turn: Turn) -> Scalar:
        """On generated images."""
        return self.g_weight * self.error(turn, turn.x_fake, turn.y_fake)

    def error(self, turn: Turn, x: Images, y: Labels) -> Scalar:
        """Cross entropy in nats, the mean over the batch; log 4 of one who does not know."""
        x, y, quarters = turned(x, y)
        return F.cross_entropy(at_least_float32(turn.D.heads[self.name](turn.D(x, y).features)), quarters)


def turned(x: Images, y: Labels) -> tuple[Images, Labels, Labels]:
    """Every fourth image as it is, every fourth turned by a quarter and so on; their labels; the
    quarters."""
    parts = [x[quarter::4].rot90(quarter, (2, 3)) for quarter in range(4)]
    quarters = [torch.full_like(y[quarter::4], quarter) for quarter in range(4)]
    return torch.cat(parts), torch.cat([y[quarter::4] for quarter in range(4)]), torch.cat(quarters)


class Projector(nn.Module):
    """relu(x A) B + x C: [b, n, ...] to [b, size, ...], at every position."""

    def __init__(self, n: int, size: int, positions: bool):
        super().__init__()
        self.first, self.second, self.shortcut = (
            nn.Conv2d(n, to, 1) if positions else nn.Linear(n, to) for n, to in ((n, n), (n, size), (n, size))
        )

    def widen(self, extra: int) -> None:
        """Reads `extra` more features."""
        widen(self.first, extra)
        widen(self.shortcut, extra)

    def forward(self, x: Tensor) -> Tensor:
        """The projection."""
        return self.second(F.relu(self.first(x))) + self.shortcut(x)


class InfoMax(Regularizer):
    """D's features of an image belong to its own local features and to no other image's: a lower
    bound of their mutual information, for D on real and for G on generated images. Lee et al. 2021
    (InfoMax-GAN).

    Local features are those before D's last convolution or block. Both kinds are projected to
    vectors of length `size`; of image i and position p the term is -log softmax of <l_ip, m_i>
    among itself and <l_jq, m_i> for all other images j and all positions q. In mimicry the image's
    own other positions stay in the sum as well, at e^-10. It asks for one more pass through D. The
    other images are those of the same process.

    Args:
        d_weight, g_weight: of the term in D's and in G's turn, 0.2 and 0.2 in mimicry.
        size: R, 1024 in mimicry.
    """

    @checked
    def __init__(self, d_weight: Number = 0.2, g_weight: Number = 0.2, size: Count = 1024, every: CountOrNone = None):
        super().__init__(every=every)
        self.d_weight, self.g_weight, self.size = d_weight, g_weight, size

    def attach(self, G: Generator, D: Discriminator) -> None:
        """Adds both projectors.

        Raises:
            UserError: D has no map of local features before a last layer.
        """
        places = weighted_positions(D.body, MAPPED) if isinstance(D.body, Layers) else []
        if len(G.shape) != 3 or len(places) < 2 or any(isinstance(layer, nn.Linear) for layer in D.body):
            raise UserError(
                "reg=info_max compares D's features with a map of local ones, which it finds before the last of at "
                "least two convolutions or blocks in a row: choose another model, or leave it out."
            )
        D.heads[self.name] = Projector(D.n_features, self.size, positions=False)
        D.local_projector = Projector(channels_into(D.body[places[-1]]), self.size, positions=True)

    def check(self, G: Generator, D: Discriminator) -> None:
        """Refuses a D whose layers cannot be run one part after the other.

        Raises:
            UserError: a reference batch goes through all of them.
        """
        if not D.body.divisible:
            raise UserError(
                "reg=info_max runs D's last layers by themselves, which a reference batch has to go through with all "
                "others: set reg.virtual_batch_norm.network=g, or leave one of the two out."
            )

    def d(self, turn: Turn) -> Scalar:
        """On real images."""
        return self.d_weight * self.contrast(turn, turn.x_real, turn.y)

    def g(self, turn: Turn) -> Scalar:
        """On generated images."""
        return self.g_weight * self.contrast(turn, turn.x_fake, turn.y_fake)

    def contrast(self, turn: Turn, x: Images, y: Labels) -> Scalar:
        """The term, the mean over images and positions."""
        body = turn.D.body
        last = weighted_positions(body, MAPPED)[-1]
        local = body[:last](x, y)
        features = body[last:](local.clone(), y).flatten(1)  # the layers behind may work in place
        return info_nce(turn.D.local_projector(local).flatten(2), turn.D.heads[self.name](features))


def channels_into(layer: nn.Module) -> int:
    """Number of channels that a convolution reads, or the first one in a block."""
    return n_inputs(next(part for part in layer.modules() if isinstance(part, OPERATORS)))


def info_nce(local: Float[Tensor, "b r p"], whole: Float[Tensor, "b r"]) -> Scalar:
    """-log of the share that e^<l_ip, m_i> has of itself and all e^<l_jq, m_i> with j other than i,
    in full precision."""
    with single_precision(whole.device):
        score = torch.einsum("ir,jrp->ijp", at_least_float32(whole), at_least_float32(local))
    same = torch.eye(len(whole), dtype=torch.bool, device=whole.device)
    others = score.masked_fill(same[:, :, None], torch.finfo(score.dtype).min).flatten(1).logsumexp(1)
    own = score.diagonal(dim1=0, dim2=1).T
    return F.softplus(others[:, None] - own).mean()
