"""Orders of play on the bilinear game min_w max_b <w, b>, whose steps fit on paper, under a real Lightning Trainer."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from lit_gan.callbacks.soundness import Soundness, check_loss_scale
from lit_gan.errors import UserError
from lit_gan.game import Regularizer
from lit_gan.losses import Wasserstein
from lit_gan.module import GAN
from lit_gan.optim import Clip, OptimisticAdam, Optimizers
from lit_gan.order import Alternating, Extragradient, Simultaneous
from lit_gan.reg.constraints import WeightClip
from trainers import quiet_trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning", "ignore::FutureWarning")
W, B, RATE = torch.tensor([1.0, -2.0]), torch.tensor([3.0, 0.5]), 0.1


@pytest.fixture
def bilinear(affine_g, linear_d):
    """G(z) = b against D(x) = <w, x> on real samples at 0: D minimises <w, b>, G minimises -<w, b>."""

    def make(order, n_dis=1, regs=None, **settings):
        optimizer = partial(torch.optim.SGD, lr=RATE)
        G, D = affine_g(), linear_d(W.tolist())
        torch.nn.init.zeros_(G.dense.weight.requires_grad_(False))
        with torch.no_grad():
            G.dense.bias.copy_(B)
        return GAN(G, D, Wasserstein(), regs or {}, Optimizers(n_dis, optimizer, optimizer, **settings), order)

    return make


def play(gan, updates=1, batch=4):
    x = torch.zeros(batch * gan.optim.n_dis * updates, 2)
    loader = DataLoader(TensorDataset(x, torch.zeros(len(x), dtype=torch.long)), batch * gan.optim.n_dis)
    trainer = quiet_trainer(gan, updates)
    trainer.fit(gan, loader)
    assert trainer.global_step == updates
    return gan.D.head.weight.detach()[0], gan.G.dense.bias.detach()


def test_alternating_answers_the_new_opponent(bilinear):
    w, b = play(bilinear(Alternating()))
    torch.testing.assert_close(w, W - RATE * B)
    torch.testing.assert_close(b, B + RATE * (W - RATE * B))


def test_simultaneous_answers_the_old_opponent(bilinear):
    w, b = play(bilinear(Simultaneous()))
    torch.testing.assert_close(w, W - RATE * B)
    torch.testing.assert_close(b, B + RATE * W)


def test_extragradient_steps_with_the_gradient_found_ahead(bilinear):
    w, b = play(bilinear(Extragradient()))
    torch.testing.assert_close(w, W - RATE * (B + RATE * W))
    torch.testing.assert_close(b, B + RATE * (W - RATE * B))


def test_accumulated_turns_are_one_batch(bilinear):
    together, apart = play(bilinear(Alternating())), play(bilinear(Alternating(), accumulate=2))
    torch.testing.assert_close(together, apart)


@pytest.mark.parametrize("order", [Alternating, Simultaneous, Extragradient])
def test_every_turn_is_staged_and_every_move_projected_once(bilinear, order):
    calls = []

    class Count(Regularizer):
        def stage(self, turn):
            calls.append(("stage", turn.player, len(turn.x_real)))

        def project(self, turn):
            calls.append(("project", turn.player))

    play(bilinear(order(), regs={"count": Count()}, accumulate=2), batch=6)
    looks = 2 if order is Extragradient else 1
    for player in "dg":
        assert calls.count(("stage", player, 3)) == 2 * looks
        assert calls.count(("project", player)) == 1


def test_a_long_gradient_is_shortened_and_a_short_one_is_not(bilinear):
    w, b = play(bilinear(Alternating(), d_clip=0.5, g_clip=100.0))
    torch.testing.assert_close(w, W - RATE * 0.5 * B / B.norm())
    torch.testing.assert_close(b, B + RATE * w)


@pytest.mark.parametrize("order", [Simultaneous, Extragradient])
def test_moving_at_once_with_several_moves_of_d_is_refused(bilinear, order):
    with pytest.raises(UserError, match=r"set optim\.n_dis=1"):
        play(bilinear(order(), n_dis=2))


@pytest.mark.parametrize("settings", [{"accumulate": 0}, {"d_clip": 0.0}, {"g_clip": -1.0}])
def test_impossible_settings_are_refused(bilinear, settings):
    with pytest.raises(UserError, match=rf"^Optimizers\.{next(iter(settings))}="):
        bilinear(Alternating(), **settings)


def test_optimistic_adam_takes_twice_the_new_step_less_the_old_one():
    w = torch.tensor([1.0, -2.0], requires_grad=True)
    twin = w.detach().clone().requires_grad_(True)
    optimistic, adam = OptimisticAdam([w], lr=0.1, betas=(0.5, 0.9)), torch.optim.Adam([twin], lr=0.1, betas=(0.5, 0.9))
    expected, previous = w.detach().clone(), torch.zeros(2)
    for gradient in torch.tensor([[1.0, 2.0], [-0.5, 1.0], [3.0, 0.1]]):
        before = twin.detach().clone()
        w.grad, twin.grad = gradient.clone(), gradient.clone()
        optimistic.step()
        adam.step()
        step = twin.detach() - before
        expected, previous = expected + 2 * step - previous, step
        torch.testing.assert_close(w.detach(), expected)


def test_optimistic_adam_resumes():
    def run(interrupted):
        w = torch.tensor([1.0, -2.0], requires_grad=True)
        optimizer = OptimisticAdam([w], lr=0.1)
        for number in range(4):
            if interrupted and number == 2:
                state, optimizer = optimizer.state_dict(), OptimisticAdam([w], lr=0.3)
                optimizer.load_state_dict(state)
            w.grad = w.detach() ** 2 + number
            optimizer.step()
        return w.detach()

    assert torch.equal(run(False), run(True))


def test_extragradient_steps_from_inside_the_box_of_clipped_weights(bilinear):
    clip = WeightClip(limit=0.5, when="before")
    w, _ = play(bilinear(Extragradient(), regs={"weight_clip": clip}))
    clipped = W.clamp(-0.5, 0.5)
    torch.testing.assert_close(w, clipped - RATE * (B + RATE * clipped))


@pytest.mark.parametrize("order", [Simultaneous(), Extragradient()])
def test_an_order_that_a_changing_loss_scale_would_falsify(order):
    with pytest.raises(UserError, match=f"16-mixed .*{type(order).__name__}.*bf16-mixed"):
        check_loss_scale("16-mixed", order, [])
    check_loss_scale("bf16-mixed", order, [])


def test_a_training_refuses_it_before_its_first_update():
    trainer = SimpleNamespace(precision="16-mixed", optimizers=[], strategy=None, world_size=1)
    with pytest.raises(UserError, match=r"16-mixed .*Simultaneous"):
        Soundness().on_fit_start(trainer, SimpleNamespace(order=Simultaneous()))


def test_an_optimizer_that_a_skipped_step_would_falsify():
    optimizer = OptimisticAdam([torch.nn.Parameter(torch.zeros(1))])
    with pytest.raises(UserError, match="OptimisticAdam"):
        check_loss_scale("16-mixed", Alternating(), [optimizer])
    check_loss_scale("16-mixed", Alternating(), [torch.optim.SGD(optimizer.param_groups)])


def test_a_gradient_that_is_still_scaled_is_shortened_to_a_scaled_length():
    parameter = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    optimizer.grad_scale = torch.tensor(4.0)
    parameter.grad = torch.tensor([30.0, 40.0])
    Clip(0.5)(optimizer, (), {})
    assert parameter.grad.norm().item() == pytest.approx(2.0, rel=1e-4)
