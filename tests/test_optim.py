"""The players' optimizers: the papers' settings, decay in generator updates, settings that are refused."""

import sys
from functools import partial

import pytest
import torch
from hydra.utils import instantiate
from torch import nn

from lit_gan.cli.launch import launch
from lit_gan.errors import UserError
from lit_gan.layers import trainable
from lit_gan.optim import Optimizers, TensorFlowRMSprop, realign
from lit_gan.tasks.train import train

pytestmark = pytest.mark.usefixtures("no_curves")

SGD = partial(torch.optim.SGD, lr=0.5)

# Miyato et al. 2018, Table 1: alpha, beta1, beta2, n_dis
TABLE_1 = {
    "sngan_a": (1e-4, 0.5, 0.9, 5),
    "sngan_b": (1e-4, 0.5, 0.999, 1),
    "sngan_c": (2e-4, 0.5, 0.999, 1),
    "sngan_d": (1e-3, 0.5, 0.9, 5),
    "sngan_e": (1e-3, 0.5, 0.999, 5),
    "sngan_f": (1e-3, 0.9, 0.999, 5),
}


def built(config):
    """Both players' built optimizers, and n_dis."""
    optim = instantiate(config.optim)
    (d, g), schedulers = optim.build(nn.Linear(2, 2), nn.Linear(2, 1))
    return d, g, optim.n_dis, schedulers


@pytest.mark.parametrize("setting", TABLE_1)
def test_settings_a_to_f(compose, setting):
    rate, beta1, beta2, n_dis = TABLE_1[setting]
    d, g, found, schedulers = built(compose(f"optim={setting}"))
    assert found == n_dis
    assert not schedulers
    for optimizer in (d, g):
        assert type(optimizer) is torch.optim.Adam
        assert optimizer.defaults["lr"] == rate
        assert tuple(optimizer.defaults["betas"]) == (beta1, beta2)
        assert optimizer.defaults["weight_decay"] == 0


def test_every_optim_file_makes_both_optimizers(compose, optim_choice):
    d, g, n_dis, _ = built(compose(f"optim={optim_choice}"))
    assert n_dis >= 1
    for optimizer, parameters in ((d, 2), (g, 2)):
        assert isinstance(optimizer, torch.optim.Optimizer)
        assert len(optimizer.param_groups[0]["params"]) == parameters
        for parameter in optimizer.param_groups[0]["params"]:
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()


def test_every_optim_file_can_decay(compose, optim_choice):
    *_, schedulers = built(compose(f"optim={optim_choice}", "updates=10", "optim.decay_start=0"))
    assert len(schedulers) == 2
    assert schedulers[0].lr_lambdas[0](5) == 0.5


@pytest.mark.parametrize("choice", ["adam", "stylegan2"])
def test_betas_may_be_written_without_a_point(compose, choice):
    config = compose(f"optim={choice}", "optim.d.betas=[0,0.9]", "optim.g.betas=[0,0]")
    (d, g), _ = instantiate(config.optim).build(nn.Linear(1, 1), nn.Linear(1, 1))
    for group in (d.param_groups[0], g.param_groups[0]):
        assert all(type(beta) is float for beta in group["betas"])
    assert (d.param_groups[0]["betas"][0], g.param_groups[0]["betas"]) == (0.0, (0.0, 0.0))


def test_wgan_uses_rmsprop_without_momentum(compose):
    d, g, n_dis, _ = built(compose("optim=rmsprop"))
    for optimizer in (d, g):
        assert type(optimizer) is torch.optim.RMSprop
        assert (optimizer.defaults["lr"], optimizer.defaults["momentum"]) == (5e-5, 0)
    assert n_dis == 5


# RMSProp of TensorFlow 1


GULRAJANI = ["lsgan", "lsgan_no_norm", "wgan_batch_norm", "wgan_no_norm", "wgan_toy"]


@pytest.mark.parametrize("method", GULRAJANI)
def test_the_columns_of_gulrajani_have_the_rmsprop_of_their_code(compose, method):
    for optimizer in built(compose(f"method={method}"))[:2]:
        assert type(optimizer) is TensorFlowRMSprop
        rate = 1e-4 if method.startswith("lsgan") else 5e-5
        assert optimizer.defaults == {"lr": rate, "alpha": 0.9, "eps": 1e-10}


def test_arjovskys_own_row_has_torchs(compose):
    assert [type(optimizer) for optimizer in built(compose("method=wgan"))[:2]] == [torch.optim.RMSprop] * 2


@pytest.mark.parametrize("gradient", [1.0, 1e-3, -2.0])
def test_under_a_constant_gradient_its_mean_square_is_a_power_of_alpha(gradient):
    """m_t = g^2 + alpha^t (1 - g^2), and each step is lr g / sqrt(m_t + eps)."""
    parameter = nn.Parameter(torch.zeros(3, dtype=torch.double))
    optimizer, expected = TensorFlowRMSprop([parameter], lr=0.01), 0.0
    for step in range(1, 201):
        parameter.grad = torch.full_like(parameter, gradient)
        optimizer.step()
        expected -= 0.01 * gradient / (gradient**2 + 0.9**step * (1 - gradient**2) + 1e-10) ** 0.5
    torch.testing.assert_close(parameter.detach(), torch.full_like(parameter, expected), rtol=1e-12, atol=0)


def test_its_eps_is_inside_the_root():
    parameter = nn.Parameter(torch.zeros(1, dtype=torch.double))
    optimizer = TensorFlowRMSprop([parameter], lr=1.0, alpha=0.0, eps=0.25)
    parameter.grad = torch.full_like(parameter, 1e-6)
    optimizer.step()
    assert parameter.item() == pytest.approx(-1e-6 / 0.5, rel=1e-9)


def test_it_goes_on_from_its_state_bit_for_bit():
    def walked(steps, state=None, start=None):
        parameter = nn.Parameter(torch.ones(4) if start is None else start.clone())
        optimizer = TensorFlowRMSprop([parameter], lr=0.1)
        if state is not None:
            optimizer.load_state_dict(state)
        for step in steps:
            parameter.grad = torch.linspace(-1, 1, 4) * step
            optimizer.step()
        return parameter.detach(), optimizer.state_dict()

    whole, _ = walked(range(1, 7))
    half, state = walked(range(1, 4))
    assert torch.equal(walked(range(4, 7), state, half)[0], whole)
    assert not torch.equal(walked(range(4, 7), None, half)[0], whole)


def test_it_leaves_what_has_no_gradient_and_returns_what_the_closure_does():
    moved, still = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = TensorFlowRMSprop([{"params": [moved], "lr": 0.5}, {"params": [still]}], lr=0.1)

    def closure():
        loss = moved.sum()
        loss.backward()
        return loss

    assert optimizer.step(closure) == 2
    torch.testing.assert_close(moved.detach(), torch.full((2,), 0.5))
    assert torch.equal(still, torch.ones(2))


@pytest.mark.parametrize("settings", ["lr=-1", "alpha=1.0", "eps=-1e-3"])
def test_its_settings_are_checked_in_a_sentence(compose, settings):
    config = compose("optim=rmsprop_tensorflow", f"++optim.d.{settings}")
    with pytest.raises(UserError, match=r"optim\.d\.\* cannot be used"):
        built(config)


def test_two_time_scales_have_the_faster_d(compose):
    d, g, n_dis, _ = built(compose("optim=ttur"))
    assert d.defaults["lr"] > g.defaults["lr"]
    assert n_dis == 1


def test_each_player_gets_its_own_parameters_and_only_those_that_learn():
    G, D = nn.Linear(2, 2), nn.Linear(2, 1)
    D.bias.requires_grad_(False)
    (d, g), _ = Optimizers(1, SGD, SGD).build(G, D)
    assert d.param_groups[0]["params"] == [D.weight]
    assert g.param_groups[0]["params"] == [G.weight, G.bias]
    assert trainable(D) == [D.weight]


@pytest.mark.parametrize(
    ("update", "factor"), [(0, 1), (399, 1), (400, 1), (401, 49 / 50), (425, 0.5), (449, 1 / 50), (450, 0), (500, 0)]
)
def test_the_rate_falls_linearly_between_its_two_updates(update, factor):
    assert Optimizers(1, SGD, SGD, 400, 450).rate(update) == pytest.approx(factor)


def test_the_schedulers_follow_the_rate():
    optim = Optimizers(1, SGD, SGD, 0, 4)
    optimizers, schedulers = optim.build(nn.Linear(1, 1), nn.Linear(1, 1))
    rates = []
    for _ in range(5):
        rates.append([optimizer.param_groups[0]["lr"] for optimizer in optimizers])
        for optimizer, scheduler in zip(optimizers, schedulers, strict=True):
            optimizer.step()
            scheduler.step()
    assert rates == [[rate, rate] for rate in (0.5, 0.375, 0.25, 0.125, 0)]


def halted(end, updates):
    """The parts of a decay to `end` whose states are those of one to update 4, after so many updates."""
    (old, _), (before, _) = Optimizers(1, SGD, SGD, 0, 4).build(nn.Linear(1, 1), nn.Linear(1, 1))
    for _ in range(updates):
        old.step()
        before.step()
    (new, _), (scheduler, _) = Optimizers(1, SGD, SGD, 0, end).build(nn.Linear(1, 1), nn.Linear(1, 1))
    new.load_state_dict(old.state_dict())
    scheduler.load_state_dict(before.state_dict())
    return new, scheduler


@pytest.mark.parametrize(("end", "updates", "factors"), [(8, 4, (0, 0.5)), (8, 2, (0.5, 0.75)), (4, 3, (0.25, 0.25))])
def test_after_a_resume_the_first_update_has_the_rate_of_the_new_end(end, updates, factors):
    optimizer, scheduler = halted(end, updates)
    assert realign(scheduler) == factors
    assert optimizer.param_groups[0]["lr"] == 0.5 * factors[1]


def test_a_rate_of_zero_is_no_change():
    zero = partial(torch.optim.SGD, lr=0.0)
    (optimizer, _), (scheduler, _) = Optimizers(1, zero, zero, 0, 4).build(nn.Linear(1, 1), nn.Linear(1, 1))
    optimizer.step()
    scheduler.step()
    assert realign(scheduler) == (0.75, 0.75)


@pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning", "ignore::FutureWarning")
def test_a_longer_run_says_that_its_decayed_rates_jump_and_the_same_run_says_nothing(monkeypatch, tmp_path):
    def trained(*arguments):
        quick = ["trainer.accelerator=cpu", "metrics=none", "callbacks=none", "data=gaussians", "model.width=4"]
        game = [f"hydra.run.dir={tmp_path}", *quick, "optim.decay_start=0", "updates_per_epoch=2", "batch_size=4"]
        monkeypatch.setattr(sys, "argv", ["train", *game, *arguments])
        launch(train, "train")
        content = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
        return [state["param_groups"][0]["lr"] for state in content["optimizer_states"]]

    words = "at update 4 the learning rates go from 0 to 0.5 times their start"
    assert trained("updates=4") == [0, 0]
    assert trained("updates=4") == [0, 0]
    assert words not in (tmp_path / "train.log").read_text()
    assert trained("updates=8") == [0, 0]
    assert words in (tmp_path / "train.log").read_text()


def test_constant_rates_need_no_scheduler():
    assert Optimizers(1, SGD, SGD).build(nn.Linear(1, 1), nn.Linear(1, 1))[1] == []


@pytest.mark.parametrize("n_dis", [0, -1])
def test_d_must_learn(n_dis):
    with pytest.raises(UserError, match=rf"^Optimizers\.n_dis={n_dis} .* 1 or more"):
        Optimizers(n_dis, SGD, SGD)


@pytest.mark.parametrize(("start", "end"), [(-1, 10), (10, 10), (11, 10)])
def test_a_decay_that_cannot_be_is_refused(start, end):
    with pytest.raises(UserError, match=rf"optim\.decay_start={start} .*optim\.decay_end={end}"):
        Optimizers(1, SGD, SGD, start, end)
