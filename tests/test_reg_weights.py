"""Regularizers of D's weights against their singular values, and against what they are by hand."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from lit_gan import game
from lit_gan.errors import UserError
from lit_gan.game import Labelled
from lit_gan.layers import LargestSingularValue, as_matrix, operators, out_axis, singular_values, weight_layers
from lit_gan.losses import Hinge
from lit_gan.models import dcgan, dirac, mlp, sngan_cnn, sngan_resnet
from lit_gan.reg.constraints import Orthogonal, Orthonormal, SpectralPenalty, WeightClip, overlap
from lit_gan.reg.structure import FreezeD, LayerNorm
from lit_gan.reg.weights import FrobeniusNorm, RowLengths, SpectralNorm, WeightNorm
from test_reg import IMAGES, SmallD, attached, together

# Spectral norm


def sigma(layer):
    return torch.linalg.svdvals(as_matrix(layer.weight.detach(), out_axis(layer)))[0].item()


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


def first_norms(**settings):
    """The spectral norms of the standard CNN's convolutions in the first forward pass, and after three updates."""
    D = attached(SpectralNorm(**settings), sngan_cnn.Discriminator((3, 32, 32)))
    convolutions = [layer for layer in operators(D) if isinstance(layer, nn.Conv2d)]
    first = [sigma(layer) for layer in convolutions]
    for _ in range(8):  # three forward passes in each update, the ninth is the next one
        for layer in convolutions:
            layer.weight  # noqa: B018  each access is a forward pass of the parametrisation
    return first, [sigma(layer) for layer in convolutions]


def test_the_norms_start_above_one_as_in_the_authors_code():
    """Miyato et al. 2018, Figure 9: the convolutions begin above 1.1; chainer's 1.21 to 1.38 in the first pass."""
    first, later = first_norms()
    assert len(first) == 7
    assert all(1.1 < norm < 1.6 for norm in first)
    assert all(norm < 1.07 for norm in later)


def test_what_is_logged_before_the_first_update_shows_the_beginning_of_figure_9():
    D = attached(SpectralNorm(), sngan_cnn.Discriminator((3, 32, 32)))
    logged = [values[0].item() for values in singular_values(D).values()]
    first = [sigma(layer) for layer in operators(D)]
    assert logged == pytest.approx(first, rel=1e-4)
    assert min(logged[:7]) > 1.1


def test_a_warm_up_takes_the_beginning_away():
    assert all(norm < 1.05 for norm in first_norms(warm_up=15)[0])


def test_the_singular_vector_starts_as_a_normal_draw_and_nothing_moves_it_before_the_first_pass():
    D = attached(SpectralNorm(), sngan_cnn.Discriminator((3, 32, 32)))
    u = [layer.parametrizations.weight[0].norm.u for layer in operators(D)]
    assert torch.cat(u).std().item() == pytest.approx(1, rel=0.1)
    assert u[6].norm().item() > 10  # of 512 numbers; a power iteration leaves it of length 1


def test_a_warm_up_is_so_many_power_iterations():
    torch.manual_seed(3)
    matrix, state = torch.randn(4, 6), torch.get_rng_state()
    start = LargestSingularValue(matrix).u
    torch.set_rng_state(state)
    torch.testing.assert_close(LargestSingularValue(matrix, warm_up=2).u, iterated(matrix, start, 2))


def test_before_the_first_training_pass_an_evaluation_is_finite_and_repeats_itself():
    D, x = attached(SpectralNorm(), SmallD()).eval(), torch.randn(2, 1, 8, 8)
    assert D(x).logits.isfinite().all()
    assert torch.equal(D(x).logits, D(x).logits)


def test_a_checkpoint_of_another_start_loads():
    old, new = attached(SpectralNorm(warm_up=15), SmallD()), attached(SpectralNorm(), SmallD())
    new.load_state_dict(old.state_dict())
    assert all(torch.equal(value, new.state_dict()[name]) for name, value in old.state_dict().items())


@pytest.mark.parametrize("n_power_iterations", [1, 3])
def test_the_singular_vector_moves_with_each_training_forward(n_power_iterations):
    D = attached(SpectralNorm(n_power_iterations), SmallD())
    kernel = D.body[2]
    matrix = kernel.parametrizations.weight.original.detach().flatten(1)
    u, x = kernel.parametrizations.weight[0].norm.u.clone(), torch.randn(2, 1, 8, 8)
    for _ in range(4):
        D(x)
        for _ in range(n_power_iterations):
            v = nn.functional.normalize(matrix.T @ u, dim=0)
            u = nn.functional.normalize(matrix @ v, dim=0)
        torch.testing.assert_close(kernel.parametrizations.weight[0].norm.u, u)


def test_one_update_of_each_player_moves_the_singular_vector_three_times(make_turn):
    D = attached(SpectralNorm(), SmallD())
    layer = D.body[2].parametrizations.weight
    start, matrix = layer[0].norm.u.clone(), layer.original.detach().flatten(1)
    x = torch.randn(2, 1, 8, 8)
    Hinge().d(make_turn("d", D, x, x))
    torch.testing.assert_close(layer[0].norm.u, iterated(matrix, start, 2))
    Hinge().g(make_turn("g", D, x, x))
    torch.testing.assert_close(layer[0].norm.u, iterated(matrix, start, 3))


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


def vectors(matrix, u):
    """One power iteration: the left and the right vector."""
    v = nn.functional.normalize(matrix.T @ u, dim=0)
    return nn.functional.normalize(matrix @ v, dim=0), v


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
    u, v = vectors(original, parametrization[0].norm.u)
    s = u @ original @ v
    multiplier = (outer.flatten(1) * original / s).sum()
    expected = (outer.flatten(1) - multiplier * torch.outer(u, v)) / s
    torch.testing.assert_close(gradient.flatten(1), expected, rtol=1e-12, atol=1e-12)


def test_equation_12_holds_in_training_too():
    D = attached(SpectralNorm(), SmallD()).double()
    layer, outer = D.head, torch.randn(1, 64, dtype=torch.double)
    W = layer.parametrizations.weight.original.detach()
    u, v = vectors(W, layer.parametrizations.weight[0].norm.u)
    weight = layer.weight
    (gradient,) = torch.autograd.grad((outer * weight).sum(), layer.parametrizations.weight.original)
    s = u @ W @ v
    torch.testing.assert_close(weight.detach(), W / s)
    torch.testing.assert_close(gradient, (outer - (outer * W / s).sum() * torch.outer(u, v)) / s)


def test_spectral_norm_on_a_point_discriminator():
    D = attached(SpectralNorm(), mlp.Discriminator((2,), width=16, depth=2))
    for _ in range(200):
        D(torch.randn(3, 2))
    assert [sigma(layer) for _, layer in weight_layers(D.eval())] == pytest.approx([1, 1, 1], abs=1e-3)


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_the_factor_is_the_largest_singular_value(factor):
    D = converged(attached(SpectralNorm(factor=factor), SmallD()))
    assert [sigma(layer) for _, layer in weight_layers(D)] == pytest.approx([factor] * 3, rel=1e-3)


def converged(D):
    """After many forward passes, in evaluation."""
    for _ in range(200):
        for layer in operators(D):
            layer.weight  # noqa: B018  each access is a forward pass of the parametrisation
    return D.eval()


@pytest.mark.parametrize("reg", [SpectralNorm, FrobeniusNorm])
def test_gamma_starts_at_the_norm_so_that_the_network_is_as_it_was(reg):
    D, x = SmallD(), torch.randn(2, 1, 8, 8)
    before = D(x).logits.detach()
    attached(reg(gamma=True), D)
    torch.testing.assert_close(converged(D)(x).logits, before, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("reg", "norm"), [(SpectralNorm, sigma), (FrobeniusNorm, lambda layer: layer.weight.norm().item())]
)
def test_gamma_is_the_norm_at_first_and_learned(reg, norm):
    D = SmallD()
    expected = [norm(layer) for _, layer in weight_layers(D)]
    attached(reg(gamma=True), D)
    gammas = [layer.parametrizations.weight[0].gain for _, layer in weight_layers(D)]
    assert [gamma.item() for gamma in gammas] == pytest.approx(expected)
    assert {id(gamma) for gamma in gammas} <= {id(parameter) for parameter in D.parameters()}
    D(torch.randn(2, 1, 8, 8)).logits.square().sum().backward()
    assert all(gamma.grad.abs() > 0 for gamma in gammas)


@pytest.mark.parametrize("reg", [SpectralNorm, FrobeniusNorm])
def test_without_gamma_there_is_no_parameter_more(reg):
    D = SmallD()
    before = len(list(D.parameters()))
    assert len(list(attached(reg(), D).parameters())) == before


def test_gradient_with_gamma_is_by_hand():
    D = attached(SpectralNorm(gamma=True), SmallD()).double().eval()
    layer, outer = D.head, torch.randn(1, 64, dtype=torch.double)
    W, gain = layer.parametrizations.weight.original, layer.parametrizations.weight[0].gain
    by_gain, by_weight = torch.autograd.grad((outer * layer.weight).sum(), [gain, W])
    W = W.detach()
    length, inner = W.norm(), (outer * W).sum()  # a single row: sigma = |w|
    torch.testing.assert_close(by_gain, inner / length)
    torch.testing.assert_close(by_weight, gain.detach() * (outer / length - inner * W / length**3))


class Everything(game.Discriminator):
    """Every kind of operator: in the body, in a labelled head, in a head of its own."""

    class Projection(Labelled):
        def __init__(self):
            super().__init__()
            self.plain, self.embedding = nn.Linear(16, 1), nn.Embedding(3, 16)

        def forward(self, h, y=None):
            return self.plain(h) + (self.embedding(y) * h).sum(1, keepdim=True)

    def __init__(self):
        super().__init__()
        layers = nn.Conv2d(1, 4, 3, padding=1), nn.ConvTranspose2d(4, 2, 2, 2), nn.Flatten(), nn.Linear(2 * 64, 16)
        self.body, self.head = nn.Sequential(*layers), self.Projection()
        self.heads["classes"] = nn.Linear(16, 3)


EVERYTHING = ["body.0", "body.1", "body.3", "head.plain", "head.embedding", "heads.classes"]


@pytest.mark.parametrize("reg", [SpectralNorm, FrobeniusNorm, WeightNorm])
def test_heads_and_embeddings_are_normalised_too(reg):
    D = attached(reg(), Everything())
    names = [name for name, layer in D.named_modules() if parametrize.is_parametrized(layer, "weight")]
    assert sorted(names) == sorted(EVERYTHING)
    assert D(torch.randn(2, 1, 4, 4), torch.tensor([0, 2])).logits.isfinite().all()


def test_spectral_norm_of_every_kind_of_operator_is_one():
    D = converged(attached(SpectralNorm(), Everything()))
    assert [sigma(layer) for layer in operators(D)] == pytest.approx([1] * 6, abs=1e-4)


def test_rows_are_outputs_in_every_kind_of_operator():
    rows = [len(as_matrix(layer.weight, out_axis(layer))) for layer in operators(Everything())]
    assert sorted(rows) == sorted([4, 2, 16, 1, 16, 3])


@pytest.mark.parametrize("layer", [nn.Conv2d(3, 8, 4), nn.ConvTranspose2d(3, 8, 4), nn.Linear(3, 8)])
def test_weight_norm_is_torchs_with_its_names_and_gradients(layer):
    theirs = parametrizations.weight_norm(copy.deepcopy(layer), dim=out_axis(layer))
    parametrize.register_parametrization(layer, "weight", RowLengths(out_axis(layer)))
    assert layer.state_dict().keys() == theirs.state_dict().keys()
    layer.load_state_dict(theirs.state_dict())
    goal = torch.randn_like(layer.weight)
    for each in (layer, theirs):
        (each.weight - goal).square().sum().backward()
    for (name, mine), other in zip(layer.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, msg=name)
        assert mine.shape == other.shape


def test_weight_norm_gives_every_output_of_a_transposed_convolution_the_length_one():
    layer = attached(WeightNorm(), Everything()).body[1]
    torch.testing.assert_close(layer.weight.detach().transpose(0, 1).flatten(1).norm(dim=1), torch.ones(2))


@pytest.mark.gpu
@pytest.mark.parametrize("reg", [SpectralNorm, FrobeniusNorm])
def test_norms_are_in_full_precision_under_autocast(reg):
    D = attached(reg(), SmallD()).cuda().eval()
    weight = D.body[2].weight
    with torch.autocast("cuda", torch.bfloat16):
        assert torch.equal(D.body[2].weight, weight)


@pytest.mark.parametrize("make", [Orthonormal, lambda: Orthogonal(network="d")])
def test_gram_matrices_are_in_full_precision_under_autocast(make_turn, make):
    D, reg = SmallD(), make()
    attached(reg, D)
    with torch.no_grad():
        for layer in operators(D):
            layer.weight.add_(torch.randn_like(layer.weight))
    turn = make_turn("d", D, torch.randn(2, 1, 8, 8))
    expected = reg.d(turn)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(reg.d(turn), expected)


def test_a_copy_of_a_normalised_d_moves_alone():
    D = attached(SpectralNorm(gamma=True), SmallD())
    twin = copy.deepcopy(D)
    before = copy.deepcopy(D.state_dict())
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1)
    twin(torch.randn(2, 1, 8, 8))
    assert all(torch.equal(value, before[name]) for name, value in D.state_dict().items())


def test_two_forward_passes_before_one_backward():
    D = attached(SpectralNorm(), SmallD())
    real, fake = D(torch.randn(2, 1, 8, 8)).logits, D(torch.randn(2, 1, 8, 8)).logits
    (real - fake).sum().backward()
    assert all(layer.parametrizations.weight.original.grad.isfinite().all() for _, layer in weight_layers(D))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_power_iterations": 0}, "n_power_iterations=0"),
        ({"warm_up": -1}, "warm_up=-1"),
        ({"factor": 0.0}, "factor=0.0"),
        ({"factor": -1.0}, "factor=-1.0"),
        ({"factor": 2.0, "gamma": True}, "gamma=true"),
    ],
)
def test_spectral_norm_refuses(settings, words):
    with pytest.raises(UserError, match=words):
        SpectralNorm(**settings)


# Frobenius norm


def test_frobenius_norm_makes_every_weight_one_long():
    D = SmallD()
    before = [layer.weight.detach() / layer.weight.detach().norm() for _, layer in weight_layers(D)]
    attached(FrobeniusNorm(), D)
    torch.testing.assert_close([layer.weight.detach() for _, layer in weight_layers(D)], before)


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


@pytest.mark.parametrize("convolutions_only", [False, True])
@pytest.mark.parametrize("clip_first", [False, True])
def test_weight_clip_leaves_what_is_frozen(make_turn, clip_first, convolutions_only):
    D, clip = dcgan.Discriminator(IMAGES, width=2), WeightClip(0.01, convolutions_only)
    together(D, [clip, FreezeD(1)] if clip_first else [FreezeD(1), clip])
    first, *rest = (layer for _, layer in weight_layers(D) if isinstance(layer, nn.Conv2d))
    before = first.weight.detach().clone()
    with torch.no_grad():
        clip.project(make_turn("d", D, torch.randn(2, *IMAGES)))
    assert torch.equal(first.weight, before)
    assert max(layer.weight.abs().max() for layer in rest) <= 0.01


@pytest.mark.parametrize(("when", "inside"), [("after", [False, False, True]), ("before", [False, True, False])])
def test_both_moments_of_clipping(make_turn, when, inside):
    D = SmallD()
    reg = WeightClip(0.01, when=when)
    attached(reg, D)
    turn = make_turn("d", D, torch.randn(2, 1, 8, 8))
    seen = [boxed(D)]
    reg.stage(turn)
    seen.append(boxed(D))
    with torch.no_grad():
        for parameter in D.parameters():
            parameter.add_(0.02)
        reg.project(turn)
    seen.append(boxed(D))
    assert seen == inside


def boxed(D):
    """Whether every parameter is in the box."""
    return all(parameter.detach().abs().max() <= 0.01 + 1e-9 for parameter in D.parameters())


@pytest.mark.parametrize("when", ["after", "before"])
def test_g_turn_clips_nothing(make_turn, when):
    D = SmallD()
    reg = WeightClip(0.01, when=when)
    attached(reg, D)
    turn = make_turn("g", D, torch.randn(2, 1, 8, 8))
    reg.stage(turn)
    with torch.no_grad():
        reg.project(turn)
    assert not boxed(D)


def test_there_is_no_third_moment():
    with pytest.raises(UserError, match=r"^WeightClip\.when=during"):
        WeightClip(when="during")


# Spectral penalty


def test_spectral_penalty_is_half_the_squared_singular_values(make_turn):
    D, reg = Everything(), SpectralPenalty()
    attached(reg, D)
    turn = make_turn("d", D, torch.randn(2, 1, 4, 4))
    for _ in range(300):
        value = reg.d(turn)
    expected = sum(sigma(layer) ** 2 for layer in operators(D))
    assert value.item() == pytest.approx(expected / 2, rel=1e-3)


def test_the_gradient_of_the_spectral_penalty_is_sigma_u_v(make_turn):
    D, reg = SmallD().double(), SpectralPenalty()
    attached(reg, D)
    turn = make_turn("d", D, torch.randn(2, 1, 8, 8))
    for _ in range(2000):
        value = reg.d(turn)
    weight = D.body[2].weight
    (gradient,) = torch.autograd.grad(value, weight)
    U, S, V = torch.linalg.svd(weight.detach().flatten(1), full_matrices=False)
    torch.testing.assert_close(gradient.flatten(1), S[0] * torch.outer(U[:, 0], V[0]), rtol=1e-5, atol=1e-8)


def test_the_spectral_penalty_iterates_once_in_each_turn_of_d_and_remembers(make_turn):
    D, reg = SmallD(), SpectralPenalty()
    attached(reg, D)
    start, matrix = reg.norms[1].u.clone(), D.body[2].weight.detach().flatten(1)
    assert "norms.1.u" in reg.state_dict()
    reg.d(make_turn("d", D, torch.randn(2, 1, 8, 8)))
    torch.testing.assert_close(reg.norms[1].u, iterated(matrix, start, 1))
    assert reg.g(make_turn("g", D, torch.randn(2, 1, 8, 8))) is None
    torch.testing.assert_close(reg.norms[1].u, iterated(matrix, start, 1))


def test_the_largest_singular_value_is_never_overestimated():
    matrix = torch.randn(7, 9, dtype=torch.double)
    expected = torch.linalg.svdvals(matrix)[0]
    assert all(LargestSingularValue(matrix)(matrix) <= expected + 1e-12 for _ in range(50))


@pytest.mark.parametrize("reparametrisation", [SpectralNorm, WeightNorm, FrobeniusNorm])
@pytest.mark.parametrize("first", [True, False])
def test_spectral_penalty_of_normalised_weights_is_refused_in_either_order(reparametrisation, first):
    pair = [SpectralPenalty(), reparametrisation()]
    with pytest.raises(UserError, match="reg="):
        together(SmallD(), pair if first else pair[::-1])


class Bare(game.Discriminator):
    """A parameter, and no layer with a weight."""

    def __init__(self):
        super().__init__()
        self.psi = nn.Parameter(torch.ones(1))


@pytest.mark.parametrize("kind", [Orthonormal, SpectralPenalty, SpectralNorm, FrobeniusNorm])
def test_a_d_without_weights_is_refused_to_what_makes_something_of_them(kind):
    with pytest.raises(UserError, match="finds no convolution or linear layer in D: leave it out"):
        together(Bare(), [kind()])


@pytest.mark.parametrize(("hook", "reg"), [("check", Orthogonal()), ("attach", SpectralNorm(networks=["g"]))])
def test_so_is_a_g(hook, reg):
    with pytest.raises(UserError, match="finds no convolution or linear layer in G: leave it out"):
        getattr(reg, hook)(dirac.Generator((1,)), SmallD())


def test_every_parameter_of_a_d_without_weights_is_clipped(make_turn):
    D = Bare()
    (clip,) = together(D, [WeightClip()])
    clip.project(make_turn("d", D, torch.zeros(1, 2)))
    assert D.psi.item() == pytest.approx(0.01)


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


def test_orthonormal_starts_every_kind_of_operator_orthonormal(make_turn):
    D, reg = Everything(), Orthonormal()
    attached(reg, D)
    assert reg.d(make_turn("d", D, torch.randn(2, 1, 4, 4))).item() == pytest.approx(0, abs=1e-4)


# Orthogonal rows of any length


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (4, 2, 3, 3), (30, 1, 3, 3)])
def test_orthogonal_is_its_definition(make_turn, shape):
    D = game.Discriminator()
    D.head = (nn.Linear(shape[1], shape[0]) if len(shape) == 2 else nn.Conv2d(shape[1], shape[0], 3)).double()
    value = Orthogonal(network="d").d(make_turn("d", D, torch.randn(2, 2)))
    (gradient,) = torch.autograd.grad(value, D.head.weight)
    W = D.head.weight.detach().flatten(1).requires_grad_(True)
    definition = (W @ W.T * (1 - torch.eye(len(W)))).square().sum()  # Brock et al. 2019, Eq. 3, of the filters
    torch.testing.assert_close(value, definition)
    torch.testing.assert_close(gradient.flatten(1), torch.autograd.grad(definition, W)[0])


def test_orthogonal_rows_of_any_length_cost_nothing(make_turn):
    D = game.Discriminator()
    D.head = nn.Linear(2, 2, bias=False)
    turn = make_turn("d", D, torch.randn(2, 2))
    with torch.no_grad():
        D.head.weight.copy_(torch.tensor([[3.0, 0.0], [0.0, 5.0]]))
    assert Orthogonal(network="d").d(turn).item() == 0
    with torch.no_grad():
        D.head.weight.copy_(torch.tensor([[1.0, 0.0], [2.0, 1.0]]))
    assert Orthogonal(network="d").d(turn).item() == 8  # the one pair, twice: 2^2 + 2^2


def test_the_filters_of_a_transposed_convolution_are_its_outputs(make_turn):
    turn = make_turn("g", SmallD(), torch.randn(2, 1, 8, 8))
    turn.G = nn.ConvTranspose2d(3, 2, 2, bias=False)
    rows = turn.G.weight.detach().transpose(0, 1).flatten(1)
    assert Orthogonal().g(turn).item() == pytest.approx(2 * (rows[0] @ rows[1]).item() ** 2, rel=1e-4)


@pytest.mark.parametrize(("network", "other"), ["gd", "dg"])
def test_orthogonal_is_a_term_of_its_player_only(make_turn, network, other):
    reg, x = Orthogonal(network=network), torch.randn(2, 1, 8, 8)
    assert getattr(reg, network)(make_turn(network, SmallD(), x)) > 0
    assert getattr(reg, other)(make_turn(other, SmallD(), x)) is None


def test_orthogonal_is_of_the_weights_that_the_optimizer_moves(make_turn):
    D, turn = game.Discriminator(), make_turn("d", SmallD(), torch.randn(2, 1, 8, 8))
    D.head = nn.Linear(4, 3, bias=False)
    expected = 16 * overlap(D.head.weight.detach())
    attached(SpectralNorm(), D)
    with torch.no_grad():
        D.head.parametrizations.weight.original.mul_(2)
    turn.D = D
    torch.testing.assert_close(Orthogonal(network="d").d(turn), expected)
    turn.D = attached(WeightNorm(), SmallD())
    Orthogonal(network="d").d(turn).backward()
    assert turn.D.body[0].parametrizations.weight.original1.grad.any()


def test_vectors_of_classes_are_rows_of_d_and_none_of_gs(make_turn):
    turn = make_turn("d", SmallD(), torch.randn(2, 1, 8, 8))
    table = nn.Embedding(5, 3)
    turn.D, turn.G = game.Discriminator(), dcgan.Generator((1, 16, 16), z_dim=2, width=1)
    turn.D.head = table
    torch.testing.assert_close(Orthogonal(network="d").d(turn), overlap(table.weight))
    without = Orthogonal().g(turn)
    turn.G.embedding = table
    assert torch.equal(Orthogonal().g(turn), without)


def test_orthogonal_needs_a_player():
    with pytest.raises(UserError, match=r"^Orthogonal\.network=both"):
        Orthogonal(network="both")
