"""Minibatch discrimination, instance and virtual batch normalisation, dropout: by hand, and on all models."""

import copy
import math
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lit_gan.build import build_gan
from lit_gan.cli.launch import launch
from lit_gan.errors import UserError
from lit_gan.game import Layers, Turn
from lit_gan.layers import NormSlot, reader_positions
from lit_gan.models import autoencoder, dcgan, mlp, sngan_cnn, sngan_resnet
from lit_gan.reg.inputs import PacGAN
from lit_gan.reg.labels import ACGAN, ConditionalBatchNorm, LabelConcat, ProjectionDiscriminator
from lit_gan.reg.minibatch import Closeness, MinibatchDiscrimination
from lit_gan.reg.structure import BatchNorm, Dropout, InstanceNorm
from lit_gan.reg.virtual import Referenced, VirtualBatchNorm, VirtualNorm
from lit_gan.reg.weights import SpectralNorm
from lit_gan.tasks.train import train

SHAPE, N = (1, 32, 32), 5
MODELS = [dcgan, sngan_cnn, sngan_resnet, mlp]
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__.rpartition(".")[2])


def players(model):
    small = {"width": 16 if model is mlp else 2}
    return model.Generator(SHAPE, z_dim=4, **small), model.Discriminator(SHAPE, **small)


def attached(players, *regs):
    for hook in ("attach", "check"):
        for reg in regs:
            getattr(reg, hook)(*players)
    return players


def turn_of(G, D, b=6, player="d"):
    return Turn(player, G, D, torch.randn(b, *SHAPE), torch.arange(b) % 3, G.draw(b))


def round_trip(make):
    """Two networks pairs of which the second has the first's state, and a copy of the first."""
    first, second = make(), make()
    return first, second, copy.deepcopy(first)


class TestMinibatchDiscrimination:
    def closeness(self, n_features=3, n_kernels=4, kernel_dim=2):
        return Closeness(n_features, n_kernels, kernel_dim)

    def test_is_the_number_of_others_if_all_are_the_same(self):
        out = self.closeness()(torch.ones(7, 3))
        assert torch.equal(out[:, :3], torch.ones(7, 3))
        torch.testing.assert_close(out[:, 3:], torch.full((7, 4), 6.0))

    def test_vanishes_if_all_are_far_apart(self):
        assert self.closeness()(1000 * torch.eye(3))[:, 3:].max() < 1e-6

    def test_by_hand(self):
        layer = self.closeness(n_features=2, n_kernels=2, kernel_dim=1)
        with torch.no_grad():
            layer.T.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
        out = layer(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 3.0]]))[:, 2:]
        e = math.exp
        expected = [[e(-1) + 1, 1 + e(-6)], [2 * e(-1), 1 + e(-6)], [1 + e(-1), 2 * e(-6)]]
        torch.testing.assert_close(out, torch.tensor(expected))

    def test_sums_absolute_differences_within_a_kernel(self):
        layer = self.closeness(n_features=2, n_kernels=1, kernel_dim=2)
        with torch.no_grad():
            layer.T.weight.copy_(torch.eye(2))
        out = layer(torch.tensor([[0.0, 0.0], [1.0, -0.5]]))
        torch.testing.assert_close(out[:, 2], torch.full((2,), math.exp(-1.5)))

    @each_model
    def test_on_all_models_with_heads_and_labels(self, model):
        regs = [ACGAN(3), ProjectionDiscriminator(3), MinibatchDiscrimination(6, 2), SpectralNorm()]
        G, D = attached(players(model), *regs)
        turn = turn_of(G, D)
        assert turn.real.features.shape[1] == D.n_features == D.heads["acgan"].in_features
        (turn.real.logits.sum() + turn.fake.logits.sum() + regs[0].d(turn)).backward()
        assert D.body[-1].T.parametrizations.weight.original.grad.abs().sum() > 0

    def test_real_and_generated_samples_are_compared_among_themselves(self):
        G, D = attached(players(dcgan), MinibatchDiscrimination())
        turn = turn_of(G, D)
        before = turn.real.logits
        turn.x_fake = turn.x_fake + 1
        torch.testing.assert_close(D(turn.x_real).logits, before)

    def test_state_and_copy(self):
        first, second, third = round_trip(lambda: attached(players(sngan_cnn), MinibatchDiscrimination())[1])
        second.load_state_dict(first.state_dict())
        x = torch.randn(3, *SHAPE)
        for D in (second, third):
            assert torch.equal(D(x).logits, first(x).logits)

    def test_goes_before_what_reparametrises_weights(self):
        with pytest.raises(UserError, match="spectral"):
            attached(players(dcgan), SpectralNorm(), MinibatchDiscrimination())

    def test_an_autoencoder_is_refused(self):
        with pytest.raises(UserError, match="minibatch_discrimination"):
            attached((players(dcgan)[0], autoencoder.Discriminator(SHAPE, 2)), MinibatchDiscrimination())

    @pytest.mark.parametrize("numbers", [(0, 5), (5, 0)])
    def test_bad_numbers(self, numbers):
        with pytest.raises(UserError, match=r"^MinibatchDiscrimination\.\w+=0"):
            MinibatchDiscrimination(*numbers)


class TestInstanceNorm:
    def test_normalises_each_channel_of_each_sample(self):
        layer = InstanceNorm().layer(4)
        x = torch.randn(3, 4, 8, 8) * 5 + 2
        torch.testing.assert_close(layer(x), F.instance_norm(x))

    @each_model
    def test_on_all_models(self, model):
        _, D = attached(players(model), InstanceNorm())
        if model is mlp:
            with pytest.raises(UserError, match=r"instance_norm.*layer_norm"):
                D(torch.randn(3, *SHAPE))
        else:
            assert not any(isinstance(layer, NormSlot) for layer in D.modules())
            assert D(torch.randn(3, *SHAPE)).logits.isfinite().all()

    def test_is_not_combined_with_another(self):
        with pytest.raises(UserError, match="instance_norm"):
            attached(players(dcgan), BatchNorm(), InstanceNorm())


class TestDropout:
    @each_model
    def test_follows_every_activation_of_d_and_rests_in_evaluation(self, model):
        twin = players(model)
        activations = [layer for layer in twin[1].modules() if isinstance(layer, nn.ReLU | nn.LeakyReLU)]
        G, D = attached(copy.deepcopy(twin), Dropout(0.5))
        pairs = [name for name, layer in D.named_modules() if isinstance(layer, nn.Dropout) and name.endswith(".1")]
        assert len(pairs) == len(activations) > 0
        assert not any(isinstance(layer, nn.Dropout) for layer in G.modules())
        x = torch.randn(4, *SHAPE)
        assert not torch.equal(D(x).logits, D(x).logits)
        torch.testing.assert_close(D.eval()(x).logits, twin[1].eval()(x).logits)

    def test_scales_what_it_keeps(self):
        _, D = attached(players(mlp), Dropout(0.75))
        out = D.body[2](torch.ones(1000, 16))
        assert out.unique().tolist() == [0, 4]
        assert out.mean().item() == pytest.approx(1, abs=0.05)

    @pytest.mark.parametrize("p", [-0.1, 1.0])
    def test_bad_share(self, p):
        with pytest.raises(UserError, match=r"^Dropout\.p="):
            Dropout(p)

    def test_needs_an_activation(self, linear_d):
        with pytest.raises(UserError, match="reg=dropout"):
            attached((players(mlp)[0], linear_d([1.0])), Dropout())


def virtual(model, network="both", before=(), n=N):
    """Players under virtual batch normalisation after the first turn, in evaluation."""
    reg = VirtualBatchNorm(network, n)
    G, D = attached(players(model), *before, reg)
    reg.stage(turn_of(G, D))
    return G, D


class TestBatchNormOfOneSample:
    def test_of_features_without_positions_is_refused_in_a_sentence(self):
        _, D = attached((mlp.Generator((2,), width=4), mlp.Discriminator((2,), width=4)), BatchNorm())
        with pytest.raises(UserError, match=r"reg=batch_norm .*batch_size.*accumulate.*reg=layer_norm") as stop:
            D(torch.randn(1, 2))
        assert "\n" not in str(stop.value)
        assert D(torch.randn(2, 2)).logits.isfinite().all()
        assert D.eval()(torch.randn(1, 2)).logits.isfinite().all()

    def test_of_maps_has_positions_to_normalise_over(self):
        _, D = attached(players(dcgan), BatchNorm())
        assert D(torch.randn(1, *SHAPE)).logits.isfinite().all()

    @pytest.mark.parametrize(
        "batch", [["batch_size=1"], ["batch_size=2", "optim.accumulate=2"], ["batch_size=2", "g_batch_size=1"]]
    )
    @pytest.mark.parametrize("model", ["mlp", "autoencoder_mlp"])
    def test_ends_a_training_with_the_sentence(self, monkeypatch, tmp_path, batch, model):
        quick = ["trainer.accelerator=cpu", "metrics=none", "callbacks=none", "model.width=4", f"model={model}"]
        game = ["data=gaussians", "reg=batch_norm", f"hydra.run.dir={tmp_path}", "updates=2", "updates_per_epoch=2"]
        monkeypatch.setattr(sys, "argv", ["train", *game, *quick, *batch])
        with pytest.raises(SystemExit, match=r"^lit_gan: reg=batch_norm cannot normalise a batch of one sample"):
            launch(train, "train")


class TestVirtualBatchNorm:
    def test_the_reference_is_normalised_by_itself(self):
        layer, x = VirtualNorm(torch.ones(4), torch.zeros(4)), torch.randn(10, 4, 6, 6) * 3 + 5
        layer.n_reference = 8
        torch.testing.assert_close(layer(x)[:8], F.batch_norm(x[:8], None, None, training=True), atol=1e-4, rtol=0)

    @pytest.mark.parametrize("positions", [(), (3,), (3, 3)])
    def test_other_samples_by_a_mixture_with_their_own(self, positions):
        gamma, beta = torch.tensor([2.0, 3.0]), torch.tensor([0.5, -1.0])
        layer, x = VirtualNorm(gamma, beta), torch.randn(6, 2, *positions)
        layer.n_reference = 4
        rows = x.reshape(6, 2, -1)
        for sample in (4, 5):
            for c in range(2):
                mean = 4 / 5 * rows[:4, c].mean() + 1 / 5 * rows[sample, c].mean()
                square = 4 / 5 * rows[:4, c].square().mean() + 1 / 5 * rows[sample, c].square().mean()
                expected = (x[sample, c] - mean) / (square - mean**2 + 1e-5).sqrt() * gamma[c] + beta[c]
                torch.testing.assert_close(layer(x)[sample, c], expected, atol=1e-5, rtol=1e-4)

    @each_model
    def test_samples_do_not_see_each_other(self, model):
        network = "d" if model is mlp else "both"
        G, D = virtual(model, network)
        z, x = G.draw(4), torch.randn(4, *SHAPE)
        assert D(x[:1]).logits.item() == pytest.approx(D(x).logits[0].item(), rel=1e-3, abs=1e-4)
        torch.testing.assert_close(G(z[:1]), G(z)[:1], atol=1e-4, rtol=1e-3)
        slots = [layer for layer in D.modules() if isinstance(layer, VirtualNorm)]
        assert slots
        assert not any(isinstance(layer, NormSlot) for layer in D.modules())
        assert not any(isinstance(layer, nn.BatchNorm2d) for layer in G.modules()) or network == "d"

    def test_plain_batch_norm_lets_them(self):
        G, _ = players(dcgan)
        z = G.draw(4)
        assert (G(z[:2])[:1] - G(z)[:1]).abs().max() > 1e-3

    def test_the_gradient_passes_through_the_reference(self):
        G, _ = virtual(dcgan, "g")
        G.body.reference.requires_grad_()
        (gradient,) = torch.autograd.grad(G(G.draw(2)).square().sum(), G.body.reference)
        assert gradient.abs().sum() > 0

    def test_the_first_real_samples_and_labels_become_the_reference_and_stay(self):
        reg = VirtualBatchNorm("both", 4)
        G, D = attached(players(dcgan), reg)
        first = turn_of(G, D, b=3)
        latents = G.body.reference.clone()
        for turn in (first, turn_of(G, D)):
            reg.stage(turn)
            assert torch.equal(D.body.reference, first.x_real[[0, 1, 2, 0]])
            assert D.body.labels.tolist() == G.body.labels.tolist() == [0, 1, 2, 0]
            assert torch.equal(G.body.reference, latents)

    def test_a_resumed_run_keeps_its_reference(self):
        (G, D), reg = virtual(dcgan), VirtualBatchNorm("both", N)
        players_ = attached(players(dcgan), reg)
        for new, old in zip(players_, (G, D), strict=True):
            new.load_state_dict(old.state_dict())
        reg.stage(turn_of(*players_))
        assert torch.equal(players_[1].body.reference, D.body.reference)
        z = G.draw(2)
        assert torch.equal(players_[0](z), G(z))
        assert torch.equal(copy.deepcopy(G)(z), G(z))

    def test_the_reference_has_labels_where_a_network_looks_at_them(self):
        before = [ProjectionDiscriminator(3), ConditionalBatchNorm(3)]
        G, D = virtual(sngan_resnet, before=before)
        z, y, x = G.draw(4), torch.tensor([0, 1, 2, 2]), torch.randn(4, *SHAPE)
        torch.testing.assert_close(G(z[:1], y[:1]), G(z, y)[:1], atol=1e-4, rtol=1e-3)
        with torch.no_grad():
            G.body[2].residual[0].gamma[1] += 1
        G(z, y).sum().backward()
        assert D(x, y).logits.shape == (4,)

    def test_labels_beside_the_input(self):
        G, D = virtual(dcgan, before=[LabelConcat(3)])
        z, y = G.draw(4), torch.tensor([0, 1, 2, 2])
        assert D(G(z, y), y).logits.shape == (4,)

    @pytest.mark.parametrize("virtual_first", [True, False])
    def test_the_reference_is_not_among_the_samples_compared(self, virtual_first):
        regs = [VirtualBatchNorm("d", 4), MinibatchDiscrimination(2, 1)]
        _, D = attached(players(dcgan), *(regs if virtual_first else regs[::-1]))
        x = torch.randn(1, *SHAPE).expand(3, -1, -1, -1)
        torch.testing.assert_close(D(x).features[:, -2:], torch.full((3, 2), 2.0), atol=1e-3, rtol=0)

    @pytest.mark.parametrize("virtual_first", [True, False])
    def test_packs(self, virtual_first):
        regs = [VirtualBatchNorm("d", 4), PacGAN(2)]
        G, D = attached(players(dcgan), *(regs if virtual_first else regs[::-1]))
        regs[0].stage(turn_of(G, D))
        x = torch.randn(6, *SHAPE)
        logits = D(x).logits
        assert logits.shape == (3,)
        torch.testing.assert_close(D(x[:2]).logits, logits[:1], atol=1e-4, rtol=1e-3)

    def test_a_reference_that_packs_would_cut_is_refused(self):
        _, D = attached(players(dcgan), VirtualBatchNorm("d", 5), PacGAN(2))
        with pytest.raises(UserError, match=r"n_reference.*pacgan"):
            D(torch.randn(5, *SHAPE))

    @pytest.mark.parametrize("network", ["g", "d"])
    def test_what_it_cannot_replace_is_refused(self, network, linear_d):
        pair = mlp.Generator((2,), width=2), linear_d([1.0, 2.0])
        with pytest.raises(UserError, match=rf"reg\.virtual_batch_norm\.network={network}"):
            attached(pair, VirtualBatchNorm(network))

    def test_norms_beside_the_body_are_refused(self):
        pair = players(dcgan)[0], autoencoder.Discriminator(SHAPE, 2)
        with pytest.raises(UserError, match=r"reg\.virtual_batch_norm\.network=d"):
            attached(pair, VirtualBatchNorm("d"))

    @pytest.mark.parametrize("numbers", [{"network": "x"}, {"n_reference": 1}])
    def test_bad_settings(self, numbers):
        with pytest.raises(UserError, match=r"^VirtualBatchNorm\.\w+="):
            VirtualBatchNorm(**numbers)

    def test_g_keeps_the_gamma_of_its_batch_norm_and_its_later_layers_do_without_the_reference(self):
        G, _ = players(dcgan)
        gamma = G.body[2].weight.detach().clone()
        VirtualBatchNorm("g").attach(G, players(dcgan)[1])
        assert torch.equal(G.body[2].weight, gamma)
        names = [type(layer).__name__ for layer in G.body]
        assert names[-5:] == ["VirtualNorm", "Drop", "ReLU", "ConvTranspose2d", "Tanh"]
        assert isinstance(G.body, Referenced)
        assert isinstance(G.body, Layers)
        assert reader_positions(G.body)[0] == 0


class TestConfigs:
    @pytest.mark.parametrize(
        ("overrides", "kind"),
        [
            (["reg=minibatch_discrimination"], Closeness),
            (["reg=[minibatch_discrimination,spectral]", "labels=acgan"], Closeness),
            (["reg=instance_norm"], nn.GroupNorm),
            (["reg=dropout"], nn.Dropout),
            (["reg=virtual_batch_norm", "reg.virtual_batch_norm.network=d"], VirtualNorm),
            (["reg=[virtual_batch_norm,spectral]", "labels=projection"], VirtualNorm),
        ],
    )
    def test_each_is_in_the_game_that_asks_for_it(self, compose, overrides, kind):
        gan = build_gan(compose("model.width=4", "data.image_size=16", *overrides))
        assert any(isinstance(layer, kind) for layer in gan.modules())
        assert gan.D(torch.randn(2, 1, 16, 16), torch.arange(2)).logits.shape == (2,)

    def test_the_papers_numbers(self, compose):
        reg = compose("reg=[minibatch_discrimination,dropout,virtual_batch_norm,instance_norm]").reg
        assert (reg.minibatch_discrimination.n_kernels, reg.minibatch_discrimination.kernel_dim) == (100, 5)
        assert (reg.dropout.p, reg.virtual_batch_norm.network, reg.instance_norm.gamma) == (0.5, "g", False)
