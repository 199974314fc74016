"""Each loss on two logits, by hand, and the relations between them."""

from functools import partial
from math import exp, log

import pytest
import torch
from hydra.utils import instantiate

from lit_gan.errors import UserError
from lit_gan.game import Loss, Verdict
from lit_gan.losses import (
    BEGAN,
    EBGAN,
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    Relativistic,
    RelativisticAverage,
    Wasserstein,
    hinge,
    logistic,
    squared,
)
from lit_gan.reg.pull_away import PullAway

RELATIVISTIC = [kind(cost) for kind in (Relativistic, RelativisticAverage) for cost in (logistic, squared, hinge)]
LOSSES = [NonSaturating(), Minimax(), Hinge(), Wasserstein(), LeastSquares(), *RELATIVISTIC]


@pytest.fixture
def judged(make_turn, linear_d):
    """A turn in which D has said `real` and `fake`."""

    def make(player, real, fake):
        turn = make_turn(player, linear_d([1.0, 1.0]), torch.randn(len(real), 2))
        turn.real, turn.fake = (
            Verdict(torch.as_tensor(logits), torch.zeros(len(logits), 1)) for logits in (real, fake)
        )
        return turn

    return make


def identity(loss):
    return f"{loss.name} {loss.cost.__name__}" if isinstance(loss, Relativistic) else loss.name


def sigmoid(x):
    return 1 / (1 + exp(-x))


@pytest.mark.parametrize(
    ("loss", "d", "g"),
    [
        (
            NonSaturating(),
            -(log(sigmoid(2.0)) + log(sigmoid(-0.5))) / 2 - (log(1 - sigmoid(-3.0)) + log(1 - sigmoid(0.25))) / 2,
            -(log(sigmoid(-3.0)) + log(sigmoid(0.25))) / 2,
        ),
        (
            Minimax(),
            -(log(sigmoid(2.0)) + log(sigmoid(-0.5))) / 2 - (log(1 - sigmoid(-3.0)) + log(1 - sigmoid(0.25))) / 2,
            (log(1 - sigmoid(-3.0)) + log(1 - sigmoid(0.25))) / 2,
        ),
        # real 2 is beyond the margin, -0.5 is 1.5 short of it; fake -3 is beyond it, 0.25 is 1.25 short
        (Hinge(), 1.5 / 2 + 1.25 / 2, 2.75 / 2),
        # mean real 0.75, mean fake -1.375
        (Wasserstein(), -1.375 - 0.75, 1.375),
        # (0, 1, 1): distances to 1 are 1 and 1.5, to 0 are 3 and 0.25; of G to 1 are 4 and 0.75
        (LeastSquares(), (1 + 2.25 + 9 + 0.0625) / 4, (16 + 0.5625) / 4),
        # (-1, 1, 0): to 1 are 1 and 1.5, to -1 are 2 and 1.25; of G to 0 are 3 and 0.25
        (LeastSquares(fake=-1, real=1, belief=0), (1 + 2.25 + 4 + 1.5625) / 4, (9 + 0.0625) / 4),
        # real target 0.9: a real logit l costs -0.9 log s(l) - 0.1 log(1 - s(l))
        (
            NonSaturating(real_label=0.9),
            -0.9 * (log(sigmoid(2.0)) + log(sigmoid(-0.5))) / 2
            - 0.1 * (log(sigmoid(-2.0)) + log(sigmoid(0.5))) / 2
            - (log(1 - sigmoid(-3.0)) + log(1 - sigmoid(0.25))) / 2,
            -(log(sigmoid(-3.0)) + log(sigmoid(0.25))) / 2,
        ),
        # real - fake is 5 and -0.75
        (
            Relativistic(logistic),
            -(log(sigmoid(5.0)) + log(sigmoid(-0.75))) / 2,
            -(log(sigmoid(-5.0)) + log(sigmoid(0.75))) / 2,
        ),
        (Relativistic(squared), (4**2 + 1.75**2) / 2, (6**2 + 0.25**2) / 2),
        (Relativistic(hinge), (0 + 1.75) / 2, (6 + 0.25) / 2),
        # real - mean fake is 3.375 and 0.875; mean real - fake is 3.75 and 0.5
        (
            RelativisticAverage(logistic),
            -sum(log(sigmoid(lead)) for lead in (3.375, 0.875, 3.75, 0.5)) / 4,
            -sum(log(sigmoid(-lead)) for lead in (3.375, 0.875, 3.75, 0.5)) / 4,
        ),
        (
            RelativisticAverage(squared),
            (2.375**2 + 0.125**2 + 2.75**2 + 0.5**2) / 4,
            (4.375**2 + 1.875**2 + 4.75**2 + 1.5**2) / 4,
        ),
        (RelativisticAverage(hinge), (0 + 0.125 + 0 + 0.5) / 4, (4.375 + 1.875 + 4.75 + 1.5) / 4),
    ],
)
def test_two_logits_on_paper(judged, loss, d, g):
    real, fake = [2.0, -0.5], [-3.0, 0.25]
    assert loss.d(judged("d", real, fake)).item() == pytest.approx(d, rel=1e-6)
    assert loss.g(judged("g", real, fake)).item() == pytest.approx(g, rel=1e-6)


def test_every_pair_is_judged_as_far_as_both_kinds_go(judged):
    turn = judged("d", [2.0, -0.5, 1.0], [-3.0, 0.25, 4.0])
    leads = 5.0, -0.75, -3.0
    assert Relativistic(squared).d(turn).item() == pytest.approx(sum((lead - 1) ** 2 for lead in leads) / 3)
    turn = judged("d", [2.0, -0.5, 1.0], [-3.0])
    assert Relativistic(squared).d(turn).item() == pytest.approx((5.0 - 1) ** 2)


@pytest.mark.parametrize("loss", LOSSES, ids=identity)
def test_a_loss_is_a_mean_over_the_batch(judged, loss):
    once, twice = judged("d", [2.0, -0.5], [-3.0, 0.25]), judged("d", [2.0, -0.5] * 3, [-3.0, 0.25] * 3)
    torch.testing.assert_close(loss.d(twice), loss.d(once))
    torch.testing.assert_close(loss.g(twice), loss.g(once))


@pytest.mark.parametrize("loss", LOSSES, ids=identity)
def test_g_wants_higher_logits_and_d_wants_them_apart(judged, loss):
    real, fake = torch.full((2,), 0.5, requires_grad=True), torch.full((2,), 0.5, requires_grad=True)
    to_real, to_fake = torch.autograd.grad(loss.d(judged("d", real, fake)), (real, fake))
    (to_g,) = torch.autograd.grad(loss.g(judged("g", real, fake)), fake)
    assert (to_real < 0).all()
    assert (to_fake > 0).all()
    assert (to_g < 0).all()


def test_minimax_gradient_is_the_non_saturating_one_times_the_odds(judged):
    fake = torch.tensor([-6.0, -1.0, 0.0, 2.0], dtype=torch.double, requires_grad=True)
    turn = judged("g", fake.detach(), fake)
    (minimax,) = torch.autograd.grad(Minimax().g(turn), fake)
    (non_saturating,) = torch.autograd.grad(NonSaturating().g(turn), fake)
    # -sigmoid(l) against -(1 - sigmoid(l)): their ratio is the odds exp(l), which vanish where D is sure
    torch.testing.assert_close(minimax, non_saturating * fake.detach().exp())
    torch.testing.assert_close(minimax, -torch.sigmoid(fake.detach()) / 4)


def test_minimax_is_zero_sum_in_the_fakes(judged):
    turn = judged("d", [40.0, 40.0], [-3.0, 0.25])  # sure of the real ones: their part of D's loss is 0
    torch.testing.assert_close(Minimax().d(turn), -Minimax().g(turn))


def test_hinge_gradient_stops_at_the_margins(judged):
    real = torch.tensor([0.9, 1.1], requires_grad=True)
    fake = torch.tensor([-0.9, -1.1], requires_grad=True)
    gradients = torch.autograd.grad(Hinge().d(judged("d", real, fake)), (real, fake))
    torch.testing.assert_close(torch.stack(gradients), torch.tensor([[-0.5, 0.0], [0.5, 0.0]]))


@pytest.mark.parametrize("loss", LOSSES, ids=identity)
def test_extreme_logits_stay_finite(judged, loss):
    logits = [1e4, -1e4]
    assert loss.d(judged("d", logits, logits)).isfinite()
    assert loss.g(judged("g", logits, logits)).isfinite()


def test_least_squares_minima_are_its_targets(judged):
    loss = LeastSquares(fake=-1, real=1, belief=0)
    assert loss.d(judged("d", [1.0, 1.0], [-1.0, -1.0])).item() == 0
    assert loss.g(judged("g", [1.0, 1.0], [0.0, 0.0])).item() == 0


def test_every_loss_file_makes_the_loss_of_its_name(compose, loss_choice):
    loss = instantiate(compose(f"loss={loss_choice}").loss)
    assert isinstance(loss, Loss)
    assert loss_choice.startswith(loss.name)


def test_the_relativistic_files_make_all_six(compose):
    found = []
    for name in ("relativistic", "relativistic_average"):
        for form in ("", "_least_squares", "_hinge"):
            loss = instantiate(compose(f"loss={name}{form}").loss)
            assert isinstance(loss.cost, partial)
            found.append((loss.name, loss.cost.func))
    assert found == [(loss.name, loss.cost) for loss in RELATIVISTIC]


def test_least_squares_targets_come_from_the_config(compose):
    loss = instantiate(compose("loss=least_squares", "loss.fake=-1", "loss.belief=0").loss)
    assert (loss.fake, loss.real, loss.belief) == (-1, 1, 0)
    pearson = instantiate(compose("loss=least_squares_pearson").loss)
    assert (pearson.fake, pearson.real, pearson.belief) == (-1, 1, 0)


def test_every_loss_file_can_weaken_gs_objective(compose, loss_choice, judged):
    loss = instantiate(compose(f"loss={loss_choice}", "loss.g_weight=0.25").loss)
    turn = judged("g", [2.0, -0.5], [-3.0, 0.25])
    torch.testing.assert_close(loss.objective(turn), loss.g(turn) / 4)
    if loss_choice != "multi_hinge":  # whose D names classes
        turn.player = "d"
        assert loss.objective(turn) != 0


# Labels that D is told


@pytest.mark.parametrize(("p", "q"), [(1, 0.01), (1, 1), (0.2, 0.8)])
@pytest.mark.parametrize("alpha", [1.0, 0.9, 0.75])
def test_smoothing_moves_the_optimal_d_to_alpha_p_over_p_plus_q(p, q, alpha):
    loss, best = NonSaturating(real_label=alpha), torch.tensor([alpha * p / (p + q)], dtype=torch.double)
    logit = torch.logit(best).requires_grad_(True)
    # where the data has density p and G's samples q; convex in the logit, so a zero of the slope is the minimum
    (slope,) = torch.autograd.grad(p * loss.cross_entropy(logit, True) + q * loss.cross_entropy(logit, False), logit)
    torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-12)


@pytest.mark.parametrize("flip", [0.0, 0.1, 0.3])
def test_each_label_is_flipped_on_its_own_with_the_probability_asked_for(flip):
    n, loss = 20000, NonSaturating(flip=flip)
    real, fake = (torch.as_tensor(loss.told(torch.zeros(n), kind)).float().expand(n) for kind in (True, False))
    # a mean of n coin tosses: five standard deviations of at most 0.5 / sqrt(n)
    assert real.mean().item() == pytest.approx(1 - flip, abs=5 * 0.5 / n**0.5)
    assert fake.mean().item() == pytest.approx(flip, abs=5 * 0.5 / n**0.5)
    if flip:
        agreement = ((1 - real) * fake).mean().item()
        assert agreement == pytest.approx(flip**2, abs=5 * 0.5 / n**0.5)


def test_flipped_labels_are_those_of_the_other_kind(judged, monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda n, device: torch.tensor([0.0, 0.9]))  # the first of two is flipped
    loss = NonSaturating(real_label=0.9, flip=0.2)
    real, fake = [2.0, -0.5], [-3.0, 0.25]
    # first real: fake's target 0; second: 0.9. First fake: real's target 0.9; second: 0.
    expected = -log(sigmoid(-2.0)) - 0.9 * log(sigmoid(-0.5)) - 0.1 * log(sigmoid(0.5))
    expected += -0.9 * log(sigmoid(-3.0)) - 0.1 * log(sigmoid(3.0)) - log(sigmoid(-0.25))
    assert loss.d(judged("d", real, fake)).item() == pytest.approx(expected / 2, rel=1e-6)


def test_g_is_told_nothing_else(judged):
    turn = judged("g", [2.0, -0.5], [-3.0, 0.25])
    for kind in (NonSaturating, Minimax):
        torch.testing.assert_close(kind(real_label=0.7, flip=0.3).g(turn), kind().g(turn))


@pytest.mark.parametrize(
    ("make", "setting"),
    [
        *((partial(NonSaturating, real_label=value), f"real_label={value}") for value in (0, -0.1, 1.1)),
        *((partial(Minimax, flip=value), f"flip={value}") for value in (-0.1, 0.5, 1)),
        *((partial(EBGAN, margin=value), f"margin={value}") for value in (0, -1, float("nan"))),
        *((partial(BEGAN, gamma=value), f"gamma={value}") for value in (0, 1.5)),
        (partial(BEGAN, lambda_k=-0.1), "lambda_k=-0.1"),
    ],
)
def test_impossible_numbers_are_refused_in_a_sentence(make, setting):
    with pytest.raises(UserError, match=rf"^\w+\.{setting}") as refusal:
        make()
    assert "\n" not in str(refusal.value)


# Relativistic losses


@pytest.mark.parametrize("loss", RELATIVISTIC, ids=identity)
def test_gs_objective_lowers_the_real_logits(judged, loss):
    real, fake = torch.tensor([0.5, 0.1], requires_grad=True), torch.tensor([-0.2, 0.3], requires_grad=True)
    to_real, to_fake = torch.autograd.grad(loss.g(judged("g", real, fake)), (real, fake))
    assert (to_real > 0).all()
    torch.testing.assert_close(to_real.sum(), -to_fake.sum())


@pytest.mark.parametrize("loss", RELATIVISTIC, ids=identity)
def test_only_differences_of_logits_count(judged, loss):
    for play in (loss.d, loss.g):
        here, there = judged("d", [2.0, -0.5], [-3.0, 0.25]), judged("d", [9.0, 6.5], [4.0, 7.25])
        torch.testing.assert_close(play(here), play(there))


def test_the_identity_as_cost_is_wasserstein(judged):
    # sections 4.2 and 4.3: critics that only compare means are relativistic already
    turn = judged("d", [2.0, -0.5], [-3.0, 0.25])
    for kind in (Relativistic, RelativisticAverage):
        torch.testing.assert_close(kind(torch.neg).d(turn), Wasserstein().d(turn))


@pytest.mark.parametrize("kind", [Relativistic, RelativisticAverage])
def test_more_generated_than_real_samples(judged, kind):
    turn = judged("g", [2.0, -0.5], [-3.0, 0.25, 7.0])
    expected = judged("g", [2.0, -0.5], [-3.0, 0.25])
    if kind is Relativistic:
        torch.testing.assert_close(kind(squared).g(turn), kind(squared).g(expected))
    else:
        # mean fake 17/12: leads of the fakes over mean real 0.75, and of mean fake over the reals
        fakes = (4.75**2 + 1.5**2 + 5.25**2) / 3
        reals = ((4.25 / 3 - 3) ** 2 + (4.25 / 3 - 0.5) ** 2) / 2
        assert kind(squared).g(turn).item() == pytest.approx((fakes + reals) / 2)


# Energies: logits are minus the errors


def test_ebgan_pushes_up_to_its_margin(judged):
    # errors of real samples 0.5 and 1, of generated ones 3 and 0.25: with m = 2 the first is far enough
    turn = judged("d", [-0.5, -1.0], [-3.0, -0.25])
    assert EBGAN(margin=2).d(turn).item() == pytest.approx((0.5 + 1) / 2 + (0 + 1.75) / 2)
    assert EBGAN(margin=2).g(turn).item() == pytest.approx(3.25 / 2)
    fake = torch.tensor([-3.0, -0.25], requires_grad=True)
    (gradient,) = torch.autograd.grad(EBGAN(margin=2).d(judged("d", [-0.5, -1.0], fake)), fake)
    torch.testing.assert_close(gradient, torch.tensor([0.0, 0.5]))


def test_began_weighs_with_the_old_k_and_then_moves_it(judged):
    loss = BEGAN(gamma=0.5, lambda_k=0.1)
    # mean errors: real 4, generated 1.5; k moves by 0.1 (0.5 * 4 - 1.5) = 0.05
    turn = judged("d", [-3.0, -5.0], [-1.0, -2.0])
    assert loss.d(turn).item() == pytest.approx(4)
    assert loss.k.item() == pytest.approx(0.05)
    assert loss.d(turn).item() == pytest.approx(4 - 0.05 * 1.5)
    assert loss.k.item() == pytest.approx(0.1)
    assert loss.g(turn).item() == pytest.approx(1.5)
    assert loss.k.item() == pytest.approx(0.1)


def test_began_shows_its_k_as_it_was_at_the_time(judged):
    loss, shown = BEGAN(gamma=0.5, lambda_k=0.1), []
    for _ in range(2):
        loss.d(judged("d", [-3.0, -5.0], [-1.0, -2.0]))
        shown.append(loss.curves()["k"])
    assert [value.item() for value in shown] == pytest.approx([0.05, 0.1])


@pytest.mark.parametrize(("start", "fake", "end"), [(0.9, 0.0, 1.0), (0.1, 9.0, 0.0)])
def test_k_stays_between_0_and_1(judged, start, fake, end):
    loss = BEGAN(gamma=0.5, lambda_k=1.0)
    loss.k.fill_(start)
    loss.d(judged("d", [-2.0], [-fake]))
    assert loss.k.item() == end


def test_k_is_part_of_a_checkpoint_and_out_of_the_gradient(judged):
    loss, fake = BEGAN(gamma=0.5, lambda_k=0.1), torch.tensor([-1.0, -2.0], requires_grad=True)
    loss.k.fill_(0.5)
    loss.d(judged("d", [-3.0, -5.0], fake)).backward()
    torch.testing.assert_close(fake.grad, torch.tensor([0.25, 0.25]))  # d/dlogit of -k error, halved by the mean
    assert not loss.k.requires_grad
    other = BEGAN()
    other.load_state_dict(loss.state_dict())
    assert other.k == loss.k == 0.55


# Pulling away


def pulled(judged, features):
    turn = judged("g", [0.0] * len(features), [0.0] * len(features))
    turn.fake = Verdict(torch.zeros(len(features)), torch.as_tensor(features))
    return PullAway().g(turn)


def test_pull_away_is_the_mean_squared_cosine_of_pairs(judged):
    # cosines: of the first two 0, of the others with the third 1/sqrt(2) and -1/sqrt(2): squares 0, 1/2, 1/2
    assert pulled(judged, [[2.0, 0.0], [0.0, -3.0], [5.0, 5.0]]).item() == pytest.approx(1 / 3)
    assert pulled(judged, [[2.0, 1.0], [-4.0, -2.0]]).item() == pytest.approx(1)
    assert pulled(judged, [[2.0, 0.0], [0.0, 0.0]]).item() == 0


def test_pull_away_of_one_sample_is_0(judged):
    assert pulled(judged, [[2.0, 1.0]]).item() == 0


def test_pull_away_drives_parallel_features_apart(judged):
    features = torch.tensor([[1.0, 0.1], [1.0, -0.1]], requires_grad=True)
    pulled(judged, features).backward()
    assert features.grad[0, 1] < 0 < features.grad[1, 1]


def test_pull_away_is_gs_alone(judged):
    assert PullAway().d(judged("d", [0.0], [0.0])) is None
