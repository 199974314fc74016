"""Labels and codes: by hand, and on all models."""

import copy
import math
import sys
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lit_gan import game
from lit_gan.build import build_gan, build_protocol
from lit_gan.cli.launch import launch
from lit_gan.data.digits import Digits
from lit_gan.errors import UserError
from lit_gan.game import Generator, Layers, Regularizer, Turn
from lit_gan.layers import LatentLinear, SharedLabelGenerator, n_classes_of
from lit_gan.losses import NonSaturating
from lit_gan.metrics import FeatureMetrics, Suite, classes
from lit_gan.metrics.classes import class_means, distance_to
from lit_gan.metrics.classifier import Classifier
from lit_gan.metrics.ms_ssim import n_scales, similarity
from lit_gan.metrics.real import ClassFeatures
from lit_gan.models import biggan_deep, dcgan, mlp, r3gan, sngan_cnn, sngan_resnet
from lit_gan.module import GAN
from lit_gan.optim import Optimizers
from lit_gan.order import Alternating
from lit_gan.reg.class_heads import MultiHingeHead
from lit_gan.reg.codes import InfoGAN, OneHot
from lit_gan.reg.gradients import R2
from lit_gan.reg.labels import (
    ACGAN,
    ClassNorm,
    Concat,
    ConditionalBatchNorm,
    EmbeddingConcat,
    LabelConcat,
    MappedProjection,
    MiddleConcat,
    Projection,
    ProjectionDiscriminator,
    embedding,
)
from lit_gan.reg.latents import LOGAN
from lit_gan.reg.outputs import BalancedConsistency, LatentConsistency, TopK
from lit_gan.reg.virtual import VirtualBatchNorm
from lit_gan.reg.weights import SpectralNorm
from lit_gan.sampling import Sampler
from lit_gan.tasks.evaluate import save_class_grid
from lit_gan.tasks.sample import interpolation
from lit_gan.tasks.train import train
from trainers import quiet_trainer

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning", "ignore::FutureWarning"),
    pytest.mark.usefixtures("no_curves"),
]

SHAPE, K = (1, 32, 32), 3
MODELS = [dcgan, sngan_cnn, sngan_resnet, mlp]
CONDITIONAL = [[LabelConcat], [MiddleConcat, ConditionalBatchNorm], [ProjectionDiscriminator, ConditionalBatchNorm]]
CONDITIONAL += [[ProjectionDiscriminator, LabelConcat], [ACGAN, LabelConcat], [ACGAN, ConditionalBatchNorm]]


def players(model):
    small = {"width": 16 if model is mlp else 2}
    return model.Generator(SHAPE, z_dim=4, **small), model.Discriminator(SHAPE, **small)


def attached(G, D, *regs):
    for reg in regs:
        reg.attach(G, D)
    for reg in regs:
        reg.check(G, D)
    return G, D


def turn_of(player, G, D, b=6):
    return Turn(player, G, D, torch.randn(b, *SHAPE), torch.arange(b) % K, G.draw(b))


class TestOnAllModels:
    @pytest.mark.parametrize("kinds", CONDITIONAL, ids=lambda kinds: "+".join(kind.__name__ for kind in kinds))
    @pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__.rpartition(".")[2])
    def test_trains_and_survives_a_copy_and_its_state(self, model, kinds):
        G, D = players(model)
        regs = [kind(K) for kind in kinds]
        if model is mlp and ConditionalBatchNorm in kinds:
            with pytest.raises(UserError, match=r"no batch normalisation in G.*labels=cgan"):
                attached(G, D, *regs)
            return
        attached(G, D, *regs, SpectralNorm())
        for player in ("d", "g"):
            turn = turn_of(player, G, D)
            terms = [term for reg in regs if (term := getattr(reg, player)(turn)) is not None]
            (turn.real.logits.sum() + turn.fake.logits.sum() + sum(terms)).backward()
        assert all(p.grad is not None for p in G.parameters() if p.requires_grad)
        unused = {f"heads.{name}" for name in D.heads}
        for name, p in D.named_parameters():
            assert p.grad is not None or name.startswith(tuple(unused)) or not p.requires_grad
        G.eval(), D.eval()
        turn, other = turn_of("d", G, D), players(model)
        twins = attached(*other, *[kind(K) for kind in kinds], SpectralNorm())
        for network, twin in zip((G, D), twins, strict=True):
            twin.load_state_dict(network.state_dict())
        copies = copy.deepcopy((G, D))
        for one, two in (copies, [twin.eval() for twin in twins]):
            torch.testing.assert_close(one(turn.z, turn.y), turn.x_fake)
            torch.testing.assert_close(two(turn.x_real, turn.y).logits, turn.real.logits)

    @pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__.rpartition(".")[2])
    def test_infogan(self, model):
        G, D = players(model)
        reg = InfoGAN(categorical=[3, 2], continuous=2)
        attached(G, D, reg)
        assert G.z_dim == 4 + 3 + 2 + 2
        for player in ("d", "g"):
            reg_term = getattr(reg, player)(turn_of(player, G, D))
            reg_term.backward()
        assert D.heads["info_gan"].weight.grad.abs().sum() > 0
        assert G.body[0].weight.grad.abs().sum() > 0

    @pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__.rpartition(".")[2])
    def test_the_label_reaches_the_verdict_and_the_sample(self, model):
        G, D = attached(*players(model), LabelConcat(K))
        z, x = G.draw(1), torch.randn(1, *SHAPE)
        G.eval(), D.eval()
        zero, one = torch.zeros(1, dtype=torch.long), torch.ones(1, dtype=torch.long)
        assert not torch.equal(G(z, zero), G(z, one))
        assert not torch.equal(D(x, zero).logits, D(x, one).logits)


class TestConcat:
    def test_is_a_convolution_of_the_one_hot_maps_beside_that_of_the_image(self):
        D = dcgan.Discriminator((1, 16, 16), width=4)
        before = copy.deepcopy(D.body[0])
        LabelConcat(K, "d").attach(dcgan.Generator((1, 16, 16), width=4), D)
        x, y = torch.randn(5, 1, 16, 16), torch.tensor([0, 1, 2, 1, 0])
        maps = torch.zeros(5, K, 16, 16)
        maps[torch.arange(5), y] = 1
        convolution = D.body[1]
        torch.testing.assert_close(convolution.weight[:, :1], before.weight)
        expected = before(x) + F.conv2d(maps, convolution.weight[:, 1:], stride=2, padding=1)
        torch.testing.assert_close(Layers(*D.body[:2])(x, y), expected)

    def test_of_a_vector(self):
        out = Concat(3)(torch.tensor([[5.0, 6.0], [7.0, 8.0]]), torch.tensor([2, 0]))
        assert out.tolist() == [[5, 6, 0, 0, 1], [7, 8, 1, 0, 0]]

    @pytest.mark.parametrize(("network", "of_g", "of_d"), [("g", K, None), ("d", None, K), ("both", K, K)])
    def test_reaches_the_networks_it_names(self, network, of_g, of_d):
        G, D = attached(*players(mlp), LabelConcat(K, network))
        assert (n_classes_of(G), n_classes_of(D)) == (of_g, of_d)
        assert G.z_dim == 4

    def test_of_an_embedding_repeats_it_everywhere(self):
        layer = EmbeddingConcat(K, 2)
        out = layer(torch.zeros(2, 1, 4, 4), torch.tensor([1, 2]))
        expected = layer.embedding.weight[1:, :, None, None].expand(2, 2, 4, 4)
        assert torch.equal(out[:, 1:], expected)

    def test_in_the_middle_is_behind_the_third_block_of_the_papers_network(self):
        G, D = players(sngan_resnet)
        D = sngan_resnet.Discriminator((3, 128, 128), width=1)
        channels = D.body[3].in_channels
        MiddleConcat(1000).attach(G, D)
        assert [type(layer).__name__ for layer in D.body[:5]] == ["FirstBlock", *["DownBlock"] * 2, *NAMES]
        assert D.body[4].in_channels == channels + 128

    @pytest.mark.parametrize("D", [r3gan.Discriminator(SHAPE, width=8), biggan_deep.Discriminator(SHAPE, width=4)])
    def test_in_the_middle_of_blocks_that_cannot_read_more_is_refused(self, D):
        with pytest.raises(UserError, match=r"reg\.middle_concat .* choose labels=projection"):
            MiddleConcat(K).attach(mlp.Generator(SHAPE, width=2), D)


NAMES = ["EmbeddingConcat", "DownBlock"]


class TestProjection:
    def test_adds_the_inner_product_with_the_labels_vector(self):
        head = Projection(nn.Linear(2, 1), K)
        with torch.no_grad():
            head.linear.weight.copy_(torch.tensor([[1.0, -1.0]]))
            head.linear.bias.fill_(0.5)
            head.embedding.weight.copy_(torch.tensor([[1.0, 0.0], [2.0, 3.0], [0.0, -1.0]]))
        f = torch.tensor([[4.0, 1.0], [4.0, 1.0], [4.0, 1.0]])
        assert head(f, torch.arange(3)).flatten().tolist() == [3.5 + 4, 3.5 + 11, 3.5 - 1]

    def test_its_vectors_start_glorot_uniform(self):
        weight = embedding(50, 100).weight
        assert weight.abs().max() <= (6 / 150) ** 0.5
        assert weight.std().item() == pytest.approx((2 / 150) ** 0.5, rel=0.05)

    def test_spectral_norm_divides_its_vectors_too(self):
        _G, D = attached(*players(dcgan), ProjectionDiscriminator(K), SpectralNorm(n_power_iterations=50))
        D(torch.randn(2, *SHAPE), torch.arange(2))
        for weight in (D.head.embedding.weight, D.head.linear.weight):
            assert torch.linalg.matrix_norm(weight, 2).item() == pytest.approx(1, abs=1e-3)

    def test_can_be_widened(self):
        head = Projection(nn.Linear(2, 1), K)
        f, y = torch.randn(4, 2), torch.tensor([0, 1, 2, 0])
        before = head(f, y)
        head.widen(3)
        assert head.in_features == 5
        torch.testing.assert_close(head(torch.cat([f, torch.zeros(4, 3)], 1), y), before)
        head(torch.randn(4, 5), y).sum().backward()
        assert head.embedding.weight.grad.shape == (K, 5)


class TestConditionalBatchNorm:
    def test_statistics_are_common_and_gamma_and_beta_the_classs(self):
        layer = ClassNorm(nn.BatchNorm2d(2), K)
        with torch.no_grad():
            layer.gamma.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
            layer.beta.copy_(torch.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]))
        x, y = torch.randn(6, 2, 4, 4) * 3 + 1, torch.tensor([0, 0, 1, 2, 2, 1])
        normalised = F.batch_norm(x, None, None, training=True)
        expected = normalised * layer.gamma[y][:, :, None, None] + layer.beta[y][:, :, None, None]
        torch.testing.assert_close(layer(x, y), expected)

    def test_starts_as_the_layer_that_it_replaces(self):
        G, D = players(sngan_resnet)
        nn.init.normal_(G.body[2].residual[0].weight)
        twin = copy.deepcopy(G)
        attached(G, D, ConditionalBatchNorm(K))
        z = G.draw(5)
        torch.testing.assert_close(G(z, torch.arange(5) % K), twin(z))
        assert G.body[2].residual[0].gamma.shape == (K, 8)
        plain = [name for name, layer in G.named_modules() if isinstance(layer, nn.BatchNorm2d) and layer.affine]
        assert plain == ["body.5"]

    def test_replaces_all_where_there_are_no_blocks(self):
        G, D = players(dcgan)
        attached(G, D, ConditionalBatchNorm(K))
        assert not any(layer.affine for layer in G.modules() if isinstance(layer, nn.BatchNorm2d))

    @pytest.mark.parametrize("base", [SharedLabelGenerator, Generator])
    def test_a_network_of_ones_own_shares_labels_by_its_base_class(self, base):
        class Own(base):
            def __init__(self):
                super().__init__((2,), 3, "normal", *([4] if base is SharedLabelGenerator else []))
                self.body = Layers(LatentLinear(3, 2))

            def forward(self, z, y=None):
                own, appended = self.own_and_appended(z)
                return self.body(torch.cat([self.with_label(own, y), appended], 1), y)

        G, D = Own(), mlp.Discriminator((2,), width=2, depth=1)
        if base is Generator:
            with pytest.raises(UserError, match="such as model=dcgan, or labels that reach G in another way"):
                attached(G, D, ConditionalBatchNorm(K))
            return
        attached(G, D, ConditionalBatchNorm(K), InfoGAN(categorical=[], continuous=1))
        z, y = torch.randn(2, 4), torch.tensor([0, 2])
        expected = torch.cat([z[:, :3], G.embedding(y), z[:, 3:]], 1) @ G.body[0].weight.T + G.body[0].bias
        torch.testing.assert_close(G(z, y), expected)


LAST = [ProjectionDiscriminator, MappedProjection, MultiHingeHead]


@pytest.mark.parametrize("first", LAST)
@pytest.mark.parametrize("second", LAST)
def test_one_alone_replaces_ds_last_layer(first, second):
    with pytest.raises(UserError, match="Two of the chosen labels replace D's last layer"):
        attached(*players(dcgan), first(K), second(K))


class TestACGAN:
    @pytest.fixture
    def turn(self, linear_d, affine_g):
        D = linear_d([1.0, 0.0])
        reg = ACGAN(2, d_real=2.0, d_fake=3.0, g_fake=5.0)
        reg.attach(affine_g(), D)
        with torch.no_grad():
            D.heads["acgan"].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
            D.heads["acgan"].bias.zero_()
        x_real, x_fake, y = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 2.0]]), torch.tensor([0])

        def make(player):
            turn = Turn(player, affine_g(), D, x_real, y, torch.zeros(1, 2), y_fake=1 - y)
            turn.x_fake = x_fake
            return turn

        return reg, make

    def test_cross_entropies_on_paper(self, turn):
        reg, make = turn
        real, fake = math.log(2), math.log(1 + math.exp(-2))
        assert reg.d(make("d")).item() == pytest.approx(2 * real + 3 * fake)
        assert reg.g(make("g")).item() == pytest.approx(5 * fake)

    def test_is_a_mean_over_the_batch(self, turn):
        reg, make = turn
        for player in "dg":
            once, twice = make(player), make(player)
            for part in ("x_real", "x_fake", "y", "y_fake"):
                setattr(twice, part, torch.cat([getattr(once, part)] * 2))
            torch.testing.assert_close(getattr(reg, player)(twice), getattr(reg, player)(once))

    @pytest.mark.parametrize(("player", "weight"), [("d", 3), ("g", 5)])
    def test_its_gradient_reaches_what_makes_the_features_of_generated_samples(self, turn, player, weight):
        reg, make = turn
        x_fake, named = torch.tensor([[0.0, 2.0]], requires_grad=True), 1 / (1 + math.exp(2))
        now = make(player)
        now.x_fake = x_fake
        getattr(reg, player)(now).backward()
        torch.testing.assert_close(x_fake.grad, weight * torch.tensor([[named, -named]]))

    def test_spectral_norm_covers_the_classifier(self):
        _, D = attached(*players(dcgan), ACGAN(K), SpectralNorm())
        assert nn.utils.parametrize.is_parametrized(D.heads["acgan"], "weight")


class Seen(game.Discriminator):
    """Notes the labels that it is shown with real samples, which are positive, and with generated ones."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Flatten(), nn.Linear(2, 1)
        self.labels = {"real": [], "fake": []}

    def forward(self, x, y=None):
        self.labels["real" if (x > 0).all() else "fake"].append(y.tolist())
        return super().forward(x, y)


class Negative(game.Generator):
    """Points below 0; notes the labels asked for."""

    def __init__(self):
        super().__init__((2,), 2)
        self.scale, self.labels = nn.Parameter(torch.ones(())), []

    def forward(self, z, y=None):
        self.labels.append(y.tolist())
        return -self.scale * (z.abs() + 1)


class Play(Regularizer):
    """Notes every turn."""

    def __init__(self, turns):
        super().__init__()
        self.turns = turns

    def project(self, turn):
        self.turns.append(turn)


class TestLabelsOfGeneratedSamples:
    """Miyato and Koyama 2018, the authors' updater: drawn afresh and uniformly, in both turns."""

    def turns(self, *others, updates=2):
        """Those of a small game whose real samples are all of class 0."""
        turns, optimizer = [], partial(torch.optim.SGD, lr=0.1)
        G, D = Negative(), Seen()
        regs = {reg.name: reg for reg in others} | {"play": Play(turns)}
        gan = GAN(G, D, NonSaturating(), regs, Optimizers(2, optimizer, optimizer), Alternating(), g_batch_size=512)
        x = torch.rand(updates * 512, 2) + 0.1
        loader = DataLoader(TensorDataset(x, torch.zeros(len(x), dtype=torch.long)), 512)
        quiet_trainer(gan, updates).fit(gan, loader)
        return turns, G, D

    def test_are_uniform_and_fresh_in_both_turns_whatever_those_of_the_real_ones(self):
        turns, _, D = self.turns(ACGAN(4))
        assert [turn.player for turn in turns] == ["d", "d", "g"] * 2
        for turn in turns:
            assert not turn.y.any()
            counts = torch.bincount(turn.y_fake, minlength=4) / len(turn.y_fake)
            torch.testing.assert_close(counts, torch.full((4,), 0.25), atol=0.09, rtol=0)
        assert len({tuple(turn.y_fake[:200].tolist()) for turn in turns}) == len(turns)
        assert {label for labels in D.labels["real"] for label in labels} == {0}

    def test_a_larger_batch_of_g_does_not_repeat_them(self):
        turn = self.turns(ACGAN(4))[0][2]
        assert len(turn.y_fake) == 512
        assert not torch.equal(turn.y_fake[:256], turn.y_fake[256:])

    def test_g_and_d_are_told_the_same(self):
        turns, G, D = self.turns(ACGAN(4))
        assert [turn.y_fake.tolist() for turn in turns] == G.labels == D.labels["fake"]

    def test_in_the_code_of_gulrajani_those_of_d_turn_are_those_of_the_real_ones(self):
        turns = self.turns(ACGAN(4, shared_labels=True))[0]
        assert [bool(turn.y_fake.any()) for turn in turns] == [False, False, True] * 2

    def test_without_labels_none_are_drawn(self):
        class Still(Regularizer):
            def stage(self, turn):
                states.append(torch.get_rng_state())

        states = []
        turns, *_ = self.turns(Still(), updates=1)
        assert all(turn.y_fake is turn.y for turn in turns)
        torch.set_rng_state(states[0])
        torch.randn(256, 2)  # the latent vectors of the second turn and nothing else
        assert torch.equal(torch.get_rng_state(), states[1])

    @pytest.mark.parametrize(
        "reg", [R2(), BalancedConsistency(lambda x: x + 0), LatentConsistency(), ACGAN(4), TopK(0.5, 1, 0.5), LOGAN()]
    )
    @pytest.mark.parametrize("player", ["d", "g"])
    def test_a_regularizer_shows_a_generated_sample_with_its_own_label(self, reg, player):
        G, D = Negative(), Seen()
        reg.attach(G, D)
        y, one = torch.zeros(4, dtype=torch.long), torch.ones(4, dtype=torch.long)
        turn = Turn(player, G, D, torch.rand(4, 2) + 0.1, y, G.draw(4), y_fake=one)
        turn.game = SimpleNamespace(global_step=9)
        reg.stage(turn)
        getattr(reg, player)(turn)
        assert len(turn.real.logits) == len(turn.fake.logits)
        assert {label for labels in G.labels + D.labels["fake"] for label in labels} == {1}
        assert {label for labels in D.labels["real"] for label in labels} == {0}

    def test_the_reference_of_virtual_batch_norm_has_labels_of_its_kind(self):
        G, D = attached(*players(dcgan), LabelConcat(K), reg := VirtualBatchNorm(n_reference=4, network="g"))
        turn = turn_of("d", G, D)
        turn.y, turn.y_fake = torch.zeros(6, dtype=torch.long), torch.ones(6, dtype=torch.long)
        reg.stage(turn)
        assert (G.body.labels == 1).all()

    @pytest.mark.parametrize("labels", ["projection_concat", "acgan_wgan_gp"])
    def test_a_resume_goes_on_with_the_labels_of_an_undisturbed_run(self, labels, tmp_path, monkeypatch):
        small = ["data.image_size=16", "model.width=2", "batch_size=4", "trainer.accelerator=cpu", "metrics=none"]
        game = [
            *small,
            f"labels={labels}",
            "g_batch_size=8",
            "updates_per_epoch=2",
            "callbacks=none",
            "data.n_classes=10",
        ]

        def weights(name, *arguments):
            monkeypatch.setattr(sys, "argv", ["train", f"hydra.run.dir={tmp_path / name}", *game, *arguments])
            launch(train, "train")
            content = torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)
            return content["state_dict"] | {"random": content["callbacks"]["RandomState"]["cpu"]}

        weights("halted", "updates=2")
        resumed, whole = weights("halted", "updates=4"), weights("whole", "updates=4")
        assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


class TestInfoGAN:
    def test_surprise_on_paper(self, linear_d, affine_g):
        G, D = mlp.Generator((3,), z_dim=1, width=2), linear_d([1.0, 0.0, 0.0])
        reg = InfoGAN(categorical=[2], continuous=1, continuous_weight=0.5)
        reg.attach(G, D)
        with torch.no_grad():
            D.heads["info_gan"].weight.copy_(torch.eye(3))
            D.heads["info_gan"].bias.zero_()
        z = torch.tensor([[9.0, 1.0, 0.0, -1.0], [9.0, 0.0, 1.0, 0.5]])
        turn = Turn("g", G, D, torch.zeros(2, 3), torch.zeros(2, dtype=torch.long), z)
        turn.x_fake = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.5]])
        entropy = (math.log(1 + math.exp(-1)) + math.log(2)) / 2
        assert reg.g(turn).item() == pytest.approx(entropy + 0.5 * (2**2 / 2 + 0) / 2)
        assert reg.d(turn).item() == pytest.approx(reg.g(turn).item())

    def test_codes_follow_the_prior_and_are_drawn_like_it(self):
        G, _D = attached(*players(mlp), InfoGAN(categorical=[3], continuous=2))
        z = G.draw(3000, torch.Generator().manual_seed(1))
        assert torch.equal(z, G.draw(3000, torch.Generator().manual_seed(1)))
        code, numbers = z[:, 4:7], z[:, 7:]
        assert torch.equal(code.sum(1), torch.ones(3000))
        torch.testing.assert_close(code.mean(0), torch.full((3,), 1 / 3), atol=0.03, rtol=0)
        assert numbers.abs().max() <= 1
        assert numbers.std() == pytest.approx(3**-0.5, abs=0.02)

    def test_d_turn_leaves_g_alone(self):
        G, D = attached(*players(mlp), reg := InfoGAN(categorical=[3]))
        reg.d(turn_of("d", G, D)).backward()
        assert all(p.grad is None for p in G.parameters())

    @pytest.mark.parametrize(
        "numbers", [{"categorical": [1]}, {"continuous": -1}, {"categorical": [], "continuous": 0}]
    )
    def test_codes_that_say_nothing_are_refused(self, numbers):
        with pytest.raises(UserError, match=r"^(reg\.infogan|InfoGAN)\.c"):
            InfoGAN(**numbers)

    def test_one_hot_is_uniform(self):
        drawn = OneHot(4).draw(4000, torch.device("cpu"), torch.Generator().manual_seed(0))
        torch.testing.assert_close(drawn.mean(0), torch.full((4,), 0.25), atol=0.03, rtol=0)


class TestConfigs:
    def test_every_choice_builds_a_game(self, compose, labels_choice):
        gan = build_gan(compose(f"labels={labels_choice}", "model.width=4", "data.image_size=16"))
        looks = labels_choice not in ("none", "infogan")
        assert (n_classes_of(gan.G) == 10) is looks
        x, y = torch.randn(2, 1, 16, 16), torch.arange(2)
        assert gan.D(gan.G(gan.G.draw(2), y), y).logits.shape == gan.D(x, y).logits.shape == (2,)

    def test_labels_come_before_reg_so_that_it_acts_on_them(self, compose):
        config = compose("labels=projection", "reg=[spectral]")
        assert list(config.reg) == ["projection_discriminator", "conditional_batch_norm", "spectral"]
        assert nn.utils.parametrize.is_parametrized(build_gan(config).D.head.embedding, "weight")

    def test_data_without_labels_are_refused(self, compose, labels_choice):
        config = compose(f"labels={labels_choice}", "data.n_classes=null")
        needed = labels_choice not in ("none", "infogan")
        words = r"^reg\.\w+ cannot be made .*: These labels need .*data\.n_classes=null.*labels=none"
        with pytest.raises(UserError, match=words) if needed else nullcontext():
            build_gan(config)

    def test_the_papers_numbers(self, compose):
        acgan = compose("labels=acgan").reg.acgan
        assert (acgan.d_real, acgan.d_fake, acgan.g_fake) == (1, 1, 1)
        assert not instantiate(acgan).shared_labels
        acgan = compose("labels=acgan_wgan_gp").reg.acgan
        assert (acgan.d_real, acgan.d_fake, acgan.g_fake, acgan.shared_labels) == (1, 0, 0.1, True)
        assert instantiate(compose("labels=cgan_middle").reg.middle_concat).size == 128

    @pytest.mark.parametrize("make", [lambda: LabelConcat(3, "x"), lambda: MiddleConcat(3, 0)])
    def test_bad_numbers(self, make):
        with pytest.raises(UserError, match=r"^\w+\.\w+="):
            make()


class Painter(game.Generator):
    """Images as bright as their class, with a little of z."""

    def __init__(self, n_classes):
        super().__init__((1, 16, 16), 2)
        self.level = nn.Parameter(torch.linspace(-0.8, 0.8, n_classes))
        self.body = Layers(ClassPaint(self.level, n_classes))


class ClassPaint(game.Labelled):
    def __init__(self, level, n_classes):
        super().__init__()
        self.level, self.n_classes = level, n_classes

    def forward(self, z, y):
        return (self.level[y][:, None, None, None] + z[:, :1, None, None] / 100).expand(-1, 1, 16, 16)


class TestSampler:
    def test_gives_a_class(self):
        sampler = Sampler(Painter(5))
        assert sampler(20, 3).mean().item() == pytest.approx(0.4, abs=0.02)
        levels = sampler(200).mean((1, 2, 3)).mul(2.5).round()
        assert set(levels.tolist()) == {-2, -1, 0, 1, 2}

    def test_a_row_is_a_class_and_a_column_has_the_same_latents(self):
        samples, columns = Sampler(Painter(5)).grid(17)
        means = samples.mean((1, 2, 3)).view(5, columns)
        assert columns == 3
        torch.testing.assert_close(means - means[:1], (means - means[:1])[:, :1].expand(5, 3))
        assert (means.diff(dim=0) > 0.3).all()

    def test_more_classes_than_samples(self):
        samples, columns = Sampler(Painter(5)).grid(4)
        assert (len(samples), columns) == (4, 1)

    def test_without_labels_it_is_what_it_was(self):
        G = mlp.Generator((2,), width=2)
        samples, columns = Sampler(G).grid(7)
        assert columns is None
        assert torch.equal(samples, Sampler(G)(7))

    @pytest.mark.parametrize("G", [Painter(1000), mlp.Generator((2,), width=2)])
    @pytest.mark.parametrize(
        "draw",
        [lambda sampler: sampler.grid(2000)[0], lambda sampler: interpolation(sampler, 8, 250)],
        ids=["grid", "lines"],
    )
    def test_a_picture_of_many_samples_is_made_in_several_passes(self, G, draw):
        sampler, sizes = Sampler(G), []
        whole = sampler.generate
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sampler, "generate_all", lambda z, y: whole(z, y.to(z.device)))
            expected = draw(sampler)
        sampler.restart().G.register_forward_pre_hook(lambda G, inputs: sizes.append(len(inputs[0])))
        torch.testing.assert_close(draw(sampler), expected)
        assert (max(sizes), sum(sizes)) == (256, 2000)

    @pytest.mark.parametrize(("G", "label"), [(Painter(5), 5), (Painter(5), -1), (mlp.Generator((2,), width=2), 0)])
    def test_classes_that_it_does_not_make_are_refused(self, G, label):
        with pytest.raises(UserError, match=f"class={label}"):
            Sampler(G)(2, label)


class TestClassPicture:
    @pytest.mark.parametrize(("ema", "rows"), [(True, 5), (False, 3)])
    def test_it_is_of_the_weights_that_are_scored(self, compose, tmp_path, ema, rows):
        gan = SimpleNamespace(generator={True: Painter(5), False: Painter(3)}.get)
        protocol = replace(build_protocol(compose(), "quick"), ema=ema)
        save_class_grid(gan, Digits("digits", 16, 1, (1, 16, 16), 10, 2**30), protocol, tmp_path / "classes")
        assert Image.open(tmp_path / "classes.png").size == (10 * 17 + 1, rows * 17 + 1)

    def test_a_truncation_is_shown_too(self, compose, tmp_path):
        gan, source = SimpleNamespace(generator=lambda ema: Painter(5)), Digits("digits", 16, 1, (1, 16, 16), 10, 2**30)
        spreads = []
        for truncation in (None, 0.01):
            protocol = replace(build_protocol(compose(), "quick"), truncation=truncation)
            save_class_grid(gan, source, protocol, tmp_path / "classes")
            spreads.append(np.array(Image.open(tmp_path / "classes.png"))[8, 8::17].astype(float).std())
        assert spreads[1] < spreads[0]


class TestClassScores:
    def test_each_class_has_its_own(self, tmp_path, monkeypatch, compose):
        monkeypatch.setenv("LIT_GAN_CACHE", str(tmp_path))
        source = Digits("digits", 16, 1, (1, 16, 16), 10, 2**30)
        suite = FeatureMetrics(Classifier())
        suite.prepare(source)
        protocol = instantiate({"_target_": "lit_gan.metrics.EvalProtocol", **compose().protocol.quick})
        real = source.split("train")

        class Copies(Sampler):
            """Real images of a class, but ones for the zeros."""

            def __call__(self, n, label):
                images = real.images[real.labels == max(label, 1)]
                return images[torch.arange(n) % len(images)].float() / 127.5 - 1

        scores = suite.by_class(Copies(Painter(10)), source, protocol.with_generated(1700))
        assert [len(values) for values in scores.values()] == [10, 10]
        assert max(scores["fid"][1:]) < 0.2 * scores["fid"][0]
        assert 0 < min(scores["ms_ssim"]) < max(scores["ms_ssim"]) < 1
        assert class_means(scores, "digits").keys() == {"digits/intra_fid", "digits/intra_ms_ssim"}
        fewest = min(torch.bincount(real.labels).tolist())
        assert suite.fewest_of_a_class(source, protocol.with_generated(10_000), scores) == fewest
        assert suite.fewest_of_a_class(source, protocol.with_generated(1000), scores) == 100

    def test_all_samples_are_shared_among_the_classes_and_a_hundred_pairs_of_each_compared(self, monkeypatch, compose):
        drawn, compared = Counter(), []
        monkeypatch.setattr(classes, "similarity", lambda images, scales: compared.append(len(images)) or 0.5)

        class Noise(Sampler):
            def __call__(self, n, label):
                drawn[label] += n
                return torch.rand(n, 1, 16, 16)

        suite = FeatureMetrics(Classifier())
        suite.prepare(Digits("digits", 16, 1, (1, 16, 16), 10, 2**30))
        protocol = build_protocol(compose(), "quick").with_generated(1250)
        real = ClassFeatures(torch.randn(20, 128), torch.arange(20) % 5)
        classes.class_scores(Noise(Painter(5)), suite.extractor, real, protocol)
        assert drawn == dict.fromkeys(range(5), 250)
        assert compared == [200] * 5

    def test_there_are_none_without_labels(self):
        assert FeatureMetrics(Classifier()).by_class(Sampler(mlp.Generator((2,), width=2)), None, None) == {}
        assert Suite().by_class(Sampler(Painter(2)), None, None) == {}

    def test_distance_on_paper(self):
        real = torch.tensor([[-1.0], [1.0]]).repeat(50, 1)
        distance = distance_to(real)
        distance.update(2 * real + 3)
        assert distance.compute().item() == pytest.approx(9 + (2 - 1) ** 2 * 100 / 99, rel=1e-4)
        assert distance_to(real[:1]) is None

    def test_mean_skips_unknown(self):
        assert class_means({"fid": [1.0, None, 3.0]}, "a") == {"a/intra_fid": 2.0}

    def test_ms_ssim_of_equal_and_of_other_images(self):
        image = torch.randint(256, (2, 1, 32, 32), dtype=torch.uint8)
        assert similarity(image[:1].repeat(4, 1, 1, 1), n_scales(32)) == pytest.approx(1)
        assert similarity(image, n_scales(32)) < 0.2
        assert [n_scales(size) for size in (8, 16, 32, 176)] == [0, 1, 2, 5]
