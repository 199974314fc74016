"""Claims about D's and G's structure: comparisons within a batch, normalisation without them, lengths of paths."""

import pytest
import torch
from torch import nn

from lit_gan.build import build_data, build_gan, build_source
from lit_gan.game import Turn
from lit_gan.models import mlp
from lit_gan.reg.styles import PathLength, path_lengths
from lit_gan.styles import StyledGenerator
from trainers import quiet_trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning", "ignore::FutureWarning")
SEEDS, UPDATES = (0, 1, 2), 1000
RING = ["data=gaussians", "model=mlp", "model.width=64", "model.depth=2", "loss=non_saturating", "batch_size=64"]
RATES = ["optim.d.lr=2e-4", "optim.g.lr=2e-3"]


def play(config):
    """The game after `config.updates` updates, and its data."""
    gan, source = build_gan(config), build_source(config)
    trainer = quiet_trainer(gan, config.updates)
    trainer.fit(gan, build_data(config, source))
    return gan, source


def modes(config):
    """Modes of the ring near which, within a fifth of their distance, are at least 1 % of 4,000 generated points."""
    gan, source = play(config)
    with torch.no_grad():
        distance, nearest = torch.cdist(gan.G(gan.G.draw(4000)), source.centers).min(1)
    return (torch.bincount(nearest[distance < 0.2], minlength=8) >= 40).sum().item()


@pytest.mark.slow
@pytest.mark.claim(
    "A D that sees how close a sample is to the others of its batch keeps G from collapsing",
    "Salimans et al. 2016, section 3.2",
    on="eight Gaussians, MLPs of 2 x 64 ReLUs, non-saturating loss, batch 64, Adam with G's rate 2e-3 and D's 2e-4, "
    "1000 updates, 5 kernels of dimension 3, 3 seeds; with the minimax loss and 20 kernels of dimension 5 two of three "
    "seeds found no mode",
)
def test_minibatch_discrimination_raises_diversity(compose, measured):
    method = ["reg=minibatch_discrimination"]
    method += [f"reg.minibatch_discrimination.{size}" for size in ("n_kernels=5", "kernel_dim=3")]
    found = {
        name: [modes(compose(*RING, *RATES, *overrides, f"seed={seed}", f"updates={UPDATES}")) for seed in SEEDS]
        for name, overrides in (("plain", ["reg=[]"]), ("method", method))
    }
    measured("modes of 8", f"{found['method']}, plain {found['plain']}")
    assert max(found["plain"]) <= 2
    assert min(found["method"]) >= 5


@pytest.mark.slow
@pytest.mark.claim(
    "Batch normalisation makes a generated sample depend on the others of its batch, virtual batch normalisation "
    "does not",
    "Salimans et al. 2016, section 3.5",
    on="digits, DCGAN width 8 in training mode after 30 updates, 3 seeds",
)
def test_virtual_batch_norm_keeps_samples_apart(compose, measured):
    found = {}
    for reg in ("[]", "[virtual_batch_norm]"):
        settings = ["data.image_size=16", "model.width=8", "updates=30", f"reg={reg}"]
        found[reg] = [influence(play(compose(*settings, f"seed={seed}"))[0].G) for seed in SEEDS]
    plain, virtual = found.values()
    measured("relative change of a sample when its batch changes", f"VBN {max(virtual):.1e}, BN {min(plain):.1e}")
    assert max(virtual) < 1e-5
    assert min(plain) > 0.05


@torch.no_grad()
def influence(G):
    """How far a sample moves, relative to the distance between samples, when the rest of its batch is another."""
    z = G.draw(64)
    one, other = G.train()(z[:32]), G(torch.cat([z[:1], z[33:]]))
    return ((one[0] - other[0]).norm() / (one[1:] - one[0]).flatten(1).norm(dim=1).mean()).item()


class LinearG(StyledGenerator):
    """Images A w of 8 x 8 pixels; the singular values of A are 16 from 1 to 4."""

    def __init__(self):
        super().__init__((1, 8, 8), 16, "normal", 16, 1)
        self.n_styles = 1
        left, right = (torch.linalg.qr(torch.randn(rows, 16)).Q for rows in (64, 16))
        self.A = nn.Parameter(left * torch.linspace(1, 4, 16) @ right)

    def synthesise(self, styles):
        return (styles[:, 0] @ self.A.T).view(-1, 1, 8, 8)

    def condition(self):
        """The largest singular value of A over the smallest."""
        values = torch.linalg.svdvals(self.A.detach())
        return (values[0] / values[-1]).item()


def condition_after(penalty, seed, updates=500):
    """The condition of A after descending on penalty(G) alone."""
    torch.manual_seed(seed)
    G = LinearG()
    optimizer = torch.optim.SGD([G.A], 2.0)
    for _ in range(updates):
        optimizer.zero_grad()
        penalty(G).backward()
        optimizer.step()
    return G.condition()


def path_penalty():
    """The penalty, with a mean of its own."""
    reg, D = PathLength(), mlp.Discriminator((1, 8, 8), width=4, depth=1)
    batch = torch.zeros(128, 1, 8, 8), torch.zeros(128, dtype=torch.long), torch.zeros(128, 16)
    return lambda G: reg.g(Turn("g", G, D, *batch))


def squared_lengths(G):
    """What the penalty would be without a mean, as weak as the penalty is."""
    return 0.02 * path_lengths(G, G.styles(G.draw(64))).square().mean()


@pytest.mark.claim(
    "The penalty on path lengths is least where the Jacobian of the sample by its style is orthogonal, up to its scale",
    "Karras et al. 2020 (StyleGAN2), section 3.2",
    on="images of 8 x 8 px linear in a style of 16 numbers, with singular values from 1 to 4; 500 steps of gradient "
    "descent on the penalty alone, 2 seeds. In games of 400 updates on digits (16 px, width 16) the standard deviation "
    "of the lengths was 0.25 of their mean with it, 0.26 and 0.28 without",
)
def test_path_lengths_make_the_jacobian_orthogonal(measured):
    method = [condition_after(path_penalty(), seed) for seed in (0, 1)]
    plain = [condition_after(squared_lengths, seed) for seed in (0, 1)]
    measured("largest singular value over the smallest, 4 at first", ", ".join(f"{each:.2f}" for each in method))
    measured("with squares of the lengths instead", ", ".join(f"{each:.2f}" for each in plain))
    assert max(method) < 1.5
    assert min(plain) > 3.5
