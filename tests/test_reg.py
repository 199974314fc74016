"""Regularizers against their closed forms: penalties on <w, x>, operators against their singular values."""

import copy
import itertools

import pytest
import torch
from hydra.utils import instantiate
from torch import nn
from torch.nn.utils import parametrize

from lit_gan import game
from lit_gan.errors import UserError
from lit_gan.game import NormSlot, weight_layers
from lit_gan.losses import Hinge
from lit_gan.models import dcgan, mlp, sngan_cnn, sngan_resnet
from lit_gan.reg.gradients import GradientPenalty, between, slopes
from lit_gan.reg.structure import BatchNorm, LayerNorm
from lit_gan.reg.weights import Orthonormal, SpectralNorm, WeightClip, WeightNorm

IMAGES = (1, 16, 16)


class SmallD(game.Discriminator):
    """Two convolutions and a linear layer on [1, 8, 8]."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(6, 4, 4, 2, 1), NormSlot(4), nn.LeakyReLU(0.2)
        )
        self.head = nn.Linear(64, 1)


def labels(x):
    return torch.zeros(len(x), dtype=torch.long)


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


# Gradient penalty


@pytest.mark.parametrize("shape", [(2,), (3, 4, 4), (1, 8, 8)])
@pytest.mark.parametrize("length", [0.5, 1.0, 3.0])
def test_gradient_penalty_of_a_linear_d_is_its_length_minus_one_squared(make_turn, linear_d, shape, length):
    n = torch.Size(shape).numel()
    D = linear_d(nn.functional.normalize(torch.randn(n), dim=0) * length)
    turn = make_turn("d", D, torch.randn(5, *shape), torch.randn(5, *shape))
    assert GradientPenalty().d(turn).item() == pytest.approx((length - 1) ** 2, abs=1e-5)


def test_the_slope_is_over_all_dimensions_of_an_image(linear_d):
    # each of 3 x 4 x 4 partial derivatives is 1: per row or per channel it would be 2 or 4
    x = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(slopes(linear_d(torch.ones(48)), x, labels(x)), torch.full((2,), 48**0.5))


class QuadraticD(game.Discriminator):
    """D(x) = |x|^2 / 2, whose slope at x is |x|."""

    def forward(self, x, y=None):
        return game.Verdict(x.flatten(1).square().sum(1) / 2, x.flatten(1))


def test_gradient_penalty_is_the_mean_of_each_samples_own_slope(make_turn):
    x = torch.tensor([[3.0, 4.0], [0.0, 1.0], [0.0, 0.0]])
    turn = make_turn("d", QuadraticD(), x, x)  # between x and x there is only x
    torch.testing.assert_close(slopes(turn.D, x, labels(x)), torch.tensor([5.0, 1.0, 0.0]))
    assert GradientPenalty().d(turn).item() == pytest.approx((16 + 0 + 1) / 3)


def test_interpolation_uses_one_number_per_sample():
    ones, zeros = torch.ones(2000, 3, 4, 4), torch.zeros(2000, 3, 4, 4)
    shares = between(ones, zeros).flatten(1)
    torch.testing.assert_close(shares, shares[:, :1].expand_as(shares), rtol=0, atol=0)
    assert len(shares[:, 0].unique()) > 1900
    # U[0, 1]: mean 1/2, variance 1/12
    assert 0 <= shares.min() < 0.01 < 0.99 < shares.max() <= 1
    assert abs(shares[:, 0].mean() - 0.5) < 0.03
    assert abs(shares[:, 0].var() - 1 / 12) < 0.01


def test_interpolates_lie_on_the_line_between_their_own_pair():
    real, fake = torch.randn(50, 2), torch.randn(50, 2)
    share = (between(real, fake) - fake) / (real - fake)
    torch.testing.assert_close(share[:, 0], share[:, 1], rtol=1e-3, atol=1e-3)


def test_gradient_penalty_reaches_d_by_its_second_derivative(make_turn, linear_d):
    w = torch.tensor([3.0, 4.0])
    turn = make_turn("d", linear_d(w), torch.randn(6, 2), torch.randn(6, 2))
    GradientPenalty().d(turn).backward()
    # d/dw (|w| - 1)^2 = 2 (|w| - 1) w / |w|
    torch.testing.assert_close(turn.D.head.weight.grad[0], 2 * 4 * w / 5)


def test_gradient_penalty_has_the_gradient_of_finite_differences(make_turn):
    D = SmallD().double()
    x = torch.randn(4, 1, 8, 8, dtype=torch.double)
    turn = make_turn("d", D, x, x)
    reg, weight = GradientPenalty(), D.body[2].weight
    reg.d(turn).backward()
    expected = weight.grad[1, 2, 3, 0].item()
    above, below = (shifted(reg, turn, weight, step) for step in (1e-6, -1e-6))
    assert expected == pytest.approx((above - below) / 2e-6, rel=1e-5)


def shifted(reg, turn, weight, step):
    """D's term with one entry of a weight moved by `step`."""
    weight.data[1, 2, 3, 0] += step
    value = reg.d(turn).item()
    weight.data[1, 2, 3, 0] -= step
    return value


def test_gradient_penalty_leaves_g_and_the_samples_alone(make_turn, linear_d):
    turn = make_turn("d", linear_d([3.0, 4.0]), torch.randn(6, 2))
    GradientPenalty().d(turn).backward()
    assert all(parameter.grad is None for parameter in turn.G.parameters())
    assert turn.x_real.grad is None
    assert not turn.x_real.requires_grad


def test_gradient_penalty_at_zero_slope_has_a_finite_gradient(make_turn, linear_d):
    turn = make_turn("d", linear_d([0.0, 0.0]), torch.randn(3, 2), torch.randn(3, 2))
    value = GradientPenalty().d(turn)
    value.backward()
    assert value.item() == 1
    assert turn.D.head.weight.grad.isfinite().all()


def test_gradient_penalty_has_nothing_for_g(make_turn, linear_d):
    assert GradientPenalty().g(make_turn("g", linear_d([1.0, 1.0]), torch.randn(3, 2))) is None


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(4), nn.BatchNorm2d(4), nn.SyncBatchNorm(4)])
def test_gradient_penalty_is_refused_with_batch_norm(layer):
    D = SmallD()
    D.body[3] = layer
    with pytest.raises(UserError, match=r"gradient_penalty.*batch normalisation.*layer_norm"):
        attached(GradientPenalty(), D)


@pytest.mark.parametrize("order", list(itertools.permutations([GradientPenalty, BatchNorm])))
def test_gradient_penalty_and_batch_norm_are_refused_in_either_order(make_turn, order):
    D = SmallD()
    with pytest.raises(UserError, match="batch"):
        play_d(make_turn, D, together(D, [reg() for reg in order]))


def play_d(make_turn, D, regs):
    turn = make_turn("d", D, torch.randn(4, 1, 8, 8), torch.randn(4, 1, 8, 8))
    return [reg.d(turn) for reg in regs]


def test_gradient_penalty_goes_with_layer_norm(make_turn):
    D = SmallD()
    regs = together(D, [LayerNorm(), GradientPenalty()])
    assert play_d(make_turn, D, regs)[1].isfinite()


# Spectral norm


def sigma(layer):
    return torch.linalg.svdvals(layer.weight.detach().flatten(1))[0].item()


def test_spectral_norm_makes_every_largest_singular_value_one():
    D = attached(SpectralNorm(), SmallD())
    x = torch.randn(2, 1, 8, 8)
    for _ in range(100):
        D(x)
    D.eval()
    assert [sigma(layer) for _, layer in weight_layers(D)] == pytest.approx([1, 1, 1], abs=1e-4)


def test_spectral_norm_divides_by_the_value_of_the_svd():
    D = SmallD()
    originals = [layer.weight.detach().clone() for _, layer in weight_layers(D)]
    attached(SpectralNorm(n_power_iterations=50), D)
    D.train()
    for _, layer in weight_layers(D):
        layer.weight  # noqa: B018  each access is a forward pass of the parametrisation
    D.eval()
    for original, (_, layer) in zip(originals, weight_layers(D), strict=True):
        expected = original / torch.linalg.svdvals(original.flatten(1))[0]
        torch.testing.assert_close(layer.weight.detach(), expected, rtol=1e-3, atol=1e-5)


def test_spectral_norm_underestimates_until_it_has_converged():
    D = attached(SpectralNorm(), SmallD())
    D.eval()
    assert all(sigma(layer) >= 1 - 1e-5 for _, layer in weight_layers(D))


@pytest.mark.parametrize("model", [dcgan, sngan_cnn])
def test_spectral_norm_takes_every_weight_and_no_other_parameter(model):
    D = attached(SpectralNorm(), model.Discriminator(IMAGES, width=2))
    assert all(parametrize.is_parametrized(layer, "weight") for _, layer in weight_layers(D))
    assert not any(parametrize.is_parametrized(layer, "bias") for _, layer in weight_layers(D))


def test_spectral_norm_takes_the_shortcuts_and_the_head_of_a_resnet():
    D = attached(SpectralNorm(), sngan_resnet.Discriminator((3, 32, 32), width=2))
    names = [name for name, layer in weight_layers(D) if parametrize.is_parametrized(layer, "weight")]
    assert "head" in names
    assert sum("shortcut" in name for name in names) == 2
    assert len(names) == 4 * 2 + 2 + 1


@pytest.mark.parametrize("n_power_iterations", [1, 3])
def test_the_singular_vector_moves_with_each_training_forward(n_power_iterations):
    D = attached(SpectralNorm(n_power_iterations), SmallD())
    kernel = D.body[2]
    matrix = kernel.parametrizations.weight.original.detach().flatten(1)
    u, x = kernel.parametrizations.weight[0]._u.clone(), torch.randn(2, 1, 8, 8)
    for _ in range(4):
        D(x)
        for _ in range(n_power_iterations):
            v = nn.functional.normalize(matrix.T @ u, dim=0)
            u = nn.functional.normalize(matrix @ v, dim=0)
        torch.testing.assert_close(kernel.parametrizations.weight[0]._u, u)


def test_one_update_of_each_player_moves_the_singular_vector_three_times(make_turn):
    D = attached(SpectralNorm(), SmallD())
    layer = D.body[2].parametrizations.weight
    start, matrix = layer[0]._u.clone(), layer.original.detach().flatten(1)
    x = torch.randn(2, 1, 8, 8)
    Hinge().d(make_turn("d", D, x, x))
    torch.testing.assert_close(layer[0]._u, iterated(matrix, start, 2))
    Hinge().g(make_turn("g", D, x, x))
    torch.testing.assert_close(layer[0]._u, iterated(matrix, start, 3))


def iterated(matrix, u, times):
    for _ in range(times):
        u = nn.functional.normalize(matrix @ nn.functional.normalize(matrix.T @ u, dim=0), dim=0)
    return u


def test_the_singular_vector_rests_in_evaluation():
    D = attached(SpectralNorm(), SmallD()).eval()
    before = {name: buffer.clone() for name, buffer in D.named_buffers()}
    D(torch.randn(2, 1, 8, 8))
    assert before
    for name, buffer in D.named_buffers():
        assert torch.equal(buffer, before[name]), name


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 2, 3, 3)])
def test_the_gradient_through_spectral_norm_is_equation_12(shape):
    """Miyato et al. 2018, Eq. 12: (1 / sigma) (E[delta h^T] - lambda u v^T), lambda = E[delta^T W_sn h]."""
    layer = nn.Linear(shape[1], shape[0]) if len(shape) == 2 else nn.Conv2d(shape[1], shape[0], 3)
    D = SmallD()
    D.head = layer.double()
    attached(SpectralNorm(), D)
    parametrization = layer.parametrizations.weight
    layer.eval()  # u and v are constants
    outer = torch.randn(shape, dtype=torch.double)  # E[delta h^T] for the loss <outer, W_sn>
    (gradient,) = torch.autograd.grad((outer * layer.weight).sum(), parametrization.original)
    original = parametrization.original.detach().flatten(1)
    u, v = parametrization[0]._u, parametrization[0]._v
    s = u @ original @ v
    multiplier = (outer.flatten(1) * original / s).sum()
    expected = (outer.flatten(1) - multiplier * torch.outer(u, v)) / s
    torch.testing.assert_close(gradient.flatten(1), expected, rtol=1e-12, atol=1e-12)


def test_equation_12_holds_in_training_too():
    D = attached(SpectralNorm(), SmallD()).double()
    layer, outer = D.head, torch.randn(1, 64, dtype=torch.double)
    weight = layer.weight
    (gradient,) = torch.autograd.grad((outer * weight).sum(), layer.parametrizations.weight.original)
    W, u, v = layer.parametrizations.weight.original.detach(), *layer.parametrizations.weight[0].buffers()
    s = u @ W @ v
    torch.testing.assert_close(weight.detach(), W / s)
    torch.testing.assert_close(gradient, (outer - (outer * W / s).sum() * torch.outer(u, v)) / s)


def test_spectral_norm_on_a_point_discriminator():
    D = attached(SpectralNorm(), mlp.Discriminator((2,), width=16, depth=2))
    for _ in range(200):
        D(torch.randn(3, 2))
    assert [sigma(layer) for _, layer in weight_layers(D.eval())] == pytest.approx([1, 1, 1], abs=1e-3)


# Weight norm


def test_weight_norm_makes_every_row_one_long():
    D = attached(WeightNorm(), SmallD())
    for _, layer in weight_layers(D):
        rows = layer.weight.detach().flatten(1)
        torch.testing.assert_close(rows.norm(dim=1), torch.ones(len(rows)))
        # Miyato et al. 2018, Eq. 13: the squared singular values add up to the number of rows
        assert torch.linalg.svdvals(rows).square().sum().item() == pytest.approx(len(rows), rel=1e-5)


def test_weight_norm_keeps_the_directions():
    D = SmallD()
    before = [layer.weight.detach().flatten(1) for _, layer in weight_layers(copy.deepcopy(D))]
    attached(WeightNorm(), D)
    for rows, (_, layer) in zip(before, weight_layers(D), strict=True):
        torch.testing.assert_close(layer.weight.detach().flatten(1), nn.functional.normalize(rows, dim=1))


@pytest.mark.parametrize("gamma", [False, True])
def test_weight_norm_learns_lengths_only_if_told(gamma):
    D = attached(WeightNorm(gamma=gamma), SmallD())
    lengths = [layer.parametrizations.weight.original0 for _, layer in weight_layers(D)]
    assert [length.requires_grad for length in lengths] == [gamma] * 3
    D(torch.randn(2, 1, 8, 8)).logits.sum().backward()
    assert [length.grad is not None for length in lengths] == [gamma] * 3
    assert all(layer.parametrizations.weight.original1.grad is not None for _, layer in weight_layers(D))


def test_weight_norm_with_gamma_starts_as_the_same_network():
    D, x = SmallD(), torch.randn(2, 1, 8, 8)
    before = D(x).logits
    torch.testing.assert_close(attached(WeightNorm(gamma=True), D)(x).logits, before)


def test_weight_norm_rows_stay_one_long_after_updates():
    D = attached(WeightNorm(), SmallD())
    optimizer = torch.optim.Adam([parameter for parameter in D.parameters() if parameter.requires_grad], lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        D(torch.randn(2, 1, 8, 8)).logits.sum().backward()
        optimizer.step()
    for _, layer in weight_layers(D):
        rows = layer.weight.detach().flatten(1)
        torch.testing.assert_close(rows.norm(dim=1), torch.ones(len(rows)))


# Weight clipping


def test_weight_clip_puts_every_parameter_into_the_box_after_d_update(make_turn):
    D = SmallD()
    reg = WeightClip(limit=0.01)
    attached(reg, D)
    before = {name: parameter.detach().clone() for name, parameter in D.named_parameters()}
    with torch.no_grad():
        reg.project(make_turn("d", D, torch.randn(2, 1, 8, 8)))
    for name, parameter in D.named_parameters():
        torch.testing.assert_close(parameter.detach(), before[name].clamp(-0.01, 0.01), rtol=0, atol=0)


@pytest.mark.parametrize("convolutions_only", [False, True])
def test_weight_clip_does_nothing_after_g_turn(make_turn, convolutions_only):
    D = SmallD()
    reg = WeightClip(0.01, convolutions_only)
    attached(reg, D)
    before = copy.deepcopy(D.state_dict())
    reg.project(make_turn("g", D, torch.randn(2, 1, 8, 8)))
    assert all(torch.equal(value, before[name]) for name, value in D.state_dict().items())


def test_weight_clip_of_convolutions_leaves_the_rest(make_turn):
    D = SmallD()
    reg = WeightClip(0.01, convolutions_only=True)
    attached(reg, D)
    before = copy.deepcopy(D.state_dict())
    with torch.no_grad():
        reg.project(make_turn("d", D, torch.randn(2, 1, 8, 8)))
    for name, value in D.state_dict().items():
        convolution = name in ("body.0.weight", "body.2.weight")
        expected = before[name].clamp(-0.01, 0.01) if convolution else before[name]
        assert torch.equal(value, expected), name
    assert D.head.weight.abs().max() > 0.01


def test_weight_clip_leaves_a_gamma_that_is_fixed_at_one(make_turn):
    D = SmallD()
    regs = together(D, [LayerNorm(), WeightClip()])
    with torch.no_grad():
        regs[1].project(make_turn("d", D, torch.randn(2, 1, 8, 8)))
    assert torch.equal(D.body[3].weight, torch.ones(4))


# Orthonormal


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (4, 4), (6, 2, 3, 3), (20, 1, 3, 3)])
def test_orthonormal_starts_at_zero_and_has_the_gradient_of_its_definition(make_turn, shape):
    D = SmallD()
    D.head = (nn.Linear(shape[1], shape[0]) if len(shape) == 2 else nn.Conv2d(shape[1], shape[0], 3)).double()
    reg = Orthonormal()
    attached(reg, D)
    turn = make_turn("d", D, torch.randn(2, 1, 8, 8))
    assert reg.d(turn).item() == pytest.approx(0, abs=1e-6)
    weight = D.head.weight
    with torch.no_grad():
        weight.add_(torch.randn(shape, dtype=torch.double))
    (gradient,) = torch.autograd.grad(reg.d(turn), weight)
    W = weight.detach().flatten(1).requires_grad_(True)
    definition = (W.T @ W - torch.eye(W.shape[1])).square().sum()  # Miyato et al. 2018, Eq. 14
    (expected,) = torch.autograd.grad(definition, W)
    torch.testing.assert_close(gradient.flatten(1), expected)


def test_orthonormal_of_a_known_matrix(make_turn):
    D = game.Discriminator()
    D.body, D.head = nn.Flatten(), nn.Linear(2, 3)
    reg = Orthonormal()
    attached(reg, D)
    with torch.no_grad():
        D.head.weight.copy_(torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 1.0]]))
    # W^T W = diag(4, 2): (4 - 1)^2 + (2 - 1)^2
    assert reg.d(make_turn("d", D, torch.randn(2, 2))).item() == pytest.approx(10)


def test_orthonormal_sums_over_every_layer(make_turn):
    D = SmallD()
    reg = Orthonormal()
    attached(reg, D)
    with torch.no_grad():
        for _, layer in weight_layers(D):
            layer.weight.mul_(2)
    # W W^T = 4 I: 9 for each of the smaller side's dimensions, 6 + 4 + 1
    assert reg.d(make_turn("d", D, torch.randn(2, 1, 8, 8))).item() == pytest.approx(9 * 11, rel=1e-5)


def test_orthonormal_initialisation_has_all_singular_values_one():
    D = attached(Orthonormal(), dcgan.Discriminator(IMAGES, width=4))
    for _, layer in weight_layers(D):
        values = torch.linalg.svdvals(layer.weight.detach().flatten(1))
        torch.testing.assert_close(values, torch.ones_like(values))


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


REPARAMETRISATIONS = {SpectralNorm: "spectral", WeightNorm: "weight_norm"}


@pytest.mark.parametrize("pair", list(itertools.product(REPARAMETRISATIONS, repeat=2)))
def test_weights_are_reparametrised_once(pair):
    D = attached(pair[0](), SmallD())
    with pytest.raises(UserError, match=f"reg={REPARAMETRISATIONS[pair[1]]} "):
        attached(pair[1](), D)


def refused(D, pair):
    """Whether D refuses two regularizers."""
    try:
        together(D, [reg() for reg in pair])
        return False
    except UserError:
        return True


@pytest.mark.parametrize("reparametrisation", REPARAMETRISATIONS)
def test_clipping_what_is_divided_by_its_norm_is_refused_in_either_order(reparametrisation):
    assert refused(SmallD(), [reparametrisation, WeightClip])
    assert refused(SmallD(), [WeightClip, reparametrisation])


@pytest.mark.parametrize("reparametrisation", REPARAMETRISATIONS)
@pytest.mark.parametrize("first", [True, False])
def test_orthonormal_is_refused_with_a_reparametrisation_or_reaches_its_weights(make_turn, reparametrisation, first):
    pair = [Orthonormal, reparametrisation] if first else [reparametrisation, Orthonormal]
    D = SmallD()
    try:
        regs = together(D, [reg() for reg in pair])
    except UserError:
        return
    term = regs[pair.index(Orthonormal)].d(make_turn("d", D, torch.randn(2, 1, 8, 8)))
    reached = torch.autograd.grad(term, [p for p in D.parameters() if p.requires_grad], allow_unused=True)
    assert any(gradient is not None for gradient in reached)


# Configs


def test_every_reg_file_adds_the_one_key_of_its_name_and_works(compose, make_turn, reg_choice):
    config = compose(f"reg=[{reg_choice}]").reg
    assert list(config) == [reg_choice] * (reg_choice != "none")
    for entry in config.values():
        reg, D = instantiate(entry), SmallD()
        attached(reg, D)
        turn = make_turn("d", D, torch.randn(3, 1, 8, 8), torch.randn(3, 1, 8, 8))
        term = reg.d(turn)
        assert term is None or (reg.weight * term).isfinite()
        with torch.no_grad():
            reg.project(turn)


def test_the_papers_numbers_are_the_defaults(compose):
    config = compose("reg=[weight_norm,batch_norm,layer_norm,gradient_penalty,weight_clip,spectral,orthonormal]").reg
    assert config.gradient_penalty.weight == 10
    assert config.weight_clip.limit == 0.01
    assert config.spectral.n_power_iterations == 1
    assert not any(config[name].gamma for name in ("weight_norm", "batch_norm", "layer_norm"))


@pytest.mark.parametrize("selection", ["[]", "none"])
def test_no_regularizer(compose, selection):
    assert not compose(f"reg={selection}").reg


def test_list_order_is_kept(compose):
    assert list(compose("reg=[weight_clip,layer_norm]").reg) == ["weight_clip", "layer_norm"]
    assert list(compose("reg=[layer_norm,weight_clip]").reg) == ["layer_norm", "weight_clip"]
