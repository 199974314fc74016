"""Lazy regularization: when the terms come, how large they are, and that without it nothing has changed."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import lit_gan.conf
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from conftest import choices
from lit_gan.errors import UserError
from lit_gan.game import Regularizer
from lit_gan.losses import Hinge
from lit_gan.module import GAN
from lit_gan.optim import Optimizers, lazy_adam
from lit_gan.order import Alternating, Extragradient
from lit_gan.parts import build_part
from lit_gan.reg.gradients import R1, R2
from trainers import quiet_trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning", "ignore::FutureWarning")
PENALTIES = {"gradient_penalty", "finite_difference_penalty", "dragan", "r1", "r2", "zero_centered", "spectral_penalty"}
PENALTIES |= {"orthonormal", "orthogonal", "consistency", "balanced_consistency", "latent_consistency", "lecam"}
PENALTIES |= {
    "ssgan",
    "info_max",
    "feature_matching_l1",
    "feature_matching",
    "historical_averaging",
    "mode_seeking",
    "path_length",
    "pull_away",
}


class Seven(Regularizer):
    """A term of 7 for D."""

    def __init__(self, every=None, weight=2.0):
        super().__init__(weight, every)
        self.asked = []

    def d(self, turn):
        self.asked.append(turn.game.global_step)
        return turn.real.logits.mean() * 0 + 7


def at(update, turn):
    turn.game = SimpleNamespace(global_step=update)
    return turn


def test_terms_come_in_every_so_many_updates_and_are_as_many_times_as_large(make_turn, linear_d):
    reg = Seven(every=4)
    found = [reg.objective(at(update, make_turn("d", linear_d([1.0, 1.0]), torch.zeros(2, 2)))) for update in range(9)]
    assert [None if value is None else value.item() for value in found] == [56, *[None] * 3, 56, *[None] * 3, 56]
    assert reg.asked == [0, 4, 8]  # a term that does not come is not computed


@pytest.mark.parametrize("every", [None, 1])
def test_without_it_no_game_is_asked_and_the_term_is_the_same_bit_for_bit(make_turn, linear_d, every):
    turn = make_turn("d", linear_d(torch.randn(2)), torch.randn(5, 2))
    assert R1(0.1, every).objective(turn) == 0.1 * R1().d(turn)


@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        ({}, [0, 3]),
        ({"n_dis": 2}, [0, 0, 3, 3]),
        ({"accumulate": 2}, [0, 0, 3, 3]),
        ({"order": Extragradient()}, [0, 0, 3, 3]),
    ],
)
def test_all_turns_of_an_update_have_the_term_or_none(affine_g, linear_d, settings, asked):
    sgd, order, n_dis = (
        partial(torch.optim.SGD, lr=0.01),
        settings.pop("order", Alternating()),
        settings.get("n_dis", 1),
    )
    optim = Optimizers(**{"n_dis": 1, **settings}, d=sgd, g=sgd)
    gan = GAN(affine_g(), linear_d([1.0, 1.0]), Hinge(), {"seven": Seven(every=3)}, optim, order)
    x = torch.randn(6 * n_dis * 4, 2)
    loader = DataLoader(TensorDataset(x, torch.zeros(len(x), dtype=torch.long)), n_dis * 4)
    quiet_trainer(gan, 6).fit(gan, loader)
    assert gan.regs["seven"].asked == asked


class Half(Regularizer):
    """w^2 / 2 of D's weight."""

    def d(self, turn):
        return turn.D.head.weight.square().sum() / 2


def test_lazy_steps_move_as_far_as_eager_ones_to_first_order(make_turn, linear_d):
    # eager steps of rate r shrink w by (1 - r)^8, a lazy one by 1 - 8 r: apart by less than 28 r^2
    for rate in (1e-2, 1e-3):
        reg, D = Half(every=8), linear_d([1.0, 0.0]).double()
        optimizer = torch.optim.SGD(D.parameters(), lr=rate)
        for update in range(8):
            optimizer.zero_grad()
            if (term := reg.objective(at(update, make_turn("d", D, torch.zeros(2, 2))))) is not None:
                term.backward()
            optimizer.step()
        w = D.head.weight[0, 0].item()
        assert w == pytest.approx(1 - 8 * rate)
        assert 0 < (1 - rate) ** 8 - w < 28 * rate**2


def test_every_penalty_can_be_lazy(compose):
    config = compose(f"reg=[{','.join(sorted(PENALTIES))}]").reg
    assert {name: config[name].every for name in config} == dict.fromkeys(PENALTIES) | {"path_length": 4}
    for name in PENALTIES:
        config[name].every = 16
        assert build_part(config[name]).every == 16


def test_nothing_else_in_reg_has_a_weight_but_for_what_a_method_always_pays():
    config = Path(lit_gan.conf.__file__).parent / "reg"
    assert {name for name in choices("reg") if "weight: " in (config / f"{name}.yaml").read_text()} <= PENALTIES | {
        "logan"
    }


def test_an_impossible_interval_is_refused():
    with pytest.raises(UserError, match=r"^R1\.every=0"):
        R1(every=0)


@pytest.mark.parametrize("kind", [R1, R2])
def test_samples_are_made_differentiable_in_due_updates_only(make_turn, linear_d, kind):
    for update in (0, 1):
        turn = at(update, make_turn("d", linear_d([1.0, 1.0]), torch.randn(4, 2), torch.randn(4, 2)))
        kind(every=2).stage(turn)
        assert (turn.x_real.requires_grad or turn.x_fake.requires_grad) is (update == 0)


@pytest.mark.parametrize("kind", [R1, R2])
def test_what_follows_in_reg_is_a_part_of_d_and_what_comes_before_is_not(make_turn, linear_d, kind):
    # an augmentation x -> 3 x and D(x) = <w, x> with |w|^2 = 5: the slope is 3 |w| behind it
    for before, slope in ((False, 9 * 5 / 2), (True, 5 / 2)):
        reg, turn = kind(), make_turn("d", linear_d([1.0, 2.0]), torch.randn(4, 2), torch.randn(4, 2))
        if not before:
            reg.stage(turn)
        turn.show(3 * turn.x_real, 3 * turn.x_fake)
        if before:
            reg.stage(turn)
        assert reg.d(turn).item() == pytest.approx(slope, rel=1e-5)
        assert reg.d(make_turn("d", turn.D, torch.randn(4, 2), torch.randn(4, 2))).item() == pytest.approx(2.5)


# Adam


def test_lazy_adam_has_the_numbers_of_stylegan2(compose):
    d, g = (build_part(compose("optim=stylegan2").optim).build(*[torch.nn.Linear(2, 2)] * 2))[0]
    assert type(d) is type(g) is torch.optim.Adam
    assert d.defaults["lr"] == pytest.approx(2.353e-3, rel=1e-3)
    assert g.defaults["lr"] == pytest.approx(2.0e-3)
    assert d.defaults["betas"] == (0, pytest.approx(0.990586, rel=1e-6))
    assert g.defaults["betas"] == (0, pytest.approx(0.991992, rel=1e-6))
    assert d.defaults["eps"] == 1e-8


def test_lazy_adam_adds_the_eps_that_it_is_given():
    assert lazy_adam([torch.nn.Parameter(torch.zeros(1))], 0.1, (0.5, 0.9), every=16, eps=1e-3).defaults["eps"] == 1e-3


def test_the_correction_vanishes_as_penalties_become_rare():
    adam = lazy_adam([torch.nn.Parameter(torch.zeros(1))], 0.1, (0.5, 0.9), every=10**6)
    assert adam.defaults["lr"] == pytest.approx(0.1, rel=1e-5)
    assert adam.defaults["betas"] == pytest.approx((0.5, 0.9), rel=1e-5)
