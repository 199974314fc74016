"""Each loss on two logits, by hand, and the relations between them."""

from math import exp, log

import pytest
import torch
from hydra.utils import instantiate

from lit_gan.game import Loss, Verdict
from lit_gan.losses import Hinge, LeastSquares, Minimax, NonSaturating, Wasserstein

LOSSES = [NonSaturating(), Minimax(), Hinge(), Wasserstein(), LeastSquares()]


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
    ],
)
def test_two_logits_on_paper(judged, loss, d, g):
    real, fake = [2.0, -0.5], [-3.0, 0.25]
    assert loss.d(judged("d", real, fake)).item() == pytest.approx(d, rel=1e-6)
    assert loss.g(judged("g", real, fake)).item() == pytest.approx(g, rel=1e-6)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_a_loss_is_a_mean_over_the_batch(judged, loss):
    once, twice = judged("d", [2.0, -0.5], [-3.0, 0.25]), judged("d", [2.0, -0.5] * 3, [-3.0, 0.25] * 3)
    torch.testing.assert_close(loss.d(twice), loss.d(once))
    torch.testing.assert_close(loss.g(twice), loss.g(once))


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
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


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
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
    assert loss.name == loss_choice


def test_least_squares_targets_come_from_the_config(compose):
    loss = instantiate(compose("loss=least_squares", "loss.fake=-1", "loss.belief=0").loss)
    assert (loss.fake, loss.real, loss.belief) == (-1, 1, 0)
