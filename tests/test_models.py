"""Networks: the papers' tables, parameter counts, ranges, initialisation, and sizes that are refused."""

import functools
import itertools
import math
import re

import pytest
import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lit_gan.catalogue.configs import choices
from lit_gan.errors import UserError
from lit_gan.game import Labelled
from lit_gan.layers import NormSlot, n_inputs, reader_positions, weight_layers, widen
from lit_gan.models import (
    biggan,
    blocks,
    dcgan,
    layers,
    mlp,
    resnet101,
    sngan_cnn,
    sngan_resnet,
    upsample_dcgan,
    wgan_gp_resnet,
)

CONVOLUTIONAL = (dcgan, sngan_cnn, sngan_resnet, upsample_dcgan, wgan_gp_resnet, resnet101)
SIZES = [
    *((model, size) for model in (dcgan, wgan_gp_resnet, resnet101) for size in (16, 32, 64, 128)),
    *((sngan_cnn, size) for size in (16, 32, 48, 64)),
    *((sngan_resnet, size) for size in (32, 48, 64, 128)),
    *((upsample_dcgan, size) for size in (8, 12, 28, 32, 64, 100)),
]


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def convolutions(network):
    """(in, out, kernel, stride) of every convolution, in the order of the network."""
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    layers = [layer for layer in network.modules() if isinstance(layer, kinds)]
    return [(layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.stride[0]) for layer in layers]


# Shapes


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("model", "size"), SIZES)
def test_every_size_in_grey_and_in_colour(model, size, channels):
    shape = (channels, size, size)
    G, D = model.Generator(shape, z_dim=5, width=4), model.Discriminator(shape, width=4)
    x = G(G.draw(3))
    assert x.shape == (3, *shape)
    assert x.abs().max() <= 1
    verdict = D(x)
    assert verdict.logits.shape == (3,)
    assert verdict.features.shape == (3, D.head.in_features)
    torch.testing.assert_close(D.head(verdict.features)[:, 0], verdict.logits)
    verdict.logits.sum().backward()
    for name, parameter in [*G.named_parameters(), *D.named_parameters()]:
        assert parameter.grad.isfinite().all(), name
    assert next(G.parameters()).grad.any()


@pytest.mark.parametrize("shape", [(2,), (1, 8, 8), (3, 5, 7)])
def test_mlp_makes_points_and_images(shape):
    G, D = mlp.Generator(shape, width=8), mlp.Discriminator(shape, width=8)
    x = G(G.draw(4))
    assert x.shape == (4, *shape)
    verdict = D(x)
    assert verdict.logits.shape == (4,)
    torch.testing.assert_close(D.head(verdict.features)[:, 0], verdict.logits)


@pytest.mark.parametrize("model", [*CONVOLUTIONAL, mlp])
def test_g_output_is_a_tanh(model):
    G = model.Generator((1, 32, 32), width=4)
    with torch.no_grad():
        for _, layer in weight_layers(G):
            layer.weight.mul_(100)
    x = G(G.draw(4))
    assert 0.99 < x.abs().max() <= 1


def test_points_are_not_squeezed_by_a_tanh():
    G = mlp.Generator((2,), width=8)
    with torch.no_grad():
        for _, layer in weight_layers(G):
            layer.weight.mul_(100)
    assert G(G.draw(10)).abs().max() > 1


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        *((model, (1, size, size)) for model in (dcgan, wgan_gp_resnet, resnet101) for size in (8, 28, 48, 256)),
        *((sngan_cnn, (3, size, size)) for size in (8, 28, 128)),
        *((sngan_resnet, (3, size, size)) for size in (16, 80, 96)),
        *((upsample_dcgan, (3, size, size)) for size in (4, 30, 33, 1028)),
        *((model, shape) for model in CONVOLUTIONAL for shape in [(3, 32, 64), (2,), (32, 32)]),
    ],
)
@pytest.mark.parametrize("player", ["Generator", "Discriminator"])
def test_impossible_shapes_are_refused_in_a_sentence(model, shape, player):
    remedy = {1: "model=mlp", 2: "model=text_resnet", 3: "data.image_size"}[len(shape)]
    with pytest.raises(UserError, match=rf"^This model makes .*{remedy}") as refusal:
        getattr(model, player)(shape)
    assert "\n" not in str(refusal.value)
    assert str(list(shape)) in str(refusal.value)


# DCGAN


UPSAMPLINGS = [layers.transposed, layers.nearest, layers.pixel_shuffle]


@pytest.mark.parametrize("kernel_size", range(1, 8))
@pytest.mark.parametrize("n", [8, 16, 32])
def test_all_kernels_halve_double_and_keep_exactly(kernel_size, n):
    changes = [(layers.downsample, n // 2), (layers.convolve, n), *((upsample, 2 * n) for upsample in UPSAMPLINGS)]
    for change, side in changes:
        module = nn.Sequential(*change(2, 3, kernel_size))
        assert module(torch.zeros(1, 2, n, n)).shape == (1, 3, side, side), change


@pytest.mark.parametrize(("kernel_size", "field"), [(4, 46), (5, 61)])
def test_a_feature_of_dcgan_sees_its_receptive_field(kernel_size, field):
    # four layers of stride 2: 1 + (k - 1)(1 + 2 + 4 + 8) pixels
    D = dcgan.Discriminator((1, 64, 64), width=4, kernel_size=kernel_size)
    x = torch.randn(1, 1, 64, 64, requires_grad=True)
    (gradient,) = torch.autograd.grad(D.body(x)[0, :, 2, 2].sum(), x)
    seen = gradient[0, 0].abs() > 0
    assert seen.any(0).sum() == seen.any(1).sum() == field


def test_dcgan_has_the_svhn_features_of_the_papers_code():
    # max-pooled to 4 x 4: 16 (64 + 128 + 256)
    D = dcgan.Discriminator((3, 32, 32), width=64, kernel_size=5)
    assert 16 * sum(after for _, after, _, _ in convolutions(D)) == 7168


def test_dcgan_has_the_widths_of_the_papers_faces():
    shape = (3, 64, 64)
    D = dcgan.Discriminator(shape, width=128, kernel_size=5)
    assert convolutions(D) == [(3, 128, 5, 2), (128, 256, 5, 2), (256, 512, 5, 2), (512, 1024, 5, 2)]
    G = dcgan.Generator(shape, width=128, kernel_size=5)
    assert G.body[0].out_features == 1024 * 4 * 4
    assert convolutions(G) == [(1024, 512, 5, 2), (512, 256, 5, 2), (256, 128, 5, 2), (128, 3, 5, 2)]


@pytest.mark.parametrize(("size", "stages"), [(16, 2), (32, 3), (64, 4), (128, 5)])
def test_dcgan_normalises_everywhere_but_at_g_output_and_d_input(size, stages):
    G, D = dcgan.Generator((1, size, size), width=2), dcgan.Discriminator((1, size, size), width=2)
    norms = [index for index, layer in enumerate(G.body) if isinstance(layer, nn.BatchNorm2d)]
    weights = [index for index, layer in enumerate(G.body) if isinstance(layer, (nn.Linear, nn.ConvTranspose2d))]
    assert len(norms) == len(weights) - 1 == stages
    assert all(before < norm < after for before, norm, after in zip(weights, norms, weights[1:], strict=False))
    assert isinstance(G.body[-1], nn.Tanh)
    slots = [index for index, layer in enumerate(D.body) if isinstance(layer, NormSlot)]
    kernels = [index for index, layer in enumerate(D.body) if isinstance(layer, nn.Conv2d)]
    assert slots == [kernel + 1 for kernel in kernels[1:]]
    assert [D.body[slot].channels for slot in slots] == [D.body[kernel].out_channels for kernel in kernels[1:]]


def test_dcgan_uses_relu_in_g_and_leaky_relu_of_slope_02_in_d():
    G, D = dcgan.Generator((1, 32, 32), width=2), dcgan.Discriminator((1, 32, 32), width=2)
    assert sum(isinstance(layer, nn.ReLU) for layer in G.modules()) == 3
    assert [layer.negative_slope for layer in D.modules() if isinstance(layer, nn.LeakyReLU)] == [0.2] * 3
    assert not any(isinstance(layer, (nn.MaxPool2d, nn.AvgPool2d)) for layer in D.modules())


# SNGAN, Table 3


@pytest.mark.parametrize(("wide", "parameters"), [(False, 2_935_873), (True, 5_860_865)])
def test_standard_cnn_d_has_the_parameters_of_its_table(wide, parameters):
    assert count(sngan_cnn.Discriminator((3, 32, 32), wide=wide)) == parameters


def test_standard_cnn_follows_table_3():
    D = sngan_cnn.Discriminator((3, 48, 48))
    assert convolutions(D) == [
        (3, 64, 3, 1),
        (64, 64, 4, 2),
        (64, 128, 3, 1),
        (128, 128, 4, 2),
        (128, 256, 3, 1),
        (256, 256, 4, 2),
        (256, 512, 3, 1),
    ]
    assert D.head.in_features == 6 * 6 * 512
    assert [layer.negative_slope for layer in D.modules() if isinstance(layer, nn.LeakyReLU)] == [0.1] * 7
    G = sngan_cnn.Generator((3, 48, 48))
    assert (G.body[0].in_features, G.body[0].out_features) == (128, 6 * 6 * 512)
    assert convolutions(G) == [(512, 256, 4, 2), (256, 128, 4, 2), (128, 64, 4, 2), (64, 3, 3, 1)]
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in G.modules()) == 3


def test_the_released_code_widens_at_the_strides():
    D = sngan_cnn.Discriminator((3, 32, 32), wide=True, slope=0.2)
    assert [after for _, after, _, _ in convolutions(D)] == [64, 128, 128, 256, 256, 512, 512]
    assert {layer.negative_slope for layer in D.modules() if isinstance(layer, nn.LeakyReLU)} == {0.2}


def test_standard_cnn_has_a_slot_after_every_convolution_but_the_first():
    D = sngan_cnn.Discriminator((3, 32, 32))
    assert [layer.channels for layer in D.modules() if isinstance(layer, NormSlot)] == [64, 128, 128, 256, 256, 512]
    assert isinstance(D.body[1], nn.LeakyReLU)


# SNGAN, Tables 4 to 6


RESNETS = {
    32: ((256, 4), [256, 256, 256], [(128, 2), (128, 2), (128, 1), (128, 1)]),
    48: ((512, 6), [256, 128, 64], [(64, 2), (128, 2), (256, 2), (512, 2), (1024, 1)]),
    64: ((1024, 4), [512, 256, 128, 64], [(64, 2), (128, 2), (256, 2), (512, 2), (1024, 2)]),
    128: ((1024, 4), [1024, 512, 256, 128, 64], [(64, 2), (128, 2), (256, 2), (512, 2), (1024, 2), (1024, 1)]),
}


@pytest.mark.parametrize("size", RESNETS)
def test_resnet_widths_are_those_of_the_tables(size):
    (first, bottom), up, blocks = RESNETS[size]
    with torch.device("meta"):
        G, D = sngan_resnet.Generator((3, size, size)), sngan_resnet.Discriminator((3, size, size))
        assert (G.body[0].in_features, G.body[0].out_features) == (128, first * bottom**2)
        x, sides = torch.zeros(1, first, bottom, bottom), []
        for block in G.body[2 : 2 + len(up)]:
            side, x = x.shape[-1], block(x)
            sides.append((x.shape[1], x.shape[-1] // side))
        assert sides == [(channels, 2) for channels in up]
        assert x.shape[-1] == size
        x, sides = torch.zeros(1, 3, size, size), []
        for block in D.body[: len(blocks)]:
            side, x = x.shape[-1], block(x)
            sides.append((x.shape[1], side // x.shape[-1]))
        assert sides == blocks
    assert D.head.in_features == blocks[-1][0]
    assert (D.head.bias is None) is (size == 32)


def test_resnet_blocks_have_the_hidden_widths_of_figure_8():
    D = sngan_resnet.Discriminator((3, 48, 48))
    # first block, then conv(hidden = in), conv, 1x1 shortcut
    assert convolutions(D)[:6] == [
        (3, 64, 3, 1),
        (64, 64, 3, 1),
        (3, 64, 1, 1),
        (64, 64, 3, 1),
        (64, 128, 3, 1),
        (64, 128, 1, 1),
    ]
    G = sngan_resnet.Generator((3, 48, 48))
    assert convolutions(G)[:3] == [(512, 256, 3, 1), (256, 256, 3, 1), (512, 256, 1, 1)]


def test_resnet_sums_over_positions():
    D = sngan_resnet.Discriminator((3, 32, 32), width=2)
    x = torch.randn(2, 3, 32, 32)
    maps = D.body[:-1](x)
    torch.testing.assert_close(D(x).features, maps.sum(3).sum(2))
    assert (maps >= 0).all()


def test_resnet_d_uses_relu_and_no_normalisation():
    D = sngan_resnet.Discriminator((3, 32, 32), width=2)
    assert not any(isinstance(layer, (nn.LeakyReLU, nn.BatchNorm2d, nn.GroupNorm)) for layer in D.modules())


def test_a_resnet_block_that_changes_nothing_has_an_identity_shortcut():
    block = blocks.DownBlock(4, 4, halve=False)
    nn.init.zeros_(block.residual[-1].weight)
    nn.init.zeros_(block.residual[-1].bias)
    x = torch.randn(2, 4, 8, 8)
    torch.testing.assert_close(block(x), x)


@pytest.mark.parametrize("norm", [nn.Identity, nn.BatchNorm2d])
def test_a_g_block_adds_its_shortcut_of_the_untouched_input(norm):
    block = blocks.UpBlock(3, 3, norm)
    nn.init.zeros_(block.residual[-1].weight)
    nn.init.zeros_(block.residual[-1].bias)
    x = torch.randn(2, 3, 4, 4)
    expected = block.shortcut(x.clone())
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("block", [blocks.DownBlock(3, 3, True), sngan_resnet.FirstBlock(3, 3)])
def test_a_d_block_leaves_its_input_alone(block):
    x = torch.randn(2, 3, 4, 4)
    before = x.clone()
    block(x)
    assert torch.equal(x, before)


# Initialisation


@pytest.mark.parametrize(("width", "later"), [(16, 0.04), (32, 0.02 * 2**0.5), (64, 0.02), (128, 0.02)])
@pytest.mark.parametrize("model", [dcgan, sngan_cnn])
@pytest.mark.parametrize("player", ["Generator", "Discriminator"])
def test_weights_are_drawn_from_a_normal_of_002_and_a_larger_one_in_narrow_networks(model, player, width, later):
    network = getattr(model, player)((3, 32, 32), width=width)
    for place, (name, layer) in enumerate(weight_layers(network)):
        n, std = layer.weight.numel(), later if place else 0.02
        assert abs(layer.weight.mean().item()) < 5 * std / n**0.5, name
        assert layer.weight.std().item() == pytest.approx(std, rel=5 / (2 * n) ** 0.5), name
        assert not layer.bias.any(), name


def test_weights_of_upsampling_dcgan_are_drawn_as_in_its_source():
    for player in (upsample_dcgan.Generator, upsample_dcgan.Discriminator):
        for name, layer in weight_layers(player((1, 32, 32))):
            assert layer.weight.std().item() == pytest.approx(0.02, rel=5 / (2 * layer.weight.numel()) ** 0.5), name


@pytest.mark.parametrize("model", [dcgan, sngan_cnn])
def test_a_narrow_discriminator_is_as_steep_as_one_of_the_papers_width(model):
    x = torch.randn(64, 3, 32, 32)
    narrow, wide = (model.Discriminator((3, 32, 32), width=width)(x).logits.std().item() for width in (16, 64))
    assert 0.5 < narrow / wide < 2


def test_the_standard_cnn_starts_with_a_multiplier_of_one():
    G = sngan_cnn.Generator((3, 32, 32), width=4)
    norms = [layer for layer in G.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(norms) == 3
    assert all((norm.weight == 1).all() and not norm.bias.any() for norm in norms)


@pytest.mark.parametrize("model", [dcgan, upsample_dcgan])
def test_batch_norms_multiplier_is_drawn_around_one(model):
    G = model.Generator((3, 32, 32), width=64)
    gammas = torch.cat([layer.weight for layer in G.modules() if isinstance(layer, nn.BatchNorm2d)])
    assert gammas.mean().item() == pytest.approx(1, abs=0.005)
    assert gammas.std().item() == pytest.approx(0.02, rel=0.2)


@pytest.mark.parametrize("player", ["Generator", "Discriminator"])
def test_resnet_weights_are_glorot_uniform(player):
    network = getattr(sngan_resnet, player)((3, 32, 32), width=16)
    for name, layer in weight_layers(network):
        area = math.prod(layer.weight.shape[2:])
        fans = area * (layer.weight.shape[0] + layer.weight.shape[1])
        bound = (2 if "residual" in name else 1) ** 0.5 * (6 / fans) ** 0.5
        assert layer.weight.abs().max().item() <= bound, name
        n = layer.weight.numel()
        assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=5 / n**0.5), name
        assert layer.bias is None or not layer.bias.any(), name


def test_glorot_counts_a_fan_by_what_the_stride_leaves_of_it():
    # a pixel reaches 9 / 4 of the outputs of a 3x3 convolution of stride 2, and as few inputs make one transposed
    assert layers.fan_in_plus_out(nn.Conv2d(5, 7, 3)) == 9 * (5 + 7)
    assert layers.fan_in_plus_out(nn.Conv2d(5, 8, 3, stride=2)) == 9 * (5 + 8 / 4)
    assert layers.fan_in_plus_out(nn.ConvTranspose2d(8, 5, 3, stride=2)) == 9 * (8 / 4 + 5)
    assert layers.fan_in_plus_out(nn.Linear(5, 7)) == 12


def test_glorot_with_gain_sqrt_2_does_not_lose_relu_features_on_the_way():
    G = dcgan.Generator(
        (3, 64, 64),
        width=32,
        kernel_size=5,
        growth=1,
        norm=None,
        initialise=functools.partial(layers.initialise_glorot, gain=2**0.5),
    )
    x, sizes = G.draw(64), []
    for layer in G.body[:-1]:
        x = layer(x)
        sizes += [x.square().mean().item()] * isinstance(layer, nn.ConvTranspose2d)
    assert len(sizes) == 4
    assert all(0.02 < size < 5 for size in sizes)
    shrinks = dcgan.Generator((3, 64, 64), width=32, kernel_size=5, growth=1, norm=None)
    assert shrinks.body[:-1](shrinks.draw(64)).square().mean() < 1e-4


@pytest.mark.parametrize("gain", [0.8, 1.4])
def test_orthogonal_weights_have_equal_singular_values(gain):
    initialise = functools.partial(layers.initialise_orthogonal, gain=gain)
    networks = (
        mlp.Generator((2,), 16, 8, 2, initialise=initialise),
        mlp.Discriminator((2,), 8, 2, initialise=initialise),
    )
    for network in networks:
        for name, layer in weight_layers(network):
            values = torch.linalg.svdvals(layer.weight.detach())
            torch.testing.assert_close(values, torch.full_like(values, gain), msg=name)
            assert not layer.bias.any(), name


# Activations


def test_shifted_softplus_is_its_formula_and_has_a_second_derivative():
    x = torch.linspace(-4, 4, 101, dtype=torch.double, requires_grad=True)
    y = layers.ShiftedSoftplus()(x)
    torch.testing.assert_close(y, F.softplus(2 * x + 2) / 2 - 1)
    (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    torch.testing.assert_close(first, torch.sigmoid(2 * x + 2))
    torch.testing.assert_close(second, 2 * first * (1 - first))


@pytest.mark.parametrize("positions", [(), (3, 3)])
def test_a_gate_multiplies_half_of_the_channels_with_the_other(positions):
    x = torch.randn(2, 6, *positions)
    torch.testing.assert_close(layers.Gated()(x), x[:, :3].sigmoid() * x[:, 3:].tanh())


def test_relus_are_those_of_the_paper():
    x = torch.tensor([-2.0, 3.0])
    torch.testing.assert_close(layers.relu()(x.clone()), torch.tensor([0.0, 3.0]))
    torch.testing.assert_close(layers.leaky_relu()(x.clone()), torch.tensor([-0.4, 3.0]))


ACTIVATIONS = [layers.relu, layers.leaky_relu, layers.ShiftedSoftplus, nn.Tanh, layers.Gated]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_only_a_gate_reads_twice_as_many_channels(activation):
    assert layers.channels_read(activation) == 1 + (activation is layers.Gated)


@pytest.mark.parametrize("activation", [nn.Tanh, layers.Gated])
@pytest.mark.parametrize("model", [dcgan, mlp])
def test_an_activation_is_everywhere(model, activation):
    for player in ("Generator", "Discriminator"):
        network = getattr(model, player)((1, 32, 32), width=4, depth=2, activation=activation)
        others = (nn.ReLU, nn.LeakyReLU)
        assert not any(isinstance(layer, others) for layer in network.modules())
        hidden = len(list(weight_layers(network))) - 1
        output = player == "Generator" and activation is nn.Tanh
        assert sum(isinstance(layer, activation) for layer in network.modules()) == hidden + output


def test_batch_norms_gamma_starts_around_one():
    network = nn.BatchNorm2d(10_000)
    layers.initialise_normal(network)
    assert network.weight.mean().item() == pytest.approx(1, abs=1e-3)
    assert network.weight.std().item() == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize(("width", "factor"), [(16, 1), (4, 2)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_shortcut_around_the_first_layer_is_a_first_layer_too(width, factor, channels):
    D = biggan.Discriminator((channels, 32, 32), width=width, initialise=layers.initialise_normal)
    for name, layer in weight_layers(D):
        reads_the_image = layer.weight.shape[1] == channels
        std, rel = 0.02 * (1 if reads_the_image else factor), 4 / layer.weight.numel() ** 0.5
        assert layer.weight.std().item() == pytest.approx(std, rel=max(rel, 0.02)), name


def test_a_gated_dcgan_normalises_both_halves():
    shape = (3, 64, 64)
    G, D = (
        player(shape, width=64, kernel_size=5, activation=layers.Gated)
        for player in (dcgan.Generator, dcgan.Discriminator)
    )
    assert convolutions(D) == [(3, 128, 5, 2), (64, 256, 5, 2), (128, 512, 5, 2), (256, 1024, 5, 2)]
    assert [layer.channels for layer in D.modules() if isinstance(layer, NormSlot)] == [256, 512, 1024]
    assert D.head.in_features == 512 * 16
    assert convolutions(G) == [(512, 512, 5, 2), (256, 256, 5, 2), (128, 128, 5, 2), (64, 3, 5, 2)]
    norms = [layer.num_features for layer in G.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert norms == [1024, 512, 256, 128]


# DCGAN's variants


@pytest.mark.parametrize(("depth", "count"), [(1, 4), (2, 8), (3, 12), (5, 20)])
@pytest.mark.parametrize("player", ["Generator", "Discriminator"])
def test_depths_of_the_random_architectures(player, depth, count):
    network = getattr(dcgan, player)((3, 32, 32), width=2, depth=depth)
    assert len(list(weight_layers(network))) == count
    kernels = [(kernel, stride) for _, _, kernel, stride in convolutions(network)]
    assert kernels.count((4, 2)) == 3
    assert kernels.count((3, 1)) == len(kernels) - 3 == 4 * (depth - 1)
    norms = sum(isinstance(layer, (nn.BatchNorm2d, NormSlot)) for layer in network.modules())
    assert norms == (count - 1 if player == "Generator" else count - 2)


def test_a_deep_dcgan_follows_its_plan():
    D = dcgan.Discriminator((3, 32, 32), width=128, kernel_size=3, depth=2)
    # as the six layers of the 32 px model of Radford et al. 2016, and one more
    assert [after for _, after, _, _ in convolutions(D)] == [128, 128, 256, 256, 512, 512, 512]
    assert [stride for _, _, _, stride in convolutions(D)] == [1, 2, 1, 2, 1, 2, 1]
    G = dcgan.Generator((3, 32, 32), width=2, depth=2)
    assert convolutions(G) == [
        (8, 8, 3, 1),
        (8, 4, 4, 2),
        (4, 4, 3, 1),
        (4, 2, 4, 2),
        (2, 2, 3, 1),
        (2, 2, 4, 2),
        (2, 3, 3, 1),
    ]


def test_constant_widths():
    G = dcgan.Generator((3, 64, 64), z_dim=128, width=64, kernel_size=5, growth=1, norm=None)
    assert G.body[0].out_features == 64 * 16
    assert convolutions(G) == [(64, 64, 5, 2)] * 3 + [(64, 3, 5, 2)]
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in G.modules())


@pytest.mark.parametrize("growth", [0, -2])
def test_widths_that_vanish_are_refused(growth):
    with pytest.raises(UserError, match=rf"^Generator\.growth={growth} .*1 or more"):
        dcgan.Generator((1, 32, 32), growth=growth)


@pytest.mark.parametrize("model", [dcgan, sngan_cnn])
@pytest.mark.parametrize("upsample", UPSAMPLINGS)
def test_g_upsamples_as_it_is_told(model, upsample):
    G = model.Generator((3, 32, 32), width=4, upsample=upsample)
    kinds = {layers.transposed: nn.ConvTranspose2d, layers.nearest: nn.Upsample, layers.pixel_shuffle: nn.PixelShuffle}
    for key, kind in kinds.items():
        assert sum(isinstance(layer, kind) for layer in G.modules()) == 3 * (key is upsample)
    assert G(G.draw(2)).shape == (2, 3, 32, 32)


def test_pixel_shuffle_starts_as_nearest_neighbours():
    G = dcgan.Generator((3, 32, 32), width=4, upsample=layers.pixel_shuffle)
    x = G(G.draw(2))
    torch.testing.assert_close(F.interpolate(x[:, :, ::2, ::2], scale_factor=2), x)
    plain = nn.Sequential(*layers.pixel_shuffle(4, 3, 3))(torch.randn(2, 4, 8, 8))
    assert not torch.allclose(F.interpolate(plain[:, :, ::2, ::2], scale_factor=2), plain)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    size=st.sampled_from(dcgan.SIZES[:3]),
    channels=st.integers(1, 4),
    width=st.integers(1, 3),
    kernel_size=st.integers(1, 7),
    depth=st.integers(1, 3),
    growth=st.integers(1, 3),
    activation=st.sampled_from(ACTIVATIONS),
    upsample=st.sampled_from(UPSAMPLINGS),
    norm=st.sampled_from([None, nn.BatchNorm2d, nn.InstanceNorm2d]),
)
def test_all_arguments_of_dcgan_combine(size, channels, width, kernel_size, depth, growth, activation, upsample, norm):
    shape = (channels, size, size)
    G = dcgan.Generator(shape, 3, width, kernel_size, "normal", norm, activation, upsample, growth, depth)
    D = dcgan.Discriminator(shape, width, kernel_size, activation, depth)
    x = G(G.draw(2))
    assert x.shape == (2, *shape)
    assert D(x).logits.shape == (2,)
    D(x).logits.sum().backward()


# The DCGAN of tutorials


def test_upsample_dcgan_is_that_of_its_source():
    shape = (1, 64, 64)
    G, D = upsample_dcgan.Generator(shape), upsample_dcgan.Discriminator(shape)
    assert convolutions(D) == [(1, 16, 3, 2), (16, 32, 3, 2), (32, 64, 3, 2), (64, 128, 3, 2), (128, 512, 3, 2)]
    assert D.head.in_features == 2048
    assert count(D) == 160 + 4_640 + 18_496 + 73_856 + 590_336 + 2_049
    assert [type(layer) for layer in D.body[:4]] == [nn.Conv2d, nn.LeakyReLU, nn.Dropout2d, nn.Conv2d]
    assert [type(layer) for layer in D.body[3:7]] == [nn.Conv2d, nn.LeakyReLU, nn.Dropout2d, NormSlot]
    assert {layer.p for layer in D.modules() if isinstance(layer, nn.Dropout2d)} == {0.25}
    assert convolutions(G) == [(128, 128, 3, 1), (128, 128, 3, 1), (128, 1, 3, 1)]
    assert count(G) == 500 * 32_768 + 32_768 + 3 * 256 + 2 * 147_584 + 1_153
    kinds = [nn.Linear, layers.Unflatten, nn.BatchNorm2d, *[nn.Upsample, nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU] * 2]
    assert [type(layer) for layer in G.body] == [*kinds, nn.Conv2d, nn.Tanh]


def test_upsample_dcgan_avoids_the_traps_of_its_source():
    G = upsample_dcgan.Generator((1, 64, 64))
    assert {layer.eps for layer in G.modules() if isinstance(layer, nn.BatchNorm2d)} == {1e-5}
    assert G.body[0].weight.std().item() == pytest.approx(0.02, rel=0.01)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(size=st.integers(2, 32).map(lambda quarter: 4 * quarter), channels=st.integers(1, 4), width=st.integers(1, 3))
def test_upsample_dcgan_makes_every_multiple_of_four(size, channels, width):
    shape = (channels, size, size)
    G, D = upsample_dcgan.Generator(shape, z_dim=3, width=width), upsample_dcgan.Discriminator(shape, width=width)
    x = G(G.draw(2))
    assert x.shape == (2, *shape)
    assert D(x).logits.shape == (2,)


def test_dropout_acts_in_training_only():
    D = upsample_dcgan.Discriminator((1, 32, 32), width=4)
    x = torch.randn(2, 1, 32, 32)
    assert not torch.equal(D(x).features, D(x).features)
    D.eval()
    assert torch.equal(D(x).features, D(x).features)


@pytest.mark.parametrize("dropout", [-0.1, 1.0, math.nan])
def test_a_share_that_is_none_is_refused(dropout):
    with pytest.raises(UserError, match=rf"^Discriminator\.dropout={dropout} "):
        upsample_dcgan.Discriminator((1, 32, 32), dropout=dropout)


# WGAN-GP's ResNets


@pytest.mark.parametrize(
    ("size", "up", "down"),
    [(32, [256, 256, 128, 64], [64, 128, 256, 256]), (64, [512, 512, 256, 128, 64], [64, 128, 256, 512, 512])],
)
def test_wgan_gp_resnet_has_the_parameters_of_the_authors(size, up, down):
    with torch.device("meta"):
        G, D = (player((3, size, size)) for player in (wgan_gp_resnet.Generator, wgan_gp_resnet.Discriminator))
    ends = (128 + 1) * 16 * up[0] + 2 * 64 + (9 * 64 * 3 + 3)
    assert count(G) == ends + sum(
        2 * a + (9 * a * b + b) + 2 * b + (9 * b * b + b) + (a * b + b) for a, b in itertools.pairwise(up)
    )
    ends = (9 * 3 * 64 + 64) + (16 * down[-1] + 1)
    assert count(D) == ends + sum((9 * a * a + a) + (9 * a * b + b) + (a * b + b) for a, b in itertools.pairwise(down))
    slots = [layer.channels for layer in D.modules() if isinstance(layer, NormSlot)]
    assert slots == [channels for channels in down[:-1] for _ in range(2)]


@pytest.mark.parametrize(("size", "depth"), [(16, 59), (32, 80), (64, 101), (128, 122)])
@pytest.mark.parametrize("player", ["Generator", "Discriminator"])
def test_the_101_layer_resnet_has_101_layers(player, size, depth):
    network = getattr(resnet101, player)((3, size, size), width=4)
    assert sum("shortcut" not in name for name, _ in weight_layers(network)) == depth
    kernels = [
        layer.kernel_size[0] for block in bottlenecks(network) for layer in block.residual if hasattr(layer, "stride")
    ]
    assert kernels == [1, 3, 1] * len(bottlenecks(network))
    norms = [block.residual[-1] for block in bottlenecks(network)]
    assert {type(norm) for norm in norms} == {nn.BatchNorm2d if player == "Generator" else NormSlot}


def bottlenecks(network):
    return [layer for layer in network.body if isinstance(layer, resnet101.Bottleneck)]


def test_resnet101_has_the_widths_of_the_authors():
    with torch.device("meta"):
        G, D = resnet101.Generator((3, 64, 64)), resnet101.Discriminator((3, 64, 64))
        x, sides = torch.zeros(1, 512, 4, 4), []
        for block in bottlenecks(G):
            x = block(x)
            sides.append((x.shape[1], x.shape[2]))
        assert sides == [*[(512, 4)] * 6, *[(256, 8)] * 7, *[(128, 16)] * 7, *[(64, 32)] * 7, *[(32, 64)] * 6]
        x, sides = torch.zeros(1, 32, 64, 64), []
        for block in bottlenecks(D):
            x = block(x)
            sides.append((x.shape[1], x.shape[2]))
        assert sides == [*[(32, 64)] * 5, *[(64, 32)] * 7, *[(128, 16)] * 7, *[(256, 8)] * 7, *[(512, 4)] * 7]
    assert convolutions(bottlenecks(D)[5]) == [(32, 16, 1, 1), (16, 32, 3, 2), (32, 64, 1, 1), (32, 64, 1, 2)]
    assert convolutions(bottlenecks(G)[6]) == [(512, 256, 1, 1), (256, 128, 3, 2), (128, 256, 1, 1), (512, 1024, 1, 1)]
    assert [convolutions(network)[place] for network, place in ((D, 0), (G, -1))] == [(3, 32, 1, 1), (32, 3, 1, 1)]
    assert (G.body[0].out_features, D.head.in_features) == (512 * 16, 512 * 16)


def test_a_bottleneck_adds_three_tenths_of_its_branch_to_the_untouched_input():
    block = resnet101.Bottleneck(8, 8, nn.Identity)
    x = torch.randn(2, 8, 4, 4)
    a, b, c = (block.residual[place] for place in (1, 3, 5))
    expected = x + 0.3 * c(b(a(x.relu()).relu()).relu())
    torch.testing.assert_close(block(x.clone()), expected)
    assert len(block.shortcut) == 0


def test_resnet101_divides_by_five_at_both_ends():
    shape = (1, 16, 16)
    G, D = resnet101.Generator(shape, width=4), resnet101.Discriminator(shape, width=4)
    z = G.draw(2)
    torch.testing.assert_close(G(z), torch.tanh(G.body[:-2](z) / 5))
    maps = D.body[:-1](torch.randn(2, *shape)).flatten(1)
    torch.testing.assert_close(D.head(maps / 5) - D.head.bias, (maps @ D.head.weight.T) / 5)
    torch.testing.assert_close(D.body[-1](maps), maps / 5)


@pytest.mark.parametrize("width", [2, 6])
@pytest.mark.parametrize("player", ["Generator", "Discriminator"])
def test_a_width_without_a_quarter_is_refused(player, width):
    with pytest.raises(UserError, match=rf"model\.width={width} .*multiple of 4"):
        getattr(resnet101, player)((1, 32, 32), width=width)


# MLP


def test_the_input_scale_multiplies_the_sample():
    D, x = mlp.Discriminator((2,), width=8, input_scale=0.25), torch.randn(5, 2)
    torch.testing.assert_close(D.body[0:2](x), x / 4)
    plain = mlp.Discriminator((2,), width=8)
    plain.load_state_dict(dict(zip(plain.state_dict(), D.state_dict().values(), strict=True)))
    torch.testing.assert_close(D(x).logits, plain(x / 4).logits)


@pytest.mark.parametrize("scale", [0, -1.0, math.inf, math.nan])
def test_a_scale_that_hides_the_sample_is_refused(scale):
    with pytest.raises(UserError, match=r"^Discriminator\.input_scale=.* above 0"):
        mlp.Discriminator((2,), input_scale=scale)


# Blocks and labels


class Seen(Labelled):
    """A normalisation that notes the labels it is shown."""

    def __init__(self, channels):
        super().__init__()
        self.labels = []

    def forward(self, x, y=None):
        self.labels.append(y)
        return x


@pytest.mark.parametrize(
    ("model", "slots"),
    [(dcgan, 3), (sngan_cnn, 3), (sngan_resnet, 7), (upsample_dcgan, 3), (wgan_gp_resnet, 7), (resnet101, 26)],
)
def test_every_normalisation_of_g_is_shown_the_labels(model, slots):
    G, y = model.Generator((1, 32, 32), width=4, norm=Seen), torch.tensor([3, 1])
    G(G.draw(2), y)
    seen = [layer.labels for layer in G.modules() if isinstance(layer, Seen)]
    assert len(seen) == slots
    assert all(len(labels) == 1 and labels[0] is y for labels in seen)


@pytest.mark.parametrize("model", [sngan_resnet, wgan_gp_resnet, resnet101])
def test_every_normalisation_in_a_block_of_d_is_shown_the_labels(model):
    D, y = model.Discriminator((1, 32, 32), width=4), torch.tensor([3, 1])
    names = [name for name, layer in D.named_modules() if isinstance(layer, NormSlot)]
    for name in names:
        D.set_submodule(name, Seen(1))
    D(torch.randn(2, 1, 32, 32), y)
    assert all(D.get_submodule(name).labels[0] is y for name in names)


@pytest.mark.parametrize("model", [*CONVOLUTIONAL, mlp])
def test_every_reader_of_d_can_read_more_channels(model):
    for place in reader_positions(model.Discriminator((1, 32, 32), width=4).body):
        D = model.Discriminator((1, 32, 32), width=4)
        before = n_inputs(D.body[place])
        x = D.body[:place](torch.randn(2, 1, 32, 32))
        widen(D.body[place], 3)
        assert n_inputs(D.body[place]) == before + 3
        more = torch.cat([x, torch.randn(2, 3, *x.shape[2:])], 1)
        assert D.head(D.body[place:](more).flatten(1)).shape == (2, 1)


# G's normalisation is an argument


@pytest.mark.parametrize(
    ("model", "slots"),
    [(dcgan, 3), (sngan_cnn, 3), (sngan_resnet, 7), (upsample_dcgan, 3), (wgan_gp_resnet, 7), (resnet101, 26)],
)
def test_g_normalisation_is_the_layer_it_is_given(model, slots):
    calls = []

    def norm(channels):
        calls.append(channels)
        return nn.GroupNorm(1, channels)

    G = model.Generator((1, 32, 32), width=4, norm=norm)
    assert len(calls) == slots
    assert sum(isinstance(layer, nn.GroupNorm) for layer in G.modules()) == slots
    assert G(G.draw(2)).shape == (2, 1, 32, 32)


@pytest.mark.parametrize("model", CONVOLUTIONAL)
def test_g_without_normalisation(model):
    G = model.Generator((1, 32, 32), width=4, norm=None)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in G.modules())
    alone = G(torch.ones(1, G.z_dim))
    together = G(torch.cat([torch.ones(1, G.z_dim), G.draw(3)]))[:1]
    torch.testing.assert_close(alone, together)


# Configs


PAIRS = {name: (name, name) for name in (*(model.__name__.rpartition(".")[2] for model in CONVOLUTIONAL), "mlp")}
PAIRS["mlp_dcgan"] = ("mlp", "dcgan")


@pytest.mark.parametrize("shape", [(1, 32), (3, 32), (1, 64)])
@pytest.mark.parametrize("name", PAIRS)
def test_every_model_file_makes_its_pair(compose, name, shape):
    channels, size = shape
    config = compose(
        f"model={name}", "data=digits", f"data.image_size={size}", f"data.channels={channels}", "model.width=4"
    )
    G, D = instantiate(config.model.G), instantiate(config.model.D)
    assert D(G(G.draw(2))).logits.shape == (2,)
    assert tuple(type(network).__module__.rpartition(".")[2] for network in (G, D)) == PAIRS[name]


def test_the_papers_sizes_are_the_defaults(compose):
    cnn = compose("model=sngan_cnn", "data=cifar10").model
    assert count(instantiate(cnn.D)) == 2_935_873
    assert (cnn.G.z_dim, cnn.G.prior) == (128, "normal")
    released = compose("model=sngan_cnn", "data=cifar10", "model.D.wide=true", "model.D.slope=0.2").model
    assert count(instantiate(released.D)) == 5_860_865
    assert instantiate(compose("model=sngan_resnet", "data=cifar10").model.D).head.in_features == 128


def test_a_choice_is_one_word_on_the_command_line(compose):
    places = ["G.activation", "D.activation", "G.upsample"]
    words = ["torch.nn.Tanh", "lit_gan.models.layers.ShiftedSoftplus", "lit_gan.models.layers.pixel_shuffle"]
    overrides = [f"model.{place}._target_={word}" for place, word in zip(places, words, strict=True)]
    config = compose("model=dcgan", "model.depth=2", "model.G.norm=null", *overrides).model
    G, D = instantiate(config.G), instantiate(config.D)
    assert sum(isinstance(layer, nn.Tanh) for layer in G.modules()) == 8
    assert sum(isinstance(layer, layers.ShiftedSoftplus) for layer in D.modules()) == 7
    assert sum(isinstance(layer, nn.PixelShuffle) for layer in G.modules()) == 3


def test_metz_networks_for_the_ring_are_arguments(compose):
    orthogonal = "{_target_:lit_gan.models.layers.initialise_orthogonal,_partial_:true,gain:0.8}"
    config = compose(
        *("data=gaussians", "model=mlp", "model.width=128", "model.depth=2", "model.G.z_dim=256"),
        *("model.D.input_scale=0.25", f"model.G.initialise={orthogonal}", f"model.D.initialise={orthogonal}"),
    ).model
    G, D = instantiate(config.G), instantiate(config.D)
    assert [tuple(layer.weight.shape) for _, layer in weight_layers(G)] == [(128, 256), (128, 128), (2, 128)]
    assert [tuple(layer.weight.shape) for _, layer in weight_layers(D)] == [(128, 2), (128, 128), (1, 128)]
    torch.testing.assert_close(torch.linalg.svdvals(G.body[2].weight.detach()), torch.full((128,), 0.8))


# The rows of a figure


ROWS = [name for name in choices("experiment") if name.startswith("wgan_gp_arch_")]


def row(compose, name, *overrides):
    """The networks of a row, on any data."""
    config = compose(f"experiment=wgan_gp_arch_{name}", *overrides).model
    return instantiate(config.G), instantiate(config.D)


def test_the_figure_has_seven_rows():
    assert [name.removeprefix("wgan_gp_arch_") for name in ROWS] == [
        *("dcgan", "gated", "mlp_g", "no_norm", "no_norm_constant", "resnet101", "tanh")
    ]


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("size", [32, 64])
def test_a_row_with_its_method_is_wgan_gp_and_its_networks_fit(compose, name, size):
    method = "wgan_gp_no_norm" if name == "wgan_gp_arch_no_norm" else "wgan_gp_layer_norm"
    config = compose(f"experiment={name}", f"method={method}")
    assert (config.data.name, config.data.image_size, config.updates, config.batch_size) == ("lsun", 64, 200000, 64)
    assert (config.loss._target_, config.optim.n_dis) == ("lit_gan.losses.Wasserstein", 5)
    assert list(config.reg) == ["layer_norm"] * (name != "wgan_gp_arch_no_norm") + ["gradient_penalty"]
    small = compose(f"experiment={name}", "data=digits", f"data.image_size={size}", "model.width=4").model
    G, D = instantiate(small.G), instantiate(small.D)
    assert D(G(G.draw(2))).logits.shape == (2,)


def test_rows_differ_from_the_baseline_in_what_they_say(compose):
    with torch.device("meta"):
        G, D = row(compose, "dcgan")
        assert convolutions(G) == [(512, 256, 5, 2), (256, 128, 5, 2), (128, 64, 5, 2), (64, 3, 5, 2)]
        assert convolutions(D) == [(3, 64, 5, 2), (64, 128, 5, 2), (128, 256, 5, 2), (256, 512, 5, 2)]
        assert G.body[0].in_features == 128
        constant, same = row(compose, "no_norm_constant")
        assert convolutions(constant) == [(64, 64, 5, 2)] * 3 + [(64, 3, 5, 2)]
        fully_connected, also = row(compose, "mlp_g")
        assert [layer.weight.shape[0] for _, layer in weight_layers(fully_connected)] == [512] * 4 + [64 * 64 * 3]
        assert convolutions(same) == convolutions(also) == convolutions(D)
        bare, _ = row(compose, "no_norm")
        assert convolutions(bare) == convolutions(G)
        for network in (constant, fully_connected, bare):
            assert not any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
        for network in row(compose, "tanh"):
            assert not any(isinstance(layer, (nn.ReLU, nn.LeakyReLU)) for layer in network.modules())
        for network in row(compose, "gated"):
            assert sum(isinstance(layer, layers.Gated) for layer in network.modules()) == 4
        for network in row(compose, "resnet101"):
            assert len(bottlenecks(network)) == 33


# The standard deviations of igul222/improved_wgan_training, tflib/ops: linear.py, conv2d.py, deconv2d.py


def glorot(fan_in, fan_out, gain=1.0):
    return gain * (2 / (fan_in + fan_out)) ** 0.5


def he(fan_in):
    return (2 / fan_in) ** 0.5


def he_of_convolutions(fan_in, fan_out):
    """Theirs looks at both fans; a stride of 2 leaves a quarter of a convolution's outputs, or transposed inputs."""
    return (4 / (fan_in + fan_out)) ** 0.5


TOY = [he(2), he(512), he(512), glorot(512, 2)], [he(2), he(512), he(512), glorot(512, 1)]
STRIDED_G = [he_of_convolutions(25 * a / 4, 25 * b) for a, b in ((512, 512), (256, 256), (128, 128), (64, 3))]
STRIDED_D = [he_of_convolutions(25 * a, 25 * b / 4) for a, b in ((3, 128), (64, 256), (128, 512), (256, 1024))]
CONSTANT_G = [he_of_convolutions(25 * 64 / 4, 25 * after) for after in (64, 64, 64, 3)]
NORMAL_D = [0.02] * 5
STARTS = {
    "sweep=wgan_gp_toy method=wgan_toy": TOY,
    "sweep=wgan_gp_toy method=wgan_gp_toy": TOY,
    "experiment=wgan_gp_gaussians model.width=512": TOY,
    "experiment=wgan_gp_arch_mlp_g": ([he(128), *[he(512)] * 3, glorot(512, 3 * 64 * 64)], NORMAL_D),
    "experiment=wgan_gp_arch_no_norm_constant": ([glorot(128, 16 * 64), *CONSTANT_G], NORMAL_D),
    "experiment=wgan_gp_arch_gated": (
        [glorot(128, 16 * 1024), *STRIDED_G],
        [*STRIDED_D, glorot(16 * 512, 1)],
    ),
    "experiment=wgan_gp_arch_dcgan": ([0.02] * 5, NORMAL_D),
}


@pytest.mark.parametrize("overrides", STARTS)
def test_rows_that_cite_gulrajanis_code_start_as_it_does(compose, overrides):
    config = compose(*overrides.split(), "data=gaussians" if "toy" in overrides else "seed=0").model
    for network, expected in zip((instantiate(config.G), instantiate(config.D)), STARTS[overrides], strict=True):
        drawn = [(layer.weight.std(correction=0).item(), layer.weight.numel()) for _, layer in weight_layers(network)]
        assert [std for std, _ in drawn] == [
            pytest.approx(std, rel=4 / n**0.5) for std, (_, n) in zip(expected, drawn, strict=True)
        ]
        assert not any(layer.bias.any() for _, layer in weight_layers(network))


@pytest.mark.parametrize("method", ["wgan_toy", "wgan_gp_toy"])
def test_the_first_samples_of_the_toy_networks_are_as_large_as_the_data(compose, method):
    """He's start hands on mean squares: 1 after each hidden layer, and 2 * 512 / 514 behind Glorot's of the last."""
    config = compose("data=gaussians", f"method={method}").model.G
    samples = torch.stack([G(G.draw(500)).detach() for G in (instantiate(config) for _ in range(60))])
    assert samples.square().mean().item() == pytest.approx(2 * 512 / 514, rel=0.35)
    assert samples.flatten(1).std(1).min().item() > 0.3  # 0.71 in one draw of the authors' code; 0.02 of torch's start


def test_no_sentence_has_two_lines(compose):
    with pytest.raises(Exception, match="growth") as refusal:
        instantiate(compose("model=dcgan", "model.G.growth=0").model.G)
    causes = [refusal.value, refusal.value.__cause__]
    sentence = next(str(cause) for cause in causes if isinstance(cause, UserError))
    assert re.fullmatch(r"[^\n]+\.", sentence)
