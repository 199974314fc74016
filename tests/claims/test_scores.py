"""Claims about scores: what fools the one and not the other, on sets whose answer is known."""

import re
from dataclasses import replace
from types import SimpleNamespace

import hydra
import numpy as np
import pytest
import torch
from lightning.pytorch import seed_everything

from lit_gan.analysis import CAS, DataCopying, LatentRecovery, SeFa, Subject, Truncation
from lit_gan.analysis.authenticity import beside_spacing
from lit_gan.analysis.cas import Examples, accuracy_rows
from lit_gan.analysis.fid_infinity import fids, line
from lit_gan.analysis.power_spectrum import ring_decibels, told_apart
from lit_gan.build import build_data, build_gan, build_source
from lit_gan.data import to_uint8
from lit_gan.metrics.classifier import Classifier
from lit_gan.metrics.reading import subset_indices
from lit_gan.metrics.reference import Moments, Reference, root
from lit_gan.metrics.scores import InceptionScore, NeighbourScores
from lit_gan.sampling import Sampler
from trainers import quiet_trainer

SEEDS = (0, 1, 2)


def normal(n, f, seed):
    return torch.randn(n, f, generator=torch.Generator().manual_seed(seed))


def reference(x):
    moments = Moments.none(x.shape[1], x.device)
    moments.add(x)
    return Reference(moments.mean(), root(moments.covariance()), x)


def of_neighbours(real, generated):
    """Precision, recall, density and coverage with the k of Naeem et al."""
    scores = NeighbourScores(reference(real), len(generated), neighbours=5)
    scores.update(generated)
    return [value.item() for value in scores.compute()]


@pytest.mark.claim(
    "One outlier makes precision or recall of a bad generator nearly perfect, but not density and coverage",
    "Naeem et al. 2020, abstract",
    on="1,000 points of a normal distribution in 64 dimensions against as many whose mean is 1 in each, k = 5, one "
    "outlier at 3 in each among the real ones, or at -3 among the generated ones, mean of 3 seeds",
)
def test_outliers_fool_precision_and_recall_alone(measured):
    outlier, rows = torch.full((1, 64), 3.0), {"no outlier": [], "a real outlier": [], "a generated outlier": []}
    for seed in SEEDS:
        real, generated = normal(1000, 64, 2 * seed), normal(1000, 64, 2 * seed + 1) + 1
        rows["no outlier"].append(of_neighbours(real, generated))
        rows["a real outlier"].append(of_neighbours(torch.cat([real, outlier]), generated))
        rows["a generated outlier"].append(of_neighbours(real, torch.cat([generated, -outlier])))
    found = {name: np.array(values) for name, values in rows.items()}
    for name, values in found.items():
        words = ", ".join(f"{value:.2f}" for value in values.mean(0))
        measured(f"precision, recall, density, coverage with {name}", words)
    assert found["no outlier"].max() < 0.1
    assert found["a real outlier"][:, 0].min() > 0.9
    assert found["a generated outlier"][:, 1].min() > 0.9
    assert found["a real outlier"][:, 2:].max() < 0.3
    assert found["a generated outlier"][:, 2:].max() < 0.1


@pytest.mark.claim(
    "FID of a finite number of samples may prefer the worse generator, because its bias depends on the generator; "
    "extrapolated to infinitely many it does not",
    "Chong and Forsyth 2020, abstract",
    on="a normal distribution in 64 dimensions as data, itself and one of deviation 0.95 as generators, 15 sizes of "
    "200 to 4,000, 3 seeds",
)
def test_extrapolated_fid_prefers_the_better_generator(measured):
    exact = Reference(torch.zeros(64).double(), torch.eye(64).double(), torch.zeros(0, 64))
    numbers = np.linspace(200, 4000, 15).astype(int)
    for seed in SEEDS:
        found = [fids(scale * normal(4000, 64, seed), exact, numbers.tolist(), seed) for scale in (1, 0.95)]
        perfect, narrow = (values[0] for values in found)
        limits = [line(numbers, values)[1] for values in found]
        measured(f"seed {seed}, FID of 200 samples of the perfect and the narrow one", f"{perfect:.2f}, {narrow:.2f}")
        measured("of infinitely many (truth 0 and 0.16)", ", ".join(f"{limit:.2f}" for limit in limits))
        assert perfect > narrow + 0.1
        assert limits[0] + 0.1 < limits[1]
        assert limits == pytest.approx([0, 64 * 0.05**2], abs=0.1)


@pytest.mark.slow
@pytest.mark.claim(
    "A generator that copies training samples is found by C_T and by the share of authentic samples, and not by FID",
    "Meehan et al. 2020, abstract; Alaa et al. 2022",
    on="a normal distribution in 16 dimensions, 1,000 training, 1,000 test and 1,000 generated points, a share of "
    "which are training points, 3 seeds",
)
def test_copies_are_found(measured):
    look, shares = DataCopying(samples=1000), (0, 0.25, 0.5, 0.75, 1)
    for seed in SEEDS:
        train, test, fresh = (normal(1000, 16, 3 * seed + i) for i in range(3))
        sets = [torch.cat([train[: int(1000 * share)], fresh[int(1000 * share) :]]) for share in shares]
        c_t = [look.statistic(list(look.cell_rows("points", train, test, x, seed))) for x in sets]
        authentic = [beside_spacing(x, train).authentic.float().mean().item() for x in sets]
        fid = [fids(x, reference(train), [1000], seed)[0] for x in sets]
        measured(f"seed {seed}, C_T with a share of copies of 0, 1/4, 1/2, 3/4, 1", " ".join(f"{z:.1f}" for z in c_t))
        measured("authentic", " ".join(f"{value:.2f}" for value in authentic))
        measured("FID", " ".join(f"{value:.3f}" for value in fid))
        assert c_t == sorted(c_t, reverse=True)
        assert abs(c_t[0]) < 3 < -c_t[1]
        assert authentic == sorted(authentic, reverse=True)
        assert authentic[-1] == 0
        assert fid == sorted(fid, reverse=True)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning", "ignore::FutureWarning")
@pytest.mark.claim(
    "A generator that reconstructs few images shows them better than others, one that reconstructs many or plays a GAN "
    "does not",
    "Webster et al. 2019, abstract and Table 1",
    on="digits at 16 px, DCGAN's G of width 8: a latent vector for each image, learned with G by squared errors (GLO) "
    "of 64 images in 1,000 updates or of 1,000 in 1,500, or a GAN with spectral norm on 64 in 1,000; 64 images of each "
    "kind, 3 searches each, 3 seeds",
)
def test_memory_is_found_in_latent_vectors(compose, measured):
    for seed in SEEDS:
        few, many = (reconstructing(compose(*SMALL, f"seed={seed}", f"train_images={n}")) for n in (64, 1000))
        config = compose(*SMALL, f"seed={seed}", "train_images=64")
        game = subject_of(config)
        quiet_trainer(game.gan, 1000).fit(game.gan, build_data(config, game.source))
        found = {"GLO of 64": gap_and_p(few), "GLO of 1,000": gap_and_p(many), "GAN of 64": gap_and_p(game)}
        measured(
            f"seed {seed}, MRE-gap and p", "; ".join(f"{name} {gap:.2f} {p:.1g}" for name, (gap, p) in found.items())
        )
        (gap, p), *others = found.values()
        assert gap > 0.2
        assert p < 1e-4
        assert all(abs(gap) < 0.2 and p > 1e-3 for gap, p in others)


SMALL = ("data.image_size=16", "model.width=8", "batch_size=32")


def subject_of(config):
    """A run of untrained networks."""
    seed_everything(config.seed)
    return Subject(config, None, build_gan(config), build_source(config), ema=False, seed=0, batch_size=250)


def reconstructing(config):
    """A run whose G has learned its training images together with a latent vector for each."""
    run = subject_of(config)
    G, source = run.gan.G, run.source
    _, x, y = run.shown(config.train_images)
    x, z = source.samples(x), G.draw(len(x)).requires_grad_()
    optimizer = torch.optim.Adam([{"params": [z], "lr": 0.05}, {"params": G.parameters(), "lr": 0.002}])
    for _ in range(1000 if len(x) == 64 else 1500):
        batch = torch.randperm(len(x))[:64]
        optimizer.zero_grad()
        (G(z[batch], y[batch]) - x[batch]).square().mean().backward()
        optimizer.step()
    return run


def gap_and_p(run):
    """What the analysis of latent vectors finds in a run."""
    run.gan.eval()
    words = LatentRecovery(images=64).find(run).summary
    return [float(number) for number in re.search(r"MRE-gap (\S+), p (\S+) ", words).groups()]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning", "ignore::FutureWarning")
@pytest.mark.claim(
    "A linear classifier tells generated images from real ones by their power spectra alone",
    "Durall et al. 2020, abstract",
    on="digits at 32 px, DCGAN width 16 with transposed convolutions and hinge loss, batch 32, 500 updates, 800 images "
    "of either kind, 2 seeds; the same for two halves of the digits",
)
def test_a_spectrum_tells_generated_images(compose, measured):
    for seed in range(2):
        config = compose("model.width=16", "batch_size=32", f"seed={seed}", "updates=500")
        gan, source = build_gan(config), build_source(config)
        quiet_trainer(gan, 500).fit(gan, build_data(config, source))
        split = source.split("train")
        real, other = ring_decibels(split.images[subset_indices(split, 1600)]).split(800)
        generated = ring_decibels(to_uint8(Sampler(gan.G, seed)(800)))
        share, among = told_apart(generated, real, seed), told_apart(other, real, seed)
        gap = (generated.mean(0) - real.mean(0))[-1].item()
        measured(f"seed {seed}, told apart", share)
        measured("dB more at the highest frequency", gap)
        measured("two halves of the data told apart", among)
        assert share > 0.95
        assert among < 0.6


@pytest.fixture(scope="module")
def digits_run():
    """A run of labelled digits, for analyses, trained once."""
    with hydra.initialize_config_module("lit_gan.conf", version_base="1.3"):
        config = hydra.compose("train", ["labels=projection", "ema=0.99", "updates=1200"])
    seed_everything(config.seed)
    gan, source = build_gan(config), build_source(config)
    quiet_trainer(gan, 1200).fit(gan, build_data(config, source))
    return Subject(config, None, gan.eval(), source, ema=True, seed=0, batch_size=250)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning", "ignore::FutureWarning")
@pytest.mark.claim(
    "Truncated latent vectors trade variety for fidelity: IS and precision rise, recall falls",
    "Brock et al. 2019, section 3.1",
    on="digits at 32 px, conditional DCGAN with hinge loss, 1,200 updates, 2,000 samples with standing statistics; the "
    "same without truncation for other samples",
)
def test_truncation_trades_variety_for_fidelity(digits_run, measured):
    narrow, wide, plain = Truncation([0.6, 1.0], samples=2000).find(digits_run).rows
    again, _ = Truncation([9.0], samples=2000).find(replace(digits_run, seed=1)).rows
    for name in ("is", "precision", "recall", "fid"):
        values = [row[name] for row in (narrow, wide, plain, again)]
        measured(f"{name} within 0.6, within 1, without truncation, without for other samples", words(values))
    assert narrow["is"] - 0.1 > wide["is"] > max(plain["is"], again["is"]) + 0.1
    assert narrow["recall"] + 0.1 < wide["recall"] < min(plain["recall"], again["recall"]) - 0.05
    assert min(narrow["precision"], wide["precision"]) > max(plain["precision"], again["precision"])


def words(values):
    return ", ".join(f"{value:.3g}" for value in values)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning", "ignore::FutureWarning")
@pytest.mark.claim(
    "Samples change most along the directions that the first layer of G stretches most",
    "Shen and Zhou 2021, section 3",
    on="the run of the row about truncation, 32 samples moved by 3 to either side along 5 such directions and along 5 "
    "random ones",
)
def test_the_first_layer_knows_directions(digits_run, measured):
    *rows, other = SeFa(samples=32, steps=2).find(digits_run).rows
    changes = [row["change"] for row in rows]
    measured("change of pixels along the five", words(changes))
    measured("along random ones", other["change"])
    assert min(changes) > 1.2 * other["change"]


@pytest.mark.slow
@pytest.mark.claim(
    "CAS finds the class that a generator has lost, which IS does not",
    "Ravuri and Vinyals 2019, abstract",
    on="digits at 32 px, four fifths of the images in place of samples, of which those of one class are all the same "
    "image, or those of every class; ConvNet, 200 updates, tested on the other fifth, 2 lost classes",
)
def test_cas_finds_a_lost_class(compose, measured):
    source = build_source(compose())
    run, look = SimpleNamespace(source=source, device=torch.device("cpu"), seed=0), CAS(updates=200)
    judge = Classifier()
    judge.prepare(source)
    split = source.split("train")
    images, labels = (part[subset_indices(split, None)] for part in (split.images, split.labels))
    real, test = Examples(images[360:], labels[360:]), Examples(images[:360], labels[:360])
    whole, plain = by_class(look, run, real, test), inception_score(judge, real.images)
    measured("real images: CAS and IS", words([whole["all"], plain]))
    for lost in (1, 8):
        some = collapsed(real, [lost])
        found, score = by_class(look, run, some, test), inception_score(judge, some.images)
        measured(f"class {lost} lost: CAS, that of the class, IS", words([found["all"], found[lost], score]))
        assert min(found, key=found.get) == lost
        assert found[lost] < whole[lost] - 0.2
        assert score > plain - 0.1
    found = by_class(look, run, collapsed(real, range(10)), test)
    measured("every class lost: CAS", found["all"])
    assert found["all"] < whole["all"] - 0.2


def collapsed(examples, classes):
    """The same examples, where all those of some classes are their first one."""
    images = examples.images.clone()
    for label in classes:
        members = examples.labels == label
        images[members] = images[members][0]
    return Examples(images, examples.labels)


def by_class(look, run, learnt, test):
    rows = accuracy_rows(look.logits(run, learnt, test.images), test.labels)
    return {row["class"]: row["accuracy"] for row in rows}


def inception_score(judge, images):
    score = InceptionScore(1)
    score.update(judge(images).logits, torch.zeros(len(images), dtype=torch.long))
    return score.compute()[0].item()
