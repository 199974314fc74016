"""Penalties of D's slope against their closed forms, on <w, x> and on discriminators whose gradient fits on paper."""

import itertools
import math

import pytest
import torch
from torch import nn

from lit_gan import game
from lit_gan.errors import UserError
from lit_gan.models import mlp
from lit_gan.reg.gradients import (
    DRAGAN,
    R1,
    R2,
    FiniteDifferencePenalty,
    GradientPenalty,
    ZeroCentered,
    between,
    slopes,
    squared_slope,
)
from lit_gan.reg.structure import BatchNorm, LayerNorm
from test_reg import SmallD, attached, together

ALL = [GradientPenalty, FiniteDifferencePenalty, DRAGAN, R1, R2, ZeroCentered]
AROUND_ONE = [GradientPenalty, DRAGAN]
TOWARDS_ZERO = {R1: 0.5, R2: 0.5, ZeroCentered: 1.0}


def labels(x):
    return torch.zeros(len(x), dtype=torch.long)


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


def test_gradient_penalty_at_zero_slope_has_a_finite_gradient(make_turn, linear_d):
    turn = make_turn("d", linear_d([0.0, 0.0]), torch.randn(3, 2), torch.randn(3, 2))
    value = GradientPenalty().d(turn)
    value.backward()
    assert value.item() == 1
    assert turn.D.head.weight.grad.isfinite().all()


# One-sided


@pytest.mark.parametrize(("length", "expected", "gradient"), [(0.5, 0.0, 0.0), (1.0, 0.0, 0.0), (3.0, 4.0, 4.0)])
def test_one_sided_gradient_penalty_of_a_linear_d(make_turn, linear_d, length, expected, gradient):
    e = nn.functional.normalize(torch.randn(5), dim=0)
    turn = make_turn("d", linear_d(length * e), torch.randn(4, 5), torch.randn(4, 5))
    value = GradientPenalty(one_sided=True).d(turn)
    value.backward()
    # max(0, |w| - 1)^2 and 2 max(0, |w| - 1) w / |w|
    assert value.item() == pytest.approx(expected, abs=1e-5)
    torch.testing.assert_close(turn.D.head.weight.grad[0], gradient * e, rtol=1e-4, atol=1e-5)


def test_one_sided_is_decided_sample_by_sample(make_turn):
    x = torch.tensor([[3.0, 4.0], [0.5, 0.0]])
    assert GradientPenalty(one_sided=True).d(make_turn("d", QuadraticD(), x, x)).item() == pytest.approx(16 / 2)


# Finite differences


def test_finite_difference_of_a_linear_d_is_its_slope_along_each_line(make_turn, linear_d):
    w, real, fake = torch.randn(6), torch.randn(40, 6), torch.randn(40, 6)
    turn = make_turn("d", linear_d(w), real, fake)
    along = nn.functional.normalize(real - fake, dim=1) @ w
    expected = (along.abs() - 1).square().mean().item()
    assert FiniteDifferencePenalty().d(turn).item() == pytest.approx(expected, rel=1e-2)


def test_finite_difference_has_the_gradient_of_its_closed_form(make_turn, linear_d):
    w, real, fake = (torch.randn(shape, dtype=torch.double) for shape in (6, (40, 6), (40, 6)))
    turn = make_turn("d", linear_d(w).double(), real, fake)
    with torch.no_grad():
        turn.D.head.weight.copy_(w)
    e = nn.functional.normalize(real - fake, dim=1)
    along = e @ w
    # d/dw (|<w, e>| - 1)^2 = 2 (|<w, e>| - 1) sign(<w, e>) e
    expected = (2 * (along.abs() - 1) * along.sign()).unsqueeze(1).mul(e).mean(0)
    (gradient,) = torch.autograd.grad(FiniteDifferencePenalty().d(turn), turn.D.head.weight)
    torch.testing.assert_close(gradient[0], expected, rtol=1e-6, atol=1e-8)


def test_finite_difference_is_the_gradient_penalty_where_the_lines_follow_the_gradient(make_turn, linear_d):
    w, real = torch.randn(6), torch.randn(40, 6)
    turn = make_turn("d", linear_d(w), real, real - 3 * w)
    expected = GradientPenalty().d(turn).item()
    assert expected == pytest.approx((w.norm().item() - 1) ** 2, rel=1e-4)
    assert FiniteDifferencePenalty().d(turn).item() == pytest.approx(expected, rel=1e-2)


def test_finite_difference_needs_no_second_derivative(make_turn):
    class Sign(torch.autograd.Function):
        """x, with a derivative that cannot be differentiated."""

        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, gradient):
            return gradient

    D = SmallD()
    D.body.append(nn.Flatten()).append(type("Once", (nn.Module,), {"forward": lambda self, x: Sign.apply(x)})())
    turn = make_turn("d", D, torch.randn(3, 1, 8, 8), torch.randn(3, 1, 8, 8))
    FiniteDifferencePenalty().d(turn).backward()
    assert D.body[0].weight.grad.abs().sum() > 0
    with pytest.raises(RuntimeError, match="once_differentiable"):
        GradientPenalty().d(turn).backward()


def test_finite_difference_of_a_point_with_itself_is_finite(make_turn, linear_d):
    x = torch.randn(3, 2)
    turn = make_turn("d", linear_d([1.0, 1.0]), x, x)
    value = FiniteDifferencePenalty().d(turn)
    value.backward()
    assert value.isfinite()
    assert turn.D.head.weight.grad.isfinite().all()


# DRAGAN


class Seen(game.Discriminator):
    """D(x) = the sum over a sample; keeps what it was shown."""

    def forward(self, x, y=None):
        self.x = x.detach()
        return game.Verdict(x.flatten(1).sum(1), x.flatten(1))


def test_dragan_looks_around_real_samples_and_never_at_generated_ones(make_turn):
    x = torch.randn(500, 30) * 4
    turn = make_turn("d", Seen(), x)
    turn.G.forward = None  # to be called is to fail
    assert DRAGAN().d(turn).item() == pytest.approx((math.sqrt(30) - 1) ** 2, rel=1e-5)
    noise = (turn.D.x - x) / x.std()
    assert noise.min() > -1e-5
    assert 0.45 < noise.max() < 0.5
    # half of two independent numbers from U[0, 1): mean 1/8; one of the two is a sample's own, so samples differ by
    # a quarter of its standard deviation sqrt(1/12) beside what is left of 30 dimensions
    assert noise.mean().item() == pytest.approx(1 / 8, abs=0.01)
    assert noise.mean(1).std().item() == pytest.approx(0.25 / math.sqrt(12), rel=0.15)
    assert noise.std(1).min() > 0


def test_dragans_neighbourhood_grows_with_its_spread(make_turn):
    x = torch.randn(200, 30)
    turn = make_turn("d", Seen(), x)
    DRAGAN(spread=2.0).d(turn)
    assert ((turn.D.x - x) / x.std()).mean().item() == pytest.approx(2 / 4, abs=0.05)


@pytest.mark.parametrize("spread", [0.0, -1.0])
def test_dragan_needs_a_neighbourhood(spread):
    with pytest.raises(UserError, match=rf"^DRAGAN\.spread={spread}"):
        DRAGAN(spread=spread)


# Around one, towards zero


@pytest.mark.parametrize("reg", AROUND_ONE)
@pytest.mark.parametrize("length", [0.5, 3.0])
def test_penalties_around_one_of_a_linear_d(make_turn, linear_d, reg, length):
    e = nn.functional.normalize(torch.randn(12), dim=0)
    turn = make_turn("d", linear_d(length * e), torch.randn(4, 3, 2, 2), torch.randn(4, 3, 2, 2))
    value = reg().d(turn)
    value.backward()
    assert value.item() == pytest.approx((length - 1) ** 2, rel=1e-4)
    torch.testing.assert_close(turn.D.head.weight.grad[0], 2 * (length - 1) * e, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("reg", "half"), TOWARDS_ZERO.items())
def test_penalties_towards_zero_of_a_linear_d_are_its_squared_length(make_turn, linear_d, reg, half):
    w = torch.randn(12)
    turn = make_turn("d", linear_d(w), torch.randn(4, 3, 2, 2), torch.randn(4, 3, 2, 2))
    value = reg().d(turn)
    value.backward()
    assert value.item() == pytest.approx(half * w.square().sum().item(), rel=1e-5)
    torch.testing.assert_close(turn.D.head.weight.grad[0], 2 * half * w)


@pytest.mark.parametrize(("reg", "expected"), [(R1, (25 + 1) / 2 / 2), (R2, (0 + 4) / 2 / 2)])
def test_r1_is_of_the_real_samples_and_r2_of_the_generated(make_turn, reg, expected):
    real, fake = torch.tensor([[3.0, 4.0], [0.0, 1.0]]), torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    assert reg().d(make_turn("d", QuadraticD(), real, fake)).item() == pytest.approx(expected)


def test_zero_centered_is_between_them(make_turn):
    real, fake = torch.full((4000, 1), 1.0), torch.zeros(4000, 1)
    # the slope of x^2 / 2 at u from U[0, 1] is u: E u^2 = 1/3
    assert ZeroCentered().d(make_turn("d", QuadraticD(), real, fake)).item() == pytest.approx(1 / 3, abs=0.02)


def test_squared_slope_at_zero_has_a_finite_gradient(linear_d):
    D, x = linear_d([0.0, 0.0]), torch.randn(3, 2)
    squared_slope(D, x, labels(x)).backward()
    assert torch.equal(D.head.weight.grad, torch.zeros(1, 2))


# All of them


class PackedD(game.Discriminator):
    """D sees pairs: <w, (x_1, x_2)>."""

    pack = 2

    def __init__(self, w):
        super().__init__()
        self.w = nn.Parameter(torch.as_tensor(w))

    def forward(self, x, y=None):
        packs = x.reshape(len(x) // 2, -1)
        return game.Verdict(packs @ self.w, packs)


def test_the_gradient_of_a_pack_is_one(make_turn):
    w, real, fake = torch.tensor([1.0, 2.0, 2.0, 4.0]), torch.randn(6, 2), torch.randn(6, 2)
    turn = make_turn("d", PackedD(w), real, fake)
    torch.testing.assert_close(slopes(turn.D, real, labels(real)), torch.full((3,), 5.0))
    assert GradientPenalty().d(turn).item() == pytest.approx(16)
    assert DRAGAN().d(turn).item() == pytest.approx(16)
    assert R1().d(turn).item() == R2().d(turn).item() == pytest.approx(12.5)
    assert ZeroCentered().d(turn).item() == pytest.approx(25)


@pytest.mark.parametrize(("reg", "looks"), [(R1(), 2), (R2(), 2), (GradientPenalty(), 3)])
def test_what_the_loss_has_asked_for_is_not_asked_again(make_turn, reg, looks):
    D = PackedD(torch.tensor([1.0, 2.0, 2.0, 4.0]))
    seen = []
    D.register_forward_hook(lambda *call: seen.append(call))
    turn = make_turn("d", D, torch.randn(6, 2), torch.randn(6, 2))
    reg.stage(turn)
    (turn.real.logits.mean() + turn.fake.logits.mean() + reg.d(turn)).backward()
    assert len(seen) == looks


@pytest.mark.parametrize("reg", [R1(), R2()])
def test_staged_or_not_the_penalty_and_its_gradient_are_the_same(make_turn, reg):
    found = []
    real, fake = torch.randn(8, 2), torch.randn(8, 2)
    for stages in (0, 1):
        torch.manual_seed(0)
        D = mlp.Discriminator((2,), width=8, activation=nn.Tanh)
        turn = make_turn("d", D, real, fake)
        for _ in range(stages):
            reg.stage(turn)
        value = reg.d(turn)
        found.append([value, *torch.autograd.grad(value, list(D.parameters()), allow_unused=True)])
    for one, other in zip(*found, strict=True):
        assert (one is None) == (other is None)
        assert one is None or torch.equal(one, other)


@pytest.mark.parametrize("reg", [R2(), GradientPenalty(), ZeroCentered()])
def test_samples_that_hang_on_g_stay_so(make_turn, reg):
    """As in the updates of D that an unrolled game differentiates through."""
    fake = torch.randn(8, 2, requires_grad=True)
    D = mlp.Discriminator((2,), width=8, activation=nn.Tanh)
    turn = make_turn("d", D, torch.randn(8, 2), 2 * fake)
    assert torch.autograd.grad(reg.d(turn), fake)[0].abs().sum() > 0


def test_the_finite_difference_of_a_pack_is_one(make_turn):
    real = torch.randn(6, 2)
    w = torch.tensor([1.0, 2.0, 2.0, 4.0])
    steps = w.reshape(2, 2).repeat(3, 1)
    D = PackedD(w)
    # from one end of each line to the other, a pack moves by w: its slope is |w| = 5
    shares = iter([torch.tensor([[1.0], [1.0]] * 3), torch.zeros(6, 1)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "rand", lambda *args, **kwargs: next(shares))
        value = FiniteDifferencePenalty().d(make_turn("d", D, real, real - steps))
    assert value.item() == pytest.approx(16, rel=1e-4)


class LabelledD(game.Discriminator):
    """D(x, y) = (y + 1) <1, x>."""

    def forward(self, x, y=None):
        return game.Verdict((y + 1) * x.flatten(1).sum(1), x.flatten(1))


@pytest.mark.parametrize("reg", ALL)
def test_samples_are_shown_to_d_with_the_labels_of_the_real_ones_but_for_r2(make_turn, reg):
    real, fake = torch.randn(8, 1), torch.randn(8, 1)
    turn = make_turn("d", LabelledD(), real, fake)
    turn.y, turn.y_fake = torch.full((8,), 2), torch.full((8,), 5)
    if reg is R2:
        turn.y, turn.y_fake = turn.y_fake, turn.y
    expected = TOWARDS_ZERO[reg] * 9 if reg in TOWARDS_ZERO else 4
    assert reg().d(turn).item() == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("reg", ALL)
def test_nothing_for_g(make_turn, linear_d, reg):
    assert reg().g(make_turn("g", linear_d([1.0, 1.0]), torch.randn(3, 2))) is None


@pytest.mark.parametrize("reg", ALL)
def test_g_and_the_samples_are_left_alone(make_turn, linear_d, reg):
    turn = make_turn("d", linear_d([3.0, 4.0]), torch.randn(6, 2))
    reg().d(turn).backward()
    assert turn.D.head.weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in turn.G.parameters())
    assert turn.x_real.grad is None
    assert not turn.x_real.requires_grad


@pytest.mark.parametrize("reg", ALL)
def test_under_autocast_the_value_is_nearly_the_same(make_turn, reg):
    D = mlp.Discriminator((3,), width=32, depth=2)
    real, fake = torch.randn(256, 3), torch.randn(256, 3) + 4
    torch.manual_seed(1)
    expected = reg().d(make_turn("d", D, real, fake)).item()
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16):
        turn = make_turn("d", D, real, fake.bfloat16())
        value = reg().d(turn)
    value.backward()
    assert value.item() == pytest.approx(expected, rel=0.05)
    assert D.head.weight.grad.isfinite().all()


@pytest.mark.parametrize("reg", ALL)
@pytest.mark.parametrize("layer", [nn.BatchNorm1d(4), nn.BatchNorm2d(4), nn.SyncBatchNorm(4)])
def test_batch_norm_in_d_is_refused(reg, layer):
    D = SmallD()
    D.body[3] = layer
    with pytest.raises(UserError, match=rf"reg={reg().name} .*batch normalisation.*layer_norm"):
        attached(reg(), D)


@pytest.mark.parametrize("order", list(itertools.permutations([GradientPenalty, BatchNorm])))
def test_gradient_penalty_and_batch_norm_are_refused_in_either_order(order):
    with pytest.raises(UserError, match="batch"):
        together(SmallD(), [reg() for reg in order])


def test_the_gradient_of_the_summed_logits_misses_what_batch_norm_subtracts():
    """Why they are refused: behind batch normalisation a linear D has the slope 0, whatever its weights."""
    D = game.Discriminator()
    D.body, D.head = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), nn.Linear(4, 1)
    x = torch.randn(16, 3)
    assert D(x).logits.std() > 0.1
    assert slopes(D, x, labels(x)).max() < 1e-5


@pytest.mark.parametrize("reg", ALL)
def test_penalties_go_with_layer_norm(make_turn, reg):
    D = SmallD()
    together(D, [LayerNorm(), reg()])
    assert reg().d(make_turn("d", D, torch.randn(4, 1, 8, 8), torch.randn(4, 1, 8, 8))).isfinite()
