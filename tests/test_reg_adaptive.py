"""ADA and APA: the controller by hand, each way of the pipe by its distribution, and the pipe as the authors put it.

With the same draws, and the opposite angles, the authors' pipe with all ways at once made of photographs of CIFAR-10,
in [-1, 1], the same up to 3e-6 inside and up to 0.1 in what enters from outside, 1e-3 in the mean of all pixels: here
the doubled image is reflected, there the image before it is doubled. The ways of colour alone differ by 1e-6, and what
is cut out is the same. The samples that APA replaces were the same, and p differed by 9e-8 in 400 updates.
"""

import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

from lit_gan.curves import Curves
from lit_gan.errors import UserError
from lit_gan.game import Discriminator, Turn, Verdict
from lit_gan.losses import BEGAN, EBGAN, Hinge, LeastSquares, NonSaturating, RelativisticAverage, Wasserstein, hinge
from lit_gan.models import dcgan, mlp
from lit_gan.module import GAN
from lit_gan.optim import Optimizers
from lit_gan.order import Alternating
from lit_gan.reg import adaptive
from lit_gan.reg.adaptive import ADA, APA, BGC, Placement, resampled
from test_branch import run
from test_run import assert_same_state, content
from trainers import quiet_trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning", "ignore::FutureWarning")
ADAM = partial(torch.optim.Adam, lr=0.01, betas=(0.5, 0.9))
IMAGE = (1, 16, 16)
ONE = torch.ones(())


class Sure(Discriminator):
    """Says the same of every sample."""

    def __init__(self, logit):
        super().__init__()
        self.logit = logit

    def forward(self, x, y=None):
        return Verdict(torch.full((len(x),), float(self.logit)), x.flatten(1))


@pytest.fixture
def updated(make_turn):
    """reg after so many updates of a D that says the same of every one of so many samples."""

    def update(reg, logit, updates=1, n=8, loss=None, player="d"):
        for _ in range(updates):
            turn = make_turn(player, Sure(logit), torch.zeros(n, 2), torch.zeros(n, 2))
            turn.game = SimpleNamespace(loss=loss or Hinge(), curves=Curves())
            if player == "d":
                assert reg.d(turn) is None
            reg.project(turn)
        return turn.game.curves.history

    return update


def images(regs, loss=None):
    G, D = dcgan.Generator(IMAGE, z_dim=3, width=2), dcgan.Discriminator(IMAGE, width=2)
    return GAN(G, D, loss or Hinge(), regs, Optimizers(1, ADAM, ADAM), Alternating())


def fit(gan, updates=2, batch=4, **settings):
    x = torch.randn(updates * batch, *gan.G.shape).clamp(-1, 1)
    quiet_trainer(gan, updates, **settings).fit(
        gan, DataLoader(TensorDataset(x, torch.zeros(len(x), dtype=torch.long)), batch)
    )
    return gan


# The controller


@pytest.mark.parametrize("kind", [ADA, APA])
def test_p_moves_by_the_samples_shown_over_the_ramp(updated, kind):
    reg = kind(ramp=1000)
    for moves in range(1, 4):
        updated(reg, 1.0, 3)
        assert reg.p.item() == pytest.approx((moves - 1) * 8 * 4 / 1000)
        updated(reg, 1.0)
        assert reg.p.item() == pytest.approx(moves * 8 * 4 / 1000)
    updated(reg, -1.0, 8)
    assert reg.p.item() == pytest.approx(0.032)
    updated(reg, -1.0, 8)
    assert reg.p == 0


def test_p_of_the_paper_takes_7813_updates_of_64_images(updated):
    reg = APA()
    updated(reg, 1.0, 4, n=64)
    assert reg.p.item() == pytest.approx(5.12e-4)
    assert math.ceil(4 / reg.p.item()) == 7813


def test_p_stays_at_1_at_most(updated):
    reg = APA(p=0.99, ramp=100)
    updated(reg, 1.0, 4)
    assert reg.p == 1


def test_r_is_the_mean_sign_of_all_samples_since_the_last_move(updated):
    # 12 of 16 samples above the boundary, of values that weigh nothing: r = 0.5
    curves = [updated(APA(ramp=1000, interval=2, target=t, p=0.5), 0.01) for t in (0.4, 0.6)]
    assert all(curve["d/apa_r"][0] == 1 for curve in curves)
    for target, sign in ((0.4, 1), (0.6, -1)):
        reg = APA(ramp=1000, interval=2, target=target, p=0.5)
        updated(reg, 100.0, n=12)
        updated(reg, -0.1, n=4)
        assert reg.p.item() == pytest.approx(0.5 + sign * 16 / 1000)


def test_the_boundary_is_that_of_the_loss(updated):
    for loss, logit, sign in ((LeastSquares(), 0.4, -1), (LeastSquares(), 0.6, 1), (NonSaturating(), 0.4, 1)):
        reg = APA(p=0.5, ramp=1000)
        updated(reg, logit, 4, loss=loss)
        assert reg.p.item() == pytest.approx(0.5 + sign * 0.032)


@pytest.mark.parametrize("loss", [Wasserstein(), RelativisticAverage(hinge), BEGAN(), EBGAN()])
def test_a_loss_without_a_boundary_is_refused_but_for_a_constant_p(updated, loss):
    with pytest.raises(UserError, match=rf"reg=ada .*loss={loss.name} .*reg\.ada\.target=null") as stop:
        updated(ADA(), 1.0, loss=loss)
    assert "\n" not in str(stop.value)
    reg = ADA(p=0.3, target=None)
    updated(reg, 1.0, 8, loss=loss)
    assert reg.p.item() == pytest.approx(0.3)


def test_gs_turn_moves_nothing(updated):
    reg = APA(ramp=10)
    updated(reg, 1.0, 8, player="g")
    assert (reg.p, reg.updates) == (0, 0)


def test_the_state_survives_in_the_middle_of_an_interval(updated):
    one, other = ADA(ramp=1000), ADA(ramp=1000)
    updated(one, 1.0, 6)
    other.load_state_dict(one.state_dict())
    for reg in (one, other):
        updated(reg, -1.0, 2)  # r = 0
    assert one.p == other.p == 0
    assert all(torch.equal(a, b) for a, b in zip(one.buffers(), other.buffers(), strict=True))
    updated(one, 1.0, 4)
    assert one.p > 0


@pytest.mark.parametrize("settings", [{"p": 1.1}, {"p": -0.1}, {"target": 2}, {"ramp": 0}, {"interval": 0}])
@pytest.mark.parametrize("kind", [ADA, APA])
def test_an_impossible_controller_is_refused(kind, settings):
    with pytest.raises(UserError, match=rf"^{kind.__name__}\.{next(iter(settings))}="):
        kind(**settings)


# APA


def test_apa_shows_d_generated_samples_with_their_labels(linear_d, affine_g):
    n, reg = 4000, APA(p=0.25)
    none = torch.zeros(n, 2)
    turn = Turn("d", affine_g(), linear_d([1.0, 1.0]), none, torch.zeros(n, dtype=torch.long), none)
    turn.x_fake, turn.y_fake = torch.arange(1, n + 1.0)[:, None].expand(n, 2), torch.arange(1, n + 1)
    reg.stage(turn)
    deceived = turn.y > 0
    assert abs(deceived.float().mean() - 0.25) < 0.03
    assert torch.equal(turn.x_real[:, 0].long(), turn.y)
    assert not turn.x_real.eq(turn.x_fake).any()
    assert torch.equal(turn.y_fake, torch.arange(1, n + 1))


@pytest.mark.parametrize(("player", "p"), [("d", 0), ("g", 1)])
def test_apa_leaves_the_turn_where_p_is_0_and_gs(make_turn, linear_d, player, p):
    x = torch.randn(8, 2)
    turn = make_turn(player, linear_d([1.0, 1.0]), x)
    APA(p=p).stage(turn)
    assert torch.equal(turn.x_real, x)


def test_apas_best_d_is_undecided_only_where_the_distributions_agree():
    # D* = m / (m + q), m = (1 - p) d + p q, of two histograms: the optimum of the logistic loss, found by Newton
    d, q, p = torch.tensor([0.7, 0.2, 0.1]).double(), torch.tensor([0.1, 0.3, 0.6]).double(), 0.4
    m = (1 - p) * d + p * q
    logit = torch.zeros(3).double()
    for _ in range(30):
        s = logit.sigmoid()
        logit -= (q * s - m * (1 - s)) / ((m + q) * s * (1 - s))
    torch.testing.assert_close(logit.sigmoid(), ((1 - p) * d + p * q) / ((1 - p) * d + (1 + p) * q))


# The pipe


def test_with_p_0_every_image_stays_bit_for_bit():
    x = torch.rand(16, 3, 16, 16) * 2 - 1
    assert torch.equal(ADA(p=0.0).augmented(x), x)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 8, 20), (1, 6, 6)])
def test_an_image_read_where_it_is_comes_back_whole(shape):
    x = torch.rand(3, *shape) * 2 - 1
    torch.testing.assert_close(resampled(x, Placement(x), ADA().filter), x, atol=1e-4, rtol=0)


def homogeneous(rows):
    return np.array(rows, dtype=float)


def authors_pipe(x, matrix):
    """Authors' geometry for one image: reflect by the whole size, double by zeros and a filter, sample, filter back."""
    size = x.shape[-1]
    h = torch.tensor(adaptive.SYM6, dtype=torch.double) / 2**0.5
    pad = size - 1
    x = F.pad(x.double()[None], [pad] * 4, "reflect")
    double = torch.zeros(1, 1, *(2 * side for side in x.shape[2:])).double()
    double[..., ::2, ::2] = x
    kernel = (h[:, None] * h).flip(0, 1)[None, None] * 4
    double = F.conv2d(F.pad(double, [6, 5, 6, 5]), kernel)
    scale, half = np.diag([2.0, 2.0, 1.0]), homogeneous([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
    inner = half @ scale @ matrix @ np.linalg.inv(scale) @ np.linalg.inv(half)
    shape = (1, 1, 2 * size + 12, 2 * size + 12)
    grid = np.diag([2 / double.shape[3], 2 / double.shape[2], 1]) @ inner @ np.diag([shape[3] / 2, shape[2] / 2, 1])
    grid = F.affine_grid(torch.from_numpy(grid[None, :2]), shape, align_corners=False)
    moved = F.grid_sample(double, grid, align_corners=False)[..., 1:-1, 1:-1]
    return F.conv2d(moved, (h[:, None] * h)[None, None], stride=2)[0]


def test_geometry_is_what_the_authors_code_makes_of_the_same_draws():
    x = torch.rand(1, 1, 16, 16).double()
    angle, factor, by = 0.3, 1.2, (1.5, -2.25)
    place = Placement(x)
    place.scale(-torch.ones(1).double(), torch.ones(1).double())
    place.scale(torch.full((1,), factor).double(), torch.full((1,), factor).double())
    place.rotate(torch.full((1,), angle).double())
    place.scale(torch.full((1,), 0.9).double(), torch.full((1,), 1 / 0.9).double())
    place.move(torch.tensor([by]).double())
    cos, sin = math.cos(angle), math.sin(angle)
    forward = [
        np.diag([-1.0, 1, 1]),
        np.diag([factor, factor, 1]),
        homogeneous([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]),
        np.diag([0.9, 1 / 0.9, 1]),
        homogeneous([[1, 0, by[0]], [0, 1, by[1]], [0, 0, 1]]),
    ]
    inverse = np.eye(3)
    for step in forward:
        inverse = inverse @ np.linalg.inv(step)
    expected = authors_pipe(x[0], inverse)
    mine = resampled(x, place, ADA().filter.double())[0]
    inner = (slice(None), slice(3, -3), slice(3, -3))  # at the edge the reflection is filtered here, there reflected
    torch.testing.assert_close(mine[inner], expected[inner], atol=1e-6, rtol=0)
    torch.testing.assert_close(mine, expected, atol=0.15, rtol=0)


def test_a_far_shift_reads_reflections_and_never_zeros():
    x = torch.ones(1, 1, 8, 8)
    place = Placement(x)
    place.move(torch.tensor([[37.0, -61.0]]))
    torch.testing.assert_close(resampled(x, place, ADA().filter), x, atol=1e-4, rtol=0)


def correlation(a, b):
    return F.cosine_similarity(a.flatten(1) - a.mean(), b.flatten(1) - b.mean())


def test_half_of_the_images_chosen_are_mirrored():
    x = torch.rand(1, 1, 12, 12).expand(500, -1, -1, -1)
    y = ADA(["x_flip"], p=0.5).augmented(x)
    stayed = (y == x).flatten(1).all(1)
    assert abs(stayed.float().mean() - 0.75) < 0.07
    assert correlation(y[~stayed], x.flip(3)[~stayed]).min() > 0.98


def test_quarter_turns_leave_a_distribution_visible_below_1():
    # (1 - p) I + p mean(C4) has eigenvalues 1 and 1 - p, so that its determinant is (1 - p)^3
    x = torch.rand(1, 1, 8, 8).expand(1200, -1, -1, -1)
    turned = torch.stack([x[0].rot90(k, (1, 2)) for k in range(4)])
    for p in (0.4, 1.0):
        y = ADA(["rotate_90"], p=p).augmented(x)
        which = torch.stack([correlation(y, each[None]) for each in turned], 1).argmax(1)
        row = torch.bincount(which, minlength=4) / len(y)
        torch.testing.assert_close(row, torch.tensor([1 - 0.75 * p, *[p / 4] * 3]), atol=0.03, rtol=0)
        circulant = torch.stack([row.roll(k) for k in range(4)])
        assert circulant.det().item() == pytest.approx((1 - p) ** 3, abs=0.05)


def drawn(way, n=4000, p=1.0, size=(32, 16)):
    place = Placement(torch.zeros(n, 1, *size))
    way(place, torch.tensor(p))
    return place


def test_integer_shifts_are_whole_and_up_to_an_eighth():
    place = drawn(adaptive.integer_shift)
    columns, rows = place.offset.T
    assert columns.unique().tolist() == list(range(-2, 3))
    assert rows.unique().tolist() == list(range(-4, 5))
    assert abs((place.offset == 0).all(1).float().mean() - 1 / 32) < 0.02


def test_scales_shifts_and_stretches_have_their_spread():
    place = drawn(adaptive.scale)
    sizes = -place.matrix.log2()[:, [0, 1], [0, 1]]
    assert torch.equal(sizes[:, 0], sizes[:, 1])
    assert sizes.std().item() == pytest.approx(0.2, rel=0.05)
    sizes = -drawn(adaptive.stretch).matrix.log2()[:, [0, 1], [0, 1]]
    torch.testing.assert_close(sizes[:, 0], -sizes[:, 1], atol=1e-5, rtol=0)
    assert sizes[:, 0].std().item() == pytest.approx(0.2, rel=0.05)
    assert drawn(adaptive.shift).offset.std(0).tolist() == pytest.approx([2, 4], rel=0.05)


def test_one_of_two_rotations_happens_with_probability_p():
    place = drawn(adaptive.rotation, p=0.36)
    adaptive.rotation(place, torch.tensor(0.36))
    assert abs((~place.same).float().mean() - 0.36) < 0.03
    turned = drawn(adaptive.rotation).matrix
    torch.testing.assert_close(turned @ turned.mT, torch.eye(2).expand(4000, 2, 2), atol=1e-5, rtol=0)
    assert turned.mean(0).abs().max() < 0.04


def test_colours_are_the_authors_matrices(monkeypatch):
    x = torch.rand(1, 3, 2, 2).double() * 2 - 1
    grey = np.ones((3, 3)) / 3
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / 3**0.5
    angle, factor = 0.4 * math.pi, 2**0.5
    turned = grey + math.cos(angle) * (np.eye(3) - grey) + math.sin(angle) * cross
    expected = {
        "luma_flip": np.eye(3) - 2 * grey,
        "hue": turned,
        "saturate": grey + (np.eye(3) - grey) * factor,
        "scale_contrast": np.eye(3) * 2**0.25,
    }
    monkeypatch.setattr(torch, "randn_like", lambda none: torch.full_like(none, 0.5))
    for name, matrix in expected.items():
        uniform = 0.7 if name == "hue" else 0.2
        monkeypatch.setattr(torch, "rand_like", lambda none, uniform=uniform: torch.full_like(none, uniform))
        y = getattr(adaptive, name)(x, ONE)
        torch.testing.assert_close(y, torch.einsum("ij,bjhw->bihw", torch.from_numpy(matrix), x), msg=name)
    torch.testing.assert_close(adaptive.brighten(x, ONE), x + 0.1)


def test_hue_and_saturation_leave_grey_and_luma_flip_twice_is_nothing(monkeypatch):
    grey = torch.rand(50, 1, 4, 4).expand(-1, 3, -1, -1)
    for way in (adaptive.hue, adaptive.saturate):
        torch.testing.assert_close(way(grey, ONE), grey)
        assert way(grey[:, :1], ONE) is not None
        torch.testing.assert_close(way(grey[:, :1], ONE), grey[:, :1], rtol=0, atol=0)
    monkeypatch.setattr(torch, "rand_like", torch.zeros_like)
    x = torch.rand(4, 3, 4, 4)
    torch.testing.assert_close(adaptive.luma_flip(adaptive.luma_flip(x, ONE), ONE), x)
    torch.testing.assert_close(adaptive.luma_flip(x[:, :1], ONE), -x[:, :1])


def test_a_rectangle_of_half_the_size_around_any_point_is_cut_out():
    y = ADA(["cutout"], p=0.5).augmented(torch.ones(4000, 1, 16, 8))
    hidden = y == 0
    rows, columns = hidden.any(3).sum(2).flatten(), hidden.any(2).sum(2).flatten()
    chosen = rows > 0
    assert abs(chosen.float().mean() - 0.5) < 0.03
    assert torch.equal(hidden.sum((1, 2, 3)), rows * columns)
    assert rows[chosen].unique().tolist() == list(range(4, 9))  # a quarter of the size on either side of the point
    assert columns[chosen].unique().tolist() == list(range(2, 5))
    assert y[hidden.logical_not()].eq(1).all()


def test_noise_has_a_strength_of_its_own_in_each_image():
    noise = ADA(["noise"], p=1.0).augmented(torch.zeros(3000, 3, 8, 8)).flatten(1)
    std = noise.std(1)
    assert std.square().mean().sqrt().item() == pytest.approx(0.1, rel=0.05)
    assert std.median().item() == pytest.approx(0.0674, rel=0.08)  # of |N(0, 0.1^2)|
    assert abs((ADA(["noise"], p=0.3).augmented(torch.zeros(3000, 1, 2, 2)) != 0).float().mean() - 0.3) < 0.03


def test_a_multiplier_makes_one_way_rarer():
    x = torch.rand(1, 1, 12, 12).expand(2000, -1, -1, -1)
    y = ADA(["brightness", "noise"], {"brightness": 0.25, "noise": 0}, p=0.8).augmented(x)
    assert abs((y != x).flatten(1).any(1).float().mean() - 0.2) < 0.03
    flipped = ADA(["x_flip"], {"x_flip": 0.5}, p=1.0).augmented(x)
    assert abs((flipped != x).flatten(1).any(1).float().mean() - 0.25) < 0.03


@pytest.mark.parametrize(
    ("multipliers", "words"), [({"cutout": 1}, "cutout=1 names no way"), ({"hue": 1.5}, r"hue=1\.5 must be a number")]
)
def test_an_impossible_multiplier_is_refused(multipliers, words):
    with pytest.raises(UserError, match=rf"^reg\.ada\.multipliers\.{words}"):
        ADA(multipliers=multipliers)


@pytest.mark.parametrize("player", ["d", "g"])
def test_ada_changes_both_kinds_in_both_turns_and_lets_gradients_through(make_turn, player):
    D = dcgan.Discriminator((3, 16, 16), width=2)
    real, fake = torch.rand(8, 3, 16, 16), torch.rand(8, 3, 16, 16, requires_grad=player == "g")
    turn = make_turn(player, D, real, fake)
    ADA(p=1.0).stage(turn)
    assert not turn.x_real.eq(real).flatten(1).all(1).any()
    assert not turn.x_fake.eq(fake).flatten(1).all(1).any()
    if player == "g":
        turn.fake.logits.sum().backward()
        assert fake.grad.flatten(1).abs().sum(1).gt(0).all()


def test_gradients_pass_twice():
    x = torch.rand(1, 1, 6, 6).double().requires_grad_()
    ada = ADA(BGC[:7], p=1.0).double()

    def pipe(x):
        torch.manual_seed(3)
        return ada.augmented(x).square().sum()

    assert torch.autograd.gradgradcheck(pipe, x)


@pytest.mark.parametrize("policy", [["flip"], "scale", ["scale", "colour"], []])
def test_an_unknown_policy_is_refused(policy):
    with pytest.raises(UserError, match=r"reg\.ada\.policy (has \w+|is empty): .*x_flip, .*saturation"):
        ADA(policy)


@pytest.mark.parametrize("shape", [(2,), (2, 8, 8), (1, 5, 8)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(UserError, match="reg=ada changes images"):
        ADA().check(mlp.Generator(shape, width=2), mlp.Discriminator(shape, width=2))


def test_the_samples_of_all_processes_move_p(updated, monkeypatch):
    monkeypatch.setattr(adaptive, "rank_and_size", lambda: (0, 3))
    reg = ADA(ramp=1000, interval=2)
    updated(reg, 1.0, updates=4)
    assert reg.p.item() == pytest.approx(4 * 8 * 3 / 1000)


def test_the_choice_has_the_policy_of_the_papers_runs(compose):
    assert tuple(compose("reg=ada").reg.ada.policy) == BGC


@pytest.mark.parametrize("regs", [{"apa": APA(ramp=8), "ada": ADA(ramp=8)}, {"ada": ADA(p=0.5)}])
def test_adaptive_games_train_in_half_precision(regs):
    gan = fit(images(regs), 5, precision="bf16-mixed")
    assert all(parameter.isfinite().all() for parameter in gan.parameters())
    assert {f"d/{name}_{what}" for name in regs for what in "pr"} <= gan.curves.latest.keys()
    assert len({reg.p.item() for reg in gan.regs.values()}) == 1  # the same r moves both


def test_apa_of_points_is_possible():
    G, D = mlp.Generator((2,), width=4), mlp.Discriminator((2,), width=4)
    gan = GAN(G, D, Hinge(), {"apa": APA(p=0.5)}, Optimizers(1, ADAM, ADAM), Alternating())
    fit(gan)


def test_a_resumed_run_has_the_same_p_and_goes_on_bit_for_bit(tmp_path, no_curves):
    game = ["data.image_size=16", "model.width=4", "batch_size=8", "trainer.accelerator=cpu", "updates_per_epoch=3"]
    game += [
        "metrics=none",
        "reg=[r1,apa,ada]",
        "reg.ada.ramp=64",
        "reg.apa.ramp=64",
        "reg.ada.target=-1",
        "reg.r1.every=2",
    ]
    run(f"hydra.run.dir={tmp_path / 'whole'}", *game, "updates=6")
    run(f"hydra.run.dir={tmp_path / 'parts'}", *game, "updates=3")
    run(f"resume={tmp_path / 'parts'}", "updates=6")
    assert_same_state(content(tmp_path / "parts"), content(tmp_path / "whole"))
    state = content(tmp_path / "whole")["state_dict"]
    assert state["regs.ada.p"] == 0.5
    assert state["regs.ada.updates"] == 6
