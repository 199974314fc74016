"""What the players do with labels: the parts of the choices of `labels`, attached before the
entries of `reg`.

So what `reg` does to weights or features it does to those added here as well.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lit_gan.errors import UserError
from lit_gan.game import Discriminator, Generator, Labelled, Labels, Layers, Regularizer, Turn, Verdict
from lit_gan.layers import (
    LastLayer,
    SharedLabelGenerator,
    equalised,
    reader_positions,
    require_plain,
    weighted_positions,
    widen,
)
from lit_gan.ranges import Count, Number, Switch, checked
from lit_gan.styles import ClassVectors, mapping_layers

FeatureVectors = Float[Tensor, "b f"]


class Conditional(Regularizer):
    """Something that looks at labels.

    Args:
        n_classes: number of classes of the data; null where they have no labels.
        weight: of the terms, where it has any.

    Raises:
        UserError: the data have no labels.
    """

    def __init__(self, n_classes: int | None, weight: float = 1.0):
        super().__init__(weight)
        if n_classes is None:
            raise UserError(
                "These labels need a data set with classes, and this one has none (data.n_classes=null): choose one, "
                "such as data=digits, or set labels=none."
            )
        self.n_classes = n_classes


class Concat(Labelled):
    """[b, c, ...] with the one-hot label as further channels, the same everywhere: [b, c +
    n_classes, ...]."""

    def __init__(self, n_classes: int):
        super().__init__()
        self.n_classes = n_classes

    def forward(self, x: Tensor, y: Labels) -> Tensor:
        """The label after the channels."""
        return joined(x, F.one_hot(y, self.n_classes))


def joined(x: Tensor, code: Tensor) -> Tensor:
    """[b, c, ...] and [b, k] as [b, c + k, ...], the code repeated at every position."""
    code = code.view(*code.shape, *[1] * (x.dim() - 2)).expand(-1, -1, *x.shape[2:])
    return torch.cat([x, code.to(x.dtype)], 1)


def insert(body: Layers, position: int, layer: nn.Module, extra: int) -> None:
    """Puts before a reader a layer that adds channels."""
    widen(body[position], extra)
    body.insert(position, layer)


class LabelConcat(Conditional):
    """The one-hot label beside z, beside D's input, or both. Mirza and Osindero 2014, section 3.2.

    Beside an image it is `n_classes` constant maps.

    Args:
        n_classes: number of classes of the data.
        network: the player that is changed: "g", "d" or "both".

    Raises:
        UserError: data without labels, or another network.
    """

    @checked
    def __init__(self, n_classes: int | None, network: Literal["g", "d", "both"] = "both"):
        super().__init__(n_classes)
        self.network = network

    def attach(self, G: Generator, D: Discriminator) -> None:
        """Widens the first layers."""
        for name, network in (("g", G), ("d", D)):
            if self.network in (name, "both"):
                insert(network.body, reader_positions(network.body)[0], Concat(self.n_classes), self.n_classes)


class EmbeddingConcat(Labelled):
    """[b, c, ...] with a learned vector of the label as further channels, the same everywhere."""

    def __init__(self, n_classes: int, size: int):
        super().__init__()
        self.n_classes = n_classes
        self.embedding = embedding(n_classes, size)

    def forward(self, x: Tensor, y: Labels) -> Tensor:
        """The vector after the channels."""
        return joined(x, self.embedding(y))


def embedding(n_classes: int, size: int) -> nn.Embedding:
    """A vector for each class, Glorot uniform as in the authors' released code."""
    table = nn.Embedding(n_classes, size)
    nn.init.xavier_uniform_(table.weight)
    return table


class MiddleConcat(Conditional):
    """A vector of the label beside the feature maps in the middle of D. Miyato et al. 2018, Table 6
    (c).

    The middle is before layer m // 2 of the m, counted from 0, that read channels: after the third
    of the paper's six blocks.

    Args:
        n_classes: number of classes of the data.
        size: length of the vector; 128 in the paper.

    Raises:
        UserError: data without labels, a size below 1, or a D of blocks that cannot read more channels.
    """

    @checked
    def __init__(self, n_classes: int | None, size: Count = 128):
        super().__init__(n_classes)
        self.size = size

    def attach(self, G: Generator, D: Discriminator) -> None:
        """Widens the middle layer."""
        places = reader_positions(D.body)
        if 2 * len(places) < len(weighted_positions(D.body)):
            raise UserError(
                "reg.middle_concat puts labels beside the feature maps in the middle of D, which this model gives to "
                "blocks that cannot read more channels: choose labels=projection, or another model."
            )
        insert(D.body, places[len(places) // 2], EmbeddingConcat(self.n_classes, self.size), self.size)


class Projection(LastLayer):
    """A last layer that adds <v_y, f>, v_y a vector of the label, to what it made of the features f
    alone."""

    def __init__(self, linear: nn.Linear, n_classes: int):
        super().__init__()
        self.n_classes, self.linear = n_classes, linear
        self.embedding = embedding(n_classes, linear.in_features)

    @property
    def in_features(self) -> int:
        """Length of f."""
        return self.linear.in_features

    def widen(self, extra: int) -> None:
        """Reads `extra` more features."""
        require_plain(self)
        widen(self.linear, extra)
        more = embedding(self.n_classes, extra).to(self.embedding.weight)
        weight = torch.cat([self.embedding.weight.detach(), more.weight.detach()], 1)
        self.embedding = nn.Embedding.from_pretrained(weight, freeze=False)

    def forward(self, features: FeatureVectors, y: Labels) -> Float[Tensor, "b 1"]:
        """The logits."""
        return self.linear(features) + (self.embedding(y) * features).sum(1, keepdim=True)


def require_own_last(D: Discriminator) -> None:
    """Refuses to replace D's last layer a second time.

    Raises:
        UserError: other labels have replaced it already.
    """
    if isinstance(D.head, LastLayer):
        raise UserError(
            "Two of the chosen labels replace D's last layer: leave all of these but one out of labels=[...]."
        )


class ProjectionDiscriminator(Conditional):
    """D's logit is <v_y, f> + psi(f). Miyato and Koyama 2018, Eq. 3 and Figure 1 (d)."""

    def attach(self, G: Generator, D: Discriminator) -> None:
        """Replaces D's last layer.

        Raises:
            UserError: as `require_own_last`.
        """
        require_own_last(D)
        D.head = Projection(D.head, self.n_classes)


class MappedLabels(LastLayer):
    """A last layer of D: <f, w_y> / sqrt(n), where f [n] is linear in the features and w_y [n] what a
    mapping network makes of the label.

    Args:
        in_features: length of the features, and n.
        n_classes: number of classes of the data.
        depth: layers of the mapping network.
    """

    def __init__(self, in_features: int, n_classes: int, depth: int):
        super().__init__()
        self.n_classes, self.linear = n_classes, equalised(nn.Linear(in_features, in_features))
        vectors = ClassVectors(n_classes, in_features)
        self.mapping = nn.Sequential(vectors, *mapping_layers(in_features, in_features, depth))

    @property
    def in_features(self) -> int:
        """Length of the features."""
        return self.linear.in_features

    def widen(self, extra: int) -> None:
        """Reads `extra` more features."""
        widen(self.linear, extra)

    def forward(self, features: FeatureVectors, y: Labels) -> Float[Tensor, "b 1"]:
        """The logits."""
        own = self.linear(features)
        return (own * self.mapping(y)).sum(1, keepdim=True) * own.shape[1] ** -0.5


class MappedProjection(Conditional):
    """D's logit is <f(x), w(y)> / sqrt(n), w a mapping network of the label. Karras et al. 2020 (ADA),
    in the authors' code.

    Beside the projection discriminator there is no term without the label, and the vectors of the
    labels are not free: a mapping network as in front of StyleGAN2's G, which learns at a hundredth
    of the rate, makes them. All its layers have equalised learning rates, in any D.

    Args:
        n_classes: number of classes of the data.
        depth: layers of the mapping network; 8 in the authors' code, whatever G's are.

    Raises:
        UserError: data without labels, or a depth below 1.
    """

    @checked
    def __init__(self, n_classes: int | None, depth: Count = 8):
        super().__init__(n_classes)
        self.depth = depth

    def attach(self, G: Generator, D: Discriminator) -> None:
        """Replaces D's last layer.

        Raises:
            UserError: as `require_own_last`.
        """
        require_own_last(D)
        D.head = MappedLabels(D.n_features, self.n_classes, self.depth)


class ClassNorm(Labelled):
    """Batch normalisation with the gamma and beta of each sample's class; the statistics are the
    whole batch's."""

    def __init__(self, norm: _BatchNorm, n_classes: int):
        super().__init__()
        self.n_classes, self.norm = n_classes, norm
        gamma = norm.weight if norm.affine else torch.ones(norm.num_features)
        beta = norm.bias if norm.affine else torch.zeros(norm.num_features)
        self.gamma = nn.Parameter(gamma.detach().repeat(n_classes, 1))
        self.beta = nn.Parameter(beta.detach().repeat(n_classes, 1))
        norm.affine, norm.weight, norm.bias = False, None, None

    def forward(self, x: Tensor, y: Labels) -> Tensor:
        """[b, c, ...] normalised, then scaled and shifted."""
        x = self.norm(x)
        gamma, beta = (F.embedding(y, table).to(x.dtype) for table in (self.gamma, self.beta))
        shape = (*gamma.shape, *[1] * (x.dim() - 2))
        return torch.addcmul(beta.view(shape), gamma.view(shape), x)


class ConditionalBatchNorm(Conditional):
    """A gamma and a beta of its own for every class in G's batch normalisation. Dumoulin et al.
    2017, Eq. 5.

    All classes start from those of the layer. Of a ResNet it is that in the blocks; the last one
    stays as it is, as in the authors' code of Miyato and Koyama 2018 and of Gulrajani et al. 2017.

    Where the normalisation reads a part of the latent vector, as in BigGAN, it reads a learned
    vector of the label beside it, the same for all blocks: Brock et al. 2019, section 3. BigGAN's
    first layer does not, that of BigGAN-deep does, and in R3GAN and StyleGAN2, which normalise
    nothing, it alone.
    """

    def attach(self, G: Generator, D: Discriminator) -> None:
        """Replaces the batch normalisations, or lets them read the label, too.

        Raises:
            UserError: G has none.
        """
        if isinstance(G, SharedLabelGenerator) and G.label_readers():
            return G.share_labels(self.n_classes)
        norms = [(name, layer) for name, layer in G.named_modules() if isinstance(layer, _BatchNorm)]
        if not norms:
            raise UserError(
                "reg.conditional_batch_norm finds no batch normalisation in G: choose a model that has it, such as "
                "model=dcgan, or labels that reach G in another way, such as labels=cgan."
            )
        within = [(name, norm) for name, norm in norms if is_in_block(name)]
        for name, norm in within or norms:
            G.set_submodule(name, ClassNorm(norm, self.n_classes))


def is_in_block(name: str) -> bool:
    """Whether a layer is within a member of its network's body: "body.0.residual.1" is, "body.0" is
    itself one."""
    return name.count(".") > 1


class ACGAN(Conditional):
    """D also names the class, and both players want it named rightly. Odena et al. 2017, Eq. 3.

    Args:
        n_classes: number of classes of the data.
        d_real, d_fake: weights of the cross entropy in D's turn, on real and on generated samples;
            1 and 1 in the paper, 1 and 0 in the code of Gulrajani et al. 2017.
        g_fake: weight of the cross entropy in G's turn; 1 in the paper, 0.1 in that code.
        shared_labels: in D's turn generated samples have the labels of the real ones, as in that
            code, instead of labels of their own.
    """

    @checked
    def __init__(
        self,
        n_classes: int | None,
        d_real: Number = 1.0,
        d_fake: Number = 1.0,
        g_fake: Number = 1.0,
        shared_labels: Switch = False,
    ):
        super().__init__(n_classes)
        self.d_real, self.d_fake, self.g_fake, self.shared_labels = d_real, d_fake, g_fake, shared_labels

    def attach(self, G: Generator, D: Discriminator) -> None:
        """Adds the classifier to D's features."""
        D.heads[self.name] = nn.Linear(D.n_features, self.n_classes)

    def stage(self, turn: Turn) -> None:
        """Shares the labels of D's turn, if it should."""
        if turn.player == "d" and self.shared_labels:
            turn.y_fake = turn.y

    def d(self, turn: Turn) -> Float[Tensor, ""]:
        """On real and on generated samples."""
        real, fake = self.error(turn, turn.real, turn.y), self.error(turn, turn.fake, turn.y_fake)
        return self.d_real * real + self.d_fake * fake

    def g(self, turn: Turn) -> Float[Tensor, ""]:
        """On generated samples."""
        return self.g_fake * self.error(turn, turn.fake, turn.y_fake)

    def error(self, turn: Turn, verdict: Verdict, y: Labels) -> Float[Tensor, ""]:
        """Cross entropy in nats, the mean over the batch."""
        return F.cross_entropy(turn.D.heads[self.name](verdict.features), y)
