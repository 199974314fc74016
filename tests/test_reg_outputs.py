"""What D says of two views of a sample, of a batch and over time, against sums done by hand."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from hydra.utils import instantiate
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lit_gan.errors import UserError
from lit_gan.game import Generator, Layers, Regularizer, Verdict
from lit_gan.losses import Hinge
from lit_gan.models import dcgan, mlp
from lit_gan.module import GAN
from lit_gan.optim import Optimizers
from lit_gan.order import Alternating
from lit_gan.reg.inputs import DiffAugment, FlipAndShift, PacGAN
from lit_gan.reg.outputs import BalancedConsistency, Consistency, LatentConsistency, LeCam, TopK, keep
from lit_gan.reg.targets import Unrolled
from trainers import quiet_trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning", "ignore::FutureWarning")
ADAM = partial(torch.optim.Adam, lr=0.01, betas=(0.5, 0.9))
IMAGE = (1, 16, 16)


def images(regs, n_dis=1):
    G, D = dcgan.Generator(IMAGE, z_dim=3, width=2), dcgan.Discriminator(IMAGE, width=2)
    return GAN(G, D, Hinge(), regs, Optimizers(n_dis, ADAM, ADAM), Alternating())


def fit(gan, updates=2, batch=4, **settings):
    x = torch.randn(updates * batch * gan.optim.n_dis, *gan.G.shape).clamp(-1, 1)
    loader = DataLoader(TensorDataset(x, torch.zeros(len(x), dtype=torch.long)), batch * gan.optim.n_dis)
    quiet_trainer(gan, updates, **settings).fit(gan, loader)
    return gan


# Consistency


def up(x):
    """A T that adds 1 to the first number of a sample."""
    return x + torch.tensor([1.0, 0.0])


@pytest.mark.parametrize(("kind", "expected"), [(Consistency, 9.0), (BalancedConsistency, 18.0)])
def test_consistency_is_the_squared_change_of_the_logits(make_turn, linear_d, kind, expected):
    turn = make_turn("d", linear_d([3.0, 4.0]), torch.randn(5, 2), torch.randn(5, 2))
    value = kind(T=up).d(turn)
    assert value.item() == pytest.approx(expected, rel=1e-5)
    value.backward()
    # of w_1^2, once or twice
    torch.testing.assert_close(turn.D.head.weight.grad[0], torch.tensor([expected * 2 / 3, 0]), atol=1e-5, rtol=1e-5)
    assert kind(T=up).g(turn) is None


def test_balanced_consistency_looks_at_the_generated_images(make_turn, linear_d):
    def large(x):
        return x + torch.tensor([1.0, 0.0]) * (x[:, :1] > 5)

    turn = make_turn("d", linear_d([3.0, 4.0]), torch.zeros(4, 2), torch.full((4, 2), 9.0))
    assert BalancedConsistency(T=large).d(turn).item() == pytest.approx(9, rel=1e-4)
    assert Consistency(T=large).d(turn).item() == 0


def test_consistency_of_points_is_refused():
    for kind, name in ((Consistency, "consistency"), (BalancedConsistency, "balanced_consistency")):
        with pytest.raises(UserError, match=rf"reg={name} .*latent_consistency"):
            kind(FlipAndShift()).check(mlp.Generator((2,), width=2), mlp.Discriminator((2,), width=2))


class LineG(Generator):
    """G(z) = 2 z."""

    def __init__(self):
        super().__init__((2,), 2)
        self.body = Layers(nn.Linear(2, 2, bias=False))
        with torch.no_grad():
            self.body[0].weight.copy_(2 * torch.eye(2))


def test_latent_consistency_of_linear_players(make_turn, linear_d):
    turn = make_turn("d", linear_d([3.0, 4.0]), torch.zeros(200000, 2))
    turn.G = LineG()
    reg = LatentConsistency(d_weight=5, g_weight=0.5, sigma=0.1)
    # D(G(dz)) = 2 <w, dz> has variance 4 * 25 * sigma^2; a number of G(dz) has 4 sigma^2
    value = reg.d(turn)
    assert value.item() == pytest.approx(5 * 100 * 0.01, rel=0.02)
    value.backward()
    assert turn.G.body[0].weight.grad is None
    assert turn.D.head.weight.grad.abs().sum() > 0
    value = reg.g(turn)
    assert value.item() == pytest.approx(-0.5 * 4 * 0.01, rel=0.02)
    value.backward()
    # d/dA of -0.5 * mean (A dz)^2 = -0.5 * A sigma^2 on the diagonal
    torch.testing.assert_close(turn.G.body[0].weight.grad, -0.5 * 2 * 0.01 * torch.eye(2), rtol=0.03, atol=3e-4)


def test_latent_consistency_of_d_leaves_g_without_gradients_where_samples_are_staged_for_a_slope(make_turn, linear_d):
    G = mlp.Generator((2,), z_dim=2, width=3)
    turn = make_turn("d", linear_d([1.0, 1.0]), torch.randn(6, 2), torch.randn(6, 2).requires_grad_())
    turn.G, turn.z = G, G.draw(6)
    LatentConsistency().d(turn).backward()
    assert all(parameter.grad is None for parameter in G.parameters())


@pytest.mark.parametrize("sigma", [0.0, -1.0])
def test_latent_consistency_without_a_step_is_refused(sigma):
    with pytest.raises(UserError, match=rf"^LatentConsistency\.sigma={sigma}"):
        LatentConsistency(sigma=sigma)


# LeCam


@pytest.fixture
def spoken(make_turn, linear_d):
    """A turn of D whose verdicts are these."""

    def make(real, fake):
        turn = make_turn("d", linear_d([1.0, 1.0]), torch.zeros(2, 2))
        logits = [torch.tensor(numbers, requires_grad=True) for numbers in (real, fake)]
        turn.real, turn.fake = (Verdict(numbers, torch.zeros(2, 1)) for numbers in logits)
        return turn

    return make


def test_lecam_pulls_each_kind_to_the_average_of_the_other(spoken):
    reg = LeCam(decay=0.75)
    turn = spoken([1.0, 3.0], [-2.0, 0.0])
    assert reg.d(turn).item() == pytest.approx((1 + 9) / 2 + (4 + 0) / 2)  # from 0
    with torch.no_grad():
        reg.project(turn)
        assert (reg.real.item(), reg.fake.item()) == (2, -1)  # the first outputs
        reg.project(spoken([4.0, 4.0], [1.0, 1.0]))
        assert (reg.real.item(), reg.fake.item()) == pytest.approx((3, 0))  # the plain mean of two
        for _ in range(2):
            reg.project(spoken([3.0, 3.0], [0.0, 0.0]))
        reg.project(spoken([7.0, 7.0], [4.0, 4.0]))
    assert (reg.real.item(), reg.fake.item()) == pytest.approx((0.75 * 3 + 0.25 * 7, 0.25 * 4))
    turn = spoken([1.0, 3.0], [-2.0, 0.0])
    value = reg.d(turn)
    assert value.item() == pytest.approx((0 + 4) / 2 + (36 + 16) / 2)
    value.backward()
    torch.testing.assert_close(turn.real.logits.grad, torch.tensor([0.0, 2.0]))
    torch.testing.assert_close(turn.fake.logits.grad, torch.tensor([-6.0, -4.0]))


def test_lecam_in_double_precision(spoken):
    reg, turn = LeCam().double(), spoken([1.0, 3.0], [-2.0, 0.0])
    with torch.no_grad():
        reg.project(turn)
    assert (reg.real.item(), reg.real.dtype) == (2, torch.float64)


def test_lecam_averages_d_turns_only_and_loads_strictly():
    gan = fit(images({"lecam": LeCam(decay=0.5)}, n_dis=2), 2, precision="bf16-mixed")
    assert gan.regs["lecam"].updates == 4
    other = images({"lecam": LeCam()}, n_dis=2)
    other.load_state_dict(gan.state_dict())
    assert other.regs["lecam"].real == gan.regs["lecam"].real != 0


def test_lecam_may_start_later_and_averages_before(points_curves):
    """As the authors' code does after 1,000 updates; without a start it is there from the first update, Eq. 3."""
    assert points_curves(LeCam()) == [True, True, True]
    late = LeCam(start=2)
    assert points_curves(late) == [False, False, True]
    assert late.updates == 6
    assert points_curves(LeCam(start=0)) == [True, True, True]


@pytest.fixture
def points_curves():
    """Whether each of three updates of two turns of D has the term."""

    def make(reg):
        seen = []

        class Look(Regularizer):
            def project(self, turn):
                if turn.player == "d":
                    seen.append("lecam" in turn.game.terms(turn))

        fit(images({"lecam": reg, "look": Look()}, n_dis=2), 3)
        return seen[::2]

    return make


def test_a_start_below_zero_is_refused():
    with pytest.raises(UserError, match=r"^LeCam\.start=-1 "):
        LeCam(start=-1)


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_an_impossible_decay_is_refused(decay):
    with pytest.raises(UserError, match=rf"^LeCam\.decay={decay}"):
        LeCam(decay=decay)


# Top-k


def test_the_share_falls_to_its_floor():
    reg = TopK(gamma=0.5, interval=10, floor=0.2)
    assert [reg.share(n) for n in (0, 9, 10, 19, 20, 30, 1000)] == [1, 1, 0.5, 0.5, 0.25, 0.2, 0.2]


def test_the_k_most_real_samples_stay_with_all_that_belongs_to_them(make_turn, linear_d):
    real, fake = torch.arange(8.0).view(4, 2), torch.tensor([[1.0, 0], [4, 0], [2, 0], [3, 0]])
    turn = make_turn("g", linear_d([1.0, 0.0]), real, fake)
    turn.y, z = torch.tensor([5, 6, 7, 8]), turn.z
    nn.init.zeros_(turn.D.head.bias)
    assert turn.real.logits.shape == (4,)
    keep(turn, 2)
    assert turn.fake.logits.tolist() == [4, 3]
    assert torch.equal(turn.fake.features, fake[[1, 3]])
    assert torch.equal(turn.x_fake, fake[[1, 3]])
    assert torch.equal(turn.z, z[[1, 3]])
    assert turn.y.tolist() == [6, 8]
    assert turn.real.logits.tolist() == [2, 6]


def test_g_learns_from_the_k_best_and_d_from_all(make_turn, linear_d):
    fake = torch.tensor([[1.0, 0], [4, 0], [2, 0], [3, 0]], requires_grad=True)
    game = SimpleNamespace(global_step=10)
    for player, rows in (("g", 2), ("d", 4)):
        turn = make_turn(player, linear_d([1.0, 0.0]), torch.zeros(4, 2), fake)
        turn.game = game
        TopK(gamma=0.5, interval=10).stage(turn)
        assert len(turn.fake.logits) == rows
    turn = make_turn("g", linear_d([1.0, 0.0]), torch.zeros(4, 2), fake)
    turn.game = game
    TopK(gamma=0.5, interval=10).stage(turn)
    Hinge().g(turn).backward()
    # -1/2 (D(x_2) + D(x_4))
    assert fake.grad[:, 0].tolist() == [0, -0.5, 0, -0.5]


@pytest.mark.parametrize(("share", "kept"), [(0.65, 3), (0.6, 2), (0.05, 1)])
def test_the_number_kept_is_the_nearest_to_the_share_and_never_none(make_turn, linear_d, share, kept):
    turn = make_turn("g", linear_d([1.0, 0.0]), torch.zeros(4, 2), torch.rand(4, 2))
    turn.game = SimpleNamespace(global_step=1)
    TopK(gamma=share, interval=1, floor=0.01).stage(turn)
    assert len(turn.fake.logits) == kept


def test_whole_packs_stay(make_turn):
    D = mlp.Discriminator((2,), width=8)
    PacGAN(2).attach(mlp.Generator((2,), width=2), D)
    fake = torch.randn(8, 2)
    turn = make_turn("g", D, torch.randn(8, 2), fake)
    best = turn.fake.logits.topk(2).indices
    keep(turn, 2)
    assert torch.equal(turn.x_fake.view(2, 2, 2), fake.view(4, 2, 2)[best])
    torch.testing.assert_close(turn.fake.logits, D(turn.x_fake).logits)
    assert len(turn.real.logits) == 2


class Sizes(Regularizer):
    """Notes how many samples are in the turn, and of how many D has judged."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def g(self, turn):
        self.seen.append((len(turn.x_real), len(turn.fake.logits)))


@pytest.mark.parametrize("others", [{}, {"a": DiffAugment}, {"u": Unrolled}, {"a": DiffAugment, "u": Unrolled}])
@pytest.mark.parametrize("first", [False, True])
def test_top_k_in_any_place_with_what_changes_d_and_its_input(others, first):
    look, top = Sizes(), {"top_k": TopK(gamma=0.5, interval=1, floor=0.25)}
    others = {name: reg() for name, reg in others.items()}
    regs = top | others if first else others | top
    fit(images({**regs, "look": look}), 4, batch=8)
    assert look.seen == [(8, 8), (4, 4), (2, 2), (2, 2)]


def test_a_later_augmentation_is_seen(make_turn):
    D = dcgan.Discriminator(IMAGE, width=2)
    turn = make_turn("g", D, torch.rand(4, *IMAGE), torch.rand(4, *IMAGE))
    turn.game = SimpleNamespace(global_step=10)
    TopK(gamma=0.5, interval=10).stage(turn)
    DiffAugment().stage(turn)
    torch.testing.assert_close(turn.fake.logits, D(turn.x_fake).logits)


@pytest.mark.parametrize("settings", [{"gamma": 0.0}, {"gamma": 1.1}, {"floor": 0.0}, {"interval": 0}])
def test_an_impossible_share_is_refused(settings):
    with pytest.raises(UserError, match=rf"^TopK\.{next(iter(settings))}="):
        TopK(**settings)


# All


def test_all_of_them_together_train_in_mixed_precision():
    T = FlipAndShift(2)
    regs = [Consistency(T), BalancedConsistency(T), LatentConsistency(), LeCam(), TopK(interval=1), PacGAN(2)]
    gan = images({reg.name: reg for reg in regs})
    before = {name: value.clone() for name, value in gan.named_parameters()}
    fit(gan, 3, precision="bf16-mixed")
    for name, value in gan.named_parameters():
        assert value.isfinite().all(), name
        assert not torch.equal(value, before[name]), name


CLASSES = {
    "consistency": Consistency,
    "balanced_consistency": BalancedConsistency,
    "latent_consistency": LatentConsistency,
    "lecam": LeCam,
    "top_k": TopK,
}


@pytest.mark.parametrize("name", CLASSES)
def test_the_configs_build_what_they_name(compose, name):
    config = compose(f"reg={name}").reg
    assert list(config) == [name]
    assert type(instantiate(config[name])) is CLASSES[name]
