"""Analyses: closed forms, and each one once through the command on a tiny run.

On the same points or images the largest differences to the authors' code, or to dgm-eval's (Stein et al. 2023) for C_T
and the authentic share, were: 0 in the authentic share; 3e-4 in C_T, from its half of a rank; 9e-8 in SeFa's
eigenvalues, of a matrix whose rows have length 1; 1e-16 in the great circles of path lengths, between vectors of length
1, and 0 in which lengths count; 2 dB in the mean spectrum of photographs, whose rings are around another point there.
CAS counts first and first five guesses as StudioGAN does, to 8e-8. The rest cannot be compared: StudioGAN adds up the
gradients of a whole epoch, tests on the images of training, and takes the best epoch.
"""

import csv
import functools
import math
import re
import sys
import warnings
from dataclasses import asdict
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from torch import nn
from torch.nn.utils import parametrizations

from lit_gan import game
from lit_gan.analysis import (
    CAS,
    MSSSIM,
    Authenticity,
    DataCopying,
    LatentRecovery,
    LinearProbe,
    Neighbours,
    PerceptualPathLength,
    SeFa,
    SingularValues,
    Slopes,
    Truncation,
    base,
)
from lit_gan.analysis.arithmetic import nine_around
from lit_gan.analysis.authenticity import beside_spacing
from lit_gan.analysis.cas import accuracy_rows, generated_images
from lit_gan.analysis.data_copying import principal_components, z_score
from lit_gan.analysis.duplicates import Duplicates, first_of_its_code
from lit_gan.analysis.fid_infinity import fids
from lit_gan.analysis.gradients import gradient_norms
from lit_gan.analysis.interpolation import polyline
from lit_gan.analysis.latent_recovery import best_of, lbfgs, left_out, with_errors
from lit_gan.analysis.level_sets import mean_logits
from lit_gan.analysis.linear_probe import accuracy, pooled_features
from lit_gan.analysis.neighbours import Queries, nearest_neighbours, reference_images
from lit_gan.analysis.perceptual_path_length import along_path, great_circle, lpips, within_percentiles
from lit_gan.analysis.power_spectrum import PowerSpectrum, power, ring_decibels, ring_numbers, told_apart
from lit_gan.analysis.sefa import change, factorise, first_dense, random_directions
from lit_gan.analysis.subject import Subject
from lit_gan.analysis.truncation import best_row
from lit_gan.analysis.weights import Weights, share_at_extremes, stable_rank
from lit_gan.build import build_gan
from lit_gan.catalogue.configs import choices
from lit_gan.cli.launch import launch
from lit_gan.data import Source, StoredSplit, to_uint8, to_unit
from lit_gan.data.sampler import random_choice
from lit_gan.errors import UserError
from lit_gan.layers import singular_values
from lit_gan.metrics import EvalProtocol, Suite
from lit_gan.metrics.extractors import Inception
from lit_gan.metrics.ms_ssim import n_scales, similarity
from lit_gan.reg.codes import OneHot
from lit_gan.sampling import Sampler
from lit_gan.tasks.analyze import analyze
from lit_gan.tasks.sample import draw_samples, sample
from lit_gan.tasks.train import train

pytestmark = pytest.mark.usefixtures("no_curves")

TINY = ["model.width=4", "batch_size=8", "trainer.accelerator=cpu", "metrics=none", "updates=2", "updates_per_epoch=1"]
TASKS = {"train": train, "analyze": analyze, "sample": sample}
FAST = {
    "linear_probe": [
        "analysis.linear_probe.c=1e-3",
        "analysis.linear_probe.train=100",
        "analysis.linear_probe.folds=2",
    ],
    "duplicates": ["analysis.duplicates.updates=5"],
    "interpolation": ["analysis.interpolation.rows=2"],
    "arithmetic": ["analysis.arithmetic.a=[0,1,2]", "analysis.arithmetic.b=[3]", "analysis.arithmetic.c=[4,5]"],
    "neighbours": ["analysis.neighbours.samples=20"],
    "authenticity": ["analysis.authenticity.samples=20"],
    "data_copying": ["analysis.data_copying.samples=60"],
    "fid_infinity": [
        "metrics=classifier",
        "analysis.fid_infinity.samples=300",
        "analysis.fid_infinity.smallest=150",
        "analysis.fid_infinity.sizes=3",
    ],
    "power_spectrum": ["analysis.power_spectrum.images=20"],
    "truncation": [
        "metrics=classifier",
        "analysis.truncation.limits=[0.5]",
        "analysis.truncation.samples=60",
        "analysis.truncation.batch_norm=running",
    ],
    "cas": ["analysis.cas.updates=2", "analysis.cas.images=100"],
    "perceptual_path_length": ["analysis.perceptual_path_length.paths=20"],
    "sefa": ["analysis.sefa.directions=2", "analysis.sefa.samples=2", "analysis.sefa.steps=3"],
    "latent_recovery": ["analysis.latent_recovery.images=6", "analysis.latent_recovery.steps=3"],
    "ms_ssim": ["analysis.ms_ssim.pairs=20"],
    "level_sets": ["analysis.level_sets.resolution=20"],
}


def call(monkeypatch, name, *arguments):
    """A command line, in this process."""
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    launch(TASKS[name], name)


def trained(folder, *arguments):
    """The directory of a tiny run."""
    with pytest.MonkeyPatch.context() as patch:
        call(patch, "train", *TINY, f"hydra.run.dir={folder}", *arguments)
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Tiny runs, each trained once: runs("labels=projection")."""
    return functools.cache(lambda *choices: trained(tmp_path_factory.mktemp("runs") / "run", *choices))


@pytest.fixture
def images(runs):
    return runs("data.image_size=16", "callbacks=[default,spectra]")


@pytest.fixture
def points(runs):
    return runs("data=gaussians", "metrics=none", "callbacks=none")


@pytest.fixture(scope="module")
def unseen(tmp_path_factory):
    """A tiny run on images with a split "test"."""
    folder = tmp_path_factory.mktemp("unseen")
    for split, n in (("train", 40), ("test", 30)):
        (folder / "images" / split).mkdir(parents=True)
        for number in range(n):
            Image.effect_noise((16, 16), 40).save(folder / "images" / split / f"{number}.png")
    data = ["data=image_folder", f"data.root={folder / 'images'}", "data.image_size=16", "data.channels=1"]
    return trained(folder / "run", *data, "callbacks=none")


@pytest.fixture
def look(monkeypatch, capsys):
    """The command: look(run, "spectra", ...) gives what it printed."""

    def run(directory, analysis, *arguments):
        call(monkeypatch, "analyze", f"run={directory}", f"analysis={analysis}", *arguments)
        return capsys.readouterr().out

    return run


@pytest.fixture
def refusal(look):
    """The sentence with which the command is refused."""

    def run(directory, analysis, *arguments):
        with pytest.raises(SystemExit) as end:
            look(directory, analysis, *arguments)
        assert re.fullmatch(r"lit_gan: [^\n]{10,420}\.", end.value.code), end.value.code
        return end.value.code

    return run


def table(directory, name):
    with (directory / "analysis" / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


class Players(game.Discriminator):
    """A D of given layers."""

    def __init__(self, *body, head):
        super().__init__()
        self.body, self.head = game.Layers(*body), head


class Memory(Source):
    """A data set of given samples."""

    def __init__(self, samples, labels=None, shape=None, n_classes=None):
        super().__init__("memory", shape or samples.shape[1:], n_classes)
        self.train = StoredSplit(samples, labels)

    def load(self, which):
        return self.train


def subject(D=None, G=None, loss=None, source=None):
    """A run of given parts."""
    source = source or Memory(torch.zeros(4, 2))
    if D is None:
        D = Players(nn.Flatten(), head=nn.Linear(math.prod(source.shape), 1))
    gan = SimpleNamespace(D=D.eval(), generator=lambda ema: G, loss=loss)
    config = OmegaConf.create({"metrics": {"suite": None}})
    return Subject(config, None, gan, source, ema=True, seed=0, batch_size=250)


def linear(rows, bias=False):
    """A linear layer of given weights."""
    layer = nn.Linear(len(rows[0]), len(rows), bias=bias)
    layer.weight.data = torch.tensor(rows)
    return layer


def test_samples_have_the_numbers_that_the_command_gives_them():
    G = game.Generator((2,), 3)
    G.body = game.Layers(nn.Linear(3, 2))
    found = subject(G=G)
    assert torch.equal(found.samples(600), draw_samples(Sampler(G, 0), 600, None, 250))


class TestSpectra:
    def test_singular_values_of_known_weights(self):
        D = Players(linear([[0.0, 3.0], [4.0, 0.0]]), head=linear([[0.6, 0.8]]))
        spectra = singular_values(D)
        assert list(spectra) == ["body.0", "head"]
        torch.testing.assert_close(spectra["body.0"], torch.tensor([4.0, 3.0]).double())
        torch.testing.assert_close(spectra["head"], torch.tensor([1.0]).double())

    def test_an_orthogonal_convolution_has_a_flat_spectrum(self):
        convolution = nn.init.orthogonal_(nn.Conv2d(3, 8, 3).weight)
        layer = nn.Conv2d(3, 8, 3)
        layer.weight = nn.Parameter(5 * convolution)
        sigma = singular_values(Players(layer, head=nn.Linear(1, 1)))["body.0"]
        torch.testing.assert_close(sigma.float(), torch.full((8,), 5.0))
        assert stable_rank(sigma) == pytest.approx(8)

    def test_stable_rank(self):
        assert stable_rank(torch.tensor([2.0, 1.0, 1.0])) == pytest.approx(1.5)

    def test_is_of_the_weight_as_applied(self):
        layer = parametrizations.spectral_norm(linear([[0.0, 3.0], [4.0, 0.0]]), n_power_iterations=50)
        assert singular_values(Players(layer, head=nn.Linear(2, 1)))["body.0"][0] == pytest.approx(1, abs=1e-4)

    def test_looking_does_not_move_the_singular_vectors(self):
        layer = parametrizations.spectral_norm(nn.Linear(20, 20))
        D = Players(layer, head=nn.Linear(20, 1)).train()
        before = {name: value.clone() for name, value in D.state_dict().items()}
        singular_values(D)
        assert D.training
        for name, value in D.state_dict().items():
            assert torch.equal(value, before[name]), name

    def test_rows(self):
        found = SingularValues().find(subject(Players(linear([[0.0, 3.0], [4.0, 0.0]]), head=linear([[1.0, 0.0]]))))
        squares = [(row["layer"], row["index"], row["scaled_square"]) for row in found.rows]
        assert squares == [("body.0", 1, 1), ("body.0", 2, pytest.approx(9 / 16)), ("head", 1, 1)]
        assert found.rows[0]["stable_rank"] == pytest.approx(25 / 16)

    def test_the_callback_leaves_training_untouched(self, images, tmp_path):
        plain = trained(tmp_path / "plain", "data.image_size=16")
        states = [torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (images, plain)]
        for name, value in states[0]["state_dict"].items():
            assert torch.equal(value, states[1]["state_dict"][name]), name

    def test_the_callback_logs_every_layer_at_the_start_and_after_each_epoch(self, images):
        with (images / "metrics.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        columns = [name for name in rows[0] if name.startswith("sigma/")]
        assert columns == ["sigma/body.0", "sigma/body.2", "sigma/head"]
        assert [row["update"] for row in rows if row["sigma/head"]] == ["0", "1", "2"]
        assert all(0.9 < float(row[name]) < 2 for row in rows for name in columns)


class TestWeights:
    def test_share_at_extremes(self):
        assert share_at_extremes(torch.tensor([1.0, -0.995, 0.98, 0.0])) == 0.5

    def test_every_weight_is_in_a_bin(self):
        D = Players(linear([[0.0, 3.0], [-4.0, 1.0]]), head=linear([[0.5, 0.5]]))
        rows = Weights(bins=4).find(subject(D)).rows
        counts = {name: [row["weights"] for row in rows if row["layer"] == name] for name in ("all", "body.0", "head")}
        assert counts == {"all": [1, 0, 4, 1], "body.0": [1, 0, 2, 1], "head": [0, 0, 0, 2]}
        assert {row["layer"]: row["at_extremes"] for row in rows} == pytest.approx(
            {"all": 1 / 6, "body.0": 0.25, "head": 1}
        )


class Means(game.Loss):
    """mean D(x_fake) - mean D(x_real)."""

    def d(self, turn):
        return turn.fake.logits.mean() - turn.real.logits.mean()


class TestGradients:
    @pytest.mark.parametrize("activation", [nn.Identity(), nn.ReLU(inplace=True)])
    def test_of_a_linear_critic(self, affine_g, activation):
        """Each of 2n outputs has the gradient 1/n; a layer before it that times the next layer's weight."""
        first = linear([[0.0, 0.0], [0.0, 0.0]], bias=True)
        first.bias.data.fill_(1.0)
        D = Players(first, activation, head=linear([[3.0, 4.0]]))
        source = Memory(torch.randn(8, 2))
        norms = gradient_norms(subject(D, affine_g(), Means(), source), 8)
        assert list(norms) == ["body.0", "head"]
        assert norms["head"] == pytest.approx(math.sqrt(2 / 8))
        assert norms["body.0"] == pytest.approx(5 * math.sqrt(2 / 8))

    def test_leaves_no_hooks(self, affine_g):
        one = subject(None, affine_g(), Means(), Memory(torch.randn(8, 2)))
        gradient_norms(one, 8)
        assert not any(layer._forward_hooks for layer in one.D.modules())


class TestLevelSets:
    def test_heights_of_a_linear_critic(self, linear_d):
        D = linear_d([1.0, -2.0])
        D.head.bias.data.fill_(0.5)
        assert mean_logits(subject(D), torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]])).tolist() == [0.5, -0.5, 2.5]

    def test_a_packing_critic_sees_copies(self):
        """m = 2 points as one of 4 numbers, each weighted differently: D(x, x)."""
        D = Players(nn.Unflatten(0, (-1, 2)), nn.Flatten(), head=linear([[1.0, 0.0, 0.0, 2.0]]))
        D.pack = 2
        assert mean_logits(subject(D), torch.tensor([[1.0, 10.0], [2.0, 20.0]])).tolist() == [21.0, 42.0]


class TestSlopes:
    def test_a_linear_d(self):
        D = Players(nn.Flatten(), head=linear([[3.0, -4.0]]))
        source, G = Memory(torch.tensor([[1.0, 1.0], [2.0, 0.0]])), game.Generator((2,), 1)
        G.body = game.Layers(linear([[0.0], [0.0]]))
        found = Slopes(samples=2).find(subject(D, G, source=source))
        assert {row["slope"] for row in found.rows} == {5.0}
        logits = {
            at: [row["logit"] for row in found.rows if row["at"] == at] for at in ("real", "generated", "between")
        }
        assert sorted(logits["real"]) == [-1.0, 6.0]
        assert logits["generated"] == [0.0, 0.0]
        assert all(-1 <= logit <= 6 for logit in logits["between"])
        assert found.summary.startswith("mean slope of D: real 5 (output 2.5)")

    def test_packs_have_none(self):
        D = Players(nn.Flatten(), head=linear([[3.0, -4.0]]))
        D.pack = 2
        with pytest.raises(UserError, match=r"analysis=slopes .*reg=pacgan.*choose a run without\.$"):
            Slopes().check(subject(D))


def critic(widths, strides, channels):
    """3x3 convolutions of given widths with leaky ReLUs that work in place."""
    layers = []
    for before, after, stride in zip([channels, *widths], widths, strides, strict=False):
        layers += [nn.Conv2d(before, after, 3, stride, 1), nn.LeakyReLU(0.2, inplace=True)]
    return Players(*layers, nn.Flatten(), head=nn.LazyLinear(1))


class TestLinearProbe:
    @pytest.mark.parametrize(
        ("widths", "strides", "length"),
        [((128, 128, 256, 256, 512, 512), (1, 2, 1, 2, 1, 2), 28_672), ((64, 128, 256), (2, 2, 2), 7_168)],
    )
    def test_the_papers_numbers_of_features(self, widths, strides, length):
        source = Memory(torch.zeros(2, 3, 32, 32))
        one = subject(critic(widths, strides, 3), source=source)
        assert pooled_features(one, torch.zeros(2, 3, 32, 32)).shape == (2, length)

    def test_features_are_pooled_after_norm_and_activation(self):
        """Of an 8x8 image of ones, times -1, plus batch norm's 0.5, through a ReLU of -0.5 is 0; of zeros it is 0.5."""
        convolution = nn.Conv2d(1, 1, 1, bias=False)
        convolution.weight.data.fill_(-1.0)
        norm = nn.BatchNorm2d(1, eps=0)
        norm.bias.data.fill_(0.5)
        D = Players(convolution, norm, nn.ReLU(inplace=True), nn.AvgPool2d(8), nn.Flatten(), head=nn.Linear(1, 1))
        x = torch.stack([torch.ones(1, 8, 8), torch.zeros(1, 8, 8)])
        assert pooled_features(subject(D, source=Memory(x)), x).tolist() == [[0.0] * 16, [0.5] * 16]

    def test_pooling_keeps_the_largest_of_each_field(self):
        convolution = nn.Conv2d(1, 1, 1, bias=False)
        convolution.weight.data.fill_(1.0)
        x = torch.arange(64.0).view(1, 1, 8, 8)
        D = Players(convolution, nn.Flatten(), head=nn.Linear(64, 1))
        expected = [8 * (2 * i + 1) + 2 * j + 1 for i in range(4) for j in range(4)]
        assert pooled_features(subject(D, source=Memory(x)), x)[0].tolist() == expected

    def test_a_second_class_with_fewer_images_than_folds_is_refused(self):
        source = Memory(noise_images(21), torch.tensor([0] * 20 + [1]), n_classes=2)
        with pytest.raises(UserError, match=r"folds=3 is more than the images of any two classes"):
            list(LinearProbe(folds=3, train=21).splits(subject(critic((4, 4), (1, 2), 1), source=source)))

    def test_features_of_residual_blocks(self, compose):
        D = hydra_instantiate(compose("model=sngan_resnet", "model.width=2").model.D)
        one = subject(D, source=Memory(torch.zeros(2, 1, 32, 32)))
        widths = sum(layer.out_channels for layer in D.modules() if isinstance(layer, nn.Conv2d))
        assert pooled_features(one, torch.zeros(3, 1, 32, 32)).shape == (3, 16 * widths)

    def test_a_reference_batch_is_no_image(self, compose):
        config = compose("reg=[virtual_batch_norm]", "reg.virtual_batch_norm.network=d", "model.width=4")
        gan = build_gan(config)
        one = subject(gan.D, source=Memory(torch.zeros(2, 1, 32, 32)))
        plain = pooled_features(one, torch.zeros(3, 1, 32, 32))
        assert len(plain) == 3
        x = torch.randn(3, 1, 32, 32)
        assert not torch.equal(pooled_features(one, x)[0], plain[0])

    def test_accuracy(self):
        x = torch.randn(200, 5)
        y = (x[:, 0] > 0).long()
        assert accuracy(x.numpy(), y.numpy(), x.numpy(), y.numpy(), 10.0) > 0.97
        assert accuracy(x.numpy(), y.numpy(), x.numpy(), 1 - y.numpy(), 10.0) < 0.03


def hydra_instantiate(config):
    from hydra.utils import instantiate

    return instantiate(config)


def noise_images(n, size=16):
    return torch.randint(256, (n, 1, size, size), dtype=torch.uint8)


class TestDuplicates:
    def test_first_of_its_code(self):
        codes = torch.tensor([[1, 0, 1], [0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 0, 1]]).bool()
        assert first_of_its_code(codes).tolist() == [0, 1, 0, 3, 1]

    def test_finds_planted_duplicates_and_nothing_else(self):
        samples = noise_images(100)
        samples = torch.cat([samples, samples[[3, 50, 3]]])
        found = Duplicates(updates=40).find(subject(source=Memory(samples)))
        moved = {row["index"]: row["stays"] for row in found.rows if row["index"] != row["stays"]}
        assert moved == {100: 3, 101: 50, 102: 3}
        assert found.summary.startswith("3 of 103 images (2.91%)")
        assert all(row["distance"] == 0 for row in found.rows)

    def test_finds_near_duplicates(self):
        samples = noise_images(100).float()
        near = (samples[:40] + torch.randn(samples[:40].shape)).clamp(0, 255)
        both = torch.cat([samples, near]).round().to(torch.uint8)
        rows = Duplicates(bits=32, updates=40).find(subject(source=Memory(both))).rows
        moved = [row["stays"] for row in rows[100:]]
        assert all(place == row["index"] for row, place in zip(rows[:100], range(100), strict=True))
        assert sum(stays == row["index"] - 100 for row, stays in zip(rows[100:], moved, strict=True)) > 15
        assert all(row["stays"] in (row["index"], row["index"] - 100) for row in rows[100:])

    def test_images_with_a_common_background_do_not_share_a_code(self):
        samples = torch.zeros(200, 1, 16, 16, dtype=torch.uint8)
        samples[:, :, 6:10, 6:10] = noise_images(200, 4)
        assert Duplicates(updates=40).find(subject(source=Memory(samples))).summary.startswith("0 of 200")

    def test_random_numbers_are_left_alone(self):
        one = subject(source=Memory(noise_images(10)))
        state = torch.get_rng_state()
        Duplicates(updates=2).find(one)
        assert torch.equal(state, torch.get_rng_state())


class TestLatent:
    def test_polyline_passes_its_corners_at_equal_steps(self):
        corners = torch.tensor([[[0.0], [4.0], [0.0]]])
        assert polyline(corners, 4).flatten().tolist() == [0, 1, 2, 3, 4, 3, 2, 1, 0]
        assert polyline(torch.randn(10, 9, 3), 2).shape == (10, 17, 3)

    def test_neighbours_surround_the_result(self):
        z = torch.arange(1000.0)
        around = nine_around(z, 0.25, 0)
        assert torch.equal(around[4], z)
        apart = (around - z).abs()
        assert 0.24 < apart.max() <= 0.25
        assert all(apart[place].mean() == pytest.approx(0.125, abs=0.01) for place in range(9) if place != 4)

    def test_a_minus_b_plus_c(self, images, look, tmp_path):
        """a - a + c is c: its picture is that of c's mean, and sample numbers are those of `lit_gan.sample`."""
        settings = [f"analysis.arithmetic.{name}=[{number}]" for name, number in zip("abc", (5, 5, 7), strict=True)]
        look(images, "arithmetic", *settings, "analysis.arithmetic.among=16")
        rows = table(images, "arithmetic")
        assert [(row["what"], row["number"]) for row in rows[:4]] == [
            ("a", "5"),
            ("b", "5"),
            ("c", "7"),
            ("mean a", ""),
        ]
        judged = [(row["class"], float(row["probability"])) for row in rows]
        assert [row["what"] for row in rows].index("result") == 10
        assert judged[10] == (judged[2][0], pytest.approx(judged[2][1], abs=1e-4))
        assert judged[3] == (judged[0][0], pytest.approx(judged[0][1], abs=1e-4))


class TestNeighbours:
    def test_nearest(self):
        near = nearest_neighbours(torch.tensor([[1.0, 1.0]]), torch.tensor([[5.0, 1.0], [1.0, 1.0], [1.0, 3.0]]), 3)
        assert near.places.tolist() == [[1, 2, 0]]
        torch.testing.assert_close(near.distances, torch.tensor([[0.0, 2 / 2**0.5, 4 / 2**0.5]]))

    def test_a_training_image_is_not_its_own_neighbour(self):
        bank = (
            torch.tensor([[0.0], [1.0], [3.0]]).repeat(200, 1) + 10 * torch.arange(200.0).repeat_interleave(3)[:, None]
        )
        near = nearest_neighbours(bank, bank, 1, own=torch.arange(600))
        assert near.places[:3].flatten().tolist() == [1, 0, 1]
        assert near.places[-3:].flatten().tolist() == [598, 597, 598]
        assert (near.distances > 0).all()

    def test_finds_the_planted_copy(self):
        """A G that makes training image 7 and nothing else."""
        samples = noise_images(60)
        G = game.Generator((1, 16, 16), 2)
        G.body = game.Layers(nn.Linear(2, 256), nn.Unflatten(1, (1, 16, 16)))
        G.body[0].weight.data.zero_()
        G.body[0].bias.data = samples[7].float().div(127.5).sub(1).flatten()
        found = Neighbours(samples=10, neighbours=2).find(subject(G=G, source=Memory(samples)))
        first = [row for row in found.rows if row["kind"] == "sample" and row["rank"] == 1]
        assert [(row["index"], row["distance"]) for row in first] == [(7, 0.0)] * 10
        reference = [row["distance"] for row in found.rows if row["kind"] == "train"]
        assert len(reference) == 20
        assert min(reference) > 0.5

    @pytest.mark.parametrize("analysis", [Neighbours(samples=20), Authenticity(samples=20)])
    def test_images_that_the_players_were_not_shown_are_none_of_training(self, analysis):
        few = subject(G=game.Generator((1, 16, 16), 1), source=Memory(noise_images(30)))
        few.config.update({"train_images": 6, "seed": 3})
        few.gan.generator(True).body = game.Layers(nn.Linear(1, 256), nn.Unflatten(1, (1, 16, 16)), nn.Tanh())
        shown = set(random_choice(30, 6, 3).tolist())
        rows = analysis.find(few).rows
        assert {row["index"] for row in rows} <= shown
        assert {row["number"] for row in rows if row["kind"] == "train"} == shown

    def test_unseen_images_are_the_reference_where_there_are_some(self):
        source = Memory(noise_images(30))
        source.splits = ("train", "test")
        source._loaded["test"] = StoredSplit(noise_images(20))
        asked = reference_images(subject(source=source), 10)
        assert isinstance(asked, Queries)
        assert asked.kind == "test"
        assert torch.equal(asked.images, source.split("test").images[asked.numbers])


def memorising(samples):
    """A G that makes the given images, the one whose number its latent vector is."""
    G = game.Generator(samples.shape[1:], 1)
    G.unused = nn.Linear(1, 1)  # where it is, and of which type
    G.draw = lambda n, generator=None: torch.randint(len(samples), (n, 1), generator=generator)
    G.forward = lambda z, y=None: samples[z[:, 0]].float().div(127.5).sub(1)
    return G


def with_test(train, test):
    """A data set of two splits."""
    source = Memory(train)
    source.splits = ("train", "test")
    source._loaded["test"] = StoredSplit(test)
    return source


class TestAuthenticity:
    def test_by_hand(self):
        bank = torch.tensor([[0.0], [1.0], [5.0]])
        found = beside_spacing(torch.tensor([[1.5], [-2.0], [5.0], [8.5]]), bank)
        assert found.places.tolist() == [1, 0, 2, 2]
        assert found.distances.tolist() == [0.5, 2, 0, 3.5]
        assert found.spacings.tolist() == [1, 1, 4, 4]
        assert found.authentic.tolist() == [False, True, False, False]

    @pytest.mark.parametrize(("dimensions", "share"), [(1, 1 / 3), (2, 0.3785)])
    def test_even_densities_have_the_known_shares(self, dimensions, share):
        bank, points = torch.rand(2000, dimensions).double(), torch.rand(2000, dimensions).double()
        assert beside_spacing(points, bank).authentic.float().mean().item() == pytest.approx(share, abs=0.03)
        own = beside_spacing(bank, bank, torch.arange(2000)).authentic
        nearest = torch.cdist(bank, bank).fill_diagonal_(torch.inf).argmin(1)
        assert torch.equal(own, nearest[nearest] != torch.arange(2000))  # all but mutual neighbours
        assert own.float().mean().item() == pytest.approx(share, abs=0.03)

    def test_copies_have_none_and_noise_far_away_has_all(self):
        samples = noise_images(60)
        source = with_test(samples, noise_images(30))
        copies = Authenticity(samples=40).find(subject(G=memorising(samples), source=source))
        assert {(row["authentic"], row["distance"]) for row in copies.rows if row["kind"] == "sample"} == {(0, 0.0)}
        assert [row["kind"] for row in copies.rows].count("test") == 30
        assert copies.summary.startswith("authentic samples: pixels 0.0% (test images ")
        images = samples // 16  # dark
        G = memorising(torch.full_like(samples, 255))
        far = Authenticity(samples=10).find(subject(G=G, source=Memory(images)))
        assert far.summary.startswith("authentic samples: pixels 100.0% (train images ")

    def test_the_row_of_a_copy_names_the_image(self):
        samples = noise_images(60)
        rows = Authenticity(samples=5).find(subject(G=memorising(samples[7:8]), source=Memory(samples))).rows
        assert [(row["number"], row["index"]) for row in rows[:5]] == [(number, 7) for number in range(5)]
        nearest = (samples[7] / 127.5 - samples / 127.5).flatten(1).square().mean(1).sqrt().sort().values[1].item()
        assert rows[0]["spacing"] == pytest.approx(nearest, rel=1e-5)


class TestDataCopying:
    def test_z_is_the_standardised_count_of_pairs(self):
        test, samples = torch.randn(30).round(decimals=1), torch.randn(50).round(decimals=1) - 0.3
        larger = (samples[:, None] > test).sum() + 0.5 * (samples[:, None] == test).sum()
        expected = (larger.item() - 750) / math.sqrt(30 * 50 * 81 / 12)
        assert z_score(test, samples) == pytest.approx(expected, rel=1e-6)
        assert z_score(samples, test) == pytest.approx(-expected, rel=1e-6)

    def test_z_of_equal_distributions_is_standard_normal(self):
        values = torch.tensor([z_score(torch.rand(40), torch.rand(60)) for _ in range(200)])
        assert values.mean().abs() < 0.2
        assert values.std().item() == pytest.approx(1, abs=0.15)

    def test_of_copies_in_each_cell(self):
        """Two clusters of images; G copies 45 images of the one and 30 of the other: Z = -sqrt(3 n m / (n + m + 1))."""
        dark, bright = noise_images(100) // 4, noise_images(100) // 4 + 190
        source = with_test(torch.cat([dark, bright]), torch.cat([noise_images(60) // 4, noise_images(20) // 4 + 190]))
        G = memorising(torch.cat([dark[:45], bright[:30]]))
        found = DataCopying(samples=200, cells=2).find(subject(G=G, source=source))
        rows = sorted(found.rows, key=lambda row: row["test"])
        assert [(row["train"], row["test"], row["weight"]) for row in rows] == [(100, 20, 0.25), (100, 60, 0.75)]
        n, m = zip(*((row["test"], row["samples"]) for row in rows), strict=True)
        expected = [-math.sqrt(3 * a * b / (a + b + 1)) for a, b in zip(n, m, strict=True)]
        assert [row["z"] for row in rows] == pytest.approx(expected)
        assert found.summary.startswith(f"C_T: pixels {0.25 * expected[0] + 0.75 * expected[1]:.2f} (")

    def test_of_unseen_images_and_of_noise(self):
        train, test, fresh = (noise_images(200) // 4 for _ in range(3))
        unseen, noise = (
            DataCopying(samples=200, cells=1).find(subject(G=memorising(x), source=with_test(train, test))).rows[0]["z"]
            for x in (fresh, noise_images(200))
        )
        assert abs(unseen) < 4
        assert noise == pytest.approx(math.sqrt(3 * 200 * 200 / 401))

    def test_a_cell_with_too_few_samples_does_not_count(self):
        look = DataCopying(samples=40, cells=2)
        x = torch.cat([torch.zeros(50, 1), torch.ones(50, 1)]) + torch.linspace(0, 0.1, 100)[:, None]
        rows = list(look.cell_rows("line", x, x[::2] + 0.001, torch.cat([x[:21], x[-19:]]), 0))
        assert sorted((row["samples"], row["weight"]) for row in rows) == [(19, 0), (21, 0.5)]
        assert look.statistic(rows) == pytest.approx(next(row["z"] for row in rows if row["weight"]))
        with pytest.raises(UserError, match=r"analysis\.data_copying\.samples=40 leaves no cell with 20 samples .*\.$"):
            look.statistic([row for row in rows if not row["weight"]])

    def test_an_empty_cell_has_no_z(self):
        x = torch.cat([torch.zeros(50, 1), torch.ones(50, 1)])
        rows = list(DataCopying(samples=40, cells=2).cell_rows("line", x, x[:50], x[50:], 0))
        assert [row["z"] for row in rows] == [None, None]

    def test_fewer_training_images_than_cells(self):
        x = torch.tensor([[0.0], [1.0]]).repeat(15, 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn says that it finds two clusters
            rows = list(DataCopying(samples=40, cells=3).cell_rows("line", x, x, x.repeat(2, 1), 0))
        assert sum(row["weight"] > 0 for row in rows) <= 2
        assert all(row["z"] is None for row in rows if not row["train"])

    def test_principal_components_are_of_the_training_images(self):
        train = torch.randn(100, 5) * torch.tensor([1.0, 9.0, 3.0, 0.1, 0.1])
        first, second = principal_components([train, train[:3]], 2, 0)
        assert torch.equal(second, first[:3])
        values = torch.linalg.svdvals(train - train.mean(0))[:2]
        torch.testing.assert_close(first.norm(dim=0), values)
        assert principal_components([train], 5, 0)[0] is train


class TestLatentRecovery:
    @pytest.fixture
    def spanning(self):
        """A G that makes every mixture of ten images and no other, with these and others."""
        train, test = noise_images(10, 8), noise_images(10, 8)
        G = game.Generator((1, 8, 8), 10)
        G.body = game.Layers(linear(to_unit(train).flatten(1).T.tolist()), nn.Unflatten(1, (1, 8, 8)))
        return G, train, test

    def test_of_a_generator_whose_reach_is_known(self, spanning):
        """Its training images are found, and of others what lies across their span is left."""
        G, train, test = spanning
        found = LatentRecovery(images=10, starts=1).find(subject(G=G, source=with_test(train, test)))
        errors = {kind: [row["error"] for row in found.rows if row["kind"] == kind] for kind in ("train", "unseen")}
        span, others = to_unit(train).flatten(1).T, to_unit(test).flatten(1).T
        left = (others - span @ torch.linalg.lstsq(span, others).solution).square().mean(0)
        order = [row["number"] for row in found.rows if row["kind"] == "unseen"]
        assert max(errors["train"]) < 1e-6
        assert errors["unseen"] == pytest.approx(left[order].tolist(), rel=1e-4)
        assert "MRE-gap 1, p 1.1e-05" in found.summary

    def test_each_row_is_led_as_torch_leads_it_alone(self):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 20)).double()
        z, x = torch.randn(4, 6).double(), net(torch.randn(4, 6).double()).detach()

        def error(z, x):
            return (net(z) - x).square().mean(1).sum()

        def slopes(z):
            z = z.detach().requires_grad_()
            return torch.autograd.grad(error(z, x), z)[0]

        def alone(z, x, steps):
            z = z.clone().requires_grad_()
            optimizer = torch.optim.LBFGS([z], max_iter=1)

            def closure():
                value = error(z, x)
                (z.grad,) = torch.autograd.grad(value, z)
                return value

            for _ in range(steps):
                optimizer.step(closure)
            return z.detach()

        for steps in (1, 2, 8):
            expected = torch.cat([alone(a, b, steps) for a, b in zip(z.split(1), x.split(1), strict=True)])
            torch.testing.assert_close(lbfgs(slopes, z, steps), expected, rtol=1e-6, atol=1e-8)

    def test_the_search_forgets_what_torch_forgets(self):
        torch.manual_seed(0)
        curvature = torch.logspace(-2, 1, 200).double()
        z = torch.randn(1, 200).double()
        theirs = z.clone().requires_grad_()
        optimizer = torch.optim.LBFGS([theirs], max_iter=1)

        def closure():
            theirs.grad = curvature * theirs.detach()
            return (0.5 * curvature * theirs.detach().square()).sum()

        for _ in range(110):
            optimizer.step(closure)
        torch.testing.assert_close(lbfgs(lambda z: curvature * z, z, 110), theirs.detach(), rtol=1e-5, atol=1e-7)

    def test_the_search_ends_where_it_is_found(self):
        z = torch.tensor([[0.0, 0.0], [3.0, -2.0]])
        assert torch.equal(lbfgs(lambda z: 2 * z, z, 20)[0], z[0])
        torch.testing.assert_close(lbfgs(lambda z: 2 * z, z, 20), torch.zeros(2, 2))

    def test_the_best_search_counts(self):
        sought = torch.zeros(3, 1, 2, 2)
        ends = [torch.tensor(levels).view(3, 1, 1, 1).expand(3, 1, 2, 2) for levels in ([1, 2, 3.0], [math.nan, 1, 4])]
        best = best_of([with_errors(images, sought) for images in ends])
        assert best.errors.tolist() == [1, 1, 9]
        assert best.images[:, 0, 0, 0].tolist() == [1, 1, 3]

    def test_images_that_a_run_has_left_out(self):
        run = subject(source=Memory(noise_images(50)))
        run.config.train_images, run.config.seed = 30, 1
        assert sorted([*left_out(run).tolist(), *run.shown_images.tolist()]) == list(range(50))
        assert len(left_out(run)) == 20


class TestFIDInfinity:
    def test_each_size_is_measured_on_a_choice_of_its_own(self):
        from lit_gan.metrics.reference import Moments, Reference, root
        from lit_gan.metrics.scores import FrechetDistance

        moments = Moments.none(3, torch.device("cpu"))
        moments.add(torch.randn(50, 3))
        real, pool = Reference(moments.mean(), root(moments.covariance()), torch.zeros(0, 3)), torch.randn(40, 3)
        whole = FrechetDistance(real)
        whole.update(pool)
        some, other, everything = fids(pool, real, [20, 20, 40], seed=0)
        assert everything == pytest.approx(whole.compute().item(), rel=1e-9)
        assert len({round(value, 9) for value in (some, other, everything)}) == 3
        assert fids(pool, real, [20, 20, 40], seed=0) == [some, other, everything]

    def test_the_line_is_that_of_least_squares(self, images, look):
        printed = look(images, "fid_infinity", *FAST["fid_infinity"])
        *rows, last = [{name: float(value) for name, value in row.items()} for row in table(images, "fid_infinity")]
        assert [row["samples"] for row in rows] == [150, 225, 300]
        x, y = (
            torch.tensor(values).double() for values in zip(*((1 / r["samples"], r["fid"]) for r in rows), strict=True)
        )
        slope = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
        limit = (y.mean() - slope * x.mean()).item()
        assert last == {"samples": math.inf, "fid": pytest.approx(limit, rel=1e-6), "line": last["fid"]}
        assert rows[0]["line"] == pytest.approx(limit + slope.item() / 150, rel=1e-6)
        assert f"of infinitely many {last['fid']:.4g}" in printed

    def test_it_is_of_the_metrics_on_the_command_line(self, images, refusal):
        assert "the metrics of this run have none: add metrics=efficientnet_lite0" in refusal(images, "fid_infinity")

    @pytest.mark.parametrize(("smallest", "samples"), [(128, 300), (300, 300)])
    def test_sizes_without_a_line(self, smallest, samples, images, refusal):
        sizes = [f"analysis.fid_infinity.smallest={smallest}", f"analysis.fid_infinity.samples={samples}"]
        sentence = refusal(images, "fid_infinity", "metrics=classifier", *sizes)
        assert f"smallest={smallest} must be above the 128 features and below" in sentence


def upsampled_noise(n, size):
    """White noise, each pixel of which is repeated in a square of 2 x 2."""
    return noise_images(n, size // 2).repeat_interleave(2, 2).repeat_interleave(2, 3)


class TestPowerSpectrum:
    def test_parseval(self):
        images = noise_images(3, 12)
        expected = 144 * images[:, 0].double().square().sum((1, 2))
        torch.testing.assert_close(power(images).sum((1, 2)), expected)

    def test_grey_of_colours(self):
        images = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
        images[0, :, 0, 0] = torch.tensor([100, 10, 1])
        torch.testing.assert_close(power(images), torch.full((1, 4, 4), (29.9 + 5.87 + 0.114) ** 2).double())

    def test_rings_are_around_frequency_zero(self):
        assert ring_numbers(4, 4).tolist() == [[0, 1, 2, 1], [1, 1, 2, 1], [2, 2, 3, 2], [1, 1, 2, 1]]
        assert ring_numbers(4, 8)[0].tolist() == [0, 0, 1, 2, 2, 2, 1, 0]  # in cycles along the shorter side

    def test_a_known_spectrum_is_found(self):
        """Images of random phases whose power falls by 2 dB from each ring to the next."""
        rings = ring_numbers(16, 16)
        phases = torch.fft.fft2(torch.rand(3, 1, 16, 16).double())
        images = torch.fft.ifft2(1e6 * phases / phases.abs() * 10 ** (-0.1 * rings)).real
        torch.testing.assert_close(
            ring_decibels(images), -2.0 * torch.arange(9).double().expand(3, 9), atol=1e-6, rtol=0
        )

    def test_white_noise_is_flat(self):
        profile = ring_decibels(noise_images(500, 32)).mean(0)
        assert (profile[1:] - profile[1:].mean()).abs().max() < 0.5
        assert profile[0] == 0

    def test_upsampling_by_repetition_leaves_the_power_of_a_cosine(self):
        size = 16
        mean = power(upsampled_noise(4000, size)).mean(0)
        shape = torch.cos(math.pi * torch.arange(size) / size).square()
        assert mean[:, size // 2].max() < 1e-9 * mean[0, 1]
        assert mean[size // 2].max() < 1e-9 * mean[1, 0]
        row = mean[3] / mean[3, 1] * shape[1]
        torch.testing.assert_close(row[1:], shape[1:].double(), atol=0.08, rtol=0)

    def test_images_of_one_level_have_a_spectrum(self):
        assert ring_decibels(torch.zeros(2, 1, 8, 8, dtype=torch.uint8)).abs().max() == 0
        assert ring_decibels(torch.full((2, 3, 8, 8), 200, dtype=torch.uint8)).isfinite().all()

    def test_told_apart(self):
        noise, again, upsampled = (
            ring_decibels(noise_images(200)),
            ring_decibels(noise_images(200)),
            ring_decibels(upsampled_noise(200, 16)),
        )
        assert told_apart(noise, again, 0) == pytest.approx(0.5, abs=0.1)
        assert told_apart(upsampled, again, 0) == 1


class Reach(Suite):
    """The variance of the samples, and the largest of them."""

    SCORES: ClassVar = {"variance": "max", "largest": "min"}

    def prefix(self, source):
        return "reach"

    def compute(self, draw, source, protocol, device):
        x = draw(protocol.generated)
        return {"variance": x.var().item(), "largest": x.abs().max().item()}


def identity_g(prior="normal", shape=(2,)):
    """G(z) = z."""
    size = math.prod(shape)
    G = game.Generator(shape, size, prior)
    G.body = game.Layers(linear(torch.eye(size).tolist()), nn.Unflatten(1, shape))
    return G.eval()


class TestTruncation:
    def scored(self, G):
        """A run of G and of `Reach`, with a protocol."""
        run = subject(G=G)
        run.gan.device = torch.device("cpu")
        protocol = EvalProtocol("mine", 7, 7, 1, "train", None, 1, 2, 2, 1, 100, "running", False, 4, 9.0)
        metrics = {"suite": {"_target_": f"{__name__}.Reach"}, "final": "mine", "monitor": "variance"}
        run.config.merge_with({"metrics": metrics, "protocol": {"mine": asdict(protocol)}})
        run.gan.generator = lambda ema: G
        run.gan.G = G
        return run

    def test_variance_under_each_limit(self):
        """1 - 2 t phi(t) / (2 Phi(t) - 1): 0.2911 for t = 1 and 0.7737 for t = 2."""
        rows = Truncation([1.0, 2.0], samples=20_000).find(self.scored(identity_g())).rows
        assert [row["truncation"] for row in rows] == [1.0, 2.0, "none"]
        assert [row["variance"] for row in rows] == pytest.approx([0.2911, 0.7737, 1], rel=0.02)
        assert rows[0]["largest"] <= 1 < rows[1]["largest"] <= 2 < rows[2]["largest"]

    def test_the_settings_of_the_command_count(self):
        run = self.scored(identity_g())
        protocol = Truncation([0.3], samples=50, batch_norm="batch").protocol(run, 0.3)
        assert (protocol.generated, protocol.inception_score, protocol.truncation) == (50, 50, 0.3)
        assert (protocol.batch_norm, protocol.seed, protocol.ema) == ("batch", run.seed, run.ema)

    def test_the_best_limit(self):
        rows = [{"truncation": 0.5, "fid": 3.0, "is": 2.0}, {"truncation": "none", "fid": 4.0, "is": 5.0}]
        assert (
            best_row(rows, "fid", "min", "digits") == "digits FID is best at truncation 0.5, 3 (4 without truncation)"
        )
        assert best_row(rows, "is", "max", "digits") == "digits Inception score is best, 5 without truncation"

    def test_nothing_to_truncate(self):
        with pytest.raises(UserError, match=r"^truncation=0\.2 needs normal latent variables"):
            Truncation().check(self.scored(identity_g("uniform")))

    def test_it_is_of_scores(self, images, refusal):
        assert "the metrics of this run have none: add metrics=efficientnet_lite0" in refusal(images, "truncation")


class Painter(game.Generator):
    """Noise that is dark for one label and bright for the other: `levels[y]`."""

    def __init__(self, levels):
        super().__init__((1, 8, 8), 64)
        self.n_classes, self.weight = 2, nn.Parameter(torch.tensor(levels))

    def forward(self, z, y=None):
        return (self.weight[y][:, None] + 0.1 * z).clamp(-1, 1).unflatten(1, (1, 8, 8))


class TestCAS:
    @pytest.fixture(scope="class")
    def shades(self):
        """Dark images of class 0 and bright ones of class 1, three times as many."""
        y = (torch.arange(80) % 4 > 0).long()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            x = Painter([-0.5, 0.5])(torch.randn(80, 64), y)
        return Memory(to_uint8(x.detach()), y, n_classes=2)

    def test_swapped_labels_are_never_right(self, shades):
        found = CAS(updates=25).find(subject(G=Painter([0.5, -0.5]), source=shades))
        values = {(row["trained_on"], row["class"]): row["accuracy"] for row in found.rows}
        assert values == {(kind, name): kind == "real" for kind in ("generated", "real") for name in ("all", 0, 1)}
        assert found.summary.startswith(
            "CAS 0.0%, of real images 100.0% (25 updates of a ConvNet at 32 px on 64 images"
        )
        assert found.summary.endswith("tested on 16 of split 'train', as G was)")
        assert {(row["learnt_from"], row["split"], row["network"]) for row in found.rows} == {
            (64, "train", "ConvNet at 32 px")
        }

    def test_samples_have_the_labels_of_the_real_images(self, shades):
        images = generated_images(subject(G=Painter([-0.5, 0.5]), source=shades), shades.train.labels)
        assert torch.equal(images.float().mean((1, 2, 3)) > 127, shades.train.labels == 1)
        assert images.shape == (80, 1, 32, 32)

    def test_a_split_test_is_tested_on(self, shades):
        run = subject(G=Painter([0.0, 0.0]), source=shades)
        shades.splits = ("train", "test")
        real, test, split = CAS(images=60, test=30).real_images(run)
        shades.splits = ("train",)
        assert (len(real.labels), len(test.labels), split) == (60, 30, "test")

    def test_what_is_held_back_is_not_learnt_from(self):
        source = Memory(
            torch.arange(50, dtype=torch.uint8).view(50, 1, 1, 1).expand(-1, 1, 8, 8), torch.zeros(50).long()
        )
        real, test, split = CAS().real_images(subject(source=source))
        seen, unseen = ({int(x) for x in part.images[:, 0, 0, 0]} for part in (real, test))
        assert (len(seen), len(unseen), split) == (40, 10, "train")
        assert not seen & unseen

    def test_accuracies_by_hand(self):
        logits = torch.zeros(4, 7)
        logits[0, 2], logits[1, 2], logits[2, 0] = 1, 1, 1
        logits[3] = torch.arange(7)
        rows = accuracy_rows(logits, torch.tensor([2, 0, 0, 1]))
        found = {row["class"]: (row["accuracy"], row["top_5"], row["tested_on"]) for row in rows}
        assert found["all"][0] == 0.5
        assert found["all"][2] == 4
        assert found[2] == (1, 1, 1)
        assert found[1] == (0, 0, 1)
        assert found[0][0] == 0.5

    def test_what_it_cannot_look_at(self, shades, images, refusal):
        assert "this G looks at no labels: choose a run with labels=projection" in refusal(images, "cas")
        with pytest.raises(UserError, match="cas needs labels, and data=memory has none"):
            CAS().check(subject(G=Painter([0.0, 0.0]), source=Memory(noise_images(6, 8))))
        few = Memory(noise_images(4, 8), torch.zeros(4, dtype=torch.long), n_classes=2)
        with pytest.raises(UserError, match="which 4 images of data=memory are too few for"):
            CAS().check(subject(G=Painter([0.0, 0.0]), source=few))


class Noisy(game.Generator):
    """Noise that it draws itself, and its label."""

    n_classes = 5

    def __init__(self):
        super().__init__((1, 4, 4), 3)
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, z, y=None):
        return torch.randn(len(z), 1, 4, 4) + y[:, None, None, None] + self.weight


class TestPerceptualPathLength:
    @pytest.mark.parametrize("step", [0.1, 1e-3])
    def test_of_a_linear_generator(self, step):
        """|A (b - a)|^2 over the number of pixels, on the straight lines of a uniform prior."""
        G = identity_g("uniform", (1, 4, 4))
        G.body[0].weight.data = torch.randn(16, 16)
        run = subject(G=G, source=Memory(torch.zeros(4, 1, 4, 4, dtype=torch.uint8)))
        rows = PerceptualPathLength(paths=50, step=step).find(run).rows
        sampler = run.sampler()
        (a, _), (b, _) = sampler.latents(50), sampler.latents(50)
        expected = ((b - a) @ G.body[0].weight.T).square().mean(1)
        torch.testing.assert_close(torch.tensor([row["length"] for row in rows]), expected, rtol=5e-3, atol=0)
        assert {row["space"] for row in rows} == {"pixels"}

    def test_noise_and_label_do_not_change_on_a_path(self):
        run = subject(G=Noisy(), source=Memory(torch.zeros(4, 1, 4, 4, dtype=torch.uint8)))
        (x, moved), *_ = PerceptualPathLength(paths=20).pairs(run)
        assert torch.equal(x, moved)
        assert x.std(0).min() > 0.5

    def test_a_quarter_of_a_circle(self):
        a, b, place = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 3.0]]), torch.tensor([[1 / 3]])
        expected = torch.tensor([[3 * math.cos(math.pi / 6), 3 * math.sin(math.pi / 6)]])
        torch.testing.assert_close(great_circle(a, b, place), expected)

    def test_circles_of_torchmetrics(self):
        from torchmetrics.functional.image.perceptual_path_length import _interpolate

        a, b = torch.randn(2, 30, 8, dtype=torch.float64)
        theirs = _interpolate(a, b, 0.2, "slerp_any")
        torch.testing.assert_close(great_circle(a, b, torch.full((30, 1), 0.2, dtype=torch.float64)), theirs)

    def test_of_numbers_there_is_only_a_line(self):
        a, b = torch.tensor([[1.0], [1.0]]), torch.tensor([[2.0], [-2.0]])
        torch.testing.assert_close(great_circle(a, b, torch.full((2, 1), 0.5)), torch.tensor([[1.5], [-0.5]]))

    def test_each_part_of_the_latent_vector_has_its_path(self):
        G = game.Generator((2,), 2)
        G.latents += [game.Uniform(1), OneHot(3)]
        a, b = torch.tensor([[1.0, 0, -1, 1, 0, 0]]), torch.tensor([[0.0, 1, 1, 0, 0, 1]])
        middle = torch.tensor([[math.sqrt(0.5), math.sqrt(0.5), 0, 1, 0, 0]])
        torch.testing.assert_close(along_path(G, a, b, torch.tensor([[0.5]]).double()), middle)

    @pytest.mark.parametrize("n", [7, 200, 1234])
    def test_percentiles_are_numpys(self, n):
        x = torch.randn(n)
        low, high = np.percentile(x, 1, method="lower"), np.percentile(x, 99, method="higher")
        assert within_percentiles(x).tolist() == [low <= value <= high for value in x.tolist()]

    def test_in_the_features_of_the_metrics(self, images, look):
        printed = look(images, "perceptual_path_length", *FAST["perceptual_path_length"], "metrics=classifier")
        assert "digits features" in printed
        assert all(float(row["length"]) > 0 for row in table(images, "perceptual_path_length"))

    def test_networks_of_whole_grey_levels(self):
        run = subject(source=Memory(noise_images(4, 8)))
        vars(run)["extractor"] = Inception()
        with pytest.raises(UserError, match="and metrics=inception sees whole ones alone: add metrics=classifier"):
            PerceptualPathLength().check(run)

    def test_lpips_offline(self, images, refusal, monkeypatch, tmp_path):
        def offline(*_):
            raise OSError("no network")

        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("TORCH_HOME", "here")
        monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
        sentence = refusal(images, "perceptual_path_length", "analysis.perceptual_path_length.lpips=true")
        assert "analysis.perceptual_path_length.lpips=true finds no weights in" in sentence
        assert sentence.endswith("or set analysis.perceptual_path_length.lpips=false, which works offline.")

    def test_damaged_weights_of_lpips(self, monkeypatch, tmp_path):
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
        path = tmp_path / "hub" / "checkpoints" / "vgg16-397923af.pth"
        path.write_text("<html>not found</html>")
        monkeypatch.setattr("torchvision.models.vgg16", lambda weights: torch.load(path))  # without making the network
        with pytest.raises(UserError, match=r"cannot read the weights of VGG16.*delete the file"):
            lpips(torch.device("cpu"))


class TestSeFa:
    def test_directions_are_singular_vectors(self):
        """Of A = diag(1, 3, 2), the second axis comes first, and moves the layer by d^2 times 9."""
        found = factorise(torch.diag(torch.tensor([1.0, 3.0, 2.0])))
        assert found.eigenvalues.tolist() == [9, 4, 1]
        torch.testing.assert_close(found.directions.abs(), torch.eye(3)[[1, 2, 0]])

    def test_the_first_direction_changes_the_layer_most(self):
        A = torch.randn(20, 6, dtype=torch.float64)
        found = factorise(A)
        torch.testing.assert_close(found.directions @ found.directions.T, torch.eye(6).double())
        moved = (0.7 * found.directions @ A.T).square().sum(1)
        torch.testing.assert_close(moved, 0.49 * found.eigenvalues)
        assert (0.7 * random_directions(50, A, 0) @ A.T).square().sum(1).max() < moved[0]

    @pytest.mark.parametrize(
        ("choices", "layer"),
        [
            (["labels=none"], "body.0"),
            (["labels=cgan"], "body.1"),
            (["labels=infogan"], "body.0"),
            (["labels=projection", "reg.spectral.networks=[d,g]"], "body.0"),
            (["model=r3gan", "labels=projection", "reg=none"], "body.0"),
            (["model=biggan", "model.G.z_dim=8", "labels=projection"], "body.0"),
            (["model=biggan_deep", "labels=projection"], "body.0"),
        ],
        ids=lambda choices: "-".join(choices) if isinstance(choices, list) else "",
    )
    def test_the_first_layer(self, choices, layer, compose):
        """Its columns, but for those that read labels, in the order of the latent variables; 0 for what it does not
        read."""
        size = [] if choices[0] == "model=biggan_deep" else ["data.image_size=32"]
        G = build_gan(compose("model.width=4", *size, *choices)).G.eval()
        weight, found = G.get_submodule(layer).weight.detach().double(), first_dense(Sampler(G))
        read = found.abs().sum(0) > 0
        expected = {
            "labels=cgan": weight[:, : G.z_dim],
            "labels=infogan": torch.cat([weight[:, :-12], weight[:, -2:]], 1),
            "model=r3gan": weight[:, : G.z_dim],
            "model=biggan_deep": weight[:, : G.z_dim],
        }.get(choices[0], weight)
        torch.testing.assert_close(found[:, read], expected, atol=1e-5, rtol=1e-4)
        if choices[0] == "labels=infogan":
            assert read.sum() == G.z_dim - 10
            assert not read[-12:-2].any()
        elif choices[0] == "model=biggan":
            assert read.tolist() == [True] * 2 + [False] * 6
        else:
            assert read.all()

    def test_samples_move_along_the_direction(self):
        G = identity_g(shape=(1, 2, 2))
        run, axis = subject(G=G), torch.tensor([0.0, 0.0, 1.0, 0.0])
        way = SeFa(steps=3, reach=2).moved(run, torch.ones(2, 4), axis)
        assert way.shape == (2, 3, 1, 2, 2)
        assert way[1, :, 0, 1, 0].tolist() == [-1, 1, 3]
        assert way[:, :, 0, 0].eq(1).all()
        assert change(way) == pytest.approx(2)

    def test_rows(self, images, look):
        printed = look(images, "sefa", *FAST["sefa"])
        *rows, last = table(images, "sefa")
        assert [row["direction"] for row in (*rows, last)] == ["1", "2", "random"]
        vectors = torch.tensor([[float(row[f"z{place}"]) for place in range(1, 101)] for row in rows])
        torch.testing.assert_close(vectors @ vectors.T, torch.eye(2), atol=1e-5, rtol=0)
        assert float(rows[0]["share"]) >= float(rows[1]["share"]) > float(last["share"]) > 0
        assert f"a random one {float(last['share']):.1%}" in printed

    def test_more_directions_than_there_are(self):
        G = identity_g(shape=(1, 2, 2))
        run = subject(G=G, source=Memory(torch.zeros(4, 1, 2, 2)))
        SeFa(directions=4).check(run)
        G.body[0].weight.data[3] = G.body[0].weight.data[2]
        with pytest.raises(UserError, match=r"directions=4 are more than the 3 along which"):
            SeFa(directions=4).check(run)

    def test_generators_without_such_a_layer(self):
        G = identity_g(shape=(1, 2, 2))
        G.body.insert(0, nn.Tanh())
        run = subject(G=G, source=Memory(torch.zeros(4, 1, 2, 2)))
        with pytest.raises(UserError, match="reads what something else has made of it"):
            SeFa(directions=1).check(run)
        G.body = game.Layers(nn.Unflatten(1, (4, 1, 1)), nn.ConvTranspose2d(4, 1, 2))
        with pytest.raises(UserError, match="finds no dense layer in G"):
            SeFa(directions=1).check(run)


class TestMSSSIM:
    def test_identical_images(self):
        assert similarity(noise_images(10, 32).repeat_interleave(2, 0), 2) == pytest.approx(1, abs=1e-5)

    def test_unrelated_images(self):
        assert abs(similarity(noise_images(20, 32), 2)) < 0.1

    @pytest.mark.parametrize(("size", "scales"), [(11, 1), (21, 1), (32, 2), (48, 3), (64, 3), (128, 4), (176, 5)])
    def test_scales_that_fit(self, size, scales):
        assert n_scales(size) == scales
        similarity(noise_images(2, size), scales)  # torchmetrics takes it

    def test_two_scales_by_hand(self):
        """cs(full size)^b1 * ssim(half size)^b2, from the single-scale function."""
        from torchmetrics.functional.image import structural_similarity_index_measure as ssim

        x = torch.rand(1, 1, 32, 32)
        y = (x + 0.3 * torch.rand(1, 1, 32, 32)) / 1.3
        pair = torch.cat([x, y]).mul(255).round().to(torch.uint8)
        x, y = pair.float().div(255).split(1)
        half = [nn.functional.avg_pool2d(image, 2) for image in (x, y)]
        _, contrast = ssim(x, y, data_range=1.0, return_contrast_sensitivity=True)
        b1, b2 = (value / (0.0448 + 0.2856) for value in (0.0448, 0.2856))
        expected = contrast**b1 * ssim(*half, data_range=1.0) ** b2
        assert similarity(pair, 2) == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize("analysis", choices("analysis"))
def test_every_analysis_through_the_command(analysis, images, points, unseen, runs, look):
    labelled = ["data.image_size=16", "callbacks=none", "labels=projection"]
    tested = {"level_sets": points, "data_copying": unseen, "latent_recovery": unseen}
    run = runs(*labelled) if analysis == "cas" else tested.get(analysis, images)
    printed = look(run, analysis, *FAST.get(analysis, []))
    assert f"{analysis}, update 2: " in printed
    with Image.open(run / "analysis" / f"{analysis}.png") as picture:
        assert min(picture.size) >= 100
        assert len(picture.convert("L").getcolors()) > 2
    rows = table(run, analysis)
    assert rows
    for row in rows:
        assert None not in row.values()
        assert "nan" not in row.values()


@pytest.mark.parametrize("analysis", ["spectra", "weights", "gradients", "slopes", "level_sets"])
def test_points(analysis, points, look):
    assert analysis in look(points, analysis, *FAST.get(analysis, []))


def test_several_at_once_elsewhere(images, look, tmp_path):
    printed = look(images, "[spectra,weights]", f"output={tmp_path / 'here'}", "analysis.weights.bins=7", "seed=3")
    assert printed.count("update 2") == 2
    assert {path.name for path in (tmp_path / "here").iterdir()} == {
        f"{name}.{kind}" for name in ("spectra", "weights") for kind in ("png", "csv")
    }


@pytest.mark.parametrize(
    "choices",
    [
        ["labels=projection"],
        ["labels=acgan"],
        ["reg=[pacgan]"],
        ["model=sngan_resnet", "data.image_size=32"],
        ["model=autoencoder", "loss=ebgan", "reg=none"],
        ["reg=[virtual_batch_norm,minibatch_discrimination]"],
    ],
    ids=lambda choices: "-".join(choices),
)
def test_other_networks(choices, look, runs, monkeypatch):
    monkeypatch.setattr(base, "save_figure", lambda *_: None)  # drawn, and written in the tests of one network
    run = runs("data.image_size=16", "callbacks=none", *choices)
    names = ["spectra", "weights", "gradients", "linear_probe", "interpolation", "ms_ssim"]
    small = [setting for name in names for setting in FAST.get(name, [])]
    look(run, f"[{','.join(names)}]", *small, "analysis.gradients.batch=16", "analysis.ms_ssim.pairs_per_class=2")
    groups = {row["class"] for row in table(run, "ms_ssim")}
    assert groups == ({"all", *map(str, range(10))} if choices[0].startswith("labels") else {"all"})


def test_level_sets_of_a_critic_with_labels(look, runs):
    run = runs("data=gaussians", "metrics=none", "callbacks=none", "labels=cgan", "reg=none")
    look(run, "level_sets", *FAST["level_sets"])


def test_packs_of_any_size(look, runs):
    run = runs("data.image_size=16", "callbacks=none", "reg=[pacgan]", "reg.pacgan.m=8")
    look(run, "spectra")


class TestBadInput:
    def test_level_sets_of_a_critic_that_compares(self, runs, refusal):
        run = runs("data=gaussians", "metrics=none", "callbacks=none", "reg=minibatch_discrimination")
        assert "under reg=minibatch_discrimination, depends on the others" in refusal(run, "level_sets")

    def test_no_analysis(self, images, refusal):
        sentence = refusal(images, "[]")
        assert "analysis=NAME is missing" in sentence
        assert all(name in sentence for name in choices("analysis"))

    def test_unknown_analysis(self, images, refusal):
        sentence = refusal(images, "spectrum")
        assert "analysis=spectrum does not exist; did you mean 'spectra'?" in sentence
        assert all(name in sentence for name in choices("analysis"))

    def test_unknown_setting(self, images, refusal):
        assert "analysis.weights.bin" in refusal(images, "weights", "analysis.weights.bin=3")

    def test_no_run(self, refusal, tmp_path):
        assert "is no run directory" in refusal(tmp_path, "spectra")

    def test_no_checkpoint(self, images, refusal):
        assert "checkpoint=best" in refusal(images, "spectra", "checkpoint=best")

    def test_a_run_without_discriminator(self, images, refusal, tmp_path):
        import shutil

        run = shutil.copytree(images, tmp_path / "run")
        config = OmegaConf.load(run / ".hydra" / "config.yaml")
        del config.model.D
        OmegaConf.save(config, run / ".hydra" / "config.yaml")
        assert "model.D missing" in refusal(run, "spectra")

    def test_level_sets_of_images(self, images, refusal):
        assert "data=digits has no points" in refusal(images, "level_sets")

    @pytest.mark.parametrize(
        "analysis",
        [
            "duplicates",
            "interpolation",
            "arithmetic",
            "neighbours",
            "ms_ssim",
            "linear_probe",
            "authenticity",
            "data_copying",
            "latent_recovery",
            "fid_infinity",
            "power_spectrum",
            "cas",
            "perceptual_path_length",
            "sefa",
        ],
    )
    def test_images_are_needed(self, analysis, points, refusal):
        assert f"analysis={analysis} looks at images, and data=gaussians has none" in refusal(points, analysis)

    def test_data_copying_without_unseen_images(self, images, refusal):
        sentence = refusal(images, "data_copying")
        assert "data=digits has no split 'test': choose a run on data with one, or analysis=authenticity" in sentence

    def test_latent_recovery_without_unseen_images(self, images, refusal):
        sentence = refusal(images, "latent_recovery")
        assert "data=digits has no split 'test': choose a run on data with one, or one with train_images=N" in sentence

    def test_spectral_norms_without_the_callback(self, points, refusal):
        assert "callbacks=[default,spectra]" in refusal(points, "spectral_norms")

    @pytest.mark.parametrize(
        ("analysis", "setting"),
        [
            ("weights", "bins=0"),
            ("gradients", "batch=1"),
            ("linear_probe", "c=[]"),
            ("linear_probe", "c=0"),
            ("linear_probe", "folds=1"),
            ("duplicates", "dropout=1"),
            ("duplicates", "bits=null"),
            ("interpolation", "points=1"),
            ("arithmetic", "a=[]"),
            ("arithmetic", "a=2000"),
            ("arithmetic", "b=-1"),
            ("arithmetic", "noise=-1"),
            ("neighbours", "neighbours=0"),
            ("ms_ssim", "pairs=0"),
            ("authenticity", "samples=0"),
            ("data_copying", "samples=19"),
            ("data_copying", "cells=50001"),
            ("latent_recovery", "images=1"),
            ("latent_recovery", "starts=0"),
            ("fid_infinity", "sizes=1"),
            ("power_spectrum", "images=4"),
            ("truncation", "limits=[]"),
            ("truncation", "limits=[0.5,0]"),
            ("truncation", "batch_norm=moving"),
            ("cas", "images=4"),
            ("perceptual_path_length", "step=0"),
            ("sefa", "steps=1"),
        ],
    )
    def test_numbers(self, analysis, setting, images, refusal):
        name, _, _ = setting.partition("=")
        assert f"analysis.{analysis}.{name}=" in refusal(images, analysis, f"analysis.{analysis}.{setting}")

    def test_a_class_that_there_is_not(self, images, refusal):
        assert "the classes 0 to 9" in refusal(images, "arithmetic", "analysis.arithmetic.c=10")

    def test_a_class_that_g_does_not_make(self, images, refusal):
        sentence = refusal(images, "arithmetic", "analysis.arithmetic.among=5", "analysis.arithmetic.exemplars=5")
        assert "analysis.arithmetic." in sentence
        assert "samples of that class" in sentence

    def test_labels_where_there_are_none(self, refusal, tmp_path):
        for number in range(30):
            Image.effect_noise((16, 16), number).save(tmp_path / f"{number}.png")
        data = ["data=image_folder", f"data.root={tmp_path}", "data.image_size=16", "metrics=none", "callbacks=none"]
        run = trained(tmp_path / "run", *data, "data.channels=1")
        assert "analysis=linear_probe needs labels, and data=" in refusal(run, "linear_probe")
        assert "has no labels" in refusal(run, "arithmetic")
        assert refusal(run, "[spectra,linear_probe]")
        assert not (run / "analysis").exists()

    def test_arithmetic_where_labels_say_the_class(self, refusal, runs):
        run = runs("data.image_size=16", "callbacks=none", "labels=projection")
        assert "takes them from labels" in refusal(run, "arithmetic")

    def test_a_batch_that_does_not_divide(self, refusal, runs):
        run = runs("data.image_size=16", "callbacks=none", "reg=[pacgan]")
        refused = refusal(run, "gradients", "analysis.gradients.batch=15")
        assert "analysis.gradients.batch=15 gives 15 samples, which D, with reg.pacgan.m=2, cannot" in refused
        assert refused.rstrip().endswith("set analysis.gradients.batch=14, or another multiple.")

    @pytest.mark.parametrize("analysis", [Neighbours(), MSSSIM(), Duplicates(), Authenticity()])
    def test_a_single_image(self, analysis):
        with pytest.raises(
            UserError, match=r"needs at least 2, and the run on data=memory has 1: choose a run on more images\.$"
        ):
            analysis.check(subject(source=Memory(noise_images(1, 32))))
        analysis.check(subject(source=Memory(noise_images(2, 32))))

    def test_a_run_that_was_shown_one_image(self):
        """What compares samples with it is refused; what compares those of the data set has enough."""
        run = subject(source=Memory(noise_images(10, 32)))
        run.config.update({"train_images": 1, "seed": 3})
        for analysis in (Neighbours(), Authenticity()):
            with pytest.raises(UserError, match="needs at least 2, and the run on data=memory has 1"):
                analysis.check(run)
        for analysis in (MSSSIM(), Duplicates(), PowerSpectrum()):
            analysis.check(run)
        assert len(Duplicates().read(run)[0]) == 10

    def test_two_images_are_enough(self, tmp_path, look):
        for number in range(2):
            Image.effect_noise((16, 16), 40).save(tmp_path / f"{number}.png")
        data = ["data=image_folder", f"data.root={tmp_path}", "data.image_size=16", "data.channels=1", "batch_size=1"]
        run = trained(tmp_path / "run", *data, "metrics=none", "callbacks=none")
        numbers = ["analysis.duplicates.updates=2", "analysis.ms_ssim.pairs=2", "analysis.neighbours.samples=1"]
        look(run, "[neighbours,ms_ssim,duplicates]", *numbers)
        assert {row["kind"] for row in table(run, "neighbours")} == {"sample", "train"}

    @pytest.mark.parametrize("splits", [("train",), ("train", "test")])
    def test_a_probe_of_one_class(self, splits):
        source = Memory(noise_images(6, 16), torch.zeros(6, dtype=torch.long), n_classes=2)
        source.splits = splits
        D = Players(nn.Conv2d(1, 2, 3), head=nn.Linear(392, 1))
        with pytest.raises(UserError, match=r"images of one class alone, 6 of them, and .*\.$"):
            LinearProbe().find(subject(D=D, source=source))

    def test_images_too_small_for_ms_ssim(self, refusal, runs):
        run = runs("model=mlp", "data.image_size=8", "callbacks=none")
        assert "11 x 11" in refusal(run, "ms_ssim")
