"""Claims about what D says of classes beside its verdict: twin, discriminative and normalised classifiers."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import Callback
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

from lit_gan.build import build_data, build_gan, build_source
from lit_gan.data.gaussians import ring
from lit_gan.game import Turn
from lit_gan.losses import Hinge, MultiHinge, NonSaturating
from lit_gan.models import dcgan, mlp
from lit_gan.module import GAN
from lit_gan.optim import Optimizers
from lit_gan.order import Alternating
from lit_gan.reg.class_heads import (
    ConditionalContrast,
    DiscriminativeClassifier,
    MultiHingeHead,
    TwinAuxiliaryClassifier,
)
from lit_gan.reg.labels import ACGAN, LabelConcat, ProjectionDiscriminator
from trainers import quiet_trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning", "ignore::FutureWarning")
SEEDS = (0, 1)


# Classes that overlap


MEANS, STDS = torch.tensor([0.0, 3.0, 6.0]), torch.tensor([1.0, 2.0, 3.0])
UPDATES, N_DIS, BATCH = 400, 5, 128
MIXTURE = (
    "N(0, 1), N(3, 4) and N(6, 9) as three classes, MLPs of 3 x 64 ReLUs, non-saturating loss, batch 128, Adam at rate "
    f"2e-3, {UPDATES} updates of G and {UPDATES * N_DIS} of D, 2 seeds"
)


def points(y):
    """Real points [n, 1] of these classes."""
    return (MEANS[y] + STDS[y] * torch.randn(len(y)))[:, None]


def adam(parameters):
    """The optimizer of either player, that of the authors' toy."""
    return torch.optim.Adam(parameters, 2e-3, betas=(0.5, 0.999), fused=True)


@torch.no_grad()
def samples_of(classifier, g_weight, seed):
    """30,000 points of a G that was trained with the classifier, and the classes asked for."""
    torch.manual_seed(seed)
    G, D = mlp.Generator((1,), width=64), mlp.Discriminator((1,), width=64)
    regs, loss = {"label_concat": LabelConcat(3, "g"), "classifier": classifier}, NonSaturating(g_weight=g_weight)
    gan = GAN(G, D, loss, regs, Optimizers(N_DIS, adam, adam), Alternating())
    y = torch.randint(3, (UPDATES * N_DIS * BATCH,))
    data = DataLoader(TensorDataset(points(y), y), N_DIS * BATCH)
    with torch.enable_grad():
        quiet_trainer(gan, UPDATES).fit(gan, data)
    y = torch.arange(30_000) % 3
    return gan.eval().G(G.draw(len(y)), y), y


def told_apart(x, y):
    """The share of points whose class the best classifier of real ones names."""
    return (torch.distributions.Normal(MEANS, STDS).log_prob(x).argmax(1) == y).float().mean().item()


def widths(x, y):
    """Each class's standard deviation, over that of its real points."""
    return [(x[y == k].std() / STDS[k]).item() for k in range(3)]


def written(numbers):
    return " ".join(f"{number:.2f}" for number in numbers)


@pytest.fixture
def classes(measured):
    """classes(name, make, g_weight): the share told apart and the widths of each seed, noted for the table."""

    def train(name, make, g_weight):
        found = [samples_of(make(3), g_weight, seed) for seed in SEEDS]
        shares, wide = [told_apart(*pair) for pair in found], [widths(*pair) for pair in found]
        measured(f"classes told apart, {name}", written(shares))
        measured(f"standard deviation of each class over the data's, {name}", ", ".join(map(written, wide)))
        return shares, torch.tensor(wide)

    return train


def only_real(n_classes):
    """The classifier without its twin, which learns from real samples alone."""
    return ACGAN(n_classes, d_fake=0.0)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.claim(
    "A classifier beside D makes G keep to where classes do not overlap; with its twin classes are as wide as they are",
    "Gong et al. 2019 (TAC-GAN), abstract and the authors' mixture of Gaussians",
    on=MIXTURE,
)
def test_the_twin_keeps_classes_that_overlap(classes, measured):
    y = torch.arange(30_000) % 3
    measured("classes told apart, data", told_apart(points(y), y))
    shares, wide = classes("with its twin", TwinAuxiliaryClassifier, 1.0)
    assert max(shares) < 0.82
    assert (wide - 1).abs().max() < 0.3
    shares, wide = classes("without", only_real, 1.0)
    assert min(shares) > 0.9
    assert wide[:, 1:].max() < 0.7


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.claim(
    "A classifier that tells generated classes from real ones teaches G the classes even without another loss, where "
    "the classifier of AC-GAN lets each shrink",
    "Hou et al. 2022 (ADC-GAN), abstract",
    on=f"{MIXTURE}; of G's loss only the classifier's term",
)
def test_a_discriminative_classifier_teaches_without_another_loss(classes):
    shares, wide = classes("ADC-GAN", DiscriminativeClassifier, 0.0)
    assert max(shares) < 0.82
    assert (wide - 1).abs().max() < 0.3
    shares, wide = classes("AC-GAN", only_real, 0.0)
    assert min(shares) > 0.9
    assert wide.max() < 0.3


# One classifier for everything


CENTERS, SPREAD = ring(8, 0.8), 0.008


def blobs(y):
    """Real points [n, 2] of these modes of the ring."""
    return CENTERS[y] + SPREAD * torch.randn(len(y), 2)


@torch.no_grad()
def asked_and_named(loss, regs, seed, updates=1000, n=64):
    """The share of G's points nearest to the mode asked for, and that of real ones whose mode D finds most likely."""
    torch.manual_seed(seed)
    G, D = (make((2,), width=64, depth=2) for make in (mlp.Generator, mlp.Discriminator))
    optimizers = Optimizers(1, *[partial(torch.optim.Adam, lr=1e-3, betas=(0.5, 0.999), fused=True)] * 2)
    gan = GAN(G, D, loss, {"label_concat": LabelConcat(8, "g"), **regs}, optimizers, Alternating())
    y = torch.randint(8, (updates * n,))
    with torch.enable_grad():
        quiet_trainer(gan, updates).fit(gan, DataLoader(TensorDataset(blobs(y), y), n))
    gan.eval()
    y = torch.arange(4000) % 8
    x = blobs(y)
    asked = torch.cdist(G(G.draw(len(y)), y), CENTERS).argmin(1) == y
    named = torch.stack([D(x, torch.full_like(y, mode)).logits for mode in range(8)]).argmax(0) == y
    return asked.float().mean().item(), named.float().mean().item()


@pytest.mark.slow
@pytest.mark.claim(
    "One D of K + 1 classes is a good classifier and teaches G the classes, with one loss",
    "Kavalerov et al. 2019 (arXiv 1912.04216v1), abstract",
    on="eight Gaussians as eight classes, MLPs of 2 x 64 ReLUs, batch 64, Adam at rate 1e-3, 1000 updates, 2 seeds; "
    "G's loss with weight 1 and without feature matching",
)
def test_multi_hinge_classifies_and_teaches(measured):
    found = {
        "multi-hinge": [asked_and_named(MultiHinge(1.0), {"multi_hinge": MultiHingeHead(8)}, seed) for seed in SEEDS],
        "hinge": [asked_and_named(Hinge(), {}, seed) for seed in SEEDS],
    }
    for name, runs in found.items():
        asked, named = zip(*runs, strict=True)
        measured(f"nearest to the mode asked for, {name}", written(asked))
        measured("real points whose mode D names", written(named))
    assert min(min(run) for run in found["multi-hinge"]) > 0.9
    assert max(max(run) for run in found["hinge"]) < 0.3


# The classifier's gradient


EARLY = 200


class ClassifierGradients(Callback):
    """Notes before each update the length of the class term's gradient in its last layers, and that of D's features."""

    def __init__(self, term):
        self.term, self.gradients, self.lengths = term, [], []

    def on_train_batch_start(self, trainer, gan, batch, batch_idx):
        x, y = batch
        turn = Turn("d", gan.G, gan.D, x, y, gan.G.draw(len(x)))
        with torch.enable_grad():
            gradients = torch.autograd.grad(self.term(gan, turn), list(self.head(gan).parameters()))
        self.gradients.append(torch.cat([gradient.flatten() for gradient in gradients]).norm().item())
        self.lengths.append(turn.real.features.detach().norm(dim=1).mean().item())

    @staticmethod
    def head(gan):
        """The layers that name classes."""
        (head,) = gan.D.heads.values()
        return head


TERMS = {
    "acgan": lambda gan, turn: gan.regs["acgan"].error(turn, turn.real, turn.y),
    "reacgan": lambda gan, turn: gan.regs["data_to_data_cross_entropy"].distance(turn, turn.real, turn.y),
}


def growth(numbers):
    """The mean of the last quarter over that of the first."""
    first, *_, last = torch.tensor(numbers).chunk(4)
    return (last.mean() / first.mean()).item()


@pytest.mark.slow
@pytest.mark.claim(
    "Early in the training AC-GAN's classifier has ever larger gradients, as D's features become longer; on the unit "
    "sphere it has not",
    "Kang et al. 2021 (ReACGAN), abstract",
    on=f"digits at 16 px, DCGAN width 16, hinge loss, no regularizer, batch 32, {EARLY} updates, 2 seeds",
)
def test_on_the_sphere_gradients_do_not_grow(compose, measured):
    found = {}
    for labels, term in TERMS.items():
        found[labels] = []
        for seed in SEEDS:
            small = ["data.image_size=16", "model.width=16", "batch_size=32", "reg=[]", f"updates={EARLY}"]
            config = compose(*small, f"labels={labels}", f"seed={seed}")
            gan, watch = build_gan(config), ClassifierGradients(term)
            quiet_trainer(gan, EARLY, watch).fit(gan, build_data(config, build_source(config)))
            found[labels].append((growth(watch.gradients), growth(watch.lengths)))
        gradients, lengths = zip(*found[labels], strict=True)
        measured(f"last 50 updates over first 50, labels={labels}, gradient", written(gradients))
        measured("features", written(lengths))
    assert min(min(pair) for pair in found["acgan"]) > 2.5
    assert max(gradient for gradient, _ in found["reacgan"]) < 1.2
    assert max(length for _, length in found["reacgan"]) < 4


# D that overfits


def digits():
    """scikit-learn's digits as images of 16 x 16 in [-1, 1], and their labels."""
    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images, dtype=torch.float).view(-1, 1, 8, 8) / 8 - 1
    return F.interpolate(x, size=16, mode="bilinear"), torch.tensor(labels)


def memorised(regs, seed, updates=200, n=64):
    """How much more real D finds its 100 training digits than other ones, where its "fakes" are real digits, too."""
    torch.manual_seed(seed)
    x, y = digits()
    train, test, perfect = torch.randperm(len(x)).split([100, 500, len(x) - 600])
    G, D = dcgan.Generator((1, 16, 16), width=8), dcgan.Discriminator((1, 16, 16), width=8)
    for reg in regs:
        reg.attach(G, D)
    optimizer = torch.optim.Adam(D.parameters(), 1e-3, betas=(0.5, 0.999))
    for _ in range(updates):
        real, fake = (places[torch.randint(len(places), (n,))] for places in (train, perfect))
        turn = Turn("d", G, D, x[real], y[real], torch.zeros(n, 1), y_fake=y[fake])
        turn.x_fake = x[fake]
        terms = [Hinge().d(turn)] + [reg.weight * term for reg in regs if (term := reg.d(turn)) is not None]
        optimizer.zero_grad()
        sum(terms).backward()
        optimizer.step()
    with torch.no_grad():
        seen, other = (D.eval()(x[places], y[places]).logits.mean() for places in (train, test))
    return (seen - other).item()


@pytest.mark.slow
@pytest.mark.claim(
    "Contrastive learning of classes relieves D's overfitting, to which a projection of labels lends itself",
    "Kang and Park 2020 (ContraGAN), abstract",
    on="100 digits as real and others as a perfect G's samples, DCGAN's D of width 8, hinge, 200 updates, 3 seeds",
)
def test_contrast_relieves_overfitting(measured):
    methods = {"2C": [ConditionalContrast(10)], "projection": [ProjectionDiscriminator(10)], "no labels": []}
    found = {name: [memorised(regs, seed) for seed in range(3)] for name, regs in methods.items()}
    for name, gaps in found.items():
        measured(f"E D(training digits) - E D(other digits), {name}", written(gaps))
    assert max(found["2C"]) < 0.5 * min(found["projection"])
    assert all(gap < 0.9 * plain for gap, plain in zip(found["2C"], found["no labels"], strict=True))
