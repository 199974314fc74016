"""Claims about whole trainings in miniature: the real command on digits, scored by the shipped classifier."""

import json
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SMALL = ["data.image_size=16", "model.width=8", "batch_size=32", "updates=300", "updates_per_epoch=150"]
QUIET = ["trainer=cpu", "trainer.enable_progress_bar=false", "callbacks=none", "metrics.final=quick"]


@pytest.fixture
def fid(tmp_path):
    """The FID at the end of a training that is given as overrides of the command line."""

    def train(*overrides):
        name = "_".join(overrides)
        settings = [*overrides, *SMALL, *QUIET, f"hydra.run.dir={tmp_path / name}"]
        command = [sys.executable, "-m", "lit_gan.train", *settings]
        run = subprocess.run(command, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        return json.loads((tmp_path / name / "results.json").read_text())["final"]["scores"]["digits/fid"]

    return train


NO_NORM = ["experiment=wgan_gp_arch_no_norm", "data=digits", "metrics=classifier"]
RATES = ["optim.d.lr=1e-3", "optim.g.lr=1e-3"]


@pytest.mark.claim(
    "WGAN-GP trains a network without normalisation, the plain GAN does not",
    "Gulrajani et al. 2017, Figure 2, third row",
    on="digits at 16 px, DCGAN of width 8 with kernels of 5 x 5 and no normalisation in G or D, batch 32, Adam at rate "
    "1e-3, 300 updates, 2 seeds; at the paper's rates neither has learned after 300 updates",
)
@pytest.mark.parametrize("seed", range(2))
def test_wgan_gp_trains_without_normalisation(fid, measured, seed):
    scores = {
        method: fid(*NO_NORM, *RATES, f"method={method}", f"seed={seed}")
        for method in ("wgan_gp_no_norm", "dcgan_no_norm")
    }
    measured(f"seed {seed}, FID with WGAN-GP", scores["wgan_gp_no_norm"])
    measured("plain GAN", scores["dcgan_no_norm"])
    assert scores["wgan_gp_no_norm"] < scores["dcgan_no_norm"] / 3


def high_rates(setting, seed):
    return ["model=sngan_cnn", f"optim=sngan_{setting}", f"seed={seed}"]


@pytest.mark.claim(
    "Spectral norm trains at a high rate, weight clipping does not",
    "Miyato et al. 2018, Figures 1 and 2, setting D",
    on="digits at 16 px, standard CNN of width 8, batch 32, 300 updates, 2 seeds; at E and F the two are near each "
    "other after 300 updates",
)
@pytest.mark.parametrize("seed", range(2))
def test_spectral_norm_survives_a_high_rate(fid, measured, seed):
    spectral, clipping = (fid(*high_rates("d", seed), f"method={m}") for m in ("spectral_norm", "weight_clipping"))
    measured(f"seed {seed}, FID with spectral norm", spectral)
    measured("weight clipping", clipping)
    assert spectral < clipping / 2


COMES_THROUGH = (
    "WGAN-GP trains as well with both seeds; in networks drawn from a narrower normal distribution it failed with one "
    "seed of four, and with noise on the images with both that were tried"
)


@pytest.mark.claim(
    "Spectral norm trains at a high rate and with a long memory of squared gradients, WGAN-GP does not",
    "Miyato et al. 2018, Figures 1 and 2, setting E",
    on="digits at 16 px, standard CNN of width 8, batch 32, 300 updates, 2 seeds; at D WGAN-GP fails as well at first, "
    "but comes back in longer runs",
)
@pytest.mark.xfail(reason=COMES_THROUGH)
@pytest.mark.parametrize("seed", range(2))
def test_spectral_norm_survives_where_wgan_gp_does_not(fid, measured, seed):
    spectral, penalty = (fid(*high_rates("e", seed), f"method={m}") for m in ("spectral_norm", "wgan_gp"))
    measured(f"seed {seed}, FID with spectral norm", spectral)
    measured("WGAN-GP", penalty)
    assert spectral < penalty / 5
