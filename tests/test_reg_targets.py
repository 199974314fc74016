"""What the players aim at: matched features, a past, a D that is updates ahead; against sums done by hand."""

import copy
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from hydra.utils import instantiate
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lit_gan.errors import UserError
from lit_gan.game import Game, Regularizer, Turn
from lit_gan.losses import Hinge, LeastSquares, Minimax, NonSaturating, Wasserstein
from lit_gan.models import dcgan, mlp
from lit_gan.module import GAN
from lit_gan.optim import OptimisticAdam, Optimizers
from lit_gan.order import Alternating, Extragradient, Simultaneous
from lit_gan.reg.constraints import WeightClip
from lit_gan.reg.structure import BatchNorm
from lit_gan.reg.targets import FeatureMatching, HistoricalAveraging, Unrolled, adam
from lit_gan.reg.weights import SpectralNorm, WeightNorm
from trainers import quiet_trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning", "ignore::FutureWarning")
ADAM = partial(torch.optim.Adam, lr=0.01, betas=(0.5, 0.9))


class Table(Game):
    """A game that nobody plays: what a turn asks of it."""

    global_step, curves = 0, None

    def __init__(self, D, optimizer, loss=None, regs=()):
        self.loss, self.regs, self.d = loss or Wasserstein(), nn.ModuleList(regs), optimizer(list(D.parameters()))

    def terms(self, turn):
        terms = {"loss": self.loss.objective(turn)}
        return terms | {str(n): reg.weight * reg.d(turn) for n, reg in enumerate(self.regs) if turn.player == "d"}

    def optimizers(self):
        return [SimpleNamespace(optimizer=self.d), None]

    def differentiate(self, move): ...

    update = uncounted_step = differentiate


class Decay(Regularizer):
    """|w|^2 / 2 of D's last weights: with Wasserstein's loss D's objective is quadratic."""

    def d(self, turn):
        return turn.D.head.weight.square().sum() / 2


def fit(gan, updates=2, batch=4, seed=1, **settings):
    x = torch.randn(updates * batch * gan.optim.n_dis, *gan.G.shape, generator=torch.Generator().manual_seed(seed))
    loader = DataLoader(TensorDataset(x.clamp(-1, 1), torch.zeros(len(x), dtype=torch.long)), batch * gan.optim.n_dis)
    trainer = quiet_trainer(gan, updates, **settings)
    torch.manual_seed(seed)
    trainer.fit(gan, loader)
    return gan


def points(regs=None, optimizer=ADAM, loss=None, order=None, **settings):
    torch.manual_seed(0)
    G, D = mlp.Generator((2,), width=8, depth=1), mlp.Discriminator((2,), width=8, depth=2)
    optim = Optimizers(1, optimizer, optimizer, **settings)
    return GAN(G, D, loss or NonSaturating(), regs or {}, optim, order or Alternating())


# Feature matching


def test_feature_matching_is_the_squared_distance_of_the_mean_features(make_turn, linear_d):
    # the features of <w, x> are x itself: means (1, 2) and (4, -2), so 9 + 16
    turn = make_turn("g", linear_d([1.0, 1.0]), torch.tensor([[0.0, 2], [2, 2]]), torch.tensor([[4.0, -3], [4, -1]]))
    assert FeatureMatching().g(turn).item() == 25
    assert FeatureMatching().d(turn) is None


def test_feature_matching_alone_brings_g_to_the_data(affine_g, linear_d):
    G, D = affine_g(), linear_d([1.0, 1.0])
    sgd = partial(torch.optim.SGD, lr=0.1)
    gan = GAN(G, D, Wasserstein(g_weight=0.0), {"f": FeatureMatching()}, Optimizers(1, sgd, sgd), Alternating())
    x = torch.tensor([[1.0, -2.0]]).expand(400, 2)
    loader = DataLoader(TensorDataset(x, torch.zeros(400, dtype=torch.long)), 4)
    quiet_trainer(gan, 100).fit(gan, loader)
    torch.testing.assert_close(G(torch.randn(4000, 2)).mean(0), x[0], atol=0.15, rtol=0)


# Historical averaging


def test_historical_averaging_is_the_distance_from_the_mean_of_the_past(affine_g, linear_d):
    G, D, reg = affine_g(), linear_d([1.0, 2.0]), HistoricalAveraging()
    nn.init.zeros_(D.head.bias)
    reg.check(G, D)
    turn = Turn("d", G, D, torch.zeros(2, 2), torch.zeros(2, dtype=torch.long), torch.zeros(2, 2))
    assert reg.d(turn).item() == 0
    for w in ([4.0, 2.0], [4.0, 5.0]):
        D.head.weight.data[0] = torch.tensor(w)
        with torch.no_grad():
            reg.project(turn)
    # the mean of (1, 2), (4, 2) and (4, 5) is (3, 3)
    D.head.weight.data[0] = torch.tensor([5.0, 0.0])
    value = reg.d(turn)
    assert value.item() == pytest.approx(2**2 + 3**2)
    value.backward()
    torch.testing.assert_close(D.head.weight.grad[0], torch.tensor([4.0, -6.0]))
    assert reg.g(turn).item() == 0


def test_historical_averaging_keeps_each_players_history_apart(affine_g, linear_d):
    G, D, reg = affine_g(), linear_d([1.0, 2.0]), HistoricalAveraging()
    reg.check(G, D)
    turns = {p: Turn(p, G, D, torch.zeros(2, 2), torch.zeros(2, dtype=torch.long), torch.zeros(2, 2)) for p in "dg"}
    before = reg.d_mean.clone()
    with torch.no_grad():
        G.dense.bias.add_(1)
        D.head.bias.add_(1)
        reg.project(turns["g"])
    assert torch.equal(reg.d_mean, before)
    assert reg.g(turns["g"]).item() == pytest.approx(2 * 0.5**2)
    assert reg.d(turns["d"]).item() == pytest.approx(1)


def test_historical_averaging_loads_strictly_and_remembers():
    gan = fit(points({"h": HistoricalAveraging()}), 3)
    other = points({"h": HistoricalAveraging()})
    other.load_state_dict(gan.state_dict())
    assert torch.equal(other.regs["h"].g_mean, gan.regs["h"].g_mean)
    assert other.regs["h"].d_count.item() == 4


# Unrolled


@pytest.fixture
def quadratic(affine_g, linear_d):
    """G(z) = b against D(x) = <w, x>: D minimises <w, mean fake - mean real> + |w|^2 / 2 by SGD of rate 0.1."""
    G, D = affine_g(), linear_d([1.0, -2.0])
    nn.init.zeros_(G.dense.weight)
    nn.init.zeros_(D.head.bias)
    with torch.no_grad():
        G.dense.bias.copy_(torch.tensor([3.0, 0.5]))
    x = torch.tensor([[0.0, 1.0], [2.0, 1.0]])
    game = Table(D, partial(torch.optim.SGD, lr=0.1), regs=[Decay()])
    return Turn("g", G, D, x, torch.zeros(2, dtype=torch.long), torch.randn(2, 2), game)


@pytest.mark.parametrize("steps", [1, 2])
def test_unrolled_by_hand(quadratic, steps):
    turn, w, b, m = quadratic, torch.tensor([1.0, -2.0]), torch.tensor([3.0, 0.5]), torch.tensor([2.0, -0.5])
    D = turn.D
    Unrolled(steps).stage(turn)
    Wasserstein().g(turn).backward()
    # w <- w - 0.1 (m + w), where m = b - (1, 1): once 0.9 w - 0.1 m, twice 0.81 w - 0.19 m
    kept, moved = (0.9, 0.1) if steps == 1 else (0.81, 0.19)
    ahead = kept * w - moved * m
    torch.testing.assert_close(turn.D.head.weight[0], ahead)
    # G minimises -<w_K(b), b>, and dw_K / db = -moved
    torch.testing.assert_close(turn.G.dense.bias.grad, -ahead + moved * b)
    assert torch.equal(D.head.weight.detach()[0], w)
    assert D.head.weight.grad is None


def test_what_the_d_of_now_has_said_is_forgotten(quadratic):
    before = quadratic.real.logits, quadratic.fake.logits
    Unrolled(1).stage(quadratic)
    for old, verdict, x in zip(before, ("real", "fake"), (quadratic.x_real, quadratic.x_fake), strict=True):
        new = getattr(quadratic, verdict).logits
        torch.testing.assert_close(new, quadratic.D(x).logits)
        assert not torch.allclose(new, old)


class Remembering(Wasserstein):
    """Counts D's objectives in a buffer, which weighs them, as BEGAN's k does."""

    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.ones(()))

    def d(self, turn):
        objective = self.count.clone() * super().d(turn)
        self.count.add_(1)
        return objective


def test_unrolled_leaves_what_the_loss_remembers(quadratic):
    quadratic.game.loss = Remembering()
    reg = Unrolled(3)
    reg.stage(quadratic)
    (Wasserstein().g(quadratic) + reg.g(quadratic)).backward()
    assert quadratic.game.loss.count == 1


def test_unrolled_leaves_d_turns_alone(quadratic):
    D = quadratic.D
    turn = copy.copy(quadratic)
    turn.player = "d"
    Unrolled(3).stage(turn)
    assert turn.D is D


SETTINGS = {
    "sgd": partial(torch.optim.SGD, lr=0.1),
    "momentum": partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.1),
    "dampened": partial(torch.optim.SGD, lr=0.1, momentum=0.9, dampening=0.3),
    "nesterov": partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True),
    "adam": partial(torch.optim.Adam, lr=0.01, betas=(0.5, 0.9)),
    "adam with decay": partial(torch.optim.Adam, lr=0.01, betas=(0.0, 0.9), weight_decay=0.1, eps=1e-3),
    "fused": partial(torch.optim.Adam, lr=0.01, fused=True),
}


def table(optimizer, updates=0, regs=(), loss=None):
    """G's turn in a small game in double precision whose D has had so many updates."""
    torch.manual_seed(0)
    G, D = mlp.Generator((2,), width=8, depth=1).double(), mlp.Discriminator((2,), width=8, depth=2)
    for reg in regs:
        reg.attach(G, D)
    D.double()
    x, z = torch.randn(6, 2, dtype=torch.double), torch.randn(6, 2, dtype=torch.double)
    turn = Turn("g", G, D, x, torch.zeros(6, dtype=torch.long), z, Table(D, optimizer, loss or NonSaturating()))
    walk(turn, updates)
    return turn


def walk(turn, updates):
    """D's own optimizer, on a fixed mini-batch."""
    for _ in range(updates):
        turn.game.d.zero_grad()
        inner = Turn("d", turn.G, turn.D, turn.x_real, turn.y, turn.z, turn.game)
        sum(turn.game.terms(inner).values()).backward()
        turn.game.d.step()


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("updates", [0, 3])
def test_the_d_that_is_ahead_is_what_its_optimizer_makes_of_it(name, updates):
    turn = table(SETTINGS[name], updates)
    real = turn.D
    Unrolled(3).stage(turn)
    ahead = turn.D(turn.x_real).logits.detach()
    turn.D = real
    walk(turn, 3)
    torch.testing.assert_close(ahead, real(turn.x_real).logits.detach(), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", ["momentum", "nesterov", "adam"])
def test_the_gradient_through_the_updates_is_that_of_finite_differences(name):
    def objective(shift):
        turn = table(SETTINGS[name], 2)
        turn.G.body[0].bias.data[3] += shift
        return turn

    turn = objective(0)
    Unrolled(3).stage(turn)
    NonSaturating().g(turn).backward()
    found, values = turn.G.body[0].bias.grad[3].item(), []
    for shift in (1e-6, -1e-6):
        turn = objective(shift)
        walk(turn, 3)
        values.append(NonSaturating().g(turn).item())
    assert found == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5)


ZERO_SUM = {"minimax": Minimax(), "smoothed": Minimax(real_label=0.9), "wasserstein": Wasserstein()}


@pytest.mark.parametrize("loss", ZERO_SUM)
@pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
def test_in_a_zero_sum_game_g_minimises_all_of_what_d_gains_after_its_updates(name, loss):
    """Metz et al. 2017, Eqs. 7-10: f_K has D_K's term on the real samples, which depends on G through D_K."""
    loss, values = ZERO_SUM[loss], []
    turn, reg = table(SETTINGS[name], 2, loss=loss), Unrolled(3)
    reg.stage(turn)
    weight = turn.G.body[0].weight
    without = torch.autograd.grad(loss.objective(turn), weight, retain_graph=True)[0]
    (loss.objective(turn) + reg.weight * reg.g(turn)).backward()
    for shift in (1e-6, -1e-6):
        moved = table(SETTINGS[name], 2, loss=loss)
        moved.G.body[0].weight.data[3, 1] += shift
        walk(moved, 3)
        values.append(-loss.d(moved).item())
    expected = (values[0] - values[1]) / 2e-6
    assert weight.grad[3, 1].item() == pytest.approx(expected, rel=1e-5)
    assert without[3, 1].item() != pytest.approx(expected, rel=1e-3)


def test_the_real_samples_enter_g_through_the_updates_alone(quadratic):
    reg = Unrolled(1)
    reg.stage(quadratic)
    reg.g(quadratic).backward()
    # w_1 = 0.9 w - 0.1 (b - (1, 1)), so that d <w_1, mean real> / db = -0.1 (1, 1)
    torch.testing.assert_close(quadratic.G.dense.bias.grad, torch.full((2,), -0.1))


def test_the_weight_of_g_is_that_of_its_term_on_real_samples_too(quadratic):
    quadratic.game.loss = Wasserstein(g_weight=0.5)
    reg = Unrolled(1)
    reg.stage(quadratic)
    reg.g(quadratic).backward()
    torch.testing.assert_close(quadratic.G.dense.bias.grad, torch.full((2,), -0.05))


@pytest.mark.parametrize("loss", [NonSaturating(), Hinge(), LeastSquares()])
def test_a_loss_that_is_not_zero_sum_keeps_its_own_objective(quadratic, loss):
    quadratic.game.loss, reg = loss, Unrolled(1)
    reg.stage(quadratic)
    assert reg.g(quadratic) is None


@pytest.mark.parametrize("regs", [{}, {"u": Unrolled(0)}])
@pytest.mark.parametrize("loss", ZERO_SUM)
def test_without_updates_ahead_d_sees_no_real_samples_on_g_turn(loss, regs):
    seen = []

    class Look(Regularizer):
        def project(self, turn):
            seen.append((turn.player, "real" in vars(turn)))

    fit(points(regs | {"look": Look()}, loss=ZERO_SUM[loss]), 1)
    assert seen == [("d", True), ("g", False)]


def test_the_gradient_differs_from_that_against_the_same_d_held_fixed():
    turn = table(SETTINGS["adam"], 2)
    Unrolled(3).stage(turn)
    fixed = NonSaturating().g(Turn("g", turn.G, copied(turn.D), turn.x_real, turn.y, turn.z))
    through = NonSaturating().g(turn)
    weights = list(turn.G.parameters())
    torch.testing.assert_close(through, fixed)
    assert not torch.allclose(torch.autograd.grad(through, weights)[0], torch.autograd.grad(fixed, weights)[0])


def copied(D):
    """A D with tensors in the place of parameters, without their graph."""
    twin = mlp.Discriminator((2,), width=8, depth=2).double()
    for mine, theirs in zip(twin.modules(), D.modules(), strict=True):
        if isinstance(mine, nn.Linear):
            mine.weight.data, mine.bias.data = theirs.weight.detach(), theirs.bias.detach()
    return twin


def test_adams_step_has_a_gradient_where_its_second_moment_is_zero():
    gradient = torch.zeros(2, requires_grad=True)
    group = {"betas": (0.5, 0.9), "lr": 0.1, "eps": 1e-8, "weight_decay": 0.0}
    value, _ = adam(torch.ones(2), gradient, {}, group)
    assert torch.equal(value, torch.ones(2))
    assert torch.autograd.grad(value.sum(), gradient)[0].isfinite().all()


@pytest.mark.parametrize("norm", [SpectralNorm, WeightNorm, BatchNorm])
def test_unrolled_moves_neither_parameters_nor_buffers_of_d(norm):
    turn = table(SETTINGS["adam"], 2, [norm()])
    D, before = turn.D, {name: value.clone() for name, value in turn.D.state_dict().items()}
    Unrolled(2).stage(turn)
    NonSaturating().g(turn).backward()
    assert all(value.grad.isfinite().all() for value in turn.G.parameters())
    assert all(torch.equal(value, before[name]) for name, value in D.state_dict().items())
    assert not torch.equal(turn.D(turn.x_real).logits, D(turn.x_real).logits)


@pytest.mark.parametrize("norm", [SpectralNorm, partial(WeightNorm, gamma=True)])
def test_reparametrised_weights_are_what_the_optimizer_makes_of_them(norm):
    turn = table(SETTINGS["momentum"], 1, [norm()])
    real = turn.D
    Unrolled(2).stage(turn)
    ahead = turn.D(turn.x_real).logits.detach()
    turn.D = real
    walk(turn, 2)
    torch.testing.assert_close(ahead, real(turn.x_real).logits.detach(), rtol=1e-9, atol=1e-11)


def test_zero_steps_are_the_plain_game_bit_for_bit():
    plain, none, two = (fit(points(regs), 3).state_dict() for regs in ({}, {"u": Unrolled(0)}, {"u": Unrolled(2)}))
    assert all(torch.equal(value, none[name]) for name, value in plain.items())
    assert not torch.equal(plain["G.body.0.weight"], two["G.body.0.weight"])


@pytest.mark.parametrize("order", [Alternating, Simultaneous, Extragradient])
def test_unrolled_plays_in_every_order_of_play(order):
    gan = points({"u": Unrolled(2), "h": HistoricalAveraging()}, order=order())
    before = gan.G.body[0].weight.detach().clone()
    fit(gan, 2)
    assert all(value.isfinite().all() and value.requires_grad for value in gan.D.parameters())
    assert not torch.equal(gan.G.body[0].weight, before)


def test_accumulated_turns_unroll_on_their_own_part_of_the_batch():
    """Against D's present parameters: in the same update no part sees what another part's look ahead has done."""
    seen = []

    class Look(Regularizer):
        def stage(self, turn):
            if turn.player == "g":
                seen.append((len(turn.x_real), turn.D.body[1].weight.requires_grad, turn.D is gan.D))

    gan = points({"u": Unrolled(1), "look": Look()}, accumulate=2)
    fit(gan, 1)
    assert seen == [(2, True, False)] * 2


def test_unrolled_goes_with_images_and_mixed_precision():
    torch.manual_seed(0)
    G, D = dcgan.Generator((1, 16, 16), z_dim=3, width=2), dcgan.Discriminator((1, 16, 16), width=2)
    regs = {"s": SpectralNorm(), "f": FeatureMatching(), "u": Unrolled(2)}
    gan = GAN(G, D, NonSaturating(), regs, Optimizers(2, ADAM, ADAM), Alternating())
    before = G.body[0].weight.detach().clone()
    fit(gan, 2, precision="bf16-mixed")
    assert all(value.isfinite().all() for value in gan.parameters())
    assert not torch.equal(before, G.body[0].weight)


@pytest.mark.parametrize(
    ("optimizer", "named"),
    [
        (OptimisticAdam, "OptimisticAdam"),
        (partial(torch.optim.RMSprop, lr=0.01), "RMSprop"),
        (partial(torch.optim.AdamW, lr=0.01), "AdamW"),
        (partial(torch.optim.Adam, amsgrad=True), "Adam with amsgrad"),
    ],
)
def test_an_optimizer_that_cannot_be_unrolled_is_refused(optimizer, named):
    with pytest.raises(UserError, match=rf"reg=unrolled .*for {named}: .*optim") as stop:
        fit(points({"u": Unrolled(1)}, optimizer=optimizer))
    assert "\n" not in str(stop.value)


def test_a_gradient_that_is_shortened_is_refused():
    with pytest.raises(UserError, match=r"reg=unrolled .*set optim\.d_clip=null\."):
        fit(points({"u": Unrolled(1)}, d_clip=1.0))


@pytest.mark.parametrize("when", ["before", "after"])
def test_weights_that_are_clipped_are_refused(when):
    regs = {"u": Unrolled(1), "weight_clip": WeightClip(when=when)}
    with pytest.raises(UserError, match=r"reg=unrolled .*reg=weight_clip .*leave one of the two out\."):
        points(regs)
    fit(points(regs | {"u": Unrolled(0)}))


def test_steps_below_zero_are_refused():
    with pytest.raises(UserError, match=r"^Unrolled\.steps=-1"):
        Unrolled(-1)


@pytest.mark.parametrize("name", ["feature_matching", "historical_averaging", "unrolled"])
def test_the_configs_build_what_they_name(compose, name):
    config = compose(f"reg={name}").reg
    assert list(config) == [name]
    assert instantiate(config[name]).name == name
