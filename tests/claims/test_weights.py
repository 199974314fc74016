"""Claims about regularizers of D's weights, on digits, on points in the plane and on single critics."""

import copy
import math
import time

import pytest
import torch
from lightning.pytorch import Callback
from torch import nn

from lit_gan.build import build_data, build_gan, build_source
from lit_gan.game import Turn
from lit_gan.layers import applied_weights, operators
from lit_gan.losses import NonSaturating, Wasserstein
from lit_gan.models import mlp, sngan_cnn
from lit_gan.reg.constraints import SpectralPenalty, WeightClip
from lit_gan.reg.gradients import GradientPenalty
from lit_gan.reg.weights import SpectralNorm, WeightNorm
from trainers import quiet_trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning", "ignore::FutureWarning")
CNN = ["model=sngan_cnn", "model.width=8", "data.image_size=16", "batch_size=32", "loss=non_saturating"]
STILL = mlp.Generator((2,), width=2)


@pytest.fixture
def play(compose):
    """Trains a game that is given as overrides of the command line, `prepare`d before its first update."""

    def run(*overrides, updates, callbacks=(), prepare=lambda gan: None):
        config = compose("workers=0", *overrides)
        gan, data = build_gan(config), build_data(config, build_source(config))
        prepare(gan)
        quiet_trainer(gan, updates, *callbacks).fit(gan, data)
        return gan

    return run


@torch.no_grad()
def spectra(D):
    """The singular values of every weight of D as applied in evaluation, one tensor a layer."""
    return [torch.linalg.svdvals(matrix) for matrix in applied_weights(copy.deepcopy(D).eval())]


def convolutions(D):
    """The singular values of the standard CNN's seven convolutions."""
    return [values for layer, values in zip(operators(D), spectra(D), strict=True) if isinstance(layer, nn.Conv2d)]


class SpectralNorms(Callback):
    """Notes the largest singular value of every layer of D now and then."""

    def __init__(self, first, every):
        self.first, self.every, self.found = first, every, []

    def on_train_batch_end(self, trainer, gan, *args):
        if gan.global_step >= self.first and gan.global_step % self.every == 0:
            self.found.append([values[0].item() for values in spectra(gan.D)])


def rescale(gan):
    """Every layer's largest singular value is 1 at the start, with or without a regularizer."""
    for layer in operators(gan.D):
        reparametrised = hasattr(layer, "parametrizations")
        weight = (layer.parametrizations.weight.original if reparametrised else layer.weight).detach()
        weight /= torch.linalg.matrix_norm(weight.flatten(1), 2)


@pytest.mark.claim(
    "With one power iteration the layers' spectral norms stay between 1 and 1.05 for the most part; without "
    "normalisation they leave",
    "Miyato et al. 2018, Figure 9",
    on="digits at 16 px, standard CNN of width 16, setting C, updates 200 to 400, every 20th, 3 seeds; without: the "
    "first 100 updates from weights of norm 1",
)
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_spectral_norms_stay_near_one(play, measured):
    def norms(watch, *overrides, updates, **start):
        play(*CNN, "model.width=16", "optim=sngan_c", *overrides, updates=updates, callbacks=[watch], **start)
        return torch.tensor(watch.found)

    for seed in range(3):
        found = norms(SpectralNorms(200, 20), "reg=spectral", f"seed={seed}", updates=400)
        without = norms(SpectralNorms(100, 20), "reg=none", f"seed={seed}", updates=100, prepare=rescale)
        share = (found < 1.05).float().mean().item()
        measured(f"seed {seed}, with it", f"{found.min():.4f} to {found.max():.4f}, {share:.3f} of them below 1.05")
        measured("without", f"{without.min():.2f} to {without.max():.2f}")
        assert found.min() > 0.999
        assert found.max() < 1.1
        assert share > 0.9
        assert (without < 1.05).float().mean() < 0.6


def ring(n):
    """Points of 8 Gaussians of standard deviation 0.02 on a ring of radius sqrt(2)."""
    angle = torch.randint(8, (n,)) * (2 * math.pi / 8)
    return (torch.stack([angle.cos(), angle.sin()], 1) * 2 + 0.02 * torch.randn(n, 2)) / 1.414


def critic(reg, seed, updates=300, n=128, rate=5e-5):
    """A critic that starts inside the box, after RMSProp against a generator that stands still: data and N(0, 1)."""
    torch.manual_seed(seed)
    D = mlp.Discriminator((2,), width=128)
    for layer in operators(D):
        nn.init.uniform_(layer.weight, -0.01, 0.01)
        nn.init.zeros_(layer.bias)
    reg.attach(STILL, D)
    reg.check(STILL, D)
    optimizer = torch.optim.RMSprop(D.parameters(), rate)
    for _ in range(updates):
        turn = Turn("d", STILL, D, ring(n), torch.zeros(n, dtype=torch.long), torch.zeros(n, 2))
        turn.x_fake = ring(n) + torch.randn(n, 2)
        reg.stage(turn)
        optimizer.zero_grad()
        term = reg.d(turn)
        (Wasserstein().d(turn) + (0 if term is None else reg.weight * term)).backward()
        optimizer.step()
        with torch.no_grad():
            reg.project(turn)
    return D


def share_at(bound, D):
    """The share of D's weights within 1 % of +-bound."""
    weights = torch.cat([matrix.detach().flatten() for matrix in applied_weights(D)]).abs()
    return ((weights / bound - 1).abs() <= 0.01).float().mean().item()


@pytest.mark.slow
@pytest.mark.claim(
    "Weight clipping pushes the critic's weights to the ends of their range, the gradient penalty does not",
    "Gulrajani et al. 2017, Figure 1 (b)",
    on="8 Gaussians against a fixed generator, critic 3 x 128, RMSProp, 300 updates from weights uniform in the box, "
    "3 seeds",
)
def test_clipping_ends_with_most_weights_at_the_bound(measured):
    clipped = [share_at(0.01, critic(WeightClip(0.01), seed)) for seed in range(3)]
    penalised = [critic(GradientPenalty(0.1), seed) for seed in range(3)]
    bounds = [max(matrix.abs().max().item() for matrix in applied_weights(D)) for D in penalised]
    shares = [share_at(bound, D) for bound, D in zip(bounds, penalised, strict=True)]
    measured("share of weights within 1 % of +-c after clipping", f"{min(clipped):.2f} to {max(clipped):.2f}")
    measured("within 1 % of the largest after the gradient penalty", f"{max(shares):.1g} at most")
    measured("share at +-c there", f"{max(share_at(0.01, D) for D in penalised):.2g}")
    assert min(clipped) > 0.5
    assert max(shares) < 0.01
    assert max(share_at(0.01, D) for D in penalised) < 0.05


def lengths_through(gan):
    """The length of the critic loss's gradient at the output of each hidden layer, from the input side on."""
    outputs = []

    def keep(layer, args, output):
        output.retain_grad()
        outputs.append(output)

    hooks = [layer.register_forward_hook(keep) for layer in gan.D.body if isinstance(layer, nn.Linear)]
    fake = gan.G(gan.G.draw(256)).detach()
    gan.D(fake).logits.mean().backward()
    for hook in hooks:
        hook.remove()
    return [output.grad.norm().item() for output in outputs]


CLIPPED = {c: ["reg=weight_clip", f"reg.weight_clip.limit={c}", "optim=rmsprop"] for c in (0.1, 0.01, 0.001)}
PENALISED = ["reg=gradient_penalty", "reg.gradient_penalty.weight=0.1", "optim=sngan_a"]


@pytest.mark.claim(
    "Through a deep critic gradients explode or vanish with clipping, as c has it, but not with the gradient penalty",
    "Gulrajani et al. 2017, Figure 1 (b)",
    on="Swiss roll, 12 layers of 128 ReLUs, 100 updates of G and 500 of the critic, 2 seeds",
)
@pytest.mark.slow
def test_gradients_through_depth(play, measured):
    def ratio(seed, *overrides):
        game = ["data=swiss_roll", "model.depth=12", "model.width=128", "loss=wasserstein", f"seed={seed}"]
        lengths = lengths_through(play(*game, *overrides, updates=100))
        return lengths[0] / lengths[-1]

    for seed in range(2):
        clipped = {c: ratio(seed, *overrides) for c, overrides in CLIPPED.items()}
        penalised = ratio(seed, *PENALISED)
        for c, value in clipped.items():
            measured(f"seed {seed}, first layer's gradient over the last's, c = {c}", f"{value:.1g}")
        measured("with the gradient penalty", penalised)
        assert clipped[0.1] > 100
        assert clipped[0.01] < 1e-3
        assert clipped[0.001] < 1e-3
        assert 1 / 20 < penalised < 20


@pytest.mark.claim(
    "The squared singular values of a weight-normalised layer add up to its number of outputs, whatever it learns",
    "Miyato et al. 2018, Eq. 13",
    on="8 Gaussians, critic 3 x 128, 100 updates, 2 seeds; the same without",
)
def test_weight_norm_fixes_the_sum_of_squares(measured):
    def deviation(reg, seed):
        matrices = applied_weights(critic(reg, seed, 100, rate=1e-3))
        return max(abs(matrix.square().sum().item() / len(matrix) - 1) for matrix in matrices)

    for seed in range(2):
        sums = deviation(WeightNorm(), seed), deviation(GradientPenalty(), seed)
        measured(f"seed {seed}, largest relative deviation with it", f"{sums[0]:.1g}")
        measured("without", f"{sums[1]:.1g}")
        assert sums[0] < 1e-5
        assert sums[1] > 0.1


@pytest.mark.claim(
    "Clipping and weight norm concentrate D's singular values on few components, spectral norm does not",
    "Miyato et al. 2018, Figure 3",
    on="digits at 16 px, standard CNN of width 8, setting C, 300 updates, 2 seeds, the deeper convolutions (5 to 7)",
)
@pytest.mark.slow
def test_spectral_norm_keeps_the_spectrum_broad(play, measured):
    for seed in range(2):
        used = {}
        for reg in ("spectral", "weight_norm", "weight_clip"):
            clip = ["reg.weight_clip.convolutions_only=true"] * (reg == "weight_clip")
            gan = play(*CNN, "optim=sngan_c", f"reg={reg}", *clip, f"seed={seed}", updates=300)
            used[reg] = [(v.square().sum() / v[0].square()).item() for v in convolutions(gan.D)]
            measured(f"seed {seed}, {reg}", " ".join(f"{value:.1f}" for value in used[reg]))
        assert all(sum(used["spectral"][4:]) > sum(used[reg][4:]) for reg in ("weight_norm", "weight_clip"))


@pytest.mark.claim(
    "The penalty lowers the spectral norms of the layers",
    "Yoshida and Miyato 2017, section 4",
    on="two Gaussians in the plane, D of 2 x 64 ReLUs, Adam, 300 updates, 3 seeds",
)
def test_the_spectral_penalty_lowers_spectral_norms(measured):
    def largest(weight, seed):
        torch.manual_seed(seed)
        D, reg = mlp.Discriminator((2,), width=64, depth=2), SpectralPenalty(weight)
        reg.check(STILL, D)
        optimizer = torch.optim.Adam(D.parameters(), 1e-3)
        for _ in range(300):
            turn = Turn("d", STILL, D, torch.randn(64, 2) + 1, torch.zeros(64, dtype=torch.long), torch.zeros(64, 2))
            turn.x_fake = torch.randn(64, 2) - 1
            optimizer.zero_grad()
            (NonSaturating().d(turn) + reg.weight * reg.d(turn)).backward()
            optimizer.step()
        return [values[0].item() for values in spectra(D)]

    for seed in range(3):
        plain, penalised = largest(0.0, seed), largest(0.01, seed)
        measured(f"seed {seed}, layer by layer without", " ".join(f"{value:.2f}" for value in plain))
        measured("with it", " ".join(f"{value:.2f}" for value in penalised))
        assert max(penalised) < 0.9 * max(plain)
        assert math.prod(penalised) < 0.8 * math.prod(plain)  # what bounds the Lipschitz constant


def seconds(D, regs, x):
    """One turn of D with these regularizers, forwards and backwards."""
    turn = Turn("d", STILL, D, x, torch.zeros(len(x), dtype=torch.long), torch.zeros(len(x), 2))
    turn.x_fake = torch.randn_like(x)
    start = time.perf_counter()
    terms = [reg.weight * term for reg in regs if (term := reg.d(turn)) is not None]
    (NonSaturating().d(turn) + sum(terms)).backward()
    return time.perf_counter() - start


@pytest.mark.claim(
    "Spectral norm costs little more than nothing, the gradient penalty clearly more",
    "Miyato et al. 2018, Figure 10",
    on="one turn of D, standard CNN of width 32, 32 px, batch 64; the least of 8 interleaved timings",
)
@pytest.mark.slow
def test_spectral_norm_is_cheap_and_the_gradient_penalty_is_not(measured):
    methods = {"plain": [], "spectral": [SpectralNorm()], "weight": [WeightNorm()], "penalty": [GradientPenalty()]}
    games = {name: (sngan_cnn.Discriminator((3, 32, 32), width=32), regs) for name, regs in methods.items()}
    for D, regs in games.values():
        for reg in regs:
            reg.attach(STILL, D)
    x, least = torch.randn(64, 3, 32, 32), dict.fromkeys(games, math.inf)
    for _ in range(8):
        for name, (D, regs) in games.items():
            least[name] = min(least[name], seconds(D, regs, x))
    spectral, weight, penalty = (least[name] / least["plain"] for name in ("spectral", "weight", "penalty"))
    measured("spectral norm / plain", spectral)
    measured("weight norm / plain", weight)
    measured("gradient penalty / plain", penalty)
    assert spectral < 1.4
    assert penalty > 1.15 * spectral
