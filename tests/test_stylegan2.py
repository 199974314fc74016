"""StyleGAN2: convolutions by styles, equalised learning rates, mixed and truncated styles, path lengths, labels.

With the weights of the authors' PyTorch code of StyleGAN2-ADA, labels included, 32 to 256 px, the largest differences
in double precision were 2e-8 of their size in the outputs of G, truncated or not, where 1e-8 under the root by which
filters are divided counts for more here, 2e-15 in those of D and in the gradients of R1, and 7e-8 in the gradients of
path lengths. In single precision the outputs differed by 1e-6, as with styles mixed at each place, which are equal.
"""

import copy

import pytest
import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from torch import nn
from torch.nn.utils import parametrize

from lit_gan.build import build_data, build_gan, build_source
from lit_gan.callbacks import RandomState
from lit_gan.errors import UserError
from lit_gan.game import Turn
from lit_gan.layers import equalised, operators, widen
from lit_gan.models import dcgan, stylegan2
from lit_gan.models.stylegan2 import MinibatchDeviation, ModulatedConvolution
from lit_gan.reg.codes import InfoGAN
from lit_gan.reg.constraints import Orthonormal, WeightClip
from lit_gan.reg.gradients import R1
from lit_gan.reg.labels import ConditionalBatchNorm, LabelConcat, MappedProjection
from lit_gan.reg.latents import LOGAN, ModeSeeking
from lit_gan.reg.outputs import LatentConsistency
from lit_gan.reg.styles import PathLength, StyleMixing, path_lengths
from lit_gan.reg.weights import SpectralNorm, WeightNorm
from lit_gan.sampling import Sampler
from lit_gan.styles import ScaledLeakyReLU, StyledGenerator, mapping_layers, unit_vectors
from trainers import quiet_trainer

SMALL = {"z_dim": 8, "w_dim": 6, "width": 4, "depth": 2}


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def players(shape=(3, 16, 16), **settings):
    return stylegan2.Generator(shape, **SMALL | settings), stylegan2.Discriminator(shape, width=4)


class LinearG(StyledGenerator):
    """Images A w of the first style, after a mapping network."""

    def __init__(self, n_styles=1, size=4):
        super().__init__((1, size, size), 5, "normal", 7, 2)
        self.n_styles, self.A = n_styles, nn.Parameter(torch.randn(size**2, 7))

    def synthesise(self, styles):
        self.seen = styles
        return (styles[:, 0] @ self.A.T).view(-1, *self.shape)


def turn_of(G, n=6, player="g"):
    y = torch.arange(n) % 3
    return Turn(player, G, players()[1], torch.randn(n, *G.shape), y, torch.randn(n, 5), y_fake=2 - y)


# Networks


@pytest.mark.parametrize(
    ("experiment", "of_g", "of_d"),
    [("stylegan2_cifar10", 19_947_539, 20_720_641), ("stylegan2_ada_cifar10", 20_215_315, 23_089_664)],
)
def test_parameters_of_the_authors_code_for_cifar10(compose, experiment, of_g, of_d):
    config = compose(f"experiment={experiment}")
    with torch.device("meta"):
        G, D = instantiate(config.model.G), instantiate(config.model.D)
        for name in ("mapped_projection", "conditional_batch_norm"):
            if name in config.reg:
                instantiate(config.reg[name]).attach(G, D)
    assert (count(G), count(D)) == (of_g, of_d)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", stylegan2.SIZES)
def test_every_size_in_grey_and_in_colour(size, channels):
    with torch.device("meta"):
        G, D = players((channels, size, size))
        x = G(torch.empty(2, 8))
        assert x.shape == (2, channels, size, size)
        assert D(x).logits.shape == (2,)
    assert G.n_styles == 2 * size.bit_length() - 4


def test_beyond_the_taper_channels_are_halved():
    assert stylegan2.stage_channels(256, 512, 64) == [512, 512, 512, 512, 512, 256, 128]
    assert stylegan2.stage_channels(256, 512, 32) == [512, 512, 512, 512, 256, 128, 64]


def test_another_size():
    with pytest.raises(UserError, match=r"This model .*16, 32, 64, 128, 256"):
        stylegan2.Generator((3, 48, 48))


def test_the_image_is_the_sum_of_those_of_all_resolutions():
    G, _ = players()
    for stage in G.synthesis.stages:
        nn.init.zeros_(stage.to_image.parametrizations.weight.original)
    for place, stage in enumerate(G.synthesis.stages):
        nn.init.constant_(stage.to_image.bias, 10.0**place)
    torch.testing.assert_close(G(G.draw(1))[..., 7:9, 7:9], torch.full((1, 3, 2, 2), 111.0))


def test_each_layer_has_a_style_and_images_share_that_of_the_next_layer():
    G, _ = players()
    seen = {}
    for name, layer in G.synthesis.named_modules():
        if isinstance(layer, ModulatedConvolution):
            note = lambda _, args, out, name=name: seen.update({name: args[0][0, 0].item()})  # noqa: E731
            layer.scales.register_forward_hook(note)
    G.synthesise(torch.arange(6.0)[None, :, None].expand(1, 6, 6))
    assert seen == {
        "stages.0.convolutions.0": 0,
        "stages.0.to_image": 1,
        "stages.1.convolutions.0": 1,
        "stages.1.convolutions.1": 2,
        "stages.1.to_image": 3,
        "stages.2.convolutions.0": 3,
        "stages.2.convolutions.1": 4,
        "stages.2.to_image": 5,
    }


def test_with_noise_a_latent_vector_has_many_samples_in_training_and_one_afterwards():
    G, _ = players()
    for layer in G.synthesis.modules():
        if hasattr(layer, "strength"):
            nn.init.ones_(layer.strength)
    z = G.draw(1).expand(2, -1)
    first, second = G(z)
    assert not torch.allclose(first, second)
    first, second = G.eval()(z)
    torch.testing.assert_close(first, second)
    again = stylegan2.Generator((3, 16, 16), **SMALL).eval()
    again.load_state_dict(G.state_dict())
    assert torch.equal(again(z), G(z))


def test_the_shortcut_of_a_stage_of_d_is_filtered_and_halved():
    stage = stylegan2.HalvingStage(2, 3, residual=True)
    nn.init.zeros_(stage.residual[3].parametrizations.weight.original)
    x = torch.full((1, 2, 8, 8), 3.0)
    expected = (stage.shortcut[1].weight.sum((1, 2, 3)) * 3 / 2**0.5)[:, None, None].expand(3, 2, 2)
    torch.testing.assert_close(stage(x)[0, :, 1:3, 1:3], expected)


# Convolutions by styles


def random_convolution(**settings):
    layer = equalised(ModulatedConvolution(8, 5, 3, w_dim=4, **settings)).double()
    nn.init.normal_(layer.bias), nn.init.normal_(layer.scales.weight)
    return layer


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("double", [True, False])
def test_each_sample_has_weights_of_its_own(double, demodulate):
    layer = random_convolution(double=double, demodulate=demodulate)
    x, w = torch.randn(3, 8, 6, 6).double(), torch.randn(3, 4).double()
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]).double() / 4
    for sample, out in enumerate(layer(x, w)):
        scales = w[sample] @ layer.scales.weight.T + layer.scales.bias
        weight = layer.weight * scales[:, None, None]
        if demodulate:
            weight = weight / weight.square().sum((1, 2, 3), keepdim=True).sqrt()
        if double:
            sparse = torch.zeros(1, 8, 15, 15).double()
            sparse[:, :, 2:13:2, 2:13:2] = x[sample]
            maps = F.conv2d(sparse, weight.flip(2, 3))
            expected = F.conv2d(maps.transpose(0, 1), (taps[:, None] * taps)[None, None], padding=1).transpose(0, 1)
        else:
            expected = F.conv2d(x[sample : sample + 1], weight, padding=1)
        torch.testing.assert_close(out, expected[0] + layer.bias[:, None, None], rtol=1e-6, atol=1e-7)


def test_demodulated_maps_have_unit_variance_whatever_the_style():
    layer = equalised(ModulatedConvolution(16, 8, 3, w_dim=4))
    nn.init.normal_(layer.scales.parametrizations.weight.original, std=3)
    out = layer.modulated(torch.randn(64, 16, 34, 34), torch.randn(64, 4))[..., 1:-1, 1:-1]
    torch.testing.assert_close(out.var((0, 2, 3)), torch.ones(8), rtol=0.03, atol=0)


def test_a_longer_style_of_the_same_direction_changes_nothing():
    layer = random_convolution()
    nn.init.zeros_(layer.scales.bias)
    x, w = torch.randn(2, 8, 6, 6).double(), torch.randn(2, 4).double()
    torch.testing.assert_close(layer(x, 7 * w), layer(x, w))


def test_a_convolution_by_styles_has_second_derivatives():
    layer = equalised(ModulatedConvolution(2, 2, 3, w_dim=2, double=True)).double()
    x, w = torch.randn(1, 2, 3, 3).double().requires_grad_(), torch.randn(1, 2).double().requires_grad_()
    assert torch.autograd.gradgradcheck(layer, (x, w))


# Equalised learning rates


def test_weights_are_stored_as_normal_numbers_and_applied_over_the_root_of_what_they_sum():
    for multiplier in (1.0, 0.01):
        layer = equalised(nn.Conv2d(64, 64, 3), multiplier)
        stored = layer.parametrizations.weight.original
        assert stored.std().item() == pytest.approx(1 / multiplier, rel=0.02)
        torch.testing.assert_close(layer.weight, stored * multiplier / 24)
        if multiplier != 1:
            layer.parametrizations.bias.original.data.fill_(5)
        assert layer.bias[0].item() == pytest.approx(0.05 if multiplier != 1 else 0)


def test_a_mapping_network_keeps_the_size_of_what_passes():
    x = unit_vectors(5 * torch.randn(200, 256))
    torch.testing.assert_close(x.square().mean(1), torch.ones(200))
    for layer in mapping_layers(256, 256, 8):
        x = layer(x)
        if isinstance(layer, ScaledLeakyReLU):
            assert x.square().mean().item() == pytest.approx(1, abs=0.25)


def test_a_layer_that_reads_more_stays_equalised():
    layer = equalised(nn.Linear(300, 200), 0.01)
    widen(layer, 100)
    assert (layer.in_features, layer.parametrizations.weight.original.shape) == (400, (200, 400))
    assert layer.parametrizations.weight.original.std().item() == pytest.approx(100, rel=0.02)
    assert layer(torch.randn(500, 400)).std().item() == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize("reg", [WeightClip(), Orthonormal(), WeightNorm()])
def test_what_changes_stored_weights_is_refused(reg):
    G, D = players()
    with pytest.raises(
        UserError, match=rf"^reg={reg.name} .* equalised by the chosen model or labels: .*reg=\[r1\]\.$"
    ):
        reg.attach(G, D), reg.check(G, D)


def test_spectral_norm_is_of_the_weights_as_applied():
    G, D = players()
    SpectralNorm(warm_up=50).attach(G, D)
    D.eval()
    norms = [torch.linalg.matrix_norm(layer.weight.flatten(1), 2) for layer in operators(D)]
    torch.testing.assert_close(torch.stack(norms), torch.ones(len(norms)), rtol=1e-2, atol=0)


# Minibatch standard deviation


def test_deviations_are_of_the_samples_of_a_group():
    x = torch.randn(6, 2, 3, 3)
    out = MinibatchDeviation(3)(x)
    assert torch.equal(out[:, :2], x)
    for start in (0, 1):  # two groups, of every second sample
        deviation = (x[start::2].var(0, correction=0) + 1e-8).sqrt().mean()
        torch.testing.assert_close(out[start::2, 2], deviation.expand(3, 3, 3))
    order = torch.tensor([4, 1, 0, 3, 2, 5])  # within the groups
    torch.testing.assert_close(MinibatchDeviation(3)(x[order]), out[order])


def test_equal_samples_deviate_by_the_root_of_epsilon():
    out = MinibatchDeviation(4)(torch.randn(1, 2, 3, 3).expand(8, -1, -1, -1))
    torch.testing.assert_close(out[:, 2], torch.full((8, 3, 3), 1e-4))


@pytest.mark.parametrize(("batch", "size"), [(10, 2), (7, 1), (3, 3), (64, 4), (1, 1)])
def test_a_group_is_as_large_as_divides_the_batch(batch, size):
    x = torch.zeros(batch, 1, 1, 1)
    x[0] = 1
    more = MinibatchDeviation(4)(x)[:, 1].flatten()
    assert (more > 1e-3).sum() == (0 if size == 1 else size)


# Styles


def test_the_mean_style_moves_in_training_alone():
    G = LinearG()
    z = G.draw(50)
    G(z)
    torch.testing.assert_close(G.w_mean, 0.005 * G.style(z).mean(0))
    before = G.w_mean.clone()
    G.eval()(z)
    assert torch.equal(G.w_mean, before)
    assert "w_mean" in G.state_dict()


def test_truncated_styles_are_nearer_to_their_mean():
    G, _ = players()
    G(G.draw(300))
    samplers = {psi: Sampler(G, truncation=psi) for psi in (None, 1.0, 0.6, 1e-9)}
    z = samplers[0.6].vectors(5)
    assert torch.equal(z, samplers[None].vectors(5))
    expected = G.w_mean + 0.6 * (G.style(z) - G.w_mean)
    torch.testing.assert_close(samplers[0.6].G.styles(z), expected[:, None].expand(-1, 6, -1))
    x = {psi: sampler.generate(z, None) for psi, sampler in samplers.items()}
    torch.testing.assert_close(x[1.0], x[None])
    torch.testing.assert_close(x[1e-9][0], x[1e-9][1])  # one image
    assert x[0.6].std(0).mean() < x[None].std(0).mean()
    assert G.truncation is None


def test_uniform_latent_vectors_have_styles_too():
    G, _ = players(prior="uniform")
    assert Sampler(G, truncation=0.5)(2).shape == (2, 3, 16, 16)


@pytest.mark.parametrize("batch_norm", ["running", "batch", "standing"])
def test_samples_are_the_same_ones_every_time(batch_norm):
    G, _ = players()
    for layer in G.synthesis.modules():
        if hasattr(layer, "strength"):
            nn.init.ones_(layer.strength)
    sampler = Sampler(G, batch_norm=batch_norm, truncation=0.7)
    assert torch.equal(sampler(3), sampler.restart()(3))


def test_mixed_batches_change_their_style_at_one_layer():
    G = LinearG(n_styles=8)
    StyleMixing(probability=1.0).check(G, players()[1])
    places = []
    for _ in range(60):
        z = G.draw(3)
        G(z)
        own = (G.seen == G.style(z)[:, None]).all(2)
        place = own.sum(1)
        assert (place == place[0]).all()
        assert own[:, : place[0]].all()
        assert (G.seen[:, place[0] :] == G.seen[:, -1:]).all()
        places.append(place[0].item())
    assert set(places) == set(range(1, 8))


def test_as_many_batches_are_mixed_as_asked_for_and_none_afterwards():
    G = LinearG(n_styles=4)
    StyleMixing(probability=0.7).check(G, players()[1])
    mixed = 0
    for _ in range(150):
        G(G.draw(1))
        mixed += not torch.equal(G.seen[:, 0], G.seen[:, -1])
    assert mixed / 150 == pytest.approx(0.7, abs=0.1)
    G.eval()(G.draw(2))
    assert torch.equal(G.seen[:, 0], G.seen[:, -1])


def test_mixed_styles_have_the_same_label_and_codes():
    G, D = players()
    ConditionalBatchNorm(3).attach(G, D)
    InfoGAN(categorical=[], continuous=2).attach(G, D)
    StyleMixing(probability=1.0).check(G, D)
    seen = []
    G.body.register_forward_hook(lambda *call: seen.append(call[1]))
    G.body[0].register_forward_hook(lambda _, args, out: seen.append(args[0]))
    z, y = G.draw(4), torch.tensor([0, 1, 2, 0])
    G.styles(z, y)
    first, second = seen
    assert first.shape == (4, 8 + 6 + 2)
    assert torch.equal(first[:, 8:], second[:, 8:])
    assert torch.equal(first[:, 14:], z[:, 8:])
    assert not torch.equal(first[:, :8], second[:, :8])


@pytest.mark.parametrize("reg", [LatentConsistency(), ModeSeeking(), LOGAN()])
def test_mixed_styles_are_refused_where_the_same_samples_are_needed(reg):
    reg.name, mixing = "other", StyleMixing()
    mixing.check_others({"style_mixing": mixing, "r1": R1()})
    with pytest.raises(UserError, match=r"reg=style_mixing .* reg=other .*: leave one of the two out"):
        mixing.check_others({"style_mixing": mixing, "other": reg})


@pytest.mark.parametrize("reg", [StyleMixing(), PathLength()])
def test_a_generator_without_styles(reg):
    with pytest.raises(UserError, match=rf"^reg={reg.name} needs a generator with styles.*model=stylegan2"):
        reg.check(dcgan.Generator((1, 16, 16), width=4), players()[1])


# Path lengths


def test_the_mean_square_of_lengths_is_that_of_the_matrix():
    G = LinearG()
    lengths = path_lengths(G, G.styles(G.draw(4000)))
    expected = G.A.square().sum() / 16
    assert lengths.square().mean().item() == pytest.approx(expected.item(), rel=0.05)
    several = LinearG(n_styles=4)  # of which one moves the samples
    several.A = G.A
    lengths = path_lengths(several, several.styles(G.draw(4000)))
    assert lengths.square().mean().item() == pytest.approx(expected.item() / 4, rel=0.05)


def test_lengths_are_held_against_their_moving_mean(monkeypatch):
    G, reg = LinearG(), PathLength(decay=0.75)
    direction = torch.linspace(-1, 1, 16).view(1, 1, 4, 4)
    monkeypatch.setattr(torch, "randn_like", lambda x: torch.arange(1.0, len(x) + 1)[:, None, None, None] * direction)
    with torch.no_grad():
        length = (G.A.T @ direction.flatten() / 4).norm().item()
    mean = 0.0
    for _ in range(3):
        lengths = [length, 2 * length, 3 * length]
        mean = 0.75 * mean + 0.25 * 2 * length
        value = reg.g(turn_of(G))
        assert value.item() == pytest.approx(sum((each - mean) ** 2 for each in lengths) / 3)
        assert reg.mean.item() == pytest.approx(mean)
    # a is new, in part: d/dc mean (c l - m - c m')^2 with what this batch adds, c m', to the old m
    (slope,) = torch.autograd.grad(reg.g(turn_of(G)), G.A)
    scaled = (slope * G.A).sum().item()
    m, own = 0.75 * mean, 0.25 * 2 * length
    assert scaled == pytest.approx(sum(2 * (each - own - m) * (each - own) for each in lengths) / 3, rel=1e-4)


def test_lengths_are_a_matter_of_g_for_half_a_batch_with_its_labels():
    G = LinearG()
    reg, seen = PathLength(every=1), []
    G.styles = lambda z, y: seen.append((z, y)) or LinearG.styles(G, z, y)
    turns = [turn_of(G), turn_of(G, n=1)]
    for turn in turns:
        reg.objective(turn)
    assert [y.tolist() for _, y in seen] == [[2, 1, 0], [2]]
    assert not torch.equal(seen[0][0], turns[0].z[:3])
    assert reg.objective(turn_of(G, player="d")) is None


# Labels


def test_the_mapped_projection_is_a_product_and_nothing_beside():
    G, D = players()
    MappedProjection(3, depth=2).attach(G, D)
    features, y = torch.randn(3, 4), torch.arange(3)
    vectors = D.head.mapping[0].linear
    e = vectors.weight.T + vectors.bias
    w = e / (e.square().mean(1, keepdim=True) + 1e-8).sqrt()
    for layer in (D.head.mapping[1], D.head.mapping[3]):
        w = 2**0.5 * F.leaky_relu(w @ layer.weight.T + layer.bias, 0.2)
    own = features @ D.head.linear.weight.T + D.head.linear.bias
    torch.testing.assert_close(D.head(features, y), (own * w).sum(1, keepdim=True) / 2)
    nn.init.zeros_(D.head.mapping[3].parametrizations.weight.original)
    assert not D.head(features, y).any()


def test_labels_are_read_as_unit_vectors_beside_the_latent_vector():
    G, D = players()
    ConditionalBatchNorm(10).attach(G, D)
    G.eval()
    assert G.embedding(torch.arange(10)).square().mean(1).tolist() == pytest.approx([1] * 10, abs=1e-5)
    z = G.draw(1)
    assert not torch.equal(G(z, torch.tensor([1])), G(z, torch.tensor([2])))
    torch.testing.assert_close(G(3 * z, torch.tensor([1])), G(z, torch.tensor([1])))


def test_labels_beside_the_input_of_either_player():
    G, D = players()
    LabelConcat(10).attach(G, D)
    y = torch.arange(4)
    assert D(G(G.draw(4), y), y).logits.shape == (4,)


# Trainings


def test_a_game_goes_on_bit_for_bit(compose, tmp_path):
    words = ["model=stylegan2", "model.width=4", "model.G.depth=2", "data.image_size=16", "batch_size=4", "ema=0.9"]
    words += ["loss=non_saturating", "optim=stylegan2", "labels=mapped_projection", "metrics=none", "callbacks=none"]
    config = compose(*words, "reg=[r1,style_mixing,path_length]", "reg.path_length.every=1")

    def train(updates, start=None, seed=0):
        torch.manual_seed(seed)
        gan, data = build_gan(config), build_data(config, build_source(config))
        trainer = quiet_trainer(gan, updates, RandomState(0), limit_train_batches=1000)
        trainer.fit(gan, data, ckpt_path=start, weights_only=True)
        return gan, trainer

    whole, _ = train(2)
    _, trainer = train(1)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    resumed, _ = train(2, tmp_path / "last.ckpt", seed=1)
    state = whole.state_dict()
    assert {"regs.path_length.mean", "G.w_mean", "G_ema.G.w_mean"} <= set(state)
    assert state["regs.path_length.mean"] > 0
    assert [name for name, value in resumed.state_dict().items() if not torch.equal(value, state[name])] == []


def test_copies_keep_what_is_stored_apart():
    G, D = players()
    twin = copy.deepcopy(D)
    stored = [layer.parametrizations.weight.original for layer in D.modules() if parametrize.is_parametrized(layer)]
    with torch.no_grad():
        torch._foreach_mul_(stored, 2.0)
    x = torch.randn(2, 3, 16, 16)
    assert not torch.equal(twin(x).logits, D(x).logits)
    loss = R1(weight=1.0).objective(Turn("d", G, D, x, torch.zeros(2, dtype=torch.long), G.draw(2)))
    loss.backward()
    assert all(each.grad.isfinite().all() for each in stored)
