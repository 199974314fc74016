"""Histograms of weights and gradients: what is in them, when they are made, and when they are refused."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from lit_gan.callbacks import histograms
from lit_gan.callbacks.histograms import Histograms, histogram
from lit_gan.cli.resolvers import register_resolvers
from lit_gan.errors import UserError
from lit_gan.optim import Clip
from lit_gan.parts import build_part


def test_counts_lie_between_the_smallest_and_the_largest_value():
    found = histogram(torch.tensor([[0.0, 1.0], [2.0, 4.0]]), 4)
    assert found.counts.tolist() == [1, 1, 1, 1]
    assert found.edges.tolist() == [0, 1, 2, 3, 4]
    assert (found.sum, found.sum_squares) == (7, 21)


def test_equal_values_have_bins_around_them_and_infinite_ones_are_left_out():
    found = histogram(torch.tensor([3.0, 3.0, torch.inf, torch.nan]), 2)
    assert (found.counts.sum(), found.edges.tolist()) == (2, [2.5, 3.0, 3.5])
    assert histogram(torch.tensor([torch.nan]), 2) is None
    assert histogram(torch.zeros(0), 2) is None


class Recorder:
    """Plays updates of two players of one weight each, w = 2: the gradients are those that are asked for."""

    def __init__(self, callback, prepare=lambda _: None):
        self.G, self.D, self.callback = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False), callback
        for network in (self.G, self.D):
            nn.init.constant_(network.weight, 2.0)
        optimizers = [torch.optim.SGD(network.parameters(), lr=0.5, fused=True) for network in (self.D, self.G)]
        for each in optimizers:
            prepare(each)
        self.trainer = SimpleNamespace(global_step=0, is_global_zero=True, optimizers=optimizers, loggers=["log"])
        callback.on_train_start(self.trainer, self)

    def update(self, *gradients):
        """Steps of D, then one of G."""
        *of_d, of_g = gradients
        for network, gradient in [*((self.D, each) for each in of_d), (self.G, of_g)]:
            network.weight.grad = torch.full((1, 1), gradient)
            self.trainer.optimizers[network is self.G].step()
        self.trainer.global_step += 1
        self.callback.on_train_batch_end(self.trainer, self)


@pytest.fixture
def logged(monkeypatch):
    """update -> the middle of each histogram of a single value."""
    found = {}

    def log(_, named, update):
        found[update] = {name: float(np.mean(each.edges)) for name, each in named.items()}

    monkeypatch.setattr(histograms, "log_histograms", log)
    return found


def test_the_gradient_is_the_last_steps_and_the_weights_are_those_after_it(logged):
    game = Recorder(Histograms(every=2, loggers="wandb"))
    for update in range(4):
        game.update(9.0, 0.5, update / 4)
    assert list(logged) == [2, 4]
    assert logged[2]["gradients/D/weight"] == pytest.approx(0.5)
    assert logged[2]["gradients/G/weight"] == pytest.approx(1 / 4)
    assert logged[2]["weights/G/weight"] == pytest.approx(2 - 0.5 * (0 + 1 / 4))
    assert logged[2]["weights/D/weight"] == pytest.approx(2 - 0.5 * 2 * 9.5)


def test_nothing_is_computed_in_the_other_updates_nor_after_the_end(logged, monkeypatch):
    game = Recorder(Histograms(every=3))
    monkeypatch.setattr(histograms, "histogram", lambda *_: pytest.fail("too early"))
    game.update(1.0, 1.0)
    game.update(1.0, 1.0)
    game.callback.teardown(game.trainer, game, "fit")
    game.trainer.optimizers[0].step()
    assert logged == {}


def test_a_clip_counts_and_a_loss_scale_does_not(logged):
    def prepare(optimizer):
        optimizer.register_step_pre_hook(Clip(0.25))
        optimizer.grad_scale = torch.tensor(8.0)

    Recorder(Histograms(every=1), prepare).update(1.0, 16.0)
    assert logged[1]["gradients/D/weight"] == pytest.approx(1 / 8)
    assert logged[1]["gradients/G/weight"] == pytest.approx(0.25)


@pytest.mark.parametrize("loggers", ["none", "csv", "csv+mine"])
def test_without_a_logger_that_draws_it_is_refused(loggers):
    with pytest.raises(UserError, match="logger=tensorboard or logger=wandb"):
        Histograms(every=1, loggers=loggers)


def test_the_config_says_which_loggers_there_are(compose):
    register_resolvers()
    config = compose("callbacks=[default,histograms]", "logger=[tensorboard,csv]", "updates_per_epoch=7")
    built = build_part(config.callbacks.histograms)
    assert (built.every, built.bins) == (7, 64)
