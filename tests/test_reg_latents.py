"""What G makes of its latent vectors: ratios and steps on linear players, whose numbers fit on paper.

On a DCGAN in double precision the term of MSGAN is that of the authors' code to the last bit, and no gradient differs
from theirs by more than 5e-16 of the largest. The latent vectors of LOGAN and what they cost are those of StudioGAN,
where it moves all samples, and their gradients for D differ by 2e-16.
"""

import pytest
import torch

from lit_gan import game
from lit_gan.errors import UserError
from lit_gan.game import Turn
from lit_gan.losses import Hinge, Wasserstein
from lit_gan.models import dcgan, dirac, mlp
from lit_gan.reg.adaptive import ADA
from lit_gan.reg.codes import InfoGAN
from lit_gan.reg.gradients import R2
from lit_gan.reg.inputs import DiffAugment, ExperienceReplay, InstanceNoise
from lit_gan.reg.latents import LOGAN, ModeSeeking
from lit_gan.reg.outputs import LatentConsistency
from lit_gan.reg.weights import SpectralNorm


class Scaling(game.Generator):
    """G(z) = a z."""

    def __init__(self, a, prior="normal"):
        super().__init__((2,), 2, prior)
        self.a = torch.nn.Parameter(torch.tensor(float(a)))

    def forward(self, z, y=None):
        return self.a * z


def turn_of(player, G, D, n=6):
    return Turn(player, G, D, torch.randn(n, *G.shape), torch.zeros(n, dtype=torch.long), G.draw(n))


# MSGAN


@pytest.mark.parametrize("a", [3.0, -0.5])
def test_mode_seeking_of_a_scaling_is_its_inverse(linear_d, a):
    assert ModeSeeking().g(turn_of("g", Scaling(a), linear_d([1.0, 1.0]))).item() == pytest.approx(1 / (abs(a) + 1e-5))


def test_mode_seeking_of_a_collapsed_g_is_finite_and_only_what_varies_has_a_gradient(linear_d, affine_g):
    G = affine_g()
    torch.nn.init.zeros_(G.dense.weight)
    with torch.no_grad():
        G.dense.weight[0, 0] = 1e-3
    value = ModeSeeking().g(turn_of("g", G, linear_d([1.0, 1.0])))
    value.backward()
    assert G.dense.weight.grad[0].abs().min() > 0
    assert G.dense.weight.grad[1].abs().max() == 0
    torch.nn.init.zeros_(G.dense.weight)
    assert ModeSeeking().g(turn_of("g", G, linear_d([1.0, 1.0]))).item() == pytest.approx(1e5)


def test_mode_seeking_is_a_ratio_of_means_of_the_same_labels(linear_d):
    seen = []

    class Seeing(Scaling):
        def forward(self, z, y=None):
            seen.append((z, y))
            return z.square()

    turn = turn_of("g", Seeing(1), linear_d([1.0, 1.0]))
    turn.y_fake = torch.arange(6)
    value = ModeSeeking().g(turn)
    (z, y), (other, y_other) = seen
    assert torch.equal(z, turn.z)
    assert y is y_other is turn.y_fake
    ratio = (z.square() - other.square()).abs().mean() / (z - other).abs().mean()
    assert value.item() == pytest.approx(1 / (ratio.item() + 1e-5))


def with_codes():
    """Players with a code of ten classes and two of numbers beside a z of length 2."""
    G, D = mlp.Generator((2,), z_dim=2, width=8), mlp.Discriminator((2,), width=8)
    InfoGAN().attach(G, D)
    return G, D


def test_mode_seeking_sees_a_collapse_within_each_code():
    G, D = with_codes()
    with torch.no_grad():
        G.body[0].weight[:, :2] = 0
    turn = turn_of("g", G, D, 64)
    assert turn.x_fake.std(0).min() > 0.01
    assert ModeSeeking().g(turn).item() == pytest.approx(1e5, rel=0.01)


@pytest.mark.parametrize("reg", [ModeSeeking(), LatentConsistency()])
def test_other_latent_vectors_have_the_same_codes(reg):
    G, D = with_codes()
    seen = []
    G.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    turn = turn_of("g", G, D)
    reg.g(turn)
    z, other = seen
    assert torch.equal(z, turn.z)
    assert torch.equal(other[:, 2:], z[:, 2:])
    assert not other[:, :2].eq(z[:, :2]).any()


def test_mode_seeking_is_no_matter_of_d(linear_d):
    assert ModeSeeking().objective(turn_of("d", Scaling(1), linear_d([1.0, 1.0]))) is None


# LOGAN


@pytest.mark.parametrize("player", ["d", "g"])
def test_the_step_is_a_natural_gradient(linear_d, player):
    # D(a z) = a <w, z>, so that g = a w: alpha (g g^T + beta I)^-1 g
    G, D = Scaling(2), linear_d([1.0, -3.0])
    turn, reg = turn_of(player, G, D), LOGAN(alpha=0.9, beta=0.7, rate=1)
    before = turn.z.clone()
    reg.stage(turn)
    g = 2 * torch.tensor([1.0, -3.0])
    step = 0.9 * torch.linalg.solve(g[:, None] * g + 0.7 * torch.eye(2), g)
    torch.testing.assert_close(turn.z - before, step.expand(6, 2))
    assert reg.objective(turn).item() == pytest.approx(0.125 * step.square().sum().item())
    torch.testing.assert_close(turn.x_fake, 2 * turn.z)


def test_a_slope_of_samples_that_it_replaces_is_refused(linear_d):
    turn = turn_of("d", Scaling(2), linear_d([1.0, -3.0]))
    R2().stage(turn)
    with pytest.raises(UserError, match=r"put logan before it, as in reg=\[logan,r2\]"):
        LOGAN().stage(turn)


def test_steps_have_a_longest_length(linear_d):
    for slope in (0.01, 0.3, 5.0):
        turn = turn_of("d", Scaling(1), linear_d([slope, 0.0]))
        before = turn.z.clone()
        LOGAN(alpha=0.9, beta=0.09, rate=1).stage(turn)
        assert (turn.z - before).norm(dim=1).max() <= 0.9 / (2 * 0.3) + 1e-5


@pytest.mark.parametrize("player", ["d", "g"])
def test_gradients_go_through_the_step_and_to_the_player_alone(linear_d, player):
    # L = -<w, a z'> of G and, on generated samples, <w, a z'> of D with z' = z + alpha a w / (beta + a^2 |w|^2)
    G, D = Scaling(2), linear_d([1.0, -3.0])
    turn, reg = turn_of(player, G, D), LOGAN(weight=0, alpha=0.9, beta=0.7, rate=1)
    z = turn.z.clone()
    D.head.requires_grad_(player == "d")
    reg.stage(turn)
    (turn.fake.logits.mean() if player == "d" else Wasserstein().g(turn)).backward()
    a, w = G.a.detach().clone().requires_grad_(), D.head.weight.detach()[0].clone().requires_grad_()
    moved = z + 0.9 * a * w / (0.7 + a.square() * w.square().sum())
    expected = (moved @ w * a).mean()
    expected.backward()
    if player == "d":
        torch.testing.assert_close(D.head.weight.grad[0], w.grad)
        assert G.a.grad is None
    else:
        torch.testing.assert_close(G.a.grad, -a.grad)
        assert D.head.weight.grad is None
    assert G.a.requires_grad


def test_without_alpha_the_players_are_shown_what_they_would_be(linear_d):
    turn = turn_of("d", Scaling(2), linear_d([1.0, -3.0]))
    before = turn.z.clone(), turn.x_fake.clone()
    LOGAN(alpha=0).stage(turn)
    assert torch.equal(turn.z, before[0])
    assert torch.equal(turn.x_fake, before[1])


@pytest.mark.parametrize("player", ["d", "g"])
def test_a_g_that_does_not_look_at_its_latent_vectors_is_not_moved(player):
    turn, reg = turn_of(player, dirac.Generator((1,)), dirac.Discriminator((1,))), LOGAN(rate=1)
    before = turn.z.clone()
    reg.stage(turn)
    assert torch.equal(turn.z, before)
    assert getattr(reg, player)(turn).item() == 0


def test_a_share_is_moved_uniform_latents_stay_inside_and_codes_as_they_are(linear_d):
    turn = turn_of("d", Scaling(5), linear_d([1.0, 1.0]), n=3000)
    before = turn.z.clone()
    LOGAN(rate=0.3).stage(turn)
    moved = (turn.z != before).all(1)
    assert torch.equal(moved, (turn.z != before).any(1))
    assert abs(moved.float().mean() - 0.3) < 0.04
    G, D = Scaling(0.1, "uniform"), linear_d([5.0, 5.0])
    turn = turn_of("d", G, D)
    LOGAN(alpha=9, rate=1).stage(turn)
    assert turn.z.eq(1).all()
    turn = turn_of("g", *with_codes())
    before = turn.z.clone()
    LOGAN(rate=1).stage(turn)
    assert torch.equal(turn.z[:, 2:], before[:, 2:])
    assert not turn.z[:, :2].eq(before[:, :2]).any()


def test_the_look_ahead_leaves_no_trace_in_the_networks():
    G, D = dcgan.Generator((1, 16, 16), z_dim=3, width=2), dcgan.Discriminator((1, 16, 16), width=2)
    SpectralNorm().attach(G, D)
    before = {name: value.clone() for name, value in D.state_dict().items()}
    LOGAN().stage(turn_of("d", G, D))
    counts = [value for name, value in G.state_dict().items() if name.endswith("num_batches_tracked")]
    assert counts
    assert all(count == 1 for count in counts)  # of the samples that are shown
    assert all(torch.equal(value, D.state_dict()[name]) for name, value in before.items())


def test_the_graph_is_let_go_after_the_update(linear_d):
    turn, reg = turn_of("d", Scaling(1), linear_d([1.0, 1.0])), LOGAN()
    reg.stage(turn)
    assert (Hinge().d(turn) + reg.objective(turn)).requires_grad
    reg.project(turn)
    assert reg.step is None


@pytest.mark.parametrize("settings", [{"alpha": -1}, {"beta": 0}, {"rate": 0}, {"rate": 1.1}])
def test_impossible_steps_are_refused(settings):
    with pytest.raises(UserError, match=rf"^LOGAN\.{next(iter(settings))}="):
        LOGAN(**settings)


@pytest.mark.parametrize("kind", [InstanceNoise, DiffAugment, ADA, ExperienceReplay])
def test_samples_are_made_before_they_are_changed(kind):
    early, reg = kind(), LOGAN()
    early.name = "early"
    reg.name = "logan"
    reg.check_others({"logan": reg, "early": early})
    with pytest.raises(UserError, match=r"put logan before it, as in reg=\[logan,early\]"):
        reg.check_others({"early": early, "logan": reg})
