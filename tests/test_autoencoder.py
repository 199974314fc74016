"""Discriminators that reconstruct: their shapes, their errors by hand, and the energy losses and tricks on them."""

import copy

import pytest
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf, open_dict
from torch import nn

from lit_gan.build import build_gan, build_generator
from lit_gan.errors import UserError
from lit_gan.game import Layers
from lit_gan.layers import NormSlot, n_classes_of
from lit_gan.losses import BEGAN, EBGAN, Hinge
from lit_gan.models import autoencoder, dcgan, mlp
from lit_gan.records.directory import recorded_config
from lit_gan.records.resume import check_resume, drop_earlier_settings
from lit_gan.reg.gradients import GradientPenalty
from lit_gan.reg.structure import BatchNorm, LayerNorm
from lit_gan.reg.weights import SpectralNorm
from lit_gan.sweep.same_cell import check_same_cell


class Halve(autoencoder.Autoencoder):
    """Reconstructs x as x / 2; its code is x."""

    def __init__(self, n, exponent=2.0):
        super().__init__(n, exponent)
        self.body, self.decoder = Layers(nn.Flatten(), nn.Identity()), Layers(nn.Linear(n, n, bias=False))
        nn.init.eye_(self.decoder[0].weight).data.mul_(0.5)


# Shapes


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [16, 32, 64, 128])
def test_every_size_in_grey_and_in_colour(size, channels):
    D = autoencoder.Discriminator((channels, size, size), width=2, code_size=7)
    x = torch.randn(3, channels, size, size)
    verdict = D(x)
    assert verdict.logits.shape == (3,)
    assert verdict.features.shape == (3, 7)
    assert D.n_features == 7
    assert D.decoder(verdict.features).shape == x.shape
    assert (verdict.logits < 0).all()


@pytest.mark.parametrize("shape", [(2,), (1, 8, 8), (3, 5, 7)])
def test_dense_layers_take_points_and_images(shape):
    D = autoencoder.Dense(shape, width=8, depth=2, code_size=3)
    x = torch.randn(4, *shape)
    assert D(x).logits.shape == (4,)
    assert D.decoder(D.body(x)).shape == x.shape


@pytest.mark.parametrize(
    ("shape", "remedy"),
    [((1, 8, 8), "data.image_size"), ((3, 32, 64), "data.image_size"), ((2,), "model=autoencoder_mlp")],
)
def test_impossible_shapes_are_refused_in_a_sentence(shape, remedy):
    with pytest.raises(UserError, match=rf"This model .*{remedy}"):
        autoencoder.Discriminator(shape)


def test_its_g_is_a_dcgan_that_refuses_points(compose):
    G = compose("data=gaussians", "model=autoencoder").model.G
    with pytest.raises(InstantiationException, match=r"This model .*shape \[2\]: .*model=autoencoder_mlp\."):
        instantiate(G)


def test_a_run_and_a_cell_from_before_its_g_was_a_plain_dcgan_go_on(compose, tmp_path):
    """It had an argument `model`, which only the refusal of a shape read."""
    new = compose("model=autoencoder", "loss=ebgan", "reg=none")
    old = copy.deepcopy(new)
    with open_dict(old):
        old.model.G.model = "autoencoder"
    (tmp_path / ".hydra").mkdir()
    (tmp_path / "results.json").touch()
    OmegaConf.save(old, tmp_path / ".hydra" / "config.yaml")
    recorded = recorded_config(tmp_path)
    assert isinstance(build_generator(recorded_config(tmp_path), []), dcgan.Generator)
    check_same_cell(tmp_path, new)
    check_resume(recorded, new, set(), tmp_path)


def test_an_argument_model_of_a_class_of_ones_own_is_kept():
    config = OmegaConf.create({"model": {"G": {"_target_": "mine.Generator", "model": "small"}}})
    drop_earlier_settings(config)
    assert config.model.G.model == "small"


def test_the_decoder_is_the_encoder_backwards():
    D = autoencoder.Discriminator((3, 32, 32), width=4)
    down = [(layer.in_channels, layer.out_channels) for layer in D.body if isinstance(layer, nn.Conv2d)]
    up = [(layer.in_channels, layer.out_channels) for layer in D.decoder if isinstance(layer, nn.ConvTranspose2d)]
    assert down == [(3, 4), (4, 8), (8, 16)]
    assert up == [(16, 8), (8, 4), (4, 3)]
    assert [slot.channels for slot in D.body if isinstance(slot, NormSlot)] == [8, 16]
    assert [slot.channels for slot in D.decoder if isinstance(slot, NormSlot)] == [8, 4]


# Errors by hand


@pytest.mark.parametrize(("exponent", "errors"), [(1.0, [0.5, 1.75]), (2.0, [0.25, 3.625])])
def test_the_logit_is_minus_the_mean_error(exponent, errors):
    x = torch.tensor([[1.0, -1.0], [2.0, 5.0]])  # half of it is missing: (0.5, 0.5), (1, 2.5)
    torch.testing.assert_close(Halve(2, exponent)(x).logits, -torch.tensor(errors))
    torch.testing.assert_close(Halve(2, exponent)(x).features, x)


def test_an_exponent_below_one_is_refused():
    with pytest.raises(UserError, match=r"^Dense\.exponent=0\.5"):
        autoencoder.Dense((2,), exponent=0.5)


def test_what_changes_a_last_layer_is_refused_in_a_sentence_with_a_way_out_that_keeps_the_loss(compose):
    game = "model=autoencoder", "loss=ebgan", "data.image_size=16", "model.width=4"
    with pytest.raises(UserError, match=r"D has no last layer.*choose labels that leave it alone, such as labels=cgan"):
        build_gan(compose(*game, "labels=projection"))
    assert n_classes_of(build_gan(compose(*game, "labels=cgan")).D) == 10


def test_slope_of_a_linear_autoencoder(make_turn):
    # D(x) = -|x/2|^2 / 2: its gradient is -x / 4, at (4, 0) of length 1 and at (0, 12) of length 3
    x = torch.tensor([[4.0, 0.0], [0.0, 12.0]])
    assert GradientPenalty().d(make_turn("d", Halve(2), x, x)).item() == pytest.approx((0 + 4) / 2)


# Together with losses and tricks


@pytest.mark.parametrize("loss", [EBGAN(), BEGAN()], ids=lambda loss: loss.name)
def test_energy_losses_want_an_autoencoder(loss):
    G = mlp.Generator((2,), width=2)
    loss.check(G, autoencoder.Dense((2,)))
    with pytest.raises(UserError, match=f"loss={loss.name} .*model=autoencoder"):
        loss.check(G, mlp.Discriminator((2,), width=2))


def test_any_loss_plays_with_an_autoencoder(make_turn):
    D = Halve(2)
    turn = make_turn("d", D, torch.tensor([[1.0, -1.0]]), torch.tensor([[4.0, 4.0]]))
    # errors 0.25 and 4: max(0, 1 + 0.25) + max(0, 1 - 4)
    assert Hinge().d(turn).item() == pytest.approx(1.25)
    assert Hinge().g(turn).item() == pytest.approx(4)


@pytest.mark.parametrize("reg", [SpectralNorm(), LayerNorm(), BatchNorm()], ids=lambda reg: reg.name)
@pytest.mark.parametrize("kind", ["convolutional", "dense"])
def test_tricks_reach_both_halves(make_turn, reg, kind):
    shape = (1, 16, 16) if kind == "convolutional" else (2,)
    D = autoencoder.Discriminator(shape, width=2) if kind == "convolutional" else autoencoder.Dense(shape, 4, 2)
    before = [len(list(half.modules())) for half in (D.body, D.decoder)]
    slots = [sum(isinstance(layer, NormSlot) for layer in half) for half in (D.body, D.decoder)]
    reg.attach(mlp.Generator((2,), width=2), D)
    if isinstance(reg, SpectralNorm):
        after = [len(list(half.modules())) for half in (D.body, D.decoder)]
        assert all(more > fewer for more, fewer in zip(after, before, strict=True))
    else:
        assert min(slots) > 0
        assert not any(isinstance(layer, NormSlot) for layer in D.modules())
    turn = make_turn("d", D, torch.randn(4, *shape), torch.randn(4, *shape))
    EBGAN().d(turn).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in D.parameters() if p.requires_grad)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_model_files_make_pairs_of_a_dcgan_or_an_mlp_with_an_autoencoder(compose, channels):
    config = compose("model=autoencoder", "data=digits", f"data.channels={channels}", "model.width=4").model
    G, D = instantiate(config.G), instantiate(config.D)
    assert isinstance(G, dcgan.Generator)
    assert D(G(G.draw(2))).logits.shape == (2,)
    config = compose("model=autoencoder_mlp", "data=gaussians", "model.width=4").model
    G, D = instantiate(config.G), instantiate(config.D)
    assert isinstance(G, mlp.Generator)
    assert D(G(G.draw(2))).features.shape == (2, 2)
