"""The training step under a real Lightning Trainer: who moves when, what is counted, what the curves say."""

import json
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.loggers import Logger
from omegaconf import open_dict
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lit_gan.build import build_gan
from lit_gan.callbacks import SampleGrid
from lit_gan.callbacks.soundness import Soundness
from lit_gan.errors import UserError
from lit_gan.figures.pictures import Page
from lit_gan.game import Loss, Regularizer
from lit_gan.layers import fixed
from lit_gan.losses import Hinge, LeastSquares, Minimax, NonSaturating, Wasserstein
from lit_gan.metrics.measure import measure
from lit_gan.models import dcgan, mlp
from lit_gan.module import GAN, Average
from lit_gan.optim import Optimizers
from lit_gan.order import Alternating
from lit_gan.reg.constraints import WeightClip
from lit_gan.reg.gradients import GradientPenalty
from lit_gan.reg.structure import LayerNorm
from lit_gan.reg.weights import SpectralNorm, WeightNorm
from lit_gan.sampling import Sampler
from trainers import quiet_trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning", "ignore::FutureWarning")
SGD = partial(torch.optim.SGD, lr=0.1)
ADAM = partial(torch.optim.Adam, lr=0.01, betas=(0.5, 0.9))


class Record(Logger):
    """Keeps (step, metrics)."""

    def __init__(self):
        super().__init__()
        self.rows = []

    name, version = "record", 0

    def log_metrics(self, metrics, step=None):
        self.rows.append((step, dict(metrics)))

    def log_hyperparams(self, *args, **kwargs):
        pass


class Recorder(Regularizer):
    """Calls `look(hook, turn)` in every hook of a turn."""

    def __init__(self, look):
        super().__init__()
        self.look = look

    def stage(self, turn):
        self.look("stage", turn)

    def d(self, turn):
        self.look("d", turn)

    def g(self, turn):
        self.look("g", turn)

    def project(self, turn):
        self.look("project", turn)


class Listed(Loss):
    """D's values from a list, one after another; G's is 0 times its bias."""

    def __init__(self, values, g_values=()):
        super().__init__()
        self.values, self.g_values = iter(values), iter(g_values)

    def d(self, turn):
        return turn.D.head.bias.sum() * 0 + next(self.values)

    def g(self, turn):
        return turn.x_fake.sum() * 0 + next(self.g_values, 0.0)


@pytest.fixture
def points(affine_g, linear_d):
    """A small game on points in the plane."""

    def make(loss=None, regs=None, n_dis=1, optimizer=SGD, decay=(), order=None, **settings):
        optim = Optimizers(n_dis, optimizer, optimizer, *decay)
        parts = affine_g(), linear_d([0.1, 0.2]), loss or NonSaturating(), regs or {}, optim, order or Alternating()
        return GAN(*parts, **settings)

    return make


def images(regs=None, n_dis=1, ema=None, optimizer=ADAM, **settings):
    G, D = dcgan.Generator((1, 16, 16), z_dim=3, width=2), dcgan.Discriminator((1, 16, 16), width=2)
    optim = Optimizers(n_dis, optimizer, optimizer)
    return GAN(G, D, Hinge(), regs or {}, optim, Alternating(), ema=ema, **settings)


def fit(gan, updates, x=None, batch_size=4, epoch=1000, **settings):
    """Trains; returns the trainer, the rows that it logged at `trainer.loggers[0].rows`."""
    total = batch_size * gan.optim.n_dis
    x = torch.randn(updates * total, *gan.G.shape).clamp(-1, 1) if x is None else x
    loader = DataLoader(TensorDataset(x, torch.zeros(len(x), dtype=torch.long)), total)
    trainer = quiet_trainer(gan, updates, **{"logger": Record(), "limit_train_batches": epoch, **settings})
    trainer.fit(gan, loader)
    return trainer


def snapshot(network):
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def weights(network):
    return {name: value.detach().clone() for name, value in network.named_parameters()}


def gradients(network):
    return {name: None if p.grad is None else p.grad.clone() for name, p in network.named_parameters()}


def same(before, after):
    """Bit for bit."""
    assert before.keys() == after.keys()
    return all(
        a is b if a is None or b is None else torch.equal(a, b)
        for a, b in zip(before.values(), after.values(), strict=True)
    )


# Who moves when


@pytest.mark.parametrize(("n_dis", "accumulate", "real"), [(4, 1, 6), (2, 3, 8)])
def test_a_share_of_a_batch_that_others_have_cut_wrongly_is_refused(points, n_dis, accumulate, real):
    gan = points(n_dis=n_dis)
    gan.optim.accumulate = accumulate
    with pytest.raises(UserError, match=rf"{real if accumulate == 1 else real // n_dis} real samples .* equal parts"):
        list(gan.moves((torch.zeros(real, 2), torch.zeros(real, dtype=torch.long))))


@pytest.mark.parametrize("n_dis", [1, 3])
@pytest.mark.parametrize("regs", [[], [SpectralNorm], [WeightNorm], [LayerNorm, GradientPenalty]])
def test_each_turn_leaves_the_other_player_alone_bit_for_bit(n_dis, regs):
    before, seen = {}, []

    def look(hook, turn):
        mover, other = (turn.D, turn.G) if turn.player == "d" else (turn.G, turn.D)
        if hook == "stage":
            before.update(mover=weights(mover), other=weights(other), gradients=gradients(other))
        if hook == "project":
            assert same(before["other"], weights(other))
            assert same(before["gradients"], gradients(other))
            assert not same(before["mover"], weights(mover))
            seen.append(turn.player)

    fit(images({reg.__name__: reg() for reg in regs} | {"recorder": Recorder(look)}, n_dis), updates=2)
    assert seen == (["d"] * n_dis + ["g"]) * 2


def test_no_graph_through_g_on_d_turn_and_no_gradients_for_d_on_g_turn(points):
    seen = []

    def look(hook, turn):
        if hook == turn.player:
            learning = [parameter.requires_grad for parameter in turn.D.parameters()]
            seen.append((turn.player, turn.x_fake.requires_grad, any(learning), all(learning)))

    gan = points(regs={"recorder": Recorder(look)}, n_dis=2)
    fit(gan, updates=1)
    assert seen == [("d", False, True, True)] * 2 + [("g", True, False, False)]
    assert all(parameter.requires_grad for parameter in gan.D.parameters())


def test_freezing_ends_with_an_error_and_wakes_only_what_learned():
    network = nn.Linear(2, 2)
    network.bias.requires_grad_(False)
    with pytest.raises(RuntimeError, match="does not require grad"), fixed(network):
        network(torch.ones(1, 2)).sum().backward()
    assert network.weight.requires_grad
    assert not network.bias.requires_grad


class CountingSGD(torch.optim.SGD):
    steps = 0

    def step(self, closure=None):
        self.steps += 1
        return super().step(closure)


@pytest.mark.parametrize("n_dis", [1, 3])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_one_training_step_is_n_dis_updates_of_d_and_one_of_g(points, n_dis, precision):
    gan = points(n_dis=n_dis, optimizer=partial(CountingSGD, lr=0.1))
    trainer = fit(gan, updates=5, precision=precision)
    d, g = trainer.optimizers
    assert d.param_groups[0]["params"] == list(gan.D.parameters())
    assert (d.steps, g.steps) == (5 * n_dis, 5)
    assert trainer.global_step == 5


@pytest.mark.parametrize("n_dis", [1, 3])
def test_no_network_runs_more_often_than_the_game_needs(n_dis, monkeypatch):
    monkeypatch.setattr(Soundness, "check", lambda *_: None)  # once an epoch, on copies
    gan, calls = images(n_dis=n_dis), {"G": 0, "D": 0}
    for name in calls:
        getattr(gan, name).register_forward_hook(lambda *_, name=name: calls.update({name: calls[name] + 1}))
    fit(gan, updates=2)
    assert calls == {"G": 2 * (n_dis + 1), "D": 2 * (2 * n_dis + 1)}


@pytest.mark.parametrize("n_dis", [1, 2])
def test_the_singular_vectors_move_twice_in_each_d_turn_and_once_in_g(n_dis, monkeypatch):
    monkeypatch.setattr(Soundness, "check", lambda *_: None)  # once an epoch, on copies
    gan, calls = images({"spectral": SpectralNorm()}, n_dis), []
    gan.D.head.parametrizations.weight[0].register_forward_hook(lambda module, *_: calls.append(module.training))
    fit(gan, updates=3)
    assert calls == [True] * 3 * (2 * n_dis + 1)


def test_every_turn_of_d_gets_its_own_share_and_every_turn_fresh_latents(points):
    shares, latents = [], []

    def look(hook, turn):
        if hook == "stage":
            latents.append(turn.z)
            if turn.player == "d":
                shares.append(turn.x_real)

    x = torch.randn(24, 2)
    fit(points(regs={"recorder": Recorder(look)}, n_dis=3), updates=2, x=x)
    assert torch.equal(torch.cat(shares), x)
    assert len(torch.cat(latents).unique(dim=0)) == 4 * 8


@pytest.mark.parametrize("g_batch_size", [None, 1, 4, 6, 9])
def test_g_batch_size(points, g_batch_size):
    sizes = []

    def look(hook, turn):
        if hook == "stage":
            sizes.append((turn.player, len(turn.z), len(turn.y), len(turn.x_fake)))

    fit(points(regs={"recorder": Recorder(look)}, g_batch_size=g_batch_size), updates=1)
    n = g_batch_size or 4
    assert sizes == [("d", 4, 4, 4), ("g", n, n, n)]


@pytest.mark.parametrize("g_batch_size", [1, 6, 9])
def test_g_turn_pairs_each_real_image_with_its_label(points, g_batch_size):
    sizes = []

    def look(hook, turn):
        if hook == "stage":
            sizes.append(len(turn.x_real) == len(turn.y))

    fit(points(regs={"recorder": Recorder(look)}, g_batch_size=g_batch_size), updates=1)
    assert sizes == [True, True]


@pytest.mark.parametrize("loss", [NonSaturating(), Minimax(), Hinge(), Wasserstein(), LeastSquares()])
def test_every_loss_moves_g_towards_the_data(points, loss):
    gan = points(loss)
    target = torch.tensor([0.0, 2.0])
    distance = [(gan.G(torch.zeros(1, 2)) - target).norm().item()]
    fit(gan, updates=40, x=torch.randn(160, 2) * 0.1 + target)
    distance.append((gan.G(torch.zeros(1, 2)) - target).norm().item())
    assert distance[1] < 0.9 * distance[0]


# Hooks


class Named(Regularizer):
    """Writes each of its hooks into a list that all of them share."""

    def __init__(self, events, name):
        super().__init__()
        self.events, self.label = events, name

    def attach(self, G, D):
        self.events.append((self.label, "attach"))

    def stage(self, turn):
        self.events.append((self.label, "stage", turn.player))

    def d(self, turn):
        self.events.append((self.label, "d"))

    def g(self, turn):
        self.events.append((self.label, "g"))

    def project(self, turn):
        assert not torch.is_grad_enabled()
        self.events.append((self.label, "project", turn.player))


def test_hooks_are_called_in_list_order(points):
    events = []
    gan = points(regs={name: Named(events, name) for name in "ba"})
    assert events == [("b", "attach"), ("a", "attach")]
    events.clear()
    fit(gan, updates=1)
    turn = [
        [("b", "stage", p), ("a", "stage", p), ("b", p), ("a", p), ("b", "project", p), ("a", "project", p)]
        for p in "dg"
    ]
    assert events == turn[0] + turn[1]


class Doubled(Regularizer):
    """Shows D twice the real samples and one more: 2 x + shift."""

    def __init__(self, factor, shift):
        super().__init__()
        self.factor, self.shift = factor, shift

    def stage(self, turn):
        turn.x_real = self.factor * turn.x_real + self.shift


@pytest.mark.parametrize(("order", "expected"), [("ab", 2 * 3.0 + 1), ("ba", 2 * (3.0 + 1))])
def test_stages_compose_in_list_order_before_the_loss(points, order, expected):
    regs = {"a": Doubled(2, 0), "b": Doubled(1, 1)}
    seen = []
    recorder = Recorder(lambda hook, turn: seen.append(turn.x_real[0, 0].item()) if hook == "d" else None)
    fit(points(regs={name: regs[name] for name in order} | {"z": recorder}), updates=1, x=torch.full((4, 2), 3.0))
    assert seen == [expected]


class ExtraScale(Regularizer):
    """Adds a parameter to D."""

    def attach(self, G, D):
        D.extra = nn.Parameter(torch.ones(()))

    def d(self, turn):
        return turn.D.extra


def test_what_attach_adds_is_optimised_and_its_term_is_weighted(points):
    gan = points(regs={"extra": ExtraScale(weight=3.0)}, n_dis=2)
    trainer = fit(gan, updates=2)
    # SGD of rate 0.1 on 3 * extra, four times; the curve holds 3 * extra before each step
    assert gan.D.extra.item() == pytest.approx(1 - 4 * 0.1 * 3)
    values = [3 * (1 - 0.3 * step) for step in range(4)]
    assert trainer.loggers[0].rows[-1][1]["d/extra"] == pytest.approx(sum(values) / 4)


def test_the_terms_add_up_to_what_is_differentiated(points):
    class Pull(Regularizer):
        def d(self, turn):
            return turn.D.head.weight.square().sum()

        def g(self, turn):
            return turn.G.dense.bias.sum()

    gan = points(Wasserstein(), {"pull": Pull(0.5), "more": Pull(2.0)})
    start_d, start_g = gan.D.head.weight.detach().clone(), gan.G.dense.bias.detach().clone()
    fakes = []
    recorder = Recorder(lambda hook, turn: fakes.append(turn.x_fake.detach()) if hook == "d" else None)
    gan.regs["recorder"] = recorder
    x = torch.randn(4, 2)
    rows = fit(gan, updates=1, x=x).loggers[0].rows
    # d/dw of (mean <w, fake> - mean <w, real>) + (0.5 + 2) |w|^2, and d/db of -mean <w, z A + b> + 2.5 sum b
    gradient = fakes[0].mean(0) - x.mean(0) + 5 * start_d
    torch.testing.assert_close(gan.D.head.weight.detach(), start_d - 0.1 * gradient)
    torch.testing.assert_close(gan.G.dense.bias.detach(), start_g - 0.1 * (2.5 - gan.D.head.weight.detach()[0]))
    (step, curves), square = rows[0], start_d.square().sum().item()
    assert step == 1
    assert set(curves) == {"d/wasserstein", "d/pull", "d/more", "d/real", "d/fake", "g/wasserstein", "g/pull", "g/more"}
    assert curves["d/pull"] == pytest.approx(0.5 * square)
    assert curves["d/more"] == pytest.approx(2 * square)
    assert curves["g/pull"] == pytest.approx(0.5 * start_g.sum().item())
    assert curves["d/wasserstein"] == pytest.approx(curves["d/fake"] - curves["d/real"], abs=1e-6)


def test_clipping_holds_after_training():
    gan = images({"weight_clip": WeightClip(0.01)}, n_dis=2)
    fit(gan, updates=3)
    assert max(parameter.abs().max().item() for parameter in gan.D.parameters()) <= 0.01
    assert max(parameter.abs().max().item() for parameter in gan.G.parameters()) > 0.01


# Curves


def test_curves_are_means_over_their_interval(points):
    gan = points(Listed(range(1, 9), [10.0, 20.0, 30.0, 40.0]), n_dis=2)
    rows = fit(gan, updates=4, log_every_n_steps=2).loggers[0].rows
    assert [step for step, _ in rows] == [2, 4]
    assert [row["d/listed"] for _, row in rows] == [2.5, 6.5]
    assert [row["g/listed"] for _, row in rows] == [15, 35]


def test_a_loss_has_curves_of_its_own(points):
    class Balanced(Listed):
        def curves(self):
            return {"k": torch.tensor(7.0)}

    row = fit(points(Balanced(range(4))), updates=4, log_every_n_steps=4).loggers[0].rows[-1][1]
    assert row["d/k"] == 7
    assert "g/k" not in row


def test_curves_show_the_mean_output_of_d(points):
    gan = points(Listed([0.0] * 4))
    x = torch.randn(16, 2)
    row = fit(gan, updates=4, x=x, log_every_n_steps=4).loggers[0].rows[-1][1]
    expected = (x @ gan.D.head.weight[0] + gan.D.head.bias).mean().item()
    assert row["d/real"] == pytest.approx(expected, rel=1e-5)


def test_curves_are_flushed_at_the_end_of_an_epoch(points):
    rows = fit(points(Listed(range(6))), updates=6, epoch=3, log_every_n_steps=50).loggers[0].rows
    assert [(step, row["d/listed"]) for step, row in rows] == [(3, 1), (6, 4)]


def test_the_last_updates_reach_the_curves_though_their_interval_is_not_full(points):
    rows = fit(points(Listed(range(5))), updates=5, x=torch.randn(40, 2), log_every_n_steps=2).loggers[0].rows
    assert [(step, row["d/listed"]) for step, row in rows] == [(2, 0.5), (4, 2.5), (5, 4)]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("n_dis", [1, 3])
@pytest.mark.parametrize("update", [1, 4, 5, 8])
def test_the_first_update_that_is_not_finite_is_named(points, value, n_dis, update):
    values = [0.0] * (n_dis * 8)
    values[(update - 1) * n_dis + n_dis - 1] = value  # in the last turn of D in that update
    with pytest.raises(UserError, match=rf"^d/listed became {value} at generator update {update}:") as stop:
        fit(points(Listed(values, [0.0] * 8), n_dis=n_dis), updates=8, log_every_n_steps=4)
    assert "\n" not in str(stop.value)


def test_the_first_of_several_broken_terms_is_named(points):
    nan = float("nan")
    with pytest.raises(UserError, match=r"^g/listed became nan at generator update 2:"):
        fit(points(Listed([0, 0, nan, nan], [0, nan, nan, nan])), updates=4, log_every_n_steps=4)


def test_a_regularizer_that_is_not_finite_is_named(points):
    class Broken(Regularizer):
        def d(self, turn):
            return turn.D.head.bias.sum() / 0

    with pytest.raises(UserError, match=r"^d/broken_one became"):
        fit(points(regs={"broken_one": Broken()}), updates=1)


# Moving average, learning rates, precision


def test_the_moving_average_is_its_closed_form_with_batch_norm_statistics():
    states = []
    recorder = Recorder(
        lambda hook, turn: states.append(snapshot(turn.G)) if (hook, turn.player) == ("project", "g") else None
    )
    gan = images({"recorder": recorder}, ema=0.2)
    start = snapshot(gan.G)
    fit(gan, updates=3)
    average = gan.generator(ema=True)
    assert average is not gan.G
    assert not any(parameter.requires_grad for parameter in average.parameters())
    first, second, third = states
    floating = [name for name, value in first.items() if value.is_floating_point()]
    assert any("running_var" in name for name in floating)
    for name in floating:
        after_first = 2 / 11 * start[name] + 9 / 11 * first[name]
        expected = 0.2 * (0.2 * after_first + 0.8 * second[name]) + 0.8 * third[name]
        torch.testing.assert_close(average.state_dict()[name], expected, msg=name)
        assert not torch.equal(first[name], third[name]), name


@pytest.mark.parametrize("start", [0, 1, 3])
def test_a_moving_average_with_a_start_is_g_before_it_and_has_its_decay_from_there_on(start):
    """The code of BigGAN: decay 0 before `start`, then the constant one."""
    states = []
    recorder = Recorder(
        lambda hook, turn: states.append(snapshot(turn.G)) if (hook, turn.player) == ("project", "g") else None
    )
    gan = images({"recorder": recorder}, ema=0.75, ema_start=start)
    expected = snapshot(gan.G)
    fit(gan, updates=4)
    for update, state in enumerate(states, 1):
        decay = 0.75 if update >= start else 0
        for name, value in state.items():
            expected[name] = decay * expected[name] + (1 - decay) * value if value.is_floating_point() else value
    for name, value in gan.generator(ema=True).state_dict().items():
        torch.testing.assert_close(value, expected[name], msg=name)


def test_the_average_says_how_it_begins():
    G = mlp.Generator((2,), width=2)
    assert Average(G, 0.999).describe() == {"decay": 0.999, "warm_up": "(1 + n) / (10 + n)"}
    assert Average(G, 0.9999, 20000).describe() == {"decay": 0.9999, "start": 20000}
    assert Average(G, 0.999).decay_at(8989) < 0.999 == Average(G, 0.999).decay_at(8990)


def test_the_start_of_no_average_is_refused(points):
    with pytest.raises(UserError, match=r"^ema_start=5 .*ema_start=null\.$"):
        points(ema_start=5)


def test_a_config_from_before_there_was_a_start_builds(compose):
    config = compose("ema=0.9", "model.width=4", "data.image_size=16")
    assert build_gan(config).G_ema.start is None
    with open_dict(config):
        del config.ema_start
    assert build_gan(config).G_ema.decay == 0.9
    assert build_gan(compose("ema=0.9", "ema_start=7", "model.width=4", "data.image_size=16")).G_ema.start == 7


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ("raw", None)),
        ({"ema": 0.5}, ("ema", {"decay": 0.5, "warm_up": "(1 + n) / (10 + n)"})),
        ({"ema": 0.5, "ema_start": 3}, ("ema", {"decay": 0.5, "start": 3})),
    ],
)
def test_a_record_says_which_average_was_measured(points, settings, expected):
    record = empty_record(points(**settings))
    assert (record["weights"], record["ema"]) == expected


def test_a_record_has_its_protocol_as_a_resume_reads_it(points):
    """Otherwise the best of a run would begin anew after each resume."""
    protocol = empty_record(points(), sizes=(1, 2))["protocol"]
    assert protocol == json.loads(json.dumps(protocol)) == {"sizes": [1, 2]}


def empty_record(gan, **facts):
    """A record without scores, under a protocol of which a suite says these facts."""
    suite = SimpleNamespace(
        evaluate=lambda *_: {},
        describe=lambda *_: facts,
        caveats=lambda *_: {},
        prefix=lambda _: "x",
        by_class=lambda *_: {},
        ends=lambda _: {},
    )
    protocol = SimpleNamespace(ema=True, seed=0, batch_norm="running", truncation=None)
    return measure(gan, suite, None, protocol, 0, "last")


def test_the_sampler_is_g_unless_there_is_a_moving_average_and_it_is_wanted(points):
    plain, averaging = points(), points(ema=0.9)
    assert plain.generator(ema=True) is plain.G
    assert averaging.generator(ema=False) is averaging.G


def test_the_moving_average_is_not_trained(points):
    gan = points(ema=0.9)
    trainer = fit(gan, updates=1)
    trained = {
        id(parameter)
        for optimizer in trainer.optimizers
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert not trained & {id(parameter) for parameter in gan.G_ema.parameters()}
    assert trained == {id(parameter) for network in (gan.G, gan.D) for parameter in network.parameters()}


@pytest.mark.parametrize("n_dis", [1, 2])
def test_both_learning_rates_fall_linearly_in_generator_updates(points, n_dis):
    rates = []

    def look(hook, turn):
        if hook == "project":
            rates.append((turn.player, [optimizer.param_groups[0]["lr"] for optimizer in gan.trainer.optimizers]))

    gan = points(regs={"recorder": Recorder(look)}, n_dis=n_dis, decay=(2, 6))
    fit(gan, updates=7)
    factors = [1, 1, 1, 0.75, 0.5, 0.25, 0]
    expected = [0.1 * factor for factor in factors]
    assert [rate for player, (rate, _) in rates if player == "d"] == pytest.approx(
        [r for r in expected for _ in range(n_dis)]
    )
    assert [rate for player, (_, rate) in rates if player == "g"] == pytest.approx(expected)


def test_learning_rates_are_constant_by_default(points):
    gan = points()
    trainer = fit(gan, updates=3)
    assert [optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers] == [0.1, 0.1]


@pytest.mark.parametrize("regs", [[], [SpectralNorm], [GradientPenalty], [LayerNorm, GradientPenalty], [WeightNorm]])
def test_mixed_precision_moves_every_weight(regs):
    gan = images({reg.__name__: reg() for reg in regs}, n_dis=2)
    before = weights(gan)
    trainer = fit(gan, updates=2, precision="bf16-mixed")
    assert trainer.precision == "bf16-mixed"
    for name, parameter in gan.named_parameters():
        assert parameter.isfinite().all(), name
        # hinge sees no constant while every sample is inside its margin: real and fake cancel
        if name != "D.head.bias":
            assert torch.equal(parameter, before[name]) is not parameter.requires_grad, name


def test_points_and_images_train_with_the_same_step():
    gan = GAN(
        mlp.Generator((2,), width=8),
        mlp.Discriminator((2,), width=8),
        Wasserstein(),
        {"gp": GradientPenalty()},
        Optimizers(2, ADAM, ADAM),
        Alternating(),
    )
    rows = fit(gan, updates=2).loggers[0].rows
    assert {"d/gp", "d/wasserstein", "g/wasserstein"} <= set(rows[-1][1])
    assert "g/gp" not in rows[-1][1]


@pytest.mark.parametrize(("game", "drawn"), [("images", 64), ("points", 512)])
def test_a_plot_shows_more_points_than_a_grid_has_images(game, drawn, points, tmp_path, monkeypatch):
    shown = []

    def keep(source, samples, columns, rows):
        shown.append(len(samples))
        return Page([""])

    monkeypatch.setattr("lit_gan.callbacks.samples.render", keep)
    gan = images() if game == "images" else points()
    datamodule = SimpleNamespace(source=None)
    trainer = SimpleNamespace(
        is_global_zero=True, global_step=5, datamodule=datamodule, default_root_dir=tmp_path, loggers=[]
    )
    SampleGrid().on_train_epoch_end(trainer, gan)
    assert shown == [drawn]
    assert (tmp_path / "samples" / "000005.txt").exists()


@pytest.mark.parametrize("ema", [0.5, None])
def test_a_grid_is_of_the_moving_average_where_there_is_one(ema, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(
        "lit_gan.callbacks.samples.render", lambda source, samples, *_: shown.append(samples) or Page([""])
    )
    gan = images(ema=ema)
    with torch.no_grad():
        next(gan.G.parameters()).add_(1)
    settings = {"is_global_zero": True, "global_step": 5, "default_root_dir": tmp_path, "loggers": []}
    SampleGrid().on_train_epoch_end(SimpleNamespace(datamodule=SimpleNamespace(source=None), **settings), gan)
    of_average, of_g = (Sampler(G, 0).grid(64)[0] for G in (gan.generator(ema=True), gan.G))
    assert torch.equal(shown[0], of_average)
    assert torch.equal(shown[0], of_g) == (ema is None)


def test_a_game_calls_its_regularizers_as_its_configs_do(points):
    one, other = (Recorder(lambda turn: None) for _ in range(2))
    points(regs={"mine": one, "yours": other})
    assert (one.name, other.name) == ("mine", "yours")
