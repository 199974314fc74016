"""Claims about penalties of D's slope, on critics that are trained against fixed generated samples."""

import math
from functools import partial

import pytest
import torch
from torch import nn

from lit_gan import game
from lit_gan.game import Turn
from lit_gan.losses import NonSaturating, Wasserstein
from lit_gan.models import dcgan, mlp
from lit_gan.reg.gradients import R1, FiniteDifferencePenalty, GradientPenalty, between, slopes
from lit_gan.reg.structure import BatchNorm, LayerNorm
from lit_gan.reg.weights import SpectralNorm, WeightNorm

SEEDS = range(3)
STILL = mlp.Generator((2,), width=2)
ADAM = partial(torch.optim.Adam, lr=1e-3, betas=(0.0, 0.9))


def ring(n):
    """Points of 8 Gaussians of standard deviation 0.02 on a ring of radius sqrt(2)."""
    angle = torch.randint(8, (n,)) * (2 * math.pi / 8)
    return (torch.stack([angle.cos(), angle.sin()], 1) * 2 + 0.02 * torch.randn(n, 2)) / 1.414


def blurred_ring(n):
    """A generator that stands still: the data and N(0, 1) noise."""
    return ring(n) + torch.randn(n, 2)


def turn_of(D, real, fake):
    """D's turn on given samples."""
    turn = Turn("d", STILL, D, real, torch.zeros(len(real), dtype=torch.long), torch.zeros(len(real), 2))
    turn.x_fake = fake
    return turn


def trained(reg, seed, draw, dimensions=2, updates=500, n=64):
    """A critic of three layers of 64 ReLUs after `updates` of Adam on fresh samples."""
    torch.manual_seed(seed)
    D = mlp.Discriminator((dimensions,), width=64)
    optimizer = ADAM(D.parameters())
    for _ in range(updates):
        turn = turn_of(D, *draw(n))
        penalty = reg.weight * reg.d(turn) if reg else 0
        optimizer.zero_grad()
        (Wasserstein().d(turn) + penalty).backward()
        optimizer.step()
    return D


def on_lines(D, real, fake):
    """The mean length of D's gradient between samples, and the mean slope between two points of each line."""
    y = torch.zeros(len(real), dtype=torch.long)
    one, other = between(real, fake), between(real, fake)
    with torch.no_grad():
        secant = (D(one, y).logits - D(other, y).logits).abs() / (one - other).norm(dim=1)
    return slopes(D, between(real, fake), y).mean().item(), secant.square().mean().sqrt().item()


def on_the_ring(n):
    return ring(n), blurred_ring(n)


def on_the_line(n):
    return torch.randn(n, 1) * 0.1 + 0.5, torch.randn(n, 1) * 0.1 - 0.5


@pytest.mark.claim(
    "The gradient penalty brings D's gradient between real and generated samples to length 1",
    "Gulrajani et al. 2017, section 4",
    on="8 Gaussians against a fixed generator, critic 3 x 64, 500 updates, 3 seeds",
)
def test_gradient_penalty_brings_slopes_to_one(measured):
    with_it = [on_lines(trained(GradientPenalty(), seed, on_the_ring), *on_the_ring(1000))[0] for seed in SEEDS]
    without = [on_lines(trained(None, seed, on_the_ring, updates=100), *on_the_ring(1000))[0] for seed in SEEDS]
    measured("mean slope with it", f"{min(with_it):.2f} to {max(with_it):.2f}")
    measured("without, after 100 updates", f"{min(without):.1f} and more")
    assert all(abs(slope - 1) < 0.1 for slope in with_it)
    assert min(without) > 2


@pytest.mark.slow
@pytest.mark.claim(
    "Penalising the slope between two points of a line does what the gradient penalty does, without second derivatives",
    "the finite-difference form of Gulrajani et al. 2017, Eq. 3",
    on="two Gaussians on a line and 8 in the plane, critic 3 x 64, 500 updates, 3 seeds",
)
def test_finite_differences_agree_with_the_gradient_penalty(measured):
    pair = FiniteDifferencePenalty(), GradientPenalty()
    for seed in SEEDS:
        line, exact = (on_lines(trained(reg, seed, on_the_line, 1), *on_the_line(1000)) for reg in pair)
        plane = on_lines(trained(pair[0], seed, on_the_ring), *on_the_ring(1000))
        measured(f"seed {seed}, on the line, gradient", f"{line[0]:.2f} (gradient penalty {exact[0]:.2f})")
        measured(f"seed {seed}, in the plane", f"along the lines {plane[1]:.2f}, gradient {plane[0]:.2f}")
        assert line[0] == pytest.approx(1, abs=0.15)
        assert line[0] == pytest.approx(exact[0], abs=0.15)
        assert plane[1] == pytest.approx(1, abs=0.15)
        assert 1.1 < plane[0] < 2  # a random line is not the steepest way: the gradient itself is longer


def influence(regs):
    """How a sample's penalty changes when the others of its batch do, relative to itself."""
    torch.manual_seed(0)
    D = dcgan.Discriminator((1, 16, 16), width=4)
    for reg in regs:
        reg.attach(STILL, D)
    x, y = torch.randn(8, 1, 16, 16), torch.zeros(8, dtype=torch.long)
    D(x, y)
    D.eval() if not any(isinstance(reg, BatchNorm) for reg in regs) else D.train()
    others = torch.cat([x[:1], torch.randn(7, 1, 16, 16)])
    one, other = (slopes(D, batch, y)[0] for batch in (x, others))
    return ((one - other).abs() / one).item()


@pytest.mark.claim(
    "With batch normalisation in the critic a sample's penalty depends on the rest of its batch; layer, spectral and "
    "weight normalisation keep it its own",
    "Gulrajani et al. 2017, section 4",
    on="a random DCGAN critic of width 4, one sample among seven others and among seven new ones",
)
def test_batch_norm_mixes_the_penalties_of_samples(measured):
    found = {reg.__name__: influence([reg()]) for reg in (BatchNorm, LayerNorm, SpectralNorm, WeightNorm)}
    for name, change in found.items():
        measured(f"relative change, {name}", f"{change:.2g}")
    assert found.pop("BatchNorm") > 0.01
    assert max(found.values()) < 1e-5


class Point(game.Generator):
    """The same learned point for every z."""

    def __init__(self, start):
        super().__init__((len(start),), 1)
        self.point = nn.Parameter(torch.tensor(start))

    def forward(self, z, y=None):
        return self.point.expand(len(z), -1)


def distances(reg, seed, updates=600):
    """How far a generated point is from a real one during simultaneous gradient descent with an MLP as D."""
    torch.manual_seed(seed)
    G, D = Point([0.5, -0.3]), mlp.Discriminator((2,), width=32, depth=1)
    optimizers = [torch.optim.SGD(network.parameters(), lr=0.1) for network in (D, G)]
    x, y, z, found = torch.zeros(4, 2), torch.zeros(4, dtype=torch.long), torch.zeros(4, 1), []
    for _ in range(updates):
        turns = [Turn(player, G, D, x, y, z) for player in "dg"]
        d = NonSaturating().d(turns[0]) + (reg.weight * reg.d(turns[0]) if reg else 0)
        to_d = torch.autograd.grad(d, list(D.parameters()))
        to_g = torch.autograd.grad(NonSaturating().g(turns[1]), list(G.parameters()))
        for network, gradients, optimizer in zip((D, G), (to_d, to_g), optimizers, strict=True):
            for parameter, gradient in zip(network.parameters(), gradients, strict=True):
                parameter.grad = gradient
            optimizer.step()
        found.append(G.point.detach().norm().item())
    return torch.tensor(found)


@pytest.mark.slow
@pytest.mark.claim(
    "A GAN with R1 converges where the unregularised one does not",
    "Mescheder et al. 2018, sections 2 and 4",
    on="a learned point in the plane against a real one, D of 32 ReLUs, simultaneous gradient descent, 3 seeds",
)
def test_r1_converges_where_the_plain_game_does_not(measured):
    with_it = [distances(R1(1.0), seed)[-100:].max().item() for seed in SEEDS]
    without = [distances(None, seed)[-100:].max().item() for seed in SEEDS]
    measured("largest distance in the last 100 of 600 updates, with R1", max(with_it))
    measured("without", min(without))
    assert max(with_it) < 1e-4
    assert min(without) > 0.01
