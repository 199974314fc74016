"""Networks: the papers' tables, parameter counts, ranges, initialisation, and sizes that are refused."""

import math

import pytest
import torch
from hydra.utils import instantiate
from torch import nn

from lit_gan.errors import UserError
from lit_gan.game import NormSlot, weight_layers
from lit_gan.models import dcgan, mlp, sngan_cnn, sngan_resnet

SIZES = [
    *((dcgan, size) for size in (16, 32, 64, 128)),
    *((sngan_cnn, size) for size in (16, 32, 48, 64)),
    *((sngan_resnet, size) for size in (32, 48, 128)),
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
    G, D = model.Generator(shape, z_dim=5, width=2), model.Discriminator(shape, width=2)
    x = G(G.draw(3))
    assert x.shape == (3, *shape)
    assert x.abs().max() <= 1
    verdict = D(x)
    assert verdict.logits.shape == (3,)
    assert verdict.features.shape == (3, D.head.in_features)
    torch.testing.assert_close(D.head(verdict.features)[:, 0], verdict.logits)


@pytest.mark.parametrize("shape", [(2,), (1, 8, 8), (3, 5, 7)])
def test_mlp_makes_points_and_images(shape):
    G, D = mlp.Generator(shape, width=8), mlp.Discriminator(shape, width=8)
    x = G(G.draw(4))
    assert x.shape == (4, *shape)
    verdict = D(x)
    assert verdict.logits.shape == (4,)
    torch.testing.assert_close(D.head(verdict.features)[:, 0], verdict.logits)


@pytest.mark.parametrize(("model", "size"), [(dcgan, 32), (sngan_cnn, 32), (sngan_resnet, 32), (mlp, 32)])
def test_g_output_is_a_tanh(model, size):
    G = model.Generator((1, size, size), width=4)
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
        *((dcgan, (1, size, size)) for size in (8, 28, 48, 256)),
        *((sngan_cnn, (3, size, size)) for size in (8, 28, 128)),
        *((sngan_resnet, (3, size, size)) for size in (16, 64, 96)),
        *((model, shape) for model in (dcgan, sngan_cnn, sngan_resnet) for shape in [(3, 32, 64), (2,), (32, 32)]),
    ],
)
@pytest.mark.parametrize("player", ["Generator", "Discriminator"])
def test_impossible_shapes_are_refused_in_a_sentence(model, shape, player):
    name = model.__name__.rpartition(".")[2]
    with pytest.raises(UserError, match=rf"model={name} .*data\.image_size") as refusal:
        getattr(model, player)(shape)
    assert "\n" not in str(refusal.value)
    assert str(list(shape)) in str(refusal.value)


# DCGAN


@pytest.mark.parametrize("kernel_size", [4, 5])
@pytest.mark.parametrize("n", [8, 16, 32])
def test_both_kernels_halve_and_double_exactly(kernel_size, n):
    assert dcgan.downsample(1, 1, kernel_size)(torch.zeros(1, 1, n, n)).shape == (1, 1, n // 2, n // 2)
    assert dcgan.upsample(1, 1, kernel_size)(torch.zeros(1, 1, n, n)).shape == (1, 1, 2 * n, 2 * n)


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
    block = sngan_resnet.DownBlock(4, 4, halve=False)
    nn.init.zeros_(block.residual[-1].weight)
    nn.init.zeros_(block.residual[-1].bias)
    x = torch.randn(2, 4, 8, 8)
    torch.testing.assert_close(block(x), x)


@pytest.mark.parametrize("norm", [nn.Identity, nn.BatchNorm2d])
def test_a_g_block_adds_its_shortcut_of_the_untouched_input(norm):
    block = sngan_resnet.UpBlock(3, 3, norm)
    nn.init.zeros_(block.residual[-1].weight)
    nn.init.zeros_(block.residual[-1].bias)
    x = torch.randn(2, 3, 4, 4)
    expected = block.shortcut(x.clone())
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("block", [sngan_resnet.DownBlock(3, 3, True), sngan_resnet.FirstBlock(3, 3)])
def test_a_d_block_leaves_its_input_alone(block):
    x = torch.randn(2, 3, 4, 4)
    before = x.clone()
    block(x)
    assert torch.equal(x, before)


# Initialisation


@pytest.mark.parametrize("model", [dcgan, sngan_cnn])
@pytest.mark.parametrize("player", ["Generator", "Discriminator"])
def test_weights_are_drawn_from_a_normal_of_002(model, player):
    network = getattr(model, player)((3, 32, 32), width=32)
    for name, layer in weight_layers(network):
        n = layer.weight.numel()
        assert abs(layer.weight.mean().item()) < 5 * 0.02 / n**0.5, name
        assert layer.weight.std().item() == pytest.approx(0.02, rel=5 / (2 * n) ** 0.5), name
        assert not layer.bias.any(), name


@pytest.mark.parametrize("model", [dcgan, sngan_cnn])
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


# G's normalisation is an argument


@pytest.mark.parametrize(("model", "slots"), [(dcgan, 3), (sngan_cnn, 3), (sngan_resnet, 7)])
def test_g_normalisation_is_the_layer_it_is_given(model, slots):
    calls = []

    def norm(channels):
        calls.append(channels)
        return nn.GroupNorm(1, channels)

    G = model.Generator((1, 32, 32), width=2, norm=norm)
    assert len(calls) == slots
    assert sum(isinstance(layer, nn.GroupNorm) for layer in G.modules()) == slots
    assert G(G.draw(2)).shape == (2, 1, 32, 32)


# Configs


@pytest.mark.parametrize("shape", [(1, 32), (3, 32)])
def test_every_model_file_makes_a_pair(compose, model_choice, shape):
    channels, size = shape
    config = compose(
        f"model={model_choice}", "data=digits", f"data.image_size={size}", f"data.channels={channels}", "model.width=4"
    )
    G, D = instantiate(config.model.G), instantiate(config.model.D)
    assert D(G(G.draw(2))).logits.shape == (2,)
    assert type(G).__module__ == type(D).__module__ == f"lit_gan.models.{model_choice}"


def test_the_papers_sizes_are_the_defaults(compose):
    cnn = compose("model=sngan_cnn", "data=cifar10").model
    assert count(instantiate(cnn.D)) == 2_935_873
    assert (cnn.G.z_dim, cnn.G.prior) == (128, "normal")
    released = compose("model=sngan_cnn", "data=cifar10", "model.D.wide=true", "model.D.slope=0.2").model
    assert count(instantiate(released.D)) == 5_860_865
    assert instantiate(compose("model=sngan_resnet", "data=cifar10").model.D).head.in_features == 128
