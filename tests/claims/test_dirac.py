"""Claims about local convergence on the Dirac-GAN, whose linearised dynamics fit on paper. Mescheder et al. 2018."""

import math
from functools import partial

import pytest
import torch
from lightning.pytorch import Callback
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lit_gan import game
from lit_gan.build import build_gan
from lit_gan.callbacks.vector_field import VectorField
from lit_gan.losses import Wasserstein
from lit_gan.models import dirac
from lit_gan.module import GAN
from lit_gan.optim import Optimizers
from lit_gan.order import Simultaneous
from lit_gan.reg.latents import LOGAN
from trainers import quiet_trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning", "ignore::FutureWarning")
RATE, UPDATES, BATCH = 0.1, 300, 64
ON = f"the Dirac game, simultaneous gradient descent at rate {RATE} from (0.02, 0.02), {UPDATES} updates"


PATHS = {}
"""What has been walked: several claims are about one path."""


@pytest.fixture
def path(compose):
    """The way of (theta, psi) [updates + 1, 2] under a method, given as overrides of the command line."""

    def walk(*overrides, start=0.02):
        key = (start, *sorted(overrides))
        if key not in PATHS:
            PATHS[key] = train(overrides, start)
        return PATHS[key]

    def train(overrides, start):
        settings = [f"model.G.theta={start}", f"model.D.psi={start}", f"optim.d.lr={RATE}", f"optim.g.lr={RATE}"]
        gan = build_gan(compose("data=dirac", *settings, *overrides))
        loader = DataLoader(TensorDataset(torch.zeros(BATCH, 1), torch.zeros(BATCH, dtype=torch.long)), BATCH)
        field = VectorField()
        field.on_train_end = lambda *_: None
        trainer = quiet_trainer(gan, -1, field, max_epochs=UPDATES)
        trainer.fit(gan, loader)
        return torch.tensor(field.path, dtype=torch.float64)

    return walk


def growth(path):
    """The factor per update by which the distance from the equilibrium changes, over the second half."""
    distance = path.norm(dim=1)
    half = len(path) // 2
    return ((distance[-1] / distance[half]) ** (1 / (len(path) - 1 - half))).item()


def radius(force, damping, ahead=False):
    """Spectral radius of an update I + h J with J = [[0, -force], [force, -damping]], or of a look `ahead`."""
    J = torch.tensor([[0.0, -force], [force, -damping]], dtype=torch.float64)
    step = RATE * J @ (torch.eye(2) + RATE * J) if ahead else RATE * J
    return torch.linalg.eigvals(torch.eye(2, dtype=torch.float64) + step).abs().max().item()


LIKE_OTHERS = ("non_saturating", "minimax, R2", "wasserstein, R1")
"""Methods whose linearised dynamics are, but for the size of an entry, those of another one."""
THEORY = {
    "minimax": (["loss=minimax"], radius(0.5, 0)),
    "non_saturating": (["loss=non_saturating"], radius(0.5, 0)),
    "wasserstein": (["loss=wasserstein"], radius(1, 0)),
    "minimax, R1": (["loss=minimax", "reg=r1", "reg.r1.weight=0.5"], radius(0.5, 0.5)),
    "minimax, R2": (["loss=minimax", "reg=r2", "reg.r2.weight=0.5"], radius(0.5, 0.5)),
    "wasserstein, R1": (["loss=wasserstein", "reg=r1", "reg.r1.weight=1"], radius(1, 1)),
    "wasserstein, extragradient": (["loss=wasserstein", "order=extragradient"], radius(1, 0, ahead=True)),
}


@pytest.mark.claim(
    "The Dirac game converges or diverges locally at the rate that the eigenvalues of its linearised dynamics say",
    "Mescheder et al. 2018, Lemmas 2.3 and 4.1; Gidel et al. 2019 for extragradient",
    on=ON,
)
@pytest.mark.parametrize(
    "method", [pytest.param(name, marks=pytest.mark.slow if name in LIKE_OTHERS else []) for name in THEORY]
)
def test_local_rate_of_convergence(path, measured, method):
    overrides, expected = THEORY[method]
    found = growth(path("order=simultaneous", *overrides))
    measured(method, f"factor per update {found:.4f}, theory {expected:.4f}")
    assert math.log(found) == pytest.approx(math.log(expected), rel=0.1, abs=1e-4)


@pytest.mark.claim(
    "Gradient descent in turns orbits the equilibrium without coming nearer",
    "Mescheder et al. 2018, Lemma 2.4",
    on=ON.replace("simultaneous", "alternating"),
)
def test_alternating_descent_orbits(path, measured):
    distance = path("loss=wasserstein").norm(dim=1)
    nearest, farthest = (distance.min() / distance[0]).item(), (distance.max() / distance[0]).item()
    measured("smallest and largest distance over the first", f"{nearest:.3f}, {farthest:.3f}")
    assert 0.9 < nearest <= farthest < 1.1


@pytest.mark.claim(
    "WGAN-GP, weight clipping and DRAGAN do not converge to the equilibrium; R1, R2, a zero-centred penalty and "
    "instance noise do",
    "Mescheder et al. 2018, sections 3 and 4, Figure 3",
    on="the Dirac game, alternating gradient descent at rate 0.1 from (1, 1), 300 updates",
)
@pytest.mark.parametrize(
    ("converges", "overrides"),
    [
        (False, ["loss=minimax"]),
        (False, ["loss=wasserstein", "reg=gradient_penalty", "reg.gradient_penalty.weight=1"]),
        (False, ["loss=wasserstein", "reg=weight_clip", "reg.weight_clip.limit=0.5"]),
        pytest.param(False, ["loss=minimax", "reg=dragan", "reg.dragan.weight=1"], marks=pytest.mark.slow),
        pytest.param(False, ["loss=minimax", "reg=spectral"], marks=pytest.mark.slow),
        (True, ["loss=minimax", "reg=r1", "reg.r1.weight=1"]),
        pytest.param(True, ["loss=minimax", "reg=r2", "reg.r2.weight=1"], marks=pytest.mark.slow),
        pytest.param(
            True, ["loss=minimax", "reg=zero_centered", "reg.zero_centered.weight=0.5"], marks=pytest.mark.slow
        ),
        (True, ["loss=minimax", "reg=instance_noise", "reg.instance_noise.sigma=1", "reg.instance_noise.until=null"]),
    ],
    ids=lambda value: None if isinstance(value, bool) else value[-1 if len(value) < 2 else 1].partition("=")[2],
)
def test_which_methods_converge(path, measured, converges, overrides):
    distance = path(*overrides, start=1.0)[-100:].norm(dim=1).max().item()
    measured(" ".join(overrides), f"largest distance in the last 100 updates {distance:.3f}")
    assert (distance < 0.1) is converges


@pytest.mark.claim(
    "Players that take turns or a look ahead are stable where simultaneous descent is not",
    "Gidel et al. 2019, section 3; Mescheder et al. 2018, section 2",
    on=ON,
)
def test_order_of_play(path, measured):
    ends = {
        order: path("loss=wasserstein", f"order={order}")[-1].norm().item() / math.hypot(0.02, 0.02)
        for order in ("simultaneous", "alternating", "extragradient")
    }
    for order, end in ends.items():
        measured(f"{order}: last distance over first", end)
    assert ends["extragradient"] < 0.3 < 0.9 < ends["alternating"] < 1.1 < 3 < ends["simultaneous"]


R1_AND_R2 = ["reg=[r1,r2]", "reg.r1.weight=0.25", "reg.r2.weight=0.25"]
RELATIVISTIC = {
    "alone": ([], radius(0.5, 0)),
    "with R1": (["reg=r1", "reg.r1.weight=0.5"], radius(0.5, 0.5)),
    "with R2": (["reg=r2", "reg.r2.weight=0.5"], radius(0.5, 0.5)),
    "with R1 and R2": (R1_AND_R2, radius(0.5, 0.5)),
}
LIKE_BOTH = ("with R1", "with R2")
"""Penalties whose linearised dynamics are those of both."""


@pytest.mark.claim(
    "A relativistic pairing alone does not converge; with R1, R2 or both it does, locally",
    "Huang et al. 2024 (R3GAN), section 2",
    on=f"{ON}; R1 or R2 of weight 0.5, both of weight 0.25",
)
@pytest.mark.parametrize(
    "regs", [pytest.param(name, marks=pytest.mark.slow if name in LIKE_BOTH else []) for name in RELATIVISTIC]
)
def test_relativistic_pairs_converge_with_a_penalty(path, measured, regs):
    overrides, expected = RELATIVISTIC[regs]
    found = growth(path("order=simultaneous", "loss=relativistic", *overrides))
    measured(regs, f"factor per update {found:.4f}, theory {expected:.4f}")
    assert math.log(found) == pytest.approx(math.log(expected), rel=0.1, abs=1e-4)
    assert (found > 1) is (regs == "alone")


class Shift(game.Generator):
    """G(z) = theta + z."""

    def __init__(self, theta):
        super().__init__((1,), 1)
        self.theta = nn.Parameter(torch.tensor([theta]))

    def forward(self, z, y=None):
        return self.theta + z


class Positions(Callback):
    """Notes theta and psi after each update."""

    def __init__(self):
        self.path = []

    def on_train_batch_end(self, trainer, gan, *_):
        self.path.append([gan.G.theta.item(), gan.D.head.weight.item()])


def shifting(regs, monkeypatch):
    """The way of (theta, psi) where G moves noise and D is psi x, the noise always the same and its mean 0."""
    noise = torch.randn(BATCH // 2, 1)
    noise = torch.cat([noise, -noise])
    monkeypatch.setattr(Shift, "draw", lambda G, n, generator=None: noise[:n].clone())
    sgd = partial(torch.optim.SGD, lr=RATE)
    G, D, positions = Shift(0.02), dirac.Discriminator((1,), 0.02), Positions()
    gan = GAN(G, D, Wasserstein(), regs, Optimizers(1, sgd, sgd), Simultaneous())
    data = TensorDataset(noise.repeat(UPDATES, 1), torch.zeros(UPDATES * BATCH, dtype=torch.long))
    quiet_trainer(gan, UPDATES, positions).fit(gan, DataLoader(data, BATCH))
    return torch.tensor(positions.path, dtype=torch.float64)


@pytest.mark.claim(
    "Latent optimisation improves the adversarial dynamics: the game that orbits converges",
    "Wu et al. 2019 (LOGAN), abstract",
    on=f"G(z) = theta + z and D(x) = psi x, Wasserstein loss, {ON.partition(', ')[2]}; alpha 0.9, beta 5, weight 0.1",
)
def test_latent_optimisation_damps_the_orbit(measured, monkeypatch):
    alpha, beta, weight = 0.9, 5.0, 0.1
    # near 0 the step is alpha psi / beta: D's loss grows by alpha psi^2 / beta, its price by weight times its square
    damped = 2 * alpha / beta + 2 * weight * (alpha / beta) ** 2
    for name, regs, damping in (("without", {}, 0.0), ("with", {"logan": LOGAN(weight, alpha, beta, 1.0)}, damped)):
        found, expected = growth(shifting(regs, monkeypatch)), radius(1, damping)
        measured(name, f"factor per update {found:.4f}, theory {expected:.4f}")
        assert math.log(found) == pytest.approx(math.log(expected), rel=0.1)
