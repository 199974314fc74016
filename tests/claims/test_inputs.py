"""Claims about what D sees and says: noise, augmentations, old samples, consistent and anchored outputs."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits

from lit_gan import game
from lit_gan.curves import Curves
from lit_gan.data.gaussians import ring
from lit_gan.game import Turn
from lit_gan.losses import Hinge, Minimax, NonSaturating, Wasserstein
from lit_gan.models import dcgan, mlp
from lit_gan.reg.adaptive import ADA, APA
from lit_gan.reg.inputs import DiffAugment, ExperienceReplay, FlipAndShift, InstanceNoise
from lit_gan.reg.outputs import Consistency, LeCam

SEEDS = (0, 1, 2)


class Source(game.Generator):
    """A generator that does not learn: its samples are those of a function of their number."""

    def __init__(self, shape, draw):
        super().__init__(shape, 1)
        self.draw_samples, self.scale = draw, torch.nn.Parameter(torch.ones(1))

    def forward(self, z, y=None):
        return self.draw_samples(len(z))


def train_d(D, loss, regs, real, fake, updates, rate=1e-3, batch=64):
    """D against samples that do not learn, with the real loss and regularizers."""
    G = Source(real(1).shape[1:], fake)
    for hook in ("attach", "check"):
        for reg in regs:
            getattr(reg, hook)(G, D)
    optimizer = torch.optim.Adam(D.parameters(), lr=rate, betas=(0.5, 0.999))
    for _ in range(updates):
        turn = Turn("d", G, D, real(batch), torch.zeros(batch, dtype=torch.long), torch.zeros(batch, 1))
        for reg in regs:
            reg.stage(turn)
        terms = [loss.d(turn)] + [reg.weight * term for reg in regs if (term := reg.d(turn)) is not None]
        optimizer.zero_grad()
        sum(terms).backward()
        optimizer.step()
        with torch.no_grad():
            for reg in regs:
                reg.project(turn)
    return D.eval()


def line(height):
    """Points on a segment at this height."""
    return lambda n: torch.stack([torch.rand(n) * 2 - 1, torch.full((n,), height)], 1)


def accuracy_and_push(regs, seed):
    """D's accuracy on two parallel segments, as it sees them, and the length of G's gradient at its samples."""
    torch.manual_seed(seed)
    D = train_d(mlp.Discriminator((2,), width=64, depth=2), Minimax(), regs, line(0.5), line(-0.5), 400, 3e-3)
    turn = Turn(
        "g", Source((2,), line(-0.5)), D, line(0.5)(2000), torch.zeros(2000, dtype=torch.long), torch.zeros(2000, 1)
    )
    turn.x_fake = x = line(-0.5)(2000).requires_grad_()
    for reg in regs:
        reg.stage(turn)
    (push,) = torch.autograd.grad(Minimax().g(turn) * len(x), x)
    right = torch.cat([turn.real.logits > 0, turn.fake.logits < 0]).float().mean().item()
    return right, push.norm(dim=1).mean().item()


@pytest.mark.slow
@pytest.mark.claim(
    "Noise on D's inputs keeps D from being perfect where the supports do not meet, and G's gradient from vanishing",
    "Arjovsky and Bottou 2017, Theorems 2.4 and 3.2; Sønderby et al. 2017, section 3.2.1",
    on="two parallel segments at distance 1, MLP 2 x 64, minimax loss, 400 updates of D, sigma 0.5, 3 seeds",
)
def test_instance_noise_keeps_d_imperfect(measured):
    plain = [accuracy_and_push([], seed) for seed in SEEDS]
    noisy = [accuracy_and_push([InstanceNoise(sigma=0.5)], seed) for seed in SEEDS]
    for name, runs in (("without", plain), ("with noise", noisy)):
        measured(f"D's accuracy and G's gradient {name}", ", ".join(f"{right:.3f} {push:.2g}" for right, push in runs))
    # the best D there is has accuracy Phi(0.5 / sigma) = 0.841
    assert all(right > 0.999 for right, _ in plain)
    assert all(right == pytest.approx(0.841, abs=0.03) for right, _ in noisy)
    assert min(push for _, push in noisy) > 10 * max(push for _, push in plain)


@pytest.fixture(scope="module")
def digits():
    """scikit-learn's digits as images of 16 x 16 in [-1, 1]."""
    x = torch.tensor(load_digits().data, dtype=torch.float).view(-1, 1, 8, 8) / 8 - 1
    return F.interpolate(x, size=16, mode="bilinear")


def some(images):
    """Random ones of some images."""
    return lambda n: images[torch.randint(len(images), (n,))]


def memorised(digits, regs, seed):
    """How much more real D finds its 50 training digits than other ones, where its "fakes" are real digits, too."""
    torch.manual_seed(seed)
    shuffled = digits[torch.randperm(len(digits))]
    train, test, perfect = shuffled.split([50, 500, len(digits) - 550])
    D = train_d(dcgan.Discriminator((1, 16, 16), width=8), Hinge(), regs, some(train), some(perfect), 200)
    with torch.no_grad():
        return (D(train).logits.mean() - D(test).logits.mean()).item()


@pytest.mark.slow
@pytest.mark.claim(
    "DiffAugment keeps D from memorising few images",
    "Zhao et al. 2020, Figure 1 and section 3.1",
    on="50 digits as real and other digits as a perfect G's samples, DCGAN's D of width 8, hinge, 200 updates, 3 seeds",
)
def test_diff_augment_keeps_d_from_memorising(digits, measured):
    plain = [memorised(digits, [], seed) for seed in SEEDS]
    augmented = [memorised(digits, [DiffAugment()], seed) for seed in SEEDS]
    measured("E D(training digits) - E D(other digits)", f"{written(augmented)}, without {written(plain)}")
    assert max(augmented) < 0.5 * min(plain)


def written(numbers):
    return "[" + ", ".join(f"{number:.2f}" for number in numbers) + "]"


def change_under(digits, T, regs, seed):
    """Root mean square of D(x) - D(T(x)) on new digits, over the gap between D's means on digits and blurred ones."""
    torch.manual_seed(seed)
    train, test = digits[torch.randperm(len(digits))].split([900, len(digits) - 900])
    D = train_d(dcgan.Discriminator((1, 16, 16), width=8), Hinge(), regs, some(train), some(blurred(train)), 150)
    with torch.no_grad():
        real, moved, fake = (D(x).logits for x in (test, T(test), blurred(test)))
    return ((real - moved).square().mean().sqrt() / (real.mean() - fake.mean())).item()


def blurred(images):
    """Means of 3 x 3 pixels."""
    return F.avg_pool2d(images, 3, 1, 1)


@pytest.mark.slow
@pytest.mark.claim(
    "Consistency regularization makes D insensitive to the augmentation",
    "Zhang et al. 2020, section 2.3 and Figure 1",
    on="digits against blurred digits, DCGAN's D of width 8, hinge, 150 updates, T a shift of up to 1 pixel, 3 seeds",
)
def test_consistency_makes_d_insensitive(digits, measured):
    T = FlipAndShift(pixels=1, flip=False)
    plain = [change_under(digits, T, [], seed) for seed in SEEDS]
    consistent = [change_under(digits, T, [Consistency(T)], seed) for seed in SEEDS]
    measured(
        "change of D(x) under T over the gap between its means", f"{written(consistent)}, without {written(plain)}"
    )
    assert max(consistent) < 0.5 * min(plain)


def spread(regs, seed):
    """E D(x) - E D(G(z)) of a critic of two Gaussians whose outputs nothing else bounds."""
    torch.manual_seed(seed)
    real, fake = (lambda n, centre=centre: torch.randn(n, 2) / 4 + centre for centre in (1, -1))
    D = train_d(mlp.Discriminator((2,), width=64, depth=2), Wasserstein(), regs, real, fake, 400)
    with torch.no_grad():
        return (D(real(2000)).logits.mean() - D(fake(2000)).logits.mean()).item()


@pytest.mark.slow
@pytest.mark.claim(
    "LeCam's anchors bound a Wasserstein critic's outputs: they settle where 2 weight (E D(x) - E D(G(z))) = 1",
    "Tseng et al. 2021, section 3.3",
    on="two Gaussians, MLP 2 x 64, Wasserstein loss, 400 updates, weight 0.3, 3 seeds",
)
def test_lecam_bounds_the_outputs(measured):
    plain = [spread([], seed) for seed in SEEDS]
    anchored = [spread([LeCam(weight=0.3)], seed) for seed in SEEDS]
    measured("E D(x) - E D(G(z))", f"{written(anchored)}, theory {1 / 0.6:.2f}, without {written(plain)}")
    assert anchored == pytest.approx([1 / 0.6] * 3, rel=0.15)
    assert min(plain) > 10 * max(anchored)


def forgotten(regs, seed):
    """Share of samples of the past that D takes for real, after a G that has been at four places between the data."""
    torch.manual_seed(seed)
    centers = ring(8, 1.0)
    real, past, time = centers[::2], centers[1::2], iter(range(10**6))

    def wandering(n):
        return past[next(time) // 100].expand(n, 2) + torch.randn(n, 2) / 20

    D = mlp.Discriminator((2,), width=64, depth=2)
    train_d(D, Hinge(), regs, lambda n: some(real)(n) + torch.randn(n, 2) / 20, wandering, 400, rate=3e-3)
    with torch.no_grad():
        return (D(past[:-1].repeat(100, 1) + torch.randn(300, 2) / 20).logits > 0).float().mean().item()


@pytest.mark.slow
@pytest.mark.claim(
    "A history of generated samples keeps D from forgetting what G made before",
    "Shrivastava et al. 2017, section 2.3 and Figure 5",
    on="four Gaussians, a G that stays 100 updates at each of four places between them, MLP 2 x 64, hinge, "
    "buffer of 1,000, 3 seeds",
)
def test_experience_replay_remembers(measured):
    plain = [forgotten([], seed) for seed in SEEDS]
    replayed = [forgotten([ExperienceReplay(1000)], seed) for seed in SEEDS]
    measured("past samples that D takes for real", f"{written(replayed)}, without {written(plain)}")
    assert max(replayed) < 0.5
    assert min(plain) > 0.9


UPDATES, LAST, BATCH, TRAINED = 500, 150, 32, 30


def course(digits, reg, seed):
    """r in the last updates of a D that sees its 30 training digits and a perfect G's, and p in the end."""
    torch.manual_seed(seed)
    train, perfect = digits[torch.randperm(len(digits))].split([TRAINED, len(digits) - TRAINED])
    G, D, signs = Source((1, 16, 16), some(perfect)), dcgan.Discriminator((1, 16, 16), width=8), []
    played, optimizer = SimpleNamespace(loss=NonSaturating(), curves=Curves()), torch.optim.Adam(D.parameters(), 1e-3)
    for _ in range(UPDATES):
        turn = Turn("d", G, D, some(train)(BATCH), torch.zeros(BATCH, dtype=torch.long), torch.zeros(BATCH, 1))
        turn.game = played
        reg.stage(turn)
        optimizer.zero_grad()
        played.loss.d(turn).backward()
        reg.d(turn)
        optimizer.step()
        with torch.no_grad():
            reg.project(turn)
        signs.append(turn.real.logits.detach().sign().mean())
    return torch.stack(signs[-LAST:]).mean().item(), reg.p.item()


@pytest.fixture(scope="module")
def plain(digits):
    """The same without a remedy."""
    return [course(digits, APA(target=None), seed)[0] for seed in SEEDS]


@pytest.mark.slow
@pytest.mark.claim(
    "ADA's controller holds E sign D(x) at its target, where a D that overfits few images would be sure of them",
    "Karras et al. 2020 (ADA), section 3",
    on="30 digits as real and other digits as a perfect G's samples, DCGAN's D of width 8, logistic loss, 500 updates "
    "of 32 images, target 0.6, ramp 4,000 images, 3 seeds; mean over the last 150 updates",
)
def test_ada_holds_d_at_its_target(digits, plain, measured):
    runs = [course(digits, ADA(ramp=4000), seed) for seed in SEEDS]
    held = [r for r, _ in runs]
    measured("E sign D(x)", f"{written(held)} with p = {written([p for _, p in runs])}, without {written(plain)}")
    assert held == pytest.approx([0.6] * 3, abs=0.08)
    assert min(plain) > 0.75


@pytest.mark.slow
@pytest.mark.claim(
    "So does the controller of APA, which deceives D with generated samples",
    "Jiang et al. 2021 (APA)",
    on="the same as for ADA",
)
def test_apa_holds_d_at_its_target(digits, plain, measured):
    runs = [course(digits, APA(ramp=4000), seed) for seed in SEEDS]
    held = [r for r, _ in runs]
    measured("E sign D(x)", f"{written(held)} with p = {written([p for _, p in runs])}, without {written(plain)}")
    assert held == pytest.approx([0.6] * 3, abs=0.08)
    assert min(plain) > 0.75
