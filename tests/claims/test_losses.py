"""Claims about the losses, on points: D against a G that stands still, and games on the ring of eight Gaussians."""

import pytest
import torch
from lightning.pytorch import Callback
from torch.nn import functional as F

from lit_gan.build import build_data, build_gan, build_source
from lit_gan.game import Turn
from lit_gan.losses import NonSaturating
from lit_gan.metrics.modes import mode_scores
from lit_gan.models import mlp
from trainers import quiet_trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning", "ignore::FutureWarning")
SEEDS = range(3)
RING = "a ring of 8 Gaussians"


class Watch(Callback):
    """Looks at the game after every so many updates of the second half."""

    def __init__(self, look, every):
        self.look, self.every, self.seen = look, every, []

    def on_train_batch_end(self, trainer, gan, *_):
        if trainer.global_step > trainer.max_steps // 2 and trainer.global_step % self.every == 0:
            with torch.no_grad():
                self.seen.append(self.look(gan))


@pytest.fixture
def play(compose):
    """The mean over the second half of a game on the ring of what `look` sees in it, for overrides and a seed."""

    def run(look, updates, *overrides, seed, batch_size=64, every=10):
        sizes = [f"updates={updates}", f"batch_size={batch_size}", f"seed={seed}", "trainer.accelerator=cpu"]
        config = compose("data=gaussians", *sizes, *overrides)
        gan, watch = build_gan(config), Watch(look, every)
        trainer = quiet_trainer(gan, updates, watch)
        trainer.fit(gan, build_data(config, build_source(config)))
        return torch.tensor(watch.seen, dtype=torch.float64).mean(0)

    return run


@pytest.fixture
def ring(compose):
    """The ring's source."""
    return build_source(compose("data=gaussians"))


# One-sided label smoothing


def trained_on_two_gaussians(loss, seed):
    """D after 600 updates on N(-1, 1) as real and N(1, 1) as generated samples."""
    torch.manual_seed(seed)
    G, D = mlp.Generator((1,), width=2), mlp.Discriminator((1,), width=64)
    optimizer = torch.optim.Adam(D.parameters(), lr=2e-3)
    for update in range(600):
        optimizer.param_groups[0]["lr"] = 2e-3 * (1 - update / 600)
        turn = Turn("d", G, D, torch.randn(512, 1) - 1, torch.zeros(512, dtype=torch.long), torch.zeros(512, 2))
        turn.x_fake = torch.randn(512, 1) + 1
        optimizer.zero_grad()
        loss.d(turn).backward()
        optimizer.step()
    return D


@pytest.mark.slow
@pytest.mark.claim(
    "With a target of alpha for real samples the optimal D is alpha p / (p + q): it is never surer than alpha",
    "Salimans et al. 2016, section 3.4",
    on="p = N(-1, 1) against q = N(1, 1), D of three layers of 64 ReLUs, 600 updates, 3 seeds",
)
def test_smoothing_bounds_the_confidence_of_d(measured):
    x = torch.linspace(-3, 3, 61)[:, None]
    surest, errors = {}, []
    for alpha in (1.0, 0.9, 0.75):
        for seed in SEEDS:
            D = trained_on_two_gaussians(NonSaturating(real_label=alpha), seed)
            found = torch.sigmoid(D(x).logits.detach())
            expected = alpha * torch.sigmoid(-2 * x[:, 0])  # p / (p + q) of the two Gaussians
            errors.append((found - expected).abs().max().item())
            surest[alpha] = max(found.max().item(), surest.get(alpha, 0))
        measured(f"surest D with alpha {alpha}", surest[alpha])
    measured("largest distance from alpha p / (p + q)", max(errors))
    assert max(errors) < 0.06
    assert surest[1.0] > 0.97
    assert all(surest[alpha] < alpha + 0.03 for alpha in (0.9, 0.75))


# EBGAN


def energies(gan):
    """Mean errors of D on the real samples of the ring's eight centres and on generated ones."""
    angle = torch.arange(8) * torch.pi / 4
    real = torch.stack([angle.cos(), angle.sin()], 1) * 2 / 1.414
    return [-gan.D(real).logits.mean().item(), -gan.D(gan.G(gan.G.draw(256))).logits.mean().item()]


@pytest.mark.slow
@pytest.mark.claim(
    "D gives real samples low energies and pushes those of G's samples up to the margin m, not further",
    "Zhao et al. 2017, section 2.2",
    on=f"{RING}, dense autoencoder of width 64, a G that stands still, 400 updates, 3 seeds",
)
def test_ebgan_pushes_energies_to_the_margin(play, measured):
    still = ("model=autoencoder_mlp", "model.width=64", "reg=[]", "loss.g_weight=0")
    for margin in (0.25, 1.0):
        found = torch.stack(
            [play(energies, 400, *still, "loss=ebgan", f"loss.margin={margin}", seed=seed) for seed in SEEDS]
        )
        measured(f"m = {margin}, real", found[:, 0].max().item())
        measured(f"m = {margin}, generated, over m", found[:, 1].mean().item() / margin)
        assert found[:, 0].max() < 0.1 * margin
        assert 0.9 * margin < found[:, 1].min()
        assert found[:, 1].max() < 1.5 * margin
    without = play(energies, 400, *still, "loss=wasserstein", seed=0)[1].item()
    measured("generated without a margin (the Wasserstein loss)", without)
    assert without > 100


def spread(x):
    """Mean distance of two points."""
    return F.pdist(x).mean().item()


@pytest.mark.claim(
    "The pulling-away term keeps G's samples apart",
    "Zhao et al. 2017, section 2.4",
    on=f"{RING}, EBGAN of margin 0.02 with a dense autoencoder of width 64, 800 updates, mean of 3 seeds",
)
@pytest.mark.slow
def test_pulling_away_raises_diversity(play, ring, measured):
    game = ("model=autoencoder_mlp", "model.width=64", "loss=ebgan", "loss.margin=0.02")
    found = {}
    for reg in ("[]", "[pull_away]"):
        settings = (*game, f"reg={reg}")
        seeds = [play(lambda gan: spread(gan.G(gan.G.draw(256))), 800, *settings, seed=seed) for seed in SEEDS]
        found[reg] = torch.stack(seeds).mean().item() / spread(ring.split("train").images[:1000])
        measured(f"mean distance of two samples over that of data, reg={reg}", found[reg])
    assert found["[pull_away]"] > found["[]"] + 0.15


# BEGAN


@pytest.mark.claim(
    "The balance k holds E error(G(z)) / E error(x) at gamma",
    "Berthelot et al. 2017, sections 3.3 and 3.4",
    on=f"{RING}, dense autoencoder of width 64 with a code of one number, lambda_k 0.005, the second half of "
    "1500 updates, mean of 3 seeds",
)
@pytest.mark.slow
def test_began_holds_its_ratio_of_errors(play, measured):
    game = (
        "model=autoencoder_mlp",
        "model.width=64",
        "model.D.exponent=1",
        "model.D.code_size=1",
        "reg=[]",
        "loss=began",
    )

    def ratio(gamma, rate, seed):
        real, fake = play(energies, 1500, *game, f"loss.gamma={gamma}", f"loss.lambda_k={rate}", seed=seed, every=2)
        return (fake / real).item()

    for gamma in (0.3, 0.7):
        found = [ratio(gamma, 0.005, seed) for seed in SEEDS]
        measured(f"gamma = {gamma}", ", ".join(f"{number:.2f}" for number in found))
        assert abs(sum(found) / len(found) / gamma - 1) < 0.25
    without = [ratio(0.7, 0, seed) for seed in SEEDS]
    measured("gamma = 0.7 with k fixed at 0", ", ".join(f"{number:.2f}" for number in without))
    assert all(number < 0.35 for number in without)


# Losses that do not collapse


@pytest.fixture
def concentration(play, ring):
    """Reverse KL in nats from uniform over the modes, 0 to log 8 = 2.08, mean over 3 seeds."""

    def mean(loss):
        def look(gan):
            return mode_scores(gan.G(gan.G.draw(1000)), ring.centers, ring.std)["kl"]

        game = ("model.width=128", "reg=[]", f"loss={loss}")
        seeds = [play(look, 800, *game, batch_size=128, every=25, seed=seed) for seed in SEEDS]
        return torch.stack(seeds).mean().item()

    return mean


@pytest.mark.claim(
    "Where the standard loss collapses to a few modes, these hold all: pairing real and generated samples, and squares",
    "Jolicoeur-Martineau 2018, section 5, and Huang et al. 2024, section 2 (relativistic); Mao et al. 2017, Figure 7",
    on=f"{RING}, MLPs of width 128 without regularizers, reverse KL over the last 400 of 800 updates, mean of 3 seeds",
)
@pytest.mark.slow
def test_relativistic_and_least_squares_losses_hold_the_modes(concentration, measured):
    losses = ("non_saturating", "relativistic", "least_squares", "relativistic_average_least_squares")
    found = {loss: concentration(loss) for loss in losses}
    for loss, kl in found.items():
        measured(f"KL with {loss}", kl)
    assert found["non_saturating"] > 1
    assert all(found[loss] < 0.4 * found["non_saturating"] for loss in losses[1:])
