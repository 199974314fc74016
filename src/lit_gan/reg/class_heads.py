"""What D can say of classes beside its verdict, in place of the projection: parts of the choices of
`labels`."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from lit_gan.game import Discriminator, Generator, Labels, Scalar, Turn, Verdict, at_least_float32, single_precision
from lit_gan.layers import ClassMargins, widen
from lit_gan.ranges import Count, Number, Positive, checked
from lit_gan.reg.labels import Conditional, FeatureVectors, embedding, require_own_last


class TwoClassifiers(Conditional):
    """Two classifiers on D's features, linear and without bias.

    Args:
        n_classes: K, number of classes of the data.
        weight: of both players' terms; 1 in the authors' code for CIFAR.
    """

    @checked
    def __init__(self, n_classes: int | None, weight: Number = 1.0):
        super().__init__(n_classes, weight)


class Twins(nn.Module):
    """A classifier and its twin, a layer each, so that what bounds a layer's norm bounds each by
    itself."""

    def __init__(self, n_features: int, n_classes: int):
        super().__init__()
        self.classifier, self.twin = (nn.Linear(n_features, n_classes, bias=False) for _ in range(2))

    def widen(self, extra: int) -> None:
        """Reads `extra` more features."""
        widen(self.classifier, extra)
        widen(self.twin, extra)

    def forward(self, features: FeatureVectors) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b k"]]:
        """The logits of both."""
        return self.classifier(features), self.twin(features)


class TwinAuxiliaryClassifier(TwoClassifiers):
    """AC-GAN with a twin of the classifier, which learns from generated samples and whose cross
    entropy G maximises. Gong et al. 2019 (arXiv 1907.02690), in their code TAC-BigGAN/train_fns.py.

    CE(c(x), y) + CE(t(G), y) for D, CE(c(G), y) - CE(t(G), y) for G. A classifier alone makes G
    lower the entropy of the class given the sample, so that classes shrink; the twin takes that
    away. As in the paper the twin is D's: StudioGAN trains none.
    """

    def attach(self, G: Generator, D: Discriminator) -> None:
        """Adds both to D's features."""
        D.heads[self.name] = Twins(D.n_features, self.n_classes)

    def d(self, turn: Turn) -> Scalar:
        """The classifier on real samples, the twin on generated ones."""
        return self.errors(turn, turn.real, turn.y)[0] + self.errors(turn, turn.fake, turn.y_fake)[1]

    def g(self, turn: Turn) -> Scalar:
        """With the classifier and against the twin."""
        classifier, twin = self.errors(turn, turn.fake, turn.y_fake)
        return classifier - twin

    def errors(self, turn: Turn, verdict: Verdict, y: Labels) -> tuple[Scalar, Scalar]:
        """Cross entropies of classifier and twin in nats, means over the batch."""
        classifier, twin = turn.D.heads[self.name](verdict.features)
        return F.cross_entropy(classifier, y), F.cross_entropy(twin, y)


class DiscriminativeClassifier(TwoClassifiers):
    """A classifier of 2 K classes, each class of real and each of generated samples. Hou et al. 2022
    (ADC-GAN, arXiv 2107.10060).

    CE(c(x), real y) + CE(c(G), generated y) for D, CE(c(G), real y) - CE(c(G), generated y) for G,
    which is the log of how much more likely "generated" is. At its optimum G has the joint
    distribution of samples and classes even without another loss.
    """

    def attach(self, G: Generator, D: Discriminator) -> None:
        """Adds the classifier to D's features."""
        D.heads[self.name] = nn.Linear(D.n_features, 2 * self.n_classes, bias=False)

    def logits(self, turn: Turn, verdict: Verdict) -> Float[Tensor, "b k2"]:
        """Those of the classes of real samples, then those of generated ones."""
        return turn.D.heads[self.name](verdict.features)

    def d(self, turn: Turn) -> Scalar:
        """On real and on generated samples, in nats, the mean over the batch."""
        real, fake = (self.logits(turn, verdict) for verdict in (turn.real, turn.fake))
        return F.cross_entropy(real, turn.y) + F.cross_entropy(fake, turn.y_fake + self.n_classes)

    def g(self, turn: Turn) -> Scalar:
        """As real samples of their class, and not as generated ones."""
        fake = self.logits(turn, turn.fake)
        return F.cross_entropy(fake, turn.y_fake) - F.cross_entropy(fake, turn.y_fake + self.n_classes)


class Proxies(nn.Module):
    """Features and classes as points on one sphere."""

    def __init__(self, n_features: int, n_classes: int, size: int):
        super().__init__()
        self.linear, self.embedding = nn.Linear(n_features, size), embedding(n_classes, size)

    def widen(self, extra: int) -> None:
        """Reads `extra` more features."""
        widen(self.linear, extra)

    def forward(self, features: FeatureVectors, y: Labels) -> tuple[Float[Tensor, " b"], Float[Tensor, "b b"]]:
        """Cosines of each sample with its class, and of all pairs of samples, in full precision."""
        samples = F.normalize(at_least_float32(self.linear(features)), dim=1)
        classes = F.normalize(self.embedding(y), dim=1)
        with single_precision(features.device):
            return (samples * classes).sum(1), samples @ samples.T


class Contrast(Conditional):
    """A term on the cosines of a batch's samples with their classes and with each other.

    D's on real samples, G's on generated ones, among those of the same process.

    Args:
        n_classes: number of classes of the data.
        weight: lambda, of both players' terms.
        temperature: tau, what the cosines are divided by.
        size: length of the vectors of samples and classes.
    """

    @checked
    def __init__(self, n_classes: int | None, weight: Number, temperature: Positive, size: Count = 512):
        super().__init__(n_classes, weight)
        self.temperature, self.size = temperature, size

    def attach(self, G: Generator, D: Discriminator) -> None:
        """Adds the vectors to D's features."""
        D.heads[self.name] = Proxies(D.n_features, self.n_classes, self.size)

    def d(self, turn: Turn) -> Scalar:
        """On real samples."""
        return self.distance(turn, turn.real, turn.y)

    def g(self, turn: Turn) -> Scalar:
        """On generated samples."""
        return self.distance(turn, turn.fake, turn.y_fake)

    def distance(self, turn: Turn, verdict: Verdict, y: Labels) -> Scalar:
        """The term, in nats, the mean over the batch."""
        own, pairs = turn.D.heads[self.name](verdict.features, y)
        return self.compare(own, pairs, y[:, None] == y).mean()

    def compare(
        self, own: Float[Tensor, " b"], pairs: Float[Tensor, "b b"], alike: Bool[Tensor, "b b"]
    ) -> Float[Tensor, " b"]:
        """The term of each sample.

        Args:
            own: cosines with the samples' classes.
            pairs: cosines of the samples with each other.
            alike: whether two samples are of the same class.
        """
        raise NotImplementedError


class ConditionalContrast(Contrast):
    """2C: a sample should be nearer to its class and to samples of its class than to others. Kang
    and Park 2020 (ContraGAN, arXiv 2006.12681).

    -log of the share that its class and the others of its class have in sum_j exp(cos / tau).

    Args:
        n_classes: number of classes of the data.
        weight: lambda; 1 in the authors' code for CIFAR, as tau.
        temperature: tau, what the cosines are divided by.
        size: length of the vectors of samples and classes.
    """

    @checked
    def __init__(self, n_classes: int | None, weight: Number = 1.0, temperature: Positive = 1.0, size: Count = 512):
        super().__init__(n_classes, weight, temperature, size)

    def compare(
        self, own: Float[Tensor, " b"], pairs: Float[Tensor, "b b"], alike: Bool[Tensor, "b b"]
    ) -> Float[Tensor, " b"]:
        """0 where all samples are of one class."""
        itself = torch.eye(len(own), dtype=torch.bool, device=own.device)
        others = (pairs / self.temperature).masked_fill(itself, -torch.inf)
        of_all = torch.cat([own[:, None] / self.temperature, others], 1)
        of_its_class = torch.cat([own[:, None] / self.temperature, others.masked_fill(~alike, -torch.inf)], 1)
        return of_all.logsumexp(1) - of_its_class.logsumexp(1)


class DataToDataCrossEntropy(Contrast):
    """D2D-CE: a sample should be near to its class and far from samples of other classes, as long as
    it is not near or far enough. Kang et al. 2021 (ReACGAN, arXiv 2111.01118), Eq. 6.

    -log(e^p / (e^p + sum_j e^n_j)) with p = min(cos(sample, class) - m, 0) / tau and, over the
    samples of other classes, n_j = max(cos(sample, sample_j) - (1 - m), 0) / tau. The authors' code
    subtracts the largest n_j from the n_j alone, and so weighs them less; this is the paper's.

    Args:
        n_classes: number of classes of the data.
        weight: lambda; 0.5 in the authors' code for CIFAR, as tau.
        temperature: tau, what the cosines are divided by.
        margin: m, the cosine with its class that is near enough; 1 - m with others is far enough.
        size: length of the vectors of samples and classes.
    """

    @checked
    def __init__(
        self,
        n_classes: int | None,
        weight: Number = 0.5,
        temperature: Positive = 0.5,
        margin: Number = 0.98,
        size: Count = 512,
    ):
        super().__init__(n_classes, weight, temperature, size)
        self.margin = margin

    def compare(
        self, own: Float[Tensor, " b"], pairs: Float[Tensor, "b b"], alike: Bool[Tensor, "b b"]
    ) -> Float[Tensor, " b"]:
        """log(1 + n) with no gradient where all is near and far enough, n the samples of other classes."""
        near = (own - self.margin).clamp(max=0) / self.temperature
        far = (pairs - (1 - self.margin)).clamp(min=0) / self.temperature
        return torch.cat([near[:, None], far.masked_fill(alike, -torch.inf)], 1).logsumexp(1) - near


class MultiHingeHead(Conditional):
    """D names one of K classes or "generated"; its logit is by how much the sample's class is ahead
    of all others. Kavalerov et al. 2019 (arXiv 1912.04216v1).

    For loss=multi_hinge, which takes both players' objectives from it. (The later version of the
    paper is another method, beside a projection.)
    """

    def attach(self, G: Generator, D: Discriminator) -> None:
        """Replaces D's last layer.

        Raises:
            UserError: as `require_own_last`.
        """
        require_own_last(D)
        D.head = ClassMargins(D.n_features, self.n_classes)
