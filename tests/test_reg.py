"""Regularizers of D's structure, what goes together, and the configs of all."""

import copy
import itertools

import pytest
import torch
from hydra.utils import instantiate
from torch import nn

from lit_gan import game
from lit_gan.errors import UserError
from lit_gan.game import Regularizer
from lit_gan.layers import NormSlot
from lit_gan.models import dcgan, mlp, sngan_cnn, sngan_resnet
from lit_gan.reg.constraints import Orthonormal, SpectralPenalty, WeightClip
from lit_gan.reg.structure import BatchNorm, LayerNorm
from lit_gan.reg.weights import FrobeniusNorm, SpectralNorm, WeightNorm

IMAGES = (1, 16, 16)


class SmallD(game.Discriminator):
    """Two convolutions and a linear layer on [1, 8, 8]."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(6, 4, 4, 2, 1), NormSlot(4), nn.LeakyReLU(0.2)
        )
        self.head = nn.Linear(64, 1)


def attached(reg, D):
    together(D, [reg])
    return D


def together(D, regs):
    """The regularizers, attached in order and then checked, as a game does it."""
    G = mlp.Generator((2,), width=2)
    for hook in ("attach", "check"):
        for reg in regs:
            getattr(reg, hook)(G, D)
    return regs


# Batch and layer normalisation


NORMALISATIONS = [(BatchNorm, nn.modules.batchnorm._BatchNorm), (LayerNorm, nn.GroupNorm)]
NETWORKS = [
    dcgan.Discriminator((1, 32, 32), width=4),
    sngan_cnn.Discriminator((1, 32, 32), width=2),
    sngan_resnet.Discriminator((1, 32, 32), width=2),
    mlp.Discriminator((1, 32, 32), width=8),
]


@pytest.mark.parametrize(("reg", "kind"), NORMALISATIONS)
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: type(network).__module__)
def test_a_normalisation_fills_every_slot(network, reg, kind):
    slots = sum(isinstance(layer, NormSlot) for layer in network.modules())
    D = attached(reg(), copy.deepcopy(network))
    assert not any(isinstance(layer, NormSlot) for layer in D.modules())
    assert sum(isinstance(layer, kind) for layer in D.modules()) == slots > 0
    assert D(torch.randn(3, 1, 32, 32)).logits.shape == (3,)


@pytest.mark.parametrize("reg", [BatchNorm, LayerNorm])
@pytest.mark.parametrize("gamma", [False, True])
def test_beta_is_learned_and_gamma_only_if_told(reg, gamma):
    D = attached(reg(gamma=gamma), SmallD())
    layer = D.body[3]
    assert torch.equal(layer.weight, torch.ones(4))
    assert torch.equal(layer.bias, torch.zeros(4))
    D(torch.randn(3, 1, 8, 8)).logits.sum().backward()
    assert (layer.weight.grad is not None) is gamma
    assert layer.bias.grad.abs().sum() > 0


def test_layer_norm_normalises_each_sample_over_channels_and_positions_together():
    layer = attached(LayerNorm(), SmallD()).body[3]
    x = torch.randn(5, 4, 4, 4) + torch.arange(4.0).view(1, 4, 1, 1)  # normalised one by one, channels would look alike
    torch.testing.assert_close(layer(x), nn.functional.layer_norm(x, (4, 4, 4)))


def test_batch_norm_normalises_each_channel_over_the_batch():
    layer = attached(BatchNorm(), SmallD()).body[3]
    out = layer(torch.randn(5, 4, 4, 4) * torch.arange(1.0, 5.0).view(1, 4, 1, 1) + 3).transpose(0, 1).flatten(1)
    torch.testing.assert_close(out.mean(1), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.var(1, correction=0), torch.ones(4), atol=1e-3, rtol=0)


def influence_of_others(D):
    """The gradient of the first sample's logit with respect to the other samples."""
    x = torch.randn(4, 1, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(D(x).logits[0], x)
    assert gradient[0].abs().sum() > 0
    return gradient[1:].abs().max().item()


@pytest.mark.parametrize("reg", [None, LayerNorm, SpectralNorm, WeightNorm, Orthonormal])
def test_samples_are_judged_one_by_one(reg):
    D = dcgan.Discriminator(IMAGES, width=4)
    assert influence_of_others(D if reg is None else attached(reg(), D)) == 0


def test_batch_norm_lets_samples_see_each_other():
    assert influence_of_others(attached(BatchNorm(), dcgan.Discriminator(IMAGES, width=4))) > 0


@pytest.mark.parametrize("pair", list(itertools.product([BatchNorm, LayerNorm], repeat=2)))
def test_two_normalisations_are_refused(pair):
    D = attached(pair[0](), SmallD())
    with pytest.raises(UserError, match=pair[1]().name):
        attached(pair[1](), D)


def test_a_normalisation_needs_a_slot(linear_d):
    with pytest.raises(UserError, match="layer_norm"):
        attached(LayerNorm(), linear_d([1.0, 2.0]))


# Combinations


REPARAMETRISATIONS = [SpectralNorm, WeightNorm, FrobeniusNorm]


@pytest.mark.parametrize("pair", list(itertools.product(REPARAMETRISATIONS, repeat=2)))
def test_weights_are_reparametrised_once(pair):
    D, second = attached(pair[0](), SmallD()), pair[1]()
    with pytest.raises(UserError, match=f"^reg={second.name} "):
        attached(second, D)


def refused(D, pair):
    """Whether D refuses two regularizers."""
    try:
        together(D, [reg() for reg in pair])
        return False
    except UserError:
        return True


@pytest.mark.parametrize("reparametrisation", REPARAMETRISATIONS)
@pytest.mark.parametrize("reg", [WeightClip, SpectralPenalty])
def test_bounding_what_is_divided_by_its_norm_is_refused_in_either_order(reparametrisation, reg):
    assert refused(SmallD(), [reparametrisation, reg])
    assert refused(SmallD(), [reg, reparametrisation])


@pytest.mark.parametrize("reparametrisation", REPARAMETRISATIONS)
@pytest.mark.parametrize("first", [True, False])
def test_orthonormal_is_refused_behind_a_reparametrisation_and_before_it_reaches_its_weights(
    make_turn, reparametrisation, first
):
    pair = [Orthonormal, reparametrisation] if first else [reparametrisation, Orthonormal]
    D = SmallD()
    if not first:
        assert refused(D, pair)
        return
    regs = together(D, [reg() for reg in pair])
    term = regs[0].d(make_turn("d", D, torch.randn(2, 1, 8, 8)))
    reached = torch.autograd.grad(term, [p for p in D.parameters() if p.requires_grad], allow_unused=True)
    assert any(gradient is not None for gradient in reached)


# Configs


def test_every_reg_file_adds_the_one_key_of_its_name(compose, reg_choice):
    config = compose(f"reg=[{reg_choice}]").reg
    assert list(config) == [reg_choice] * (reg_choice != "none")
    assert all(isinstance(instantiate(entry), Regularizer) for entry in config.values())


def test_the_papers_numbers_are_the_defaults(compose):
    normalisations = ["weight_norm", "batch_norm", "layer_norm", "frobenius", "spectral"]
    of_slopes = ["gradient_penalty", "finite_difference_penalty", "dragan", "r1", "r2", "zero_centered"]
    of_weights = ["weight_clip", "spectral_penalty", "orthonormal", "orthogonal"]
    config = compose(f"reg=[{','.join(normalisations + of_slopes + of_weights)}]").reg
    assert not any(config[name].gamma for name in normalisations)
    assert (config.spectral.n_power_iterations, config.spectral.factor) == (1, 1)
    assert all(config[name].weight == 10 for name in of_slopes)
    assert not config.gradient_penalty.one_sided
    assert config.dragan.spread == 0.5
    assert (config.weight_clip.limit, config.weight_clip.when) == (0.01, "after")
    assert config.spectral_penalty.weight == 0.01
    assert (config.orthogonal.weight, config.orthogonal.network) == (1e-4, "g")


@pytest.mark.parametrize("selection", ["[]", "none"])
def test_no_regularizer(compose, selection):
    assert not compose(f"reg={selection}").reg


def test_list_order_is_kept(compose):
    assert list(compose("reg=[weight_clip,layer_norm]").reg) == ["weight_clip", "layer_norm"]
    assert list(compose("reg=[layer_norm,weight_clip]").reg) == ["layer_norm", "weight_clip"]
