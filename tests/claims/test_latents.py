"""Claims about what G makes of its latent vectors."""

from functools import partial

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from lit_gan.data.gaussians import ring
from lit_gan.losses import NonSaturating
from lit_gan.models import mlp
from lit_gan.module import GAN
from lit_gan.optim import Optimizers
from lit_gan.order import Alternating
from lit_gan.reg.labels import LabelConcat
from lit_gan.reg.latents import ModeSeeking
from trainers import quiet_trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning", "ignore::FutureWarning")
SEEDS, UPDATES, BATCH = (0, 1, 2), 1000, 64
CENTERS, SPREAD, NEAR = ring(8, 0.8), 0.008, 0.113
ADAM = [partial(torch.optim.Adam, lr=rate, betas=(0.5, 0.999), fused=True) for rate in (2e-4, 2e-3)]


@torch.no_grad()
def modes_of_both_classes(regs, seed):
    """Modes of the ring near which, of their class, are at least 1 % of 4,000 points; the share of such points."""
    torch.manual_seed(seed)
    G, D = (make((1, 1, 2), width=64, depth=2) for make in (mlp.Generator, mlp.Discriminator))
    regs = {"label_concat": LabelConcat(2), **regs}
    gan = GAN(G, D, NonSaturating(), regs, Optimizers(1, *ADAM), Alternating())
    mode = torch.randint(8, (UPDATES * BATCH,))
    x = CENTERS[mode] + SPREAD * torch.randn(len(mode), 2)
    data = TensorDataset(x.view(-1, 1, 1, 2), mode % 2)
    with torch.enable_grad():
        quiet_trainer(gan, UPDATES).fit(gan, DataLoader(data, BATCH))
    y = torch.arange(4000) % 2
    distance, nearest = torch.cdist(gan.eval().G(G.draw(len(y)), y).flatten(1), CENTERS).min(1)
    found = (distance < NEAR) & (nearest % 2 == y)
    return (torch.bincount(nearest[found], minlength=8) >= 40).sum().item(), found.float().mean().item()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.claim(
    "A conditional G that ignores its latent vector becomes diverse again where it is paid for samples that differ",
    "Mao et al. 2019 (MSGAN), abstract",
    on="eight Gaussians in two classes of four, labels beside z and x, MLPs of 2 x 64 ReLUs, G's points bounded by "
    f"tanh, non-saturating loss, batch {BATCH}, Adam with G's rate 2e-3 and D's 2e-4, {UPDATES} updates, weight 1, 3 "
    "seeds; with the minimax loss, or without bounds, the weight was too large: G's points left the modes",
)
def test_mode_seeking_makes_a_conditional_g_diverse(measured):
    found = [modes_of_both_classes({"mode_seeking": ModeSeeking()}, seed) for seed in SEEDS]
    plain = [modes_of_both_classes({}, seed) for seed in SEEDS]
    for name, runs in (("with it", found), ("without", plain)):
        measured(f"modes of 8 {name}", [modes for modes, _ in runs])
        measured("points near a mode of their class", " ".join(f"{share:.2f}" for _, share in runs))
    assert all(more >= few + 2 for (more, _), (few, _) in zip(found, plain, strict=True))
