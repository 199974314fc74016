"""A user's own trick: one class and one YAML outside the package, named on the command line like any other."""

import csv
import subprocess
import sys

import pytest

TRICK = '''
from lit_gan.game import Regularizer


class LogitPenalty(Regularizer):
    """E D(x)^2: D's outputs stay small. Karras et al. 2018 (progressive growing), appendix A.1."""

    def d(self, turn):
        return turn.real.logits.square().mean()
'''
LOSS = '''
from lit_gan.losses import Wasserstein


class Margin(Wasserstein):
    """A loss of one's own."""
'''


@pytest.fixture
def project(tmp_path):
    """A folder with a trick, a loss and their YAML files."""
    for group in ("reg", "loss"):
        (tmp_path / "my_conf" / group).mkdir(parents=True)
    (tmp_path / "my_tricks.py").write_text(TRICK + LOSS)
    (tmp_path / "my_conf/reg/logit_penalty.yaml").write_text(
        "logit_penalty:\n  _target_: my_tricks.LogitPenalty\n  weight: 0.001\n"
    )
    (tmp_path / "my_conf/loss/margin.yaml").write_text("_target_: my_tricks.Margin\n")
    return tmp_path


def test_a_trick_from_outside_the_package_trains_combined_with_shipped_ones(project):
    settings = ["metrics=none", "model.width=4", "batch_size=4", "updates=2", "updates_per_epoch=2"]
    command = [sys.executable, "-m", "lit_gan.train", "--config-dir", "my_conf", "hydra.run.dir=run", *settings]
    run = subprocess.run(
        [*command, "reg=[spectral,logit_penalty]", "loss=margin"], cwd=project, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    with (project / "run/metrics.csv").open() as file:
        columns = next(csv.reader(file))
    assert {"d/logit_penalty", "d/margin"} <= set(columns)
