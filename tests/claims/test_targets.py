"""Claims about what G is taught: by a D that is ahead, that sees packs, by features, by its best samples, by a past."""

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from lit_gan.build import build_gan, build_source
from lit_gan.game import Loss
from lit_gan.models import dirac
from lit_gan.module import GAN
from lit_gan.optim import Optimizers
from lit_gan.order import Simultaneous
from lit_gan.reg.targets import HistoricalAveraging
from trainers import quiet_trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning", "ignore::FutureWarning")
SEEDS, BATCH, PLAIN = (0, 1, 2), 120, 1000
RING = ["data=gaussians", "model=mlp", "model.width=64", "model.depth=2", "loss=minimax", "reg=[]"]
RATES = ["optim.d.lr=2e-4", "optim.g.lr=2e-3"]
ON = (
    "eight Gaussians, MLPs of 2 x 64 ReLUs, minimax loss, batch 120, Adam with G's rate 2e-3 and D's 2e-4, "
    f"3 seeds; plain: {PLAIN} updates"
)


def fit(gan, x, updates, batch):
    loader = DataLoader(TensorDataset(x, torch.zeros(len(x), dtype=torch.long)), batch)
    quiet_trainer(gan, updates).fit(gan, loader)


def modes(compose, updates, seed, *overrides):
    """Modes of the ring near which, within a fifth of their distance, are at least 1 % of 4,000 generated points."""
    config = compose(*RING, *RATES, *overrides, f"seed={seed}", f"updates={updates}")
    gan, source = build_gan(config), build_source(config)
    images = source.split("train").images
    fit(gan, images[torch.randint(len(images), (updates * BATCH,))], updates, BATCH)
    with torch.no_grad():
        distance, nearest = torch.cdist(gan.G(gan.G.draw(4000)), source.centers).min(1)
    return (torch.bincount(nearest[distance < 0.2], minlength=8) >= 40).sum().item()


@pytest.fixture(scope="module")
def plain():
    """Modes without anything, for each seed; computed once."""
    found = {}

    def get(compose):
        found.update({seed: modes(compose, PLAIN, seed) for seed in SEEDS if seed not in found})
        return [found[seed] for seed in SEEDS]

    return get


def hold_more_modes(compose, measured, plain, updates, *overrides):
    """Plain G holds at most 2 modes in every seed, the method at least 7."""
    without = plain(compose)
    found = [modes(compose, updates, seed, *overrides) for seed in SEEDS]
    measured(f"modes of 8 after {updates} updates", f"{found}, plain {without}")
    assert max(without) <= 2
    assert min(found) >= 7


@pytest.mark.slow
@pytest.mark.claim("A G that answers the unrolled D holds all modes", "Metz et al. 2017, Figure 2", on=f"{ON}, K = 5")
def test_unrolled_holds_more_modes(compose, measured, plain):
    hold_more_modes(compose, measured, plain, 500, "reg=unrolled", "reg.unrolled.steps=5")


@pytest.mark.slow
@pytest.mark.claim(
    "A D that sees packs of samples prevents mode collapse", "Lin et al. 2018, Figure 2", on=f"{ON}, m = 2"
)
def test_pacgan_holds_more_modes(compose, measured, plain):
    hold_more_modes(compose, measured, plain, 1000, "reg=pacgan", "reg.pacgan.m=2")


@pytest.mark.slow
@pytest.mark.claim(
    "Feature matching raises diversity", "Salimans et al. 2016, section 3.1", on=f"{ON}, all of G's loss"
)
def test_feature_matching_holds_more_modes(compose, measured, plain):
    hold_more_modes(compose, measured, plain, 1000, "reg=feature_matching", "loss.g_weight=0")


@pytest.mark.slow
@pytest.mark.claim(
    "Training G on its best samples alone makes it find more modes",
    "Sinha et al. 2020, Figure 2",
    on=f"{ON}, the share kept times 0.9 every 50 updates, down to a tenth",
)
def test_top_k_holds_more_modes(compose, measured, plain):
    top_k = ["reg=top_k", "reg.top_k.gamma=0.9", "reg.top_k.interval=50", "reg.top_k.floor=0.1"]
    without, found = plain(compose), [modes(compose, PLAIN, seed, *top_k) for seed in SEEDS]
    measured(f"modes of 8 after {PLAIN} updates", f"{found}, plain {without}")
    assert all(more > few for more, few in zip(found, without, strict=True))
    assert sum(found) >= 3 * max(sum(without), len(SEEDS))


class ToyGame(Loss):
    """min_x max_y (f(x) - 1)(y - 1), f(x) = x below 0 and x^2 above; x is G's number, y D's."""

    def value(self, turn):
        x, y = turn.x_fake.mean(), turn.D.head.weight.squeeze()
        return (torch.where(x < 0, x, x.square()) - 1) * (y - 1)

    def d(self, turn):
        return -self.value(turn)

    def g(self, turn):
        return self.value(turn)


def distances(start, regs, updates=300):
    """Distance of (x, y) from the equilibrium (1, 1) after each update, by simultaneous gradient descent."""

    class Path(ToyGame):
        def g(self, turn):
            path.append(torch.stack([turn.G.body[0].theta, turn.D.head.weight[0]]).detach().sub(1).norm().item())
            return super().g(turn)

    path = []
    G, D = dirac.Generator((1,), start[0]), dirac.Discriminator((1,), start[1])
    sgd = lambda parameters: torch.optim.SGD(parameters, lr=0.05)  # noqa: E731
    gan = GAN(G, D, Path(), regs, Optimizers(1, sgd, sgd), Simultaneous())
    fit(gan, torch.zeros(updates, 1), updates, 1)
    return path


@pytest.mark.claim(
    "Historical averaging ends the orbit of the game (f(x) - 1)(y - 1)",
    "Salimans et al. 2016, section 3.3",
    on="the game of two numbers, simultaneous descent at rate 0.05 from three starts, weight 0.1, 300 updates",
)
@pytest.mark.parametrize("start", [(0.5, 0.5), (1.5, 2.0), (1.2, 0.4)])
def test_historical_averaging_ends_the_orbit(measured, start):
    plain = distances(start, {}, 120)
    averaged = distances(start, {"historical_averaging": HistoricalAveraging(weight=0.1)})
    measured(
        f"distance at last over first from {start}",
        f"{averaged[-1] / averaged[0]:.3f}, plain at most {max(plain[60:]) / plain[0]:.2f}",
    )
    assert max(plain[60:]) > plain[0]
    assert averaged[-1] < 0.4 * averaged[0]
